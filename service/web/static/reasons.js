// Dialogs that ask why: a number chooses a reason, and Enter then sends it.

/** Listens in a dialog whose form has the reasons as radio buttons named "reason". */
export function listenToNumbers(dialog) {
  dialog.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input:not([type=radio]), textarea")) return;
    const box = dialog.querySelectorAll("input[name=reason]")[Number(event.key) - 1];
    if (!box?.checkVisibility()) return;
    box.checked = true;
    dialog.querySelector("button.primary").focus();
    event.preventDefault();
  });
}
