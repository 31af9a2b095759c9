// Which photographs are chosen: by box, with Shift a range, the page, or all that the filter finds.

import { t } from "../frame.js";
import { Cards } from "./cards.js";

export class Selection {
  constructor(list, asked) {
    Object.assign(this, { list, asked, all: false });
    this._last = null;
    this._page = document.getElementById("choose-page");
    this._everything = document.getElementById("choose-all");
    this._words = document.getElementById("chosen-words");
    this._actions = document.querySelectorAll(".bar-deciding button");
    list.addEventListener("click", (event) => {
      if (event.target.matches(".chosen")) this._clicked(event);
    });
    this._page.addEventListener("change", () => this._choose(this.boxes(), this._page.checked));
    this._everything?.addEventListener("click", () => {
      this.all = !this.all;
      this._choose(this.boxes(), this.all);
    });
    this._tell(); // a browser keeps boxes checked when it comes back to a page
  }

  boxes() {
    return [...this.list.querySelectorAll(".chosen")];
  }

  /** The cards that are chosen on this page. */
  cards() {
    return this.boxes().filter((box) => box.checked).map((box) => Cards.of(box));
  }

  /** How many are chosen, with those on other pages. */
  get count() {
    return this.all ? this.asked.count : this.cards().length;
  }

  toggle(card) {
    const box = card.querySelector(".chosen");
    box.checked = !box.checked;
    this._last = box;
    this._choose([], false);
  }

  /** Says how many the filter finds now. */
  recount() {
    if (this._everything) this._everything.textContent = t("gallery.choose_all", { count: this.asked.count });
    this._tell();
  }

  clear() {
    this.all = false;
    this._choose(this.boxes(), false);
  }

  _clicked(event) {
    const boxes = this.boxes();
    const box = event.target;
    if (event.shiftKey && this._last) {
      const [from, to] = [boxes.indexOf(this._last), boxes.indexOf(box)].sort((a, b) => a - b);
      for (const one of boxes.slice(from, to + 1)) one.checked = box.checked;
    }
    this._last = box;
    this._choose([], false);
  }

  _choose(boxes, checked) {
    for (const box of boxes) box.checked = checked;
    if (!this.boxes().every((box) => box.checked)) this.all = false;
    this._tell();
  }

  _tell() {
    const boxes = this.boxes();
    const chosen = boxes.filter((box) => box.checked);
    for (const box of boxes) Cards.of(box).classList.toggle("is-chosen", box.checked);
    this._page.checked = chosen.length === boxes.length;
    this._page.indeterminate = chosen.length > 0 && chosen.length < boxes.length;
    this._everything?.setAttribute("aria-pressed", String(this.all));
    this._words.textContent = t("gallery.chosen", { count: this.count });
    this._page.closest(".bar").classList.toggle("has-chosen", this.count > 0);
    for (const button of this._actions) button.disabled = this.count === 0;
  }
}
