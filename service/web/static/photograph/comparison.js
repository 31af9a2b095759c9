// How two pictures of a photograph are compared: a divider, flipping, or side by side.
//
// `left` and `right` name the two, at first "scan" and "colored". The scan is always to be had.

import { t } from "../frame.js";
import { byId, make, shown } from "./dom.js";
import { recall, remember } from "./memory.js";
import { Stage } from "./stage.js";

const NAMES = ["scan", "before", "colored", "preview"]; // from the record to the newest guess
const MODES = ["divider", "flip", "side"];
const STEPS = 1000; // of the divider over the view's width
const OVERLAY = "confidence";

/** The view or the two views, with all that chooses what they show; an EventTarget with "pick". */
export class Comparison extends EventTarget {
  constructor() {
    super();
    const kept = recall();
    this.mode = MODES.includes(kept.mode) ? kept.mode : "divider";
    this.flipped = kept.flipped === true; // the left one is shown
    this.urls = new Map();
    this.left = "scan";
    this.right = "colored";
    this.markers = () => [];
    this.stage = this._stageIn(byId("stage"), t("photograph.view"));
    this.second = null;
    this._overlay = 0;
    this._divider = byId("divider");
    this._divider.max = STEPS;
    this._divider.value = kept.divider ?? STEPS / 2;
    this.stage.view = kept.view ?? { fit: true };
    this._listen();
    this._arrange();
  }

  /** Puts a picture under a name; null takes it away. */
  async put(name, url) {
    if (url) this.urls.set(name, url);
    else this.urls.delete(name);
    if (name !== OVERLAY && !url) {
      if (this.left === name) this.left = "scan";
      if (this.right === name) this.right = "colored";
    }
    try {
      await this.stage.put(name, url);
      if (this.second && this.mode === "side") await this.second.put(name, url);
    } catch (error) {
      if (this.urls.get(name) === url) this.urls.delete(name);
      throw error;
    } finally {
      this._arrange();
    }
  }

  /** Chooses which two are compared. */
  compare(left, right) {
    this.left = left;
    this.right = right;
    this._arrange();
  }

  /** Changes how they are compared: "divider" or "side"; `flip` does the rest. */
  setMode(mode) {
    this.mode = mode;
    this.flipped = false;
    remember({ mode, flipped: false });
    this._arrange();
  }

  /** Shows the other one of the two, whole. */
  flip() {
    this.flipped = this.mode === "flip" ? !this.flipped : true;
    this.mode = "flip";
    remember({ mode: "flip", flipped: this.flipped });
    this._arrange();
  }

  /** Moves the divider by a share of the width. */
  moveDivider(share) {
    this._divider.value = Number(this._divider.value) + share * STEPS;
    this._divider.dispatchEvent(new Event("input"));
  }

  /** Shows or hides what the network is unsure of. */
  overlay(visible) {
    this._overlay = visible ? 0.75 : 0;
    this._arrange();
  }

  /** Shows marks anew. */
  mark() {
    this.stage.markers = this.markers();
    if (this.second && this.mode === "side") this.second.markers = this.markers();
  }

  // Inside

  _stageIn(element, label) {
    const stage = new Stage(element, label);
    stage.addEventListener("pick", (event) =>
      this.dispatchEvent(new CustomEvent("pick", { detail: event.detail })),
    );
    stage.addEventListener("view", () => this._viewed(stage));
    return stage;
  }

  _listen() {
    this._divider.addEventListener("input", () => {
      remember({ divider: Number(this._divider.value) });
      this._arrange();
    });
    for (const mode of MODES) {
      const act = mode === "flip" ? () => this.flip() : () => this.setMode(mode);
      byId(`mode-${mode}`).addEventListener("click", act);
    }
    for (const side of ["left", "right"]) {
      byId(`choose-${side}`).addEventListener("change", (event) => {
        this[side] = event.target.value;
        this._arrange();
      });
    }
    addEventListener("pagehide", () => remember({ view: this.stage.view }));
  }

  _viewed(stage) {
    if (this._following) return;
    const other = stage === this.stage ? this.second : this.stage;
    if (this.mode === "side" && other?.ready && stage.ready) {
      this._following = true;
      other.follow(stage);
      this._following = false;
    }
    if (this.stage.ready) {
      const percent = Math.round(this.stage.scale * 100);
      byId("scale").textContent = `${percent} %`;
      remember({ view: this.stage.view });
    }
    this.dispatchEvent(new Event("view"));
  }

  _arrange() {
    const { mode } = this;
    const left = this.urls.has(this.left) ? this.left : "scan";
    const right = this.urls.has(this.right) ? this.right : left; // a result may have been taken away
    const side = mode === "side";
    const alone = this.flipped ? left : right;
    if (side) this._openSecond();
    byId("stages").dataset.mode = mode;
    shown(side, byId("second"));
    shown(mode === "divider", this._divider);
    const share = Number(this._divider.value) / STEPS;
    if (mode === "divider") this.stage.show(right, left, share);
    else this.stage.show(side ? left : alone);
    if (side) this.second.show(right);
    for (const stage of [this.stage, this.second]) stage?.lay(OVERLAY, this._overlay);
    this._label(left, right, mode === "divider" ? share : Number(this.flipped));
    this._tellChoices(left, right);
    this.mark();
  }

  _openSecond() {
    this.second ??= this._stageIn(byId("second-stage"), t("photograph.second_view"));
    this.second.view ??= this.stage.view;
    for (const name of [...NAMES, OVERLAY]) {
      this.second.put(name, this.urls.get(name) ?? null).catch(() => {}); // the first view tells
    }
  }

  /** Says which picture is where; `share` of the width shows the left one. */
  _label(left, right, share) {
    const side = this.mode === "side";
    const words = (name) => t(`photograph.label_${name}`);
    byId("label-left").textContent = words(left);
    byId("label-right").textContent = words(right);
    shown(side || share > 0, byId("label-left"));
    shown(side || share < 1, byId("label-right"));
    this._divider.setAttribute(
      "aria-valuetext",
      t("photograph.divider_at", { percent: Math.round(share * 100), left: words(left) }),
    );
    byId("shown").textContent =
      this.mode === "flip" ? words(this.flipped ? left : right) : "";
  }

  _tellChoices(left, right) {
    for (const mode of MODES) {
      byId(`mode-${mode}`).setAttribute("aria-pressed", String(this.mode === mode));
    }
    const names = NAMES.filter((name) => this.urls.has(name));
    shown(names.length > 2, byId("choices"));
    for (const which of ["left", "right"]) {
      const select = byId(`choose-${which}`);
      if (select.dataset.names !== names.join()) {
        select.dataset.names = names.join();
        select.replaceChildren(
          ...names.map((name) => make("option", { value: name, text: t(`photograph.label_${name}`) })),
        );
      }
      select.value = which === "left" ? left : right;
    }
  }
}
