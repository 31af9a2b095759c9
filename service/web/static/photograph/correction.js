// The panel of corrections: vividness, warmth, variants, undo of steps, and applying all of it.

import { announce, notice, post, request, t } from "../frame.js";
import { byId, make, shown } from "./dom.js";

const LOOK_AGAIN = 1000; // milliseconds between questions whether the new result is there

/** The fields of the panel, and what sends the wishes to be carried out. */
export class Correction {
  /**
   * @param {string} url - of the photograph.
   * @param {Wishes} wishes
   * @param {() => {page: number}} seen - the page that is shown.
   * @param {Generator} generator - is started when somebody comes near the panel.
   */
  constructor(url, wishes, seen, generator) {
    Object.assign(this, { url, wishes, seen, generator });
    for (const name of ["vividness", "warmth"]) this._slider(name);
    byId("undo-step").addEventListener("click", () => wishes.undo());
    byId("redo-step").addEventListener("click", () => wishes.redo());
    byId("reset").addEventListener("click", () => wishes.reset());
    byId("variants-panel").addEventListener("toggle", () => this.showVariants());
    wishes.addEventListener("change", () => this._draw());
    this._draw();
    for (const event of ["pointerenter", "focusin"]) {
      byId("correction").addEventListener(event, () => generator.start());
    }
    generator.addEventListener("change", () => {
      const words = [make("progress", { "aria-hidden": "true" }), t("photograph.generator_starts")];
      byId("generator-starts").replaceChildren(...(generator.starting ? words : []));
    });
  }

  /** Shows small previews of the variants of this page, if their panel is open. */
  async showVariants() {
    const place = byId("variants");
    if (!byId("variants-panel").open || place.dataset.page === String(this.seen().page)) return;
    const { page } = this.seen();
    place.dataset.page = page;
    const waiting = (words) => place.replaceChildren(make("p", { className: "quiet", text: words }));
    try {
      const answer = await this.generator.waitFor(
        request(`${this.url}/variants?page=${page}`), t("photograph.preview_busy"), waiting,
      );
      const variants = await answer.json();
      place.replaceChildren(...variants.map((one) => this._variant(one)));
    } catch (error) {
      delete place.dataset.page;
      place.replaceChildren();
      notice(error.message, { problem: true });
    }
    this._draw();
  }

  // Inside

  _slider(name) {
    const slider = byId(name);
    slider.addEventListener("input", () => this.wishes.change({ [name]: Number(slider.value) }, name));
    slider.addEventListener("change", () => this.wishes.settle());
  }

  _variant({ variant, preview }) {
    const words = variant ? t("photograph.variant", { number: variant }) : t("photograph.variant_first");
    return make(
      "button",
      {
        type: "button",
        className: "variant",
        "data-variant": String(variant),
        on: { click: () => this.wishes.change({ variant }) },
      },
      make("img", { src: preview, alt: "", loading: "lazy" }),
      make("span", { text: words }),
    );
  }

  _draw() {
    const { present, changed } = this.wishes;
    for (const name of ["vividness", "warmth"]) {
      byId(name).value = String(present[name]);
      byId(`${name}-value`).textContent = signed(name, present[name]);
    }
    for (const button of byId("variants").querySelectorAll("[data-variant]")) {
      const pressed = Number(button.dataset.variant) === present.variant;
      button.setAttribute("aria-pressed", String(pressed));
    }
    byId("undo-step").disabled = !this.wishes.canUndo;
    byId("redo-step").disabled = !this.wishes.canRedo;
    byId("reset").disabled = !changed;
    const apply = document.getElementById("apply"); // readers have none
    if (apply) apply.disabled = !changed || apply.dataset.busy === "true";
    shown(changed, byId("unapplied"));
  }
}

/** Has the wishes carried out, and shows the new result beside the old one. */
export class Recoloring {
  /**
   * @param {string} url - of the photograph.
   * @param {Wishes} wishes
   * @param {() => Promise<string|null>} keepOld - keeps the present result; gives its URL.
   * @param {(facts: Object, old: string|null) => Promise<void>} arrived - takes the new result.
   */
  constructor(url, wishes, keepOld, arrived) {
    Object.assign(this, { url, wishes, keepOld, arrived });
    this._button = document.getElementById("apply");
    this._progress = byId("apply-progress");
    this._button?.addEventListener("click", () => this.apply());
  }

  async apply() {
    if (!this._button || this._button.disabled) return;
    this._busy(true);
    try {
      const old = await this.keepOld();
      await post(`${this.url}/apply`, { wishes: this.wishes.sent });
      await this.wait(old);
    } catch (error) {
      notice(error.message, { problem: true });
    }
    this._busy(false);
  }

  /** Waits until the photograph is colored again. */
  async wait(old = null) {
    this._busy(true);
    for (;;) {
      const facts = await (await request(`${this.url}.json`)).json();
      if (!facts.busy) {
        this._busy(false);
        this._progress.textContent = "";
        if (facts.problem) {
          notice(t("photograph.not_recolored", { reason: facts.problem }), { problem: true });
          return;
        }
        await this.arrived(facts, old);
        announce(t("photograph.recolored"));
        return;
      }
      this._progress.textContent = t(`photograph.busy_${facts.status}`);
      await new Promise((done) => setTimeout(done, LOOK_AGAIN));
    }
  }

  _busy(busy) {
    byId("apply-busy").hidden = !busy;
    if (!this._button) return;
    this._button.dataset.busy = String(busy);
    this._button.disabled = busy || !this.wishes.changed;
  }
}

function signed(name, value) {
  return name === "warmth" && value > 0 ? `+${value}` : String(value);
}
