// The filters, which a narrow screen shows when they are asked for.

export function listenToFilters() {
  const button = document.getElementById("show-filters");
  button?.addEventListener("click", () => {
    const open = document.getElementById("filters").classList.toggle("is-open");
    button.setAttribute("aria-expanded", String(open));
  });
}
