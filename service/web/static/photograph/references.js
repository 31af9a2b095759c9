// The choice of another photograph whose colors this one is to have.

import { notice, request, t } from "../frame.js";
import { byId, make, shown } from "./dom.js";

const PAUSE = 300; // milliseconds without typing before the server is asked

/** The panel with what is chosen, a field for a part of a name, and results to choose from. */
export class References {
  /**
   * @param {string} url - of the photograph.
   * @param {Wishes} wishes
   * @param {Generator} generator - its process reads the colors, too.
   */
  constructor(url, wishes, generator) {
    Object.assign(this, { url, wishes, generator });
    this._asked = null; // aborts the request in progress
    this._timer = null;
    byId("reference-panel").addEventListener("toggle", () => {
      if (byId("reference-panel").open && !byId("references").children.length) this._list();
    });
    byId("reference-word").addEventListener("input", () => {
      clearTimeout(this._timer);
      this._timer = setTimeout(() => this._list(), PAUSE);
    });
    byId("reference-drop").addEventListener("click", () => {
      this.wishes.change({ reference: null });
      byId("reference-word").focus();
    });
    wishes.addEventListener("change", () => this._draw());
    this._draw();
  }

  // Inside

  async _list() {
    const words = new URLSearchParams({ word: byId("reference-word").value });
    const found = await this._ask((how) => request(`${this.url}/references?${words}`, how));
    if (!found) return;
    byId("references").replaceChildren(...found.map((one) => this._choice(one)));
    this._say(found.length ? "" : t("photograph.reference_none"));
    this._draw();
  }

  async _choose(address) {
    const words = t("photograph.reference_busy");
    const reference = await this._ask((how) =>
      this.generator.waitFor(request(address, how), words, (said) => this._say(said)),
    );
    if (!reference) return;
    this._say("");
    this.wishes.settle();
    this.wishes.change({ reference });
  }

  _say(words) {
    byId("reference-status").textContent = words;
  }

  /** Asks the server; what is asked later wins. Gives nothing if it was given up or failed. */
  async _ask(question) {
    this._asked?.abort();
    const asked = new AbortController();
    this._asked = asked;
    try {
      const answer = await (await question({ signal: asked.signal })).json();
      return asked.signal.aborted ? null : answer;
    } catch (error) {
      if (asked.signal.aborted) return null;
      this._say("");
      notice(error.message, { problem: true });
      return null;
    }
  }

  _choice({ name, sha256, picture, reference }) {
    return make(
      "button",
      {
        type: "button",
        className: "variant",
        title: name,
        "data-sha256": sha256,
        on: { click: () => this._choose(reference) },
      },
      make("img", { src: picture, alt: "", loading: "lazy" }),
      make("span", { text: name.split("/").at(-1) }),
    );
  }

  _draw() {
    const { reference } = this.wishes.present;
    shown(reference !== null, byId("reference-now"));
    if (reference) {
      byId("reference-panel").open = true;
      const who = reference.who ? ` · ${t("photograph.point_by", { who: reference.who })}` : "";
      byId("reference-name").textContent = `${reference.name}${who}`;
    }
    for (const button of byId("references").children) {
      button.setAttribute("aria-pressed", String(button.dataset.sha256 === reference?.sha256));
    }
  }
}
