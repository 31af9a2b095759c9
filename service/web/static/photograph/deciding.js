// Decisions on a photograph: approve, reject, flag, note; then on to the next open one.

import { csrfToken, notice, noticeOnNextPage, post, t } from "../frame.js";
import { listenToNumbers } from "../reasons.js";
import { byId, make, shown } from "./dom.js";

const CLAIM_AGAIN = 240_000; // milliseconds; a claim that nobody renews ends after ten minutes

/** The bar of decisions. Readers have none, and go from photograph to photograph only. */
export class Deciding {
  /**
   * @param {Object} facts - of the photograph, as its JSON.
   * @param {() => boolean} unapplied - whether there are changes that a decision would lose.
   */
  constructor(facts, unapplied) {
    Object.assign(this, { facts, unapplied });
    this.filter = location.search.replace(/^\?/, "");
    byId("next").addEventListener("click", () => this.next());
    byId("previous").addEventListener("click", () => this.previous());
    if (!facts.canReview) return;
    byId("approve").addEventListener("click", () => this.decide("approved"));
    byId("reject").addEventListener("click", () => this.askWhy());
    byId("flag").addEventListener("click", () => this.decide("flagged"));
    byId("note").addEventListener("click", () => this.askNote());
    byId("undo-decision").addEventListener("click", () => this.undo());
    this._dialogs();
    this.claim();
    setInterval(() => this.claim(), CLAIM_AGAIN);
    addEventListener("pagehide", () => this._leave());
    addEventListener("pageshow", (event) => event.persisted && this.claim());
  }

  /** Takes up new facts, and shows the decision that stands. */
  show(facts) {
    this.facts = facts;
    if (!facts.canReview) return;
    for (const [id, decision] of [["approve", "approved"], ["reject", "rejected"], ["flag", "flagged"]]) {
      if (facts.decision?.decision === decision) byId(id).setAttribute("aria-pressed", "true");
      else byId(id).removeAttribute("aria-pressed");
    }
  }

  /** Goes to the next photograph that is open and nobody else looks at. */
  next() {
    this._go("next", "after");
  }

  /** Goes to the one before. */
  previous() {
    this._go("next", "before");
  }

  /** Tells others that this photograph is being looked at; says when somebody else was first. */
  async claim() {
    try {
      const { by } = await post(`/photographs/${this.facts.job}/claim`);
      shown(Boolean(by), byId("claimed"));
      if (by) byId("claimed").textContent = t("photograph.claimed", { who: by });
    } catch (error) {
      notice(error.message, { problem: true });
    }
  }

  /** Decides, unless there are changes left to apply; the same decision again takes it back. */
  async decide(decision, reason = null) {
    if (this.unapplied()) {
      notice(t("photograph.apply_first"), { problem: true });
      return;
    }
    const again = this.facts.decision?.decision === decision && reason === null;
    try {
      await post("/decisions", {
        jobs: [this.facts.job], decision: again ? null : decision, reason: again ? null : reason,
      });
      const name = byId("name").textContent;
      noticeOnNextPage(t(`photograph.done_${again ? "opened" : decision}`, { name }));
      if (again) location.reload();
      else this.next();
    } catch (error) {
      notice(error.message, { problem: true });
    }
  }

  askWhy() {
    const dialog = byId("reject-dialog");
    dialog.querySelector("form").reset();
    dialog.showModal();
  }

  askNote() {
    byId("note-dialog").showModal();
  }

  /** Takes the last decision back, on whatever photograph it was, and goes there. */
  async undo() {
    try {
      const { changed, jobs = [] } = await post("/decisions/undo");
      const [job] = jobs;
      if (job === undefined) {
        notice(t("photograph.nothing_to_undo"));
        return;
      }
      noticeOnNextPage(t("photograph.decision_undone", { count: changed }));
      if (job === this.facts.job) location.reload();
      else location.href = `/photographs/${job}${location.search}`;
    } catch (error) {
      notice(error.message, { problem: true });
    }
  }

  // Inside

  /** Gives the photograph back to whoever wants it next. */
  _leave() {
    const form = new URLSearchParams({ leave: "1", csrf_token: csrfToken });
    navigator.sendBeacon(`/photographs/${this.facts.job}/claim`, form);
  }

  _go(route, from) {
    const query = new URLSearchParams(this.filter);
    query.set(from, this.facts.job);
    location.href = `/${route}?${query}`;
  }

  _dialogs() {
    const { reasons } = this.facts;
    byId("reject-reasons").replaceChildren(
      ...reasons.map(({ reason, words }, at) =>
        make("label", { className: "choice-row" },
          make("input", { type: "radio", name: "reason", value: reason }),
          make("kbd", { text: String(at + 1), "aria-hidden": "true" }),
          make("span", { text: words }),
        ),
      ),
    );
    listenToNumbers(byId("reject-dialog"));
    const free = byId("reject-free");
    free.addEventListener("input", () => {
      const listed = document.querySelector("input[name=reason]:checked");
      if (listed && free.value) listed.checked = false;
    });
    onSend("reject-dialog", (form) => {
      const reason = (free.value.trim() || new FormData(form).get("reason")) ?? null;
      this.decide("rejected", reason ?? "");
    });
    onSend("note-dialog", async () => {
      try {
        await post(`/photographs/${this.facts.job}/note`, { note: byId("note-text").value.trim() });
        location.reload();
      } catch (error) {
        notice(error.message, { problem: true });
      }
    });
  }
}

/** Does something when a dialog is sent, not when it is canceled. */
function onSend(id, act) {
  const dialog = byId(id);
  dialog.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    dialog.close();
    act(event.target);
  });
  dialog.querySelector("[data-cancel]").addEventListener("click", () => dialog.close());
}
