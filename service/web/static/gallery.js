// The gallery: seeing scans, choosing and deciding, by pointer, finger and keyboard.

import { Cards } from "./gallery/cards.js";
import { Deciding } from "./gallery/deciding.js";
import { listenToFilters } from "./gallery/filters.js";
import { listenToGrid } from "./gallery/grid.js";
import { listenToKeys } from "./gallery/keys.js";
import { listenForNews } from "./gallery/news.js";
import { Selection } from "./gallery/selection.js";

const asked = JSON.parse(document.getElementById("asked").textContent);
const list = document.getElementById("photos");
const cards = new Cards(list, asked);

let deciding = null;
if (list && document.getElementById("deciding")) {
  const selection = new Selection(list, asked);
  deciding = new Deciding(cards, selection, asked);
}
if (list) {
  const grid = list.classList.contains("grid") ? listenToGrid(list) : null;
  listenToKeys(list, grid, deciding);
}
listenToFilters();
listenForNews(cards, asked);
