// The gallery's keys; single ones only act on the photograph that has the focus.

import { Cards } from "./cards.js";

const TYPING = "input:not([type=checkbox]), textarea, select";
const MOVES = new Set(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"]);
const DECISIONS = { a: "approved", r: "rejected", f: "flagged" };

/**
 * Listens to the keyboard.
 *
 * @param {Element} list - of cards.
 * @param {Object|null} grid - of `listenToGrid`; null: the page is a list.
 * @param {Deciding|null} deciding - null: for who only reads.
 */
export function listenToKeys(list, grid, deciding) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (document.querySelector("dialog[open]") || event.target.closest?.(TYPING)) return;
    const act = command(event, list, grid, deciding);
    if (!act) return;
    event.preventDefault();
    if (!event.repeat || MOVES.has(event.key)) act();
  });
  document.addEventListener("keyup", (event) => {
    if (!grid) return;
    if (event.key === " ") grid.hide();
    if (event.key.toLowerCase() === "s") grid.showAll(false);
  });
}

function command(event, list, grid, deciding) {
  const card = Cards.of(event.target);
  const pair = card?.querySelector(".photo-pair");
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (grid && MOVES.has(key) && (card || event.target === document.body)) {
    return () => grid.beside(pair, key).focus();
  }
  if (!card) return null;
  if (grid && key === " " && event.target === pair) return () => grid.show(pair);
  if (grid && key === "s") return () => grid.showAll(true);
  if (!deciding) return null;
  if (DECISIONS[key]) return () => deciding.one(card, DECISIONS[key]);
  if (key === "x") return () => deciding.selection.toggle(card);
  if (key === "u") return () => deciding.undo();
  return null;
}
