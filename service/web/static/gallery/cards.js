// The cards of the page: found by job, and brought up to date where they are.

import { request } from "../frame.js";

export class Cards {
  /**
   * @param {Element|null} list - with a card for each photograph; null: there is none.
   * @param {Object} asked - the page's facts.
   */
  constructor(list, asked) {
    Object.assign(this, { list, asked });
    this.onCount = () => {}; // when the filter finds another number than `asked.count`
  }

  /** All cards, in their order. */
  all() {
    return this.list ? [...this.list.querySelectorAll(".photo")] : [];
  }

  /** The card that something of it is in, or null. */
  static of(element) {
    return element?.closest?.(".photo") ?? null;
  }

  static job(card) {
    return Number(card.dataset.job);
  }

  static name(card) {
    return card.querySelector(".photo-name a").textContent;
  }

  /** Asks how all photographs of the page are now; returns how many are new behind it. */
  async refresh() {
    const shown = this.all();
    const query = new URLSearchParams(this.asked.words);
    query.set("cards", shown.map(Cards.job).join("."));
    query.set("seen", this.asked.seen);
    const answer = await request(`/cards?${query}`, { headers: { Accept: "text/html" } });
    const parts = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = parts.querySelector("ol");
    document.getElementById("progress")?.replaceChildren(...parts.getElementById("progress").childNodes);
    const byJob = new Map([...fresh.children].map((card) => [card.dataset.job, card]));
    for (const card of shown) {
      const now = byJob.get(card.dataset.job);
      if (now && now.dataset.version !== card.dataset.version) renew(card, now);
    }
    if (this.asked.count !== Number(fresh.dataset.matches)) {
      this.asked.count = Number(fresh.dataset.matches);
      this.onCount();
    }
    return Number(fresh.dataset.new);
  }
}

/** Takes over what a fresh card shows; nothing moves, and the focus stays. */
function renew(card, fresh) {
  card.dataset.version = fresh.dataset.version;
  card.dataset.decision = fresh.dataset.decision;
  card.querySelector(".photo-state").replaceWith(fresh.querySelector(".photo-state"));
  const buttons = fresh.querySelectorAll(".photo-deciding button");
  card.querySelectorAll(".photo-deciding button").forEach((button, at) => {
    button.setAttribute("aria-pressed", buttons[at].getAttribute("aria-pressed"));
  });
  const pictures = fresh.querySelectorAll(".picture img");
  card.querySelectorAll(".picture img").forEach((picture, at) => {
    if (picture.getAttribute("src") === pictures[at].getAttribute("src")) return;
    picture.srcset = pictures[at].srcset;
    picture.setAttribute("src", pictures[at].getAttribute("src"));
  });
}
