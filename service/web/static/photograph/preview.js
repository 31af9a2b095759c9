// Shows wishes before they are applied: the last one asked for wins, earlier requests are given up.

import { notice, request, t } from "../frame.js";
import { byId } from "./dom.js";

const PAUSE = 120; // milliseconds without a change before the server is asked

/** Keeps the picture "preview" of a comparison as the wishes say. */
export class Preview {
  /**
   * @param {string} url - of the photograph, without a slash at its end.
   * @param {Comparison} comparison
   * @param {Wishes} wishes
   * @param {() => {page: number}} seen - the page that is shown.
   * @param {Generator} generator
   */
  constructor(url, comparison, wishes, seen, generator) {
    Object.assign(this, { url, comparison, wishes, seen, generator });
    this._status = byId("preview-status");
    this._address = null; // of the picture that is shown
    this._asked = null; // aborts the request in progress
    this._timer = null;
    this._last = null; // what was asked for last
    wishes.addEventListener("change", () => this.soon());
  }

  /** Asks after a pause, unless the same was asked for already. */
  soon() {
    const { page } = this.seen();
    const wanted = this.wishes.looksOtherwise ? `${page} ${this.wishes.lookOf(page)}` : null;
    if (wanted === this._last) return;
    this._last = wanted;
    clearTimeout(this._timer);
    this._asked?.abort();
    if (wanted === null) {
      this._show(null);
      this._status.textContent = "";
      return;
    }
    this._timer = setTimeout(() => this._ask(), PAUSE);
  }

  /** Takes the preview away, such as when another page is shown; `soon` brings it back. */
  clear() {
    this._last = null;
    clearTimeout(this._timer);
    this._asked?.abort();
    this._show(null);
  }

  async _ask() {
    const asked = new AbortController();
    this._asked = asked;
    const began = performance.now();
    try {
      const answer = await this.generator.waitFor(
        request(`${this.url}/preview`, {
          method: "POST",
          body: { page: this.seen().page, wishes: this.wishes.sent },
          signal: asked.signal,
        }),
        t("photograph.preview_busy"),
        (words, starting) => {
          this._status.textContent = starting || asked.signal.aborted ? "" : words; // the panel tells
        },
      );
      const picture = await answer.blob();
      if (asked.signal.aborted) return;
      await this._show(picture);
      const seconds = ((performance.now() - began) / 1000).toFixed(1);
      if (!asked.signal.aborted) this._status.textContent = t("photograph.preview_is", { seconds });
    } catch (error) {
      if (asked.signal.aborted) return;
      this._last = null;
      this._status.textContent = "";
      notice(error.message, { problem: true });
    }
  }

  async _show(picture) {
    const earlier = this._address;
    if (earlier === null && picture === null) return;
    this._address = picture && URL.createObjectURL(picture);
    await this.comparison.put("preview", this._address);
    if (this._address && earlier === null) this.comparison.compare(this.comparison.left, "preview");
    if (earlier) URL.revokeObjectURL(earlier);
  }
}
