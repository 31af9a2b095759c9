// Server-sent events: one connection a visible page. Browsers allow six connections to a host, so
// pages in the background let theirs go, and ask anew when they are looked at again.

const handlers = { status: [], photographs: [] };
let source = null;

function connect() {
  if (source || document.hidden) return;
  source = new EventSource("/events");
  for (const [name, list] of Object.entries(handlers)) {
    source.addEventListener(name, (event) => {
      const data = JSON.parse(event.data);
      for (const handler of list) handler(data);
    });
  }
  source.addEventListener("open", () => document.documentElement.dataset.live = "yes");
  source.addEventListener("error", () => document.documentElement.dataset.live = "no");
}

function disconnect() {
  source?.close();
  source = null;
}

/** Calls `handler` with the data of each event of a name, "status" or "photographs". */
export function follow(name, handler) {
  handlers[name].push(handler);
  connect();
}

document.addEventListener("visibilitychange", () => document.hidden ? disconnect() : connect());
window.addEventListener("pagehide", disconnect);
window.addEventListener("pageshow", () => { if (handlers.status.length + handlers.photographs.length) connect(); });
