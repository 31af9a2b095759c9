// Promote and roll back, after a question; the test of a version takes a while.

import { noticeOnNextPage, post, t } from "./frame.js";

const dialog = document.getElementById("confirm");
if (dialog) {
  for (const button of document.querySelectorAll("[data-promote]")) {
    button.addEventListener("click", () => {
      const version = button.dataset.promote;
      ask({
        title: t("models.promote_title", { version }),
        words: t("models.promote_words"),
        yes: t("models.promote_yes"),
        path: "/models/promote",
        body: { version },
      });
    });
  }
  const back = document.getElementById("roll-back");
  back?.addEventListener("click", () => ask({
    title: t("models.roll_back_title", { version: back.dataset.previous }),
    words: t("models.roll_back_words"),
    yes: t("models.roll_back_yes"),
    path: "/models/roll-back",
    body: {},
  }));
}

function ask({ title, words, yes, path, body }) {
  const state = document.getElementById("confirm-state");
  const why = document.getElementById("why");
  const buttons = dialog.querySelectorAll("button");
  document.getElementById("confirm-title").textContent = title;
  document.getElementById("confirm-words").textContent = words;
  document.getElementById("confirm-yes").textContent = yes;
  state.textContent = "";
  state.className = "";
  why.value = "";
  let busy = false;
  dialog.querySelector("form").onsubmit = async (event) => {
    if (event.submitter?.value === "no") return;
    event.preventDefault();
    if (busy) return;
    busy = true;
    for (const one of buttons) one.disabled = true;
    state.className = "";
    state.textContent = t("models.working");
    try {
      const answer = await post(path, { ...body, why: why.value });
      noticeOnNextPage(answer.words);
      location.reload();
    } catch (error) {
      state.textContent = error.message;
      state.className = "problem";
      for (const one of buttons) one.disabled = false;
      busy = false;
    }
  };
  dialog.oncancel = (event) => { if (busy) event.preventDefault(); };
  dialog.showModal();
}
