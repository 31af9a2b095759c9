// Colors that people know: places in the photograph, each with its color and how it is known.

import { notice, request, t } from "../frame.js";
import { byId, make, shown } from "./dom.js";

const RADIUS = 0.2; // of the photograph's long side, for a new point
const UNKNOWN = "#808080"; // what the color field shows before there is a color

/** The list of points, their marks in the view, and the editor of the one that is chosen. */
export class Points {
  /**
   * @param {string} url - of the photograph.
   * @param {Comparison} comparison
   * @param {Wishes} wishes
   * @param {() => {page: number}} seen - the page that is shown.
   * @param {Generator} generator
   */
  constructor(url, comparison, wishes, seen, generator) {
    Object.assign(this, { url, comparison, wishes, seen, generator });
    this.picking = false;
    this.chosen = null; // index of the point in the editor
    this._asked = null;
    comparison.markers = () => this._markers();
    comparison.addEventListener("pick", ({ detail }) => this.picking && this.add(detail));
    wishes.addEventListener("change", () => this._draw());
    this._listen();
    this._draw();
  }

  /** Begins or ends choosing a place. */
  pick(on = !this.picking) {
    this.picking = on;
    byId("pick").setAttribute("aria-pressed", String(on));
    byId("stages").classList.toggle("picking", on);
    shown(on, byId("pick-hint"));
    if (!on) return;
    this.comparison.stage.canvas.focus();
    this.generator.start();
  }

  /** Adds a point in the middle of the view: the way without a mouse. */
  addInTheMiddle() {
    const place = this.comparison.stage.middle;
    if (place) this.add(place);
  }

  /** Adds a point at a place and asks what colors the network thinks of there. */
  add({ x, y }) {
    this.pick(false);
    const { page } = this.seen();
    this.chosen = this.wishes.addPoint({
      page, x: rounded(x), y: rounded(y), color: null, radius: RADIUS, who: "", source: "",
    });
    this._draw();
    this._ask();
    byId("point-editor").scrollIntoView({ block: "nearest" });
    byId("point-title").focus({ preventScroll: true });
  }

  /** Opens the editor for a point, or closes it. */
  choose(index) {
    if (this.chosen !== null && index !== this.chosen) this._dropUnfinished();
    this.chosen = index !== null && index < this.wishes.present.points.length ? index : null;
    this._draw();
    if (this.chosen !== null) this._ask();
  }

  // Inside

  get _point() {
    return this.chosen === null ? null : (this.wishes.present.points[this.chosen] ?? null);
  }

  /** A point that never got a color was a slip. */
  _dropUnfinished() {
    if (this._point && !this._point.color) {
      const index = this.chosen;
      this.chosen = null;
      this.wishes.removePoint(index);
    }
  }

  _change(values, merging = null) {
    if (this._point) this.wishes.changePoint(this.chosen, values, merging);
  }

  _listen() {
    byId("pick").addEventListener("click", () => this.pick());
    const color = byId("point-color");
    color.addEventListener("input", () => this._change({ color: color.value }, "color"));
    color.addEventListener("change", () => this.wishes.settle());
    const source = byId("point-source");
    source.addEventListener("input", () => this._change({ source: source.value }, "source"));
    source.addEventListener("change", () => this.wishes.settle());
    source.addEventListener("keydown", (event) => event.key === "Enter" && this._close());
    const radius = byId("point-radius");
    radius.addEventListener("input", () => this._change({ radius: Number(radius.value) }, "radius"));
    radius.addEventListener("change", () => this.wishes.settle());
    byId("point-remove").addEventListener("click", () => this._remove(this.chosen));
    byId("point-done").addEventListener("click", () => this._close());
  }

  _close() {
    this.choose(null);
    byId("pick").focus();
  }

  _remove(index) {
    if (index === null) return;
    this.chosen = null;
    this.wishes.removePoint(index);
    byId("pick").focus();
  }

  _markers() {
    const { page } = this.seen();
    return this.wishes.present.points.flatMap((point, index) => {
      if (point.page !== page) return [];
      const element = make("button", {
        type: "button",
        className: "marker",
        "aria-label": t("photograph.point_at", { number: index + 1, color: point.color ?? "?" }),
        "aria-pressed": String(index === this.chosen),
      }, make("span", { text: String(index + 1) }));
      // The view takes the pointer's events for itself unless they end here.
      element.addEventListener("pointerdown", (event) => event.stopPropagation());
      element.addEventListener("pointerup", (event) => event.stopPropagation());
      element.addEventListener("click", () => this.choose(index));
      return [{ element, x: point.x, y: point.y }];
    });
  }

  _draw() {
    const { points } = this.wishes.present;
    if (this.chosen !== null && this.chosen >= points.length) this.chosen = null;
    byId("points").replaceChildren(...points.map((point, index) => this._row(point, index)));
    shown(points.length > 0, byId("points"));
    const point = this._point;
    shown(point !== null, byId("point-editor"));
    if (point) this._fill(point);
    this.comparison.mark();
  }

  _row(point, index) {
    const words = [point.source, point.who && t("photograph.point_by", { who: point.who })];
    const choose = make(
      "button",
      {
        type: "button",
        className: "point",
        "aria-pressed": String(index === this.chosen),
        on: { click: () => this.choose(index === this.chosen ? null : index) },
      },
      make("span", { className: "point-number", text: String(index + 1) }),
      chip(point.color),
      make("span", { className: "point-words", text: words.filter(Boolean).join(" · ") || point.color || "" }),
    );
    const remove = make("button", {
      type: "button",
      className: "small",
      "aria-label": t("photograph.point_remove", { number: index + 1 }),
      text: "×",
      on: { click: () => this._remove(index) },
    });
    return make("li", {}, choose, remove);
  }

  _fill(point) {
    byId("point-title").textContent = t("photograph.point_title", { number: this.chosen + 1 });
    setValue(byId("point-color"), point.color ?? UNKNOWN);
    setValue(byId("point-source"), point.source);
    setValue(byId("point-radius"), String(point.radius));
    for (const swatch of byId("swatches").children) {
      swatch.setAttribute("aria-pressed", String(swatch.dataset.color === point.color));
    }
  }

  async _ask() {
    this._asked?.abort();
    const asked = new AbortController();
    this._asked = asked;
    const place = byId("swatches");
    const waiting = (words) => {
      if (!asked.signal.aborted) place.replaceChildren(make("p", { className: "quiet", text: words }));
    };
    const { page, x, y } = this._point;
    try {
      const query = new URLSearchParams({ page, x, y });
      const answer = await this.generator.waitFor(
        request(`${this.url}/swatches?${query}`, { signal: asked.signal }),
        t("photograph.swatches_busy"),
        waiting,
      );
      const swatches = await answer.json();
      if (!asked.signal.aborted) this._offer(swatches);
    } catch (error) {
      if (asked.signal.aborted) return;
      place.replaceChildren();
      notice(error.message, { problem: true });
    }
  }

  _offer(swatches) {
    byId("swatches").replaceChildren(
      ...swatches.map(({ color, probability }) => {
        const percent = Math.round(probability * 100);
        return make(
          "button",
          {
            type: "button",
            className: "swatch",
            "data-color": color,
            "aria-pressed": String(this._point?.color === color),
            "aria-label": t("photograph.swatch", { color, percent }),
            on: { click: () => this._change({ color }) },
          },
          chip(color),
          make("span", { className: "number", text: `${percent} %` }),
        );
      }),
    );
  }
}

/** A patch of a color; an SVG, as the page's policy allows no style in attributes. */
export function chip(color) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "chip");
  svg.setAttribute("viewBox", "0 0 1 1");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const patch = document.createElementNS(svg.namespaceURI, "rect");
  patch.setAttribute("width", "1");
  patch.setAttribute("height", "1");
  patch.setAttribute("fill", color ?? "none");
  svg.append(patch);
  return svg;
}

/** Sets a field's value unless it has it: setting it would move the cursor of who is typing. */
function setValue(field, value) {
  if (field.value !== value) field.value = value;
}

function rounded(share) {
  return Math.round(share * 1e5) / 1e5;
}
