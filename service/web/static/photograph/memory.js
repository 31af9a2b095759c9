// What is kept from photograph to photograph: zoom and place, how the two are compared.

const KEY = "photochrom.view";

/** Gives what was kept, or {}. */
export function recall() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY)) ?? {};
  } catch {
    return {}; // no storage, or not of this page
  }
}

/** Keeps values beside those already kept. */
export function remember(values) {
  try {
    sessionStorage.setItem(KEY, JSON.stringify({ ...recall(), ...values }));
  } catch {
    // Without storage each photograph starts afresh.
  }
}
