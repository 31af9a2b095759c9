// What happens meanwhile: new photographs are announced, cards change in place, nothing moves.

import { t } from "../frame.js";

const AT_MOST_EVERY = 2000; // milliseconds

export function listenForNews(cards, asked) {
  const events = new EventSource("/events");
  let due = null;
  const look = async () => {
    due = null;
    if (document.hidden) return;
    try {
      announceNew(await cards.refresh(), asked);
    } catch { /* the next event asks again */ }
  };
  const soon = () => {
    due ??= setTimeout(look, AT_MOST_EVERY);
  };
  events.addEventListener("photographs", soon);
  document.addEventListener("visibilitychange", soon);
  window.addEventListener("pageshow", (event) => event.persisted && soon());
  window.addEventListener("pagehide", () => events.close());
}

function announceNew(count, asked) {
  const news = document.getElementById("news");
  if (!count || asked.jobs) return;
  const words = t("gallery.news", { count });
  const link = news.querySelector("a");
  if (link.textContent !== words) link.textContent = words;
  news.hidden = false;
}
