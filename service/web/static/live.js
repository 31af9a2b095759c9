// Server-sent events, over one connection for all pages of a browser: browsers allow only six to a
// host. The page that holds a lock has the connection and passes on what it hears; when it is
// closed, the next one takes over.

const NAME = "photochrom-events";
const handlers = { status: [], photographs: [] };
const channel = new BroadcastChannel(NAME);
let started = false;

function tell({ name, data }) {
  for (const handler of handlers[name]) handler(data);
}

function connect() {
  const source = new EventSource("/events");
  for (const name of Object.keys(handlers)) {
    source.addEventListener(name, (event) => {
      const message = { name, data: JSON.parse(event.data) };
      tell(message);
      channel.postMessage(message);
    });
  }
}

function start() {
  if (started) return;
  started = true;
  channel.addEventListener("message", (event) => tell(event.data));
  // Locks exist on localhost and with HTTPS only; otherwise each page has a connection of its own.
  if (!navigator.locks) connect();
  else navigator.locks.request(NAME, () => new Promise(connect)); // held until the page is closed
}

/** Calls `handler` with the data of each event of a name, "status" or "photographs". */
export function follow(name, handler) {
  handlers[name].push(handler);
  start();
}
