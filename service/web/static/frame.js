// What every page's script shares: messages, requests with the CSRF token, notices.

const texts = JSON.parse(document.getElementById("messages").textContent);
const language = document.documentElement.lang;

/** Returns a message with its fields filled in; {count:,} is written as a number. */
export function t(key, values = {}) {
  let text = texts[key];
  if (text === undefined) throw new Error(`no message ${key}`);
  if (typeof text !== "string") text = values.count === 1 && "one" in text ? text.one : text.other;
  return text.replace(/\{(\w+)(:[^}]*)?\}/g, (_, name, format) =>
    format ? Number(values[name]).toLocaleString(language) : String(values[name]));
}

/** The CSRF token of this page. */
export const csrfToken = document.querySelector("meta[name=csrf-token]").content;

/** An error that the server told in words. */
export class Refused extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

/** Sends a request, with JSON if a body is given; returns the response or throws Refused. */
export async function request(path, { method = "GET", body, headers = {}, signal } = {}) {
  const sent = { ...headers };
  if (method !== "GET") sent["X-CSRF-Token"] = csrfToken;
  if (body !== undefined && !(body instanceof FormData)) {
    sent["Content-Type"] = "application/json";
    body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, { method, body, headers: sent, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, t("script.unreachable"));
  }
  if (response.ok) return response;
  let words = t("script.failed", { code: response.status });
  try {
    words = (await response.json()).error || words;
  } catch { /* no JSON: keep the general words */ }
  throw new Refused(response.status, words);
}

/** Posts JSON and returns the JSON of the answer. */
export async function post(path, body = {}) {
  return (await request(path, { method: "POST", body })).json();
}

/** Says something to screen readers without moving the focus. */
export function announce(words) {
  document.getElementById("announcements").textContent = words;
}

const LATER = "photochrom.notice"; // in the session storage

/** Shows a notice on the page that comes next. */
export function noticeOnNextPage(words) {
  try {
    sessionStorage.setItem(LATER, words);
  } catch { /* without storage there is none */ }
}

/** Shows a notice for a while; problems stay until they are dismissed. */
export function notice(words, { problem = false } = {}) {
  const box = document.createElement("div");
  box.className = problem ? "notice problem" : "notice";
  box.setAttribute("role", problem ? "alert" : "status");
  const text = document.createElement("span");
  text.textContent = words;
  const close = document.createElement("button");
  close.type = "button";
  close.className = "notice-close";
  close.setAttribute("aria-label", t("script.dismiss"));
  close.textContent = "×";
  close.addEventListener("click", () => box.remove());
  box.append(text, close);
  document.getElementById("notices").append(box);
  if (!problem) setTimeout(() => box.remove(), 6000);
  return box;
}

const kept = sessionStorage.getItem(LATER);
if (kept) {
  sessionStorage.removeItem(LATER);
  notice(kept);
}

// The menu closes on Escape and on a click elsewhere, as menus do.
const menu = document.querySelector("details.menu");
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && menu.open) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});
document.addEventListener("click", (event) => {
  if (menu.open && !menu.contains(event.target)) menu.open = false;
});
