// The grid pass: hold the pointer, a finger or a key to see the scan; arrow keys move.

const LONGEST_CLICK = 300; // milliseconds; longer is holding, and opens nothing

/** Listens in a grid; returns what the keyboard needs. */
export function listenToGrid(list) {
  let held = null; // the picture whose scan is shown
  let since = 0;

  const show = (pair) => {
    hide();
    held = pair;
    since = performance.now();
    pair.classList.add("is-scan");
  };
  const hide = () => {
    held?.classList.remove("is-scan");
    held = null;
  };

  list.addEventListener("pointerdown", (event) => {
    const pair = event.target.closest(".photo-pair");
    if (pair && event.button === 0) show(pair);
  });
  for (const end of ["pointerup", "pointercancel", "blur"]) window.addEventListener(end, hide);
  list.addEventListener("click", (event) => {
    const wasHeld = event.detail > 0 && performance.now() - since > LONGEST_CLICK;
    if (wasHeld && event.target.closest(".photo-pair")) event.preventDefault();
  });
  list.addEventListener("contextmenu", (event) => {
    if (held) event.preventDefault(); // of a finger that is held
  });
  list.addEventListener("dragstart", (event) => event.preventDefault());

  return { show, hide, showAll: (yes) => showAll(list, yes), beside: (pair, key) => beside(list, pair, key) };
}

function showAll(list, yes) {
  for (const pair of list.querySelectorAll(".photo-pair")) pair.classList.toggle("is-scan", yes);
}

/** The picture that an arrow key, Home or End leads to; the first if none has the focus. */
function beside(list, pair, key) {
  const pairs = [...list.querySelectorAll(".photo-pair")];
  const at = pairs.indexOf(pair);
  if (at < 0) return pairs[0];
  const top = (one) => one.getBoundingClientRect().top;
  const wide = pairs.findIndex((one) => Math.abs(top(one) - top(pairs[0])) > 2);
  const columns = wide < 0 ? pairs.length : wide;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
  if (key === "Home") return pairs[0];
  if (key === "End") return pairs.at(-1);
  return pairs[at + steps[key]] ?? pair;
}
