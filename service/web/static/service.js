// The service page: the live part, second attempts, uploads.

import { announce, notice, post, request } from "./frame.js";
import { follow } from "./live.js";
import { watchUploads } from "./upload.js";

const live = document.getElementById("live");

/** Puts in the sections that have changed; the focus stays on the same button if it is still there. */
async function refresh() {
  let text;
  try {
    text = await (await request(live.dataset.source)).text();
  } catch {
    return; // the next event tries again
  }
  const fresh = new DOMParser().parseFromString(text, "text/html");
  const before = document.getElementById("headline")?.textContent;
  const focused = live.contains(document.activeElement) ? document.activeElement.id : "";
  const open = live.querySelector("details")?.open;
  const ids = new Set([...fresh.body.children].map((one) => one.id));
  for (const one of [...live.children]) if (!ids.has(one.id)) one.remove();
  for (const one of [...fresh.body.children]) {
    const old = document.getElementById(one.id);
    if (!old) live.append(one);
    else if (old.outerHTML !== one.outerHTML) old.replaceWith(one);
  }
  const details = live.querySelector("details");
  if (details && open) details.open = true;
  if (focused) (document.getElementById(focused) ?? document.getElementById("main")).focus();
  const after = document.getElementById("headline")?.textContent;
  if (after && before !== after) announce(after);
}

let running = null;
let again = false;

/** Refreshes, or does so once more when a refresh is under way. */
function refreshSoon() {
  if (running) {
    again = true;
    return;
  }
  running = refresh().finally(() => {
    running = null;
    if (again) {
      again = false;
      refreshSoon();
    }
  });
}

async function retry(job, evenIfColored) {
  try {
    const answer = await post(`/rejected/${job}/retry`, { even_if_colored: evenIfColored });
    notice(answer.words);
  } catch (error) {
    notice(error.message, { problem: true });
  }
  refreshSoon();
}

const dialog = document.getElementById("color-anyway");
live.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.retry) retry(button.dataset.retry, false);
  if (button?.dataset.anyway) {
    document.getElementById("color-anyway-name").textContent = button.dataset.name;
    dialog.returnValue = "no";
    dialog.showModal();
    dialog.addEventListener("close", () => {
      if (dialog.returnValue === "yes") retry(button.dataset.anyway, true);
    }, { once: true });
  }
});

follow("status", refreshSoon);
watchUploads(refreshSoon);
