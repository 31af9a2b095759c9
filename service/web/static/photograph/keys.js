// The keyboard: one list for what the keys do and for the page that explains them.

import { t } from "../frame.js";
import { byId, make } from "./dom.js";

const OFF = "photochrom.keys"; // "off" in the local storage: single keys do nothing
const TYPING = "input:not([type=range], [type=checkbox], [type=radio], [type=color]), textarea, select";
const ON_SPACE = "button, summary, a, input, [role=button]";
const ON_ARROWS = "input[type=range], input[type=radio]";

/**
 * Listens to keys.
 *
 * @param {{keys: string[], words: string, act: () => void, when?: () => boolean}[]} commands - keys
 *   as "a", "Shift+ArrowLeft", "Control+z"; words: what they do, for people.
 */
export function listenToKeys(commands) {
  const byKey = new Map(commands.flatMap((one) => one.keys.map((key) => [key, one])));
  document.addEventListener("keydown", (event) => {
    const key = nameOf(event);
    const command = byKey.get(key);
    if (!command || event.isComposing || (command.when && !command.when())) return;
    if (!mayAct(event, key)) return;
    event.preventDefault();
    event.stopPropagation();
    if (!event.repeat || command.repeats) command.act();
  }, { capture: true });
  explain(commands);
  // After a click with the mouse the space bar is for the photograph again, not for the button.
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.(".tools button, .deciding button");
    if (button && event.detail > 0 && document.activeElement === button) button.blur();
  });
}

function nameOf(event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const named = key === " " ? "Space" : key;
  const shifted = event.shiftKey && (key.length > 1 || event.ctrlKey || event.metaKey);
  return [
    event.ctrlKey || event.metaKey ? "Control+" : "",
    event.altKey ? "Alt+" : "",
    shifted ? "Shift+" : "",
    named,
  ].join("");
}

/** Leaves keys to fields, open dialogs and whatever has the focus and uses them itself. */
function mayAct(event, key) {
  const { target } = event;
  const single = !key.startsWith("Control+");
  if (document.querySelector("dialog[open]")) return false;
  if (target.closest?.(TYPING)) return key === "Control+Enter" || key === "Escape";
  if (single && key !== "Escape" && localStorage.getItem(OFF) === "off") return false;
  if ((key === "Space" || key === "Enter") && target.closest?.(ON_SPACE)) {
    return key === "Space" && target.matches("input[type=range]");
  }
  if (/^(Shift\+)?(Arrow|Page|Home|End)/.test(key) && target.closest?.(ON_ARROWS)) return false;
  return !(target.closest?.(".panels") && /^Page|^Home|^End/.test(key));
}

/** Fills the page of help, opened by its button or "?". */
function explain(commands) {
  const rows = commands.map(({ keys, words }) =>
    make(
      "tr",
      {},
      make("td", {}, ...keys.flatMap((key) => [make("kbd", { text: written(key) }), " "])),
      make("td", { text: words }),
    ),
  );
  byId("help-keys").replaceChildren(...rows);
  const single = byId("single-keys");
  single.checked = localStorage.getItem(OFF) !== "off";
  single.addEventListener("change", () => localStorage.setItem(OFF, single.checked ? "on" : "off"));
  byId("help").addEventListener("click", () => byId("help-dialog").showModal());
}

function written(key) {
  const words = {
    Space: t("photograph.key_space"),
    Control: t("photograph.key_control"),
    Shift: t("photograph.key_shift"),
    ArrowLeft: "←",
    ArrowRight: "→",
    ArrowUp: "↑",
    ArrowDown: "↓",
    PageUp: t("photograph.key_page_up"),
    PageDown: t("photograph.key_page_down"),
  };
  const parts = key.endsWith("+") ? [...key.slice(0, -1).split("+").filter(Boolean), "+"] : key.split("+");
  return parts.map((part) => words[part] ?? (part.length === 1 ? part.toUpperCase() : part)).join("+");
}
