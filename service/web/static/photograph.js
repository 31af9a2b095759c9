// The photograph's page: scan and result compared, corrected and decided on.

import { notice, request, t } from "./frame.js";
import { Comparison } from "./photograph/comparison.js";
import { Correction, Recoloring } from "./photograph/correction.js";
import { Deciding } from "./photograph/deciding.js";
import { Generator } from "./photograph/generator.js";
import { byId, shown } from "./photograph/dom.js";
import { listenToKeys } from "./photograph/keys.js";
import { Points } from "./photograph/points.js";
import { Preview } from "./photograph/preview.js";
import { References } from "./photograph/references.js";
import { Wishes } from "./photograph/wishes.js";

const ZOOM = 1.5; // for each press of a key
const PAN = 0.15; // of the view
const DIVIDE = 0.02; // of the view

/** The page as a whole: which photograph and which of its pages is shown. */
class LightTable {
  constructor(facts) {
    this.facts = facts;
    this.url = `/photographs/${facts.job}`;
    this.page = 0;
    this.comparison = new Comparison();
    this.wishes = new Wishes(facts.wishes ?? {});
    const seen = () => ({ page: this.page });
    const generator = new Generator(this.url, seen);
    this.generator = generator;
    this.points = new Points(this.url, this.comparison, this.wishes, seen, generator);
    this.preview = new Preview(this.url, this.comparison, this.wishes, seen, generator);
    this.correction = new Correction(this.url, this.wishes, seen, generator);
    this.references = new References(this.url, this.wishes, generator);
    this.recoloring = new Recoloring(
      this.url, this.wishes, () => this._keepOld(), (now, old) => this._arrived(now, old),
    );
    this.deciding = new Deciding(facts, () => this.wishes.changed);
    this.uncertain = false;
    this._listen();
    this.showPage(0);
    if (facts.busy) this.recoloring.wait().catch(tell);
  }

  /** Shows a page of the scan. */
  async showPage(index) {
    const { pages } = this.facts;
    if (index < 0 || index >= pages.length) return;
    this.page = index;
    shown(pages.length > 1, byId("pages"));
    byId("page-number").textContent = t("photograph.page_of", { number: index + 1, count: pages.length });
    byId("page-back").disabled = index === 0;
    byId("page-on").disabled = index === pages.length - 1;
    this.preview.clear();
    byId("stages").setAttribute("aria-busy", "true");
    const { scan, colored } = pages[index];
    const parts = [this.comparison.put("scan", scan.info)];
    parts.push(this.comparison.put("before", null));
    if (colored) parts.push(this.comparison.put("colored", colored.info));
    parts.push(this._overlay());
    await Promise.all(parts).catch(tell);
    byId("stages").setAttribute("aria-busy", "false");
    this.comparison.mark();
    this.preview.soon();
    this.correction.showVariants();
  }

  /** Shows or hides where the network is unsure. */
  async toggleUncertain() {
    this.uncertain = !this.uncertain;
    byId("uncertain").setAttribute("aria-pressed", String(this.uncertain));
    const busy = byId("busy-hint");
    const answer = this._overlay();
    if (this.uncertain) {
      const show = (words) => {
        busy.textContent = words;
        shown(this.uncertain, busy);
      };
      await this.generator.waitFor(answer, t("photograph.uncertain_busy"), show).catch(tell);
      shown(false, busy);
    } else await answer;
    this.comparison.overlay(this.uncertain);
  }

  // Inside

  async _overlay() {
    const url = this.uncertain ? `${this.url}/confidence/${this.page}.png` : null;
    await this.comparison.put("confidence", url);
  }

  /** Keeps the present result at view size: its tiles are gone once there is a new one. */
  async _keepOld() {
    const { colored } = this.facts.pages[this.page];
    if (!colored) return null;
    return URL.createObjectURL(await (await request(colored.fit)).blob());
  }

  async _arrived(facts, old) {
    this.facts = facts;
    const { colored } = facts.pages[this.page];
    if (old) await this.comparison.put("before", old);
    await this.comparison.put("colored", colored.info);
    this.wishes.accept(facts.wishes ?? {});
    if (old) this.comparison.compare("before", "colored");
    await this._refresh();
    notice(t("photograph.recolored"));
  }

  /** Reads the page's own words anew: how the photograph stands, files, hashes and history. */
  async _refresh() {
    const text = await (await request(location.href, { headers: { Accept: "text/html" } })).text();
    const fresh = new DOMParser().parseFromString(text, "text/html");
    for (const part of ["#facts", ".standing"]) {
      const nodes = [...fresh.querySelector(part).childNodes];
      document.querySelector(part).replaceChildren(...nodes.map((node) => document.adoptNode(node)));
    }
    this.deciding.show(this.facts);
  }

  _listen() {
    const on = (id, act) => byId(id).addEventListener("click", act);
    const { stage } = this.comparison;
    on("fit", () => stage.fit());
    on("pixels", () => stage.showPixels());
    on("zoom-in", () => stage.zoomBy(ZOOM));
    on("zoom-out", () => stage.zoomBy(1 / ZOOM));
    on("uncertain", () => this.toggleUncertain());
    on("page-back", () => this.showPage(this.page - 1));
    on("page-on", () => this.showPage(this.page + 1));
    listenToKeys([...this._keysOfTheView(), ...this._keysOfCorrecting(), ...this._keysOfDeciding()]);
  }

  _keysOfTheView() {
    const { comparison } = this;
    const { stage } = comparison;
    const key = (keys, words, act, more = {}) => ({ keys, words: t(`photograph.does_${words}`), act, ...more });
    const repeats = { repeats: true };
    return [
      key(["Space"], "flip", () => comparison.flip()),
      key(["d"], "divider", () => comparison.setMode("divider")),
      key(["s"], "side", () => comparison.setMode("side")),
      key(["["], "divider_left", () => comparison.moveDivider(-DIVIDE), repeats),
      key(["]"], "divider_right", () => comparison.moveDivider(DIVIDE), repeats),
      key(["1"], "pixels", () => stage.showPixels()),
      key(["0"], "fit", () => stage.fit()),
      key(["+", "="], "zoom_in", () => stage.zoomBy(ZOOM), repeats),
      key(["-"], "zoom_out", () => stage.zoomBy(1 / ZOOM), repeats),
      key(["Shift+ArrowLeft"], "pan_left", () => stage.panBy(-PAN, 0), repeats),
      key(["Shift+ArrowRight"], "pan_right", () => stage.panBy(PAN, 0), repeats),
      key(["Shift+ArrowUp"], "pan_up", () => stage.panBy(0, -PAN), repeats),
      key(["Shift+ArrowDown"], "pan_down", () => stage.panBy(0, PAN), repeats),
      key(["PageUp"], "page_back", () => this.showPage(this.page - 1)),
      key(["PageDown"], "page_on", () => this.showPage(this.page + 1)),
      key(["c"], "uncertain", () => this.toggleUncertain()),
      key(["?"], "help", () => byId("help-dialog").showModal()),
    ];
  }

  _keysOfCorrecting() {
    const { points, wishes, recoloring } = this;
    const key = (keys, words, act, more = {}) => ({ keys, words: t(`photograph.does_${words}`), act, ...more });
    const inView = () => points.picking && document.activeElement === this.comparison.stage.canvas;
    return [
      key(["p"], "pick", () => points.pick()),
      key(["Enter"], "pick_middle", () => points.addInTheMiddle(), { when: inView }),
      key(["Escape"], "cancel", () => (points.picking ? points.pick(false) : points.choose(null)), {
        when: () => points.picking || points.chosen !== null,
      }),
      key(["Control+z"], "undo_step", () => wishes.undo(), { repeats: true }),
      key(["Control+Shift+z", "Control+y"], "redo_step", () => wishes.redo(), { repeats: true }),
      key(["Control+Enter"], "apply", () => recoloring.apply()),
    ];
  }

  _keysOfDeciding() {
    const { deciding } = this;
    const key = (keys, words, act) => ({ keys, words: t(`photograph.does_${words}`), act });
    const moves = [
      key(["ArrowRight", "j"], "next", () => deciding.next()),
      key(["ArrowLeft", "k"], "previous", () => deciding.previous()),
    ];
    if (!this.facts.canReview) return moves;
    return [
      key(["a"], "approve", () => deciding.decide("approved")),
      key(["r"], "reject", () => deciding.askWhy()),
      key(["f"], "flag", () => deciding.decide("flagged")),
      key(["n"], "note", () => deciding.askNote()),
      key(["u"], "undo_decision", () => deciding.undo()),
      ...moves,
    ];
  }
}

function tell(error) {
  notice(error.message, { problem: true });
}

// For tests, and for who looks with the browser's tools.
window.lightTable = new LightTable(JSON.parse(byId("for-script").textContent));
