// The server's process that colors previews: it takes seconds to start, and ends when nobody asks.

import { request, t } from "../frame.js";

const KNOWN = 300_000; // milliseconds after an answer for which it surely runs; it ends after 600

/**
 * Starts it before it is needed, has it look at the page that is shown, and says so to who waits; an
 * EventTarget with "change".
 */
export class Generator extends EventTarget {
  /**
   * @param {string} url - of the photograph, without a slash at its end.
   * @param {() => {page: number}} seen - the page that is shown.
   */
  constructor(url, seen) {
    super();
    Object.assign(this, { url, seen });
    this.starting = false;
    this._until = 0; // when it may have ended
  }

  /** Has it started, unless it surely runs. */
  async start() {
    if (this.starting || performance.now() < this._until) return;
    this._set(true);
    try {
      const { page } = this.seen();
      await request(`${this.url}/preview/start`, { method: "POST", body: { page } });
      this.answered();
    } catch { /* whoever asks it next is told why */ }
    this._set(false);
  }

  /** Notes that it runs, as it has just answered. */
  answered() {
    this._until = performance.now() + KNOWN;
  }

  /**
   * Waits for an answer, and shows meanwhile what is going on.
   *
   * @param {Promise} answer
   * @param {string} words - while the process is at it.
   * @param {(words: string, starting: boolean) => void} show
   */
  async waitFor(answer, words, show) {
    const tell = () => show(this.starting ? t("photograph.generator_starts") : words, this.starting);
    this.start();
    this.addEventListener("change", tell);
    tell();
    try {
      const answered = await answer;
      this.answered();
      return answered;
    } finally {
      this.removeEventListener("change", tell);
    }
  }

  _set(starting) {
    this.starting = starting;
    this.dispatchEvent(new Event("change"));
  }
}
