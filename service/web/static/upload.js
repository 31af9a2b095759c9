// Uploads of scans: chosen or dropped files and folders, one after the other, each with its progress.

import { csrfToken, t } from "./frame.js";

const zone = document.getElementById("drop-zone");
const list = document.getElementById("uploads");
const folder = document.getElementById("folder");
const waiting = [];
let busy = false;
let whenDone = () => {};

/** Listens to the drop zone, if the page has one; calls `done` after each file that arrived. */
export function watchUploads(done) {
  if (!zone) return;
  whenDone = done;
  for (const input of [document.getElementById("files"), document.getElementById("folder-files")]) {
    input.addEventListener("change", () => {
      for (const file of input.files) add(file, parentOf(file.webkitRelativePath));
      input.value = "";
    });
  }
  for (const kind of ["dragenter", "dragover"]) {
    document.addEventListener(kind, (event) => {
      if (!event.dataTransfer.types.includes("Files")) return;
      event.preventDefault();
      zone.classList.add("dragged-over");
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) zone.classList.remove("dragged-over");
  });
  document.addEventListener("drop", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    zone.classList.remove("dragged-over");
    // All are asked for before the first is read: the list is empty after this event.
    const dropped = [...event.dataTransfer.items].filter((item) => item.kind === "file")
      .map((item) => ({ entry: item.webkitGetAsEntry(), file: item.getAsFile() }));
    for (const { entry, file } of dropped) {
      if (entry) walk(entry, "");
      else if (file) add(file, "");
    }
  });
}

/** Adds a dropped file, or all files of a dropped folder under its name. */
async function walk(entry, inside) {
  if (entry.isFile) {
    entry.file((file) => add(file, inside));
    return;
  }
  const reader = entry.createReader();
  const below = inside ? `${inside}/${entry.name}` : entry.name;
  for (;;) { // it gives a hundred at a time
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length) return;
    for (const one of entries) await walk(one, below);
  }
}

function parentOf(path) {
  return path.split("/").slice(0, -1).join("/");
}

function add(file, inside) {
  const chosen = folder.value.trim().replace(/^\/+|\/+$/g, "");
  enqueue(file, [chosen, inside].filter(Boolean).join("/"), false);
}

function enqueue(file, target, numbered) {
  const row = document.createElement("li");
  const name = document.createElement("span");
  name.className = "file-name";
  name.textContent = target ? `${target}/${file.name}` : file.name;
  const progress = document.createElement("progress");
  progress.max = 1;
  progress.value = 0;
  progress.setAttribute("aria-label", t("upload.progress", { name: file.name }));
  const words = document.createElement("span");
  words.className = "quiet";
  words.textContent = t("upload.waiting");
  row.append(name, progress, words);
  list.prepend(row);
  waiting.push({ file, target, row, progress, words, numbered });
  next();
}

function next() {
  if (busy || !waiting.length) return;
  busy = true;
  send(waiting.shift()).finally(() => {
    busy = false;
    next();
  });
}

/** Sends one file; XMLHttpRequest, as fetch tells no progress of what it sends. */
function send(item) {
  const limit = Number(document.getElementById("upload").dataset.limit);
  if (item.file.size > limit) {
    fail(item, 413, t("upload.large", { name: limit / 1e6 }));
    return Promise.resolve();
  }
  const query = new URLSearchParams({ name: item.file.name, folder: item.target });
  if (item.numbered) query.set("numbered", "1");
  item.words.textContent = t("upload.sending");
  return new Promise((resolve) => {
    const asked = new XMLHttpRequest();
    asked.open("POST", `/uploads?${query}`);
    asked.setRequestHeader("X-CSRF-Token", csrfToken);
    asked.setRequestHeader("Content-Type", "application/octet-stream");
    asked.responseType = "json";
    asked.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) item.progress.value = event.loaded / event.total;
    });
    asked.addEventListener("load", () => {
      if (asked.status === 201) arrive(item, asked.response.path);
      else fail(item, asked.status, asked.response?.error ?? t("script.failed", { code: asked.status }));
      resolve();
    });
    asked.addEventListener("error", () => {
      fail(item, 0, t("script.unreachable"));
      resolve();
    });
    asked.send(item.file);
  });
}

function arrive(item, path) {
  item.progress.remove();
  item.row.classList.add("arrived");
  item.row.querySelector(".file-name").textContent = path;
  item.words.textContent = t("upload.arrived");
  item.words.className = "good";
  whenDone();
}

function fail(item, status, words) {
  item.progress.remove();
  item.words.textContent = words;
  item.words.className = "problem";
  item.words.setAttribute("role", "alert");
  if (status !== 409) return;
  const again = document.createElement("button");
  again.type = "button";
  again.textContent = t("upload.numbered");
  again.addEventListener("click", () => {
    item.row.remove();
    enqueue(item.file, item.target, true);
  });
  item.row.append(again);
}
