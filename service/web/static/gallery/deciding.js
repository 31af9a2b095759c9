// Decisions: on the photograph with the focus, on those chosen, on all that is filtered; and undo.

import { announce, notice, post, t } from "../frame.js";
import { listenToNumbers } from "../reasons.js";
import { Cards } from "./cards.js";

export class Deciding {
  constructor(cards, selection, asked) {
    Object.assign(this, { cards, selection, asked });
    cards.onCount = () => selection.recount();
    this._dialog = document.getElementById("deciding");
    this._form = this._dialog.querySelector("form");
    listenToNumbers(this._dialog);
    cards.list.addEventListener("click", (event) => {
      const button = event.target.closest(".photo-deciding button");
      if (button) this.one(Cards.of(button), button.dataset.decision);
    });
    for (const button of document.querySelectorAll(".bar-deciding button")) {
      button.addEventListener("click", () => this.many(button.dataset.decision || null));
    }
    document.getElementById("undo").addEventListener("click", () => this.undo());
  }

  /** Decides on one; the same decision again takes it back, and a rejection asks for the reason. */
  async one(card, decision) {
    const again = card.dataset.decision === decision;
    let words = {};
    if (decision === "rejected" && !again) {
      words = await this._ask(decision, t("gallery.reject_one", { name: Cards.name(card) }), "");
      if (!words) return;
    }
    const sent = { jobs: [Cards.job(card)], decision: again ? null : decision, ...words };
    const from = document.activeElement;
    if (await this._send(sent)) this._goOn(card, from);
  }

  /** Decides on all that are chosen, after a question that says how many. */
  async many(decision) {
    const { selection } = this;
    const { count, all } = selection;
    const key = decision ?? "open_again";
    const title = t("gallery.confirm_" + key, { count });
    const which = all
      ? { filter: this.asked.filter, count }
      : { jobs: selection.cards().map(Cards.job) };
    const words = await this._ask(decision, title, all ? t("gallery.confirm_all") : t("gallery.confirm_chosen"));
    if (!words) return;
    if (await this._send({ ...which, decision, ...words })) selection.clear();
  }

  /** Takes back what this person decided last. */
  async undo() {
    try {
      const { changed } = await post("/decisions/undo");
      notice(changed ? t("gallery.undone", { count: changed }) : t("gallery.nothing_to_undo"));
      await this.cards.refresh();
    } catch (error) {
      tell(error);
    }
  }

  // Inside

  async _send(sent) {
    try {
      const { changed } = await post("/decisions", sent);
      this._told(t("gallery.done_" + (sent.decision ?? "open_again"), { count: changed }));
      await this.cards.refresh();
      return true;
    } catch (error) {
      tell(error);
      return false;
    }
  }

  _told(words) {
    for (const old of document.querySelectorAll(".notice.undoable")) old.remove();
    const box = notice(words);
    box.classList.add("undoable");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = t("gallery.undo");
    button.addEventListener("click", () => {
      box.remove();
      this.undo();
    });
    box.querySelector(".notice-close").before(button);
  }

  /** Moves the focus on from a photograph that was decided on by a key; behind the last: "next". */
  _goOn(card, from) {
    if (!from?.matches(".photo-pair")) return;
    const rest = this.cards.all();
    const next = rest.slice(rest.indexOf(card) + 1).find((one) => !one.dataset.decision);
    const target = next?.querySelector(".photo-pair") ?? document.querySelector(".pages [rel=next]");
    (target ?? from).focus();
    if (!next) announce(t("gallery.last_of_page"));
  }

  /** Asks before a decision; returns {reason, note}, or null when it is called off. */
  _ask(decision, title, words) {
    this._form.reset();
    document.getElementById("deciding-title").textContent = title;
    document.getElementById("deciding-words").textContent = words;
    document.getElementById("deciding-words").hidden = !words;
    document.getElementById("deciding-reasons").hidden = decision !== "rejected";
    document.getElementById("deciding-go").textContent = decision
      ? t("gallery.do_" + decision) : t("gallery.open_again");
    this._dialog.returnValue = "cancel";
    this._dialog.showModal();
    document.getElementById("deciding-go").focus();
    return new Promise((resolve) => {
      this._dialog.addEventListener("close", () => {
        const said = new FormData(this._form);
        const reason = said.get("free").trim() || said.get("reason") || null;
        const note = said.get("note").trim() || null;
        resolve(this._dialog.returnValue === "go" ? { reason, note } : null);
      }, { once: true });
    });
  }
}

function tell(error) {
  const box = notice(error.message, { problem: true });
  if (error.status !== 409) return;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = t("gallery.look_again");
  button.addEventListener("click", () => location.reload());
  box.querySelector(".notice-close").before(button);
}
