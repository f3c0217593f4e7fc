"use strict";
// Draws the plots in the colours of the reader's scheme, and sorts tables.

const NARROW = 560; // pixels: below, plots take the layout for narrow screens
const dark = matchMedia("(prefers-color-scheme: dark)");
const print = matchMedia("print");
const dataElement = document.getElementById("data");
const page = dataElement ? JSON.parse(dataElement.textContent) : { darkColours: {}, figures: {}, config: {} };

function darken(value) {
  if (typeof value === "string") return page.darkColours[value] || value;
  if (Array.isArray(value)) return value.map(darken);
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, inside]) => [key, darken(inside)]));
  }
  return value;
}

function draw() {
  const onDark = dark.matches && !print.matches;
  for (const box of document.querySelectorAll("[data-figure]")) {
    const figure = page.figures[box.dataset.figure];
    const layout = box.clientWidth < NARROW && figure.narrow ? figure.narrow : figure.layout;
    const light = structuredClone({ data: figure.data, layout }); // plotly changes its arguments
    const shown = onDark ? darken(light) : light;
    Plotly.react(box, shown.data, { ...shown.layout, autosize: true, width: box.clientWidth }, page.config);
  }
}

function sort(head) {
  const table = head.closest("table");
  const place = head.cellIndex;
  const descending = head.getAttribute("aria-sort") === "ascending";
  const value = (row) => row.cells[place].dataset.value;
  const body = table.tBodies[0];
  const rows = [...body.rows].sort((one, other) => compare(value(one), value(other), descending));
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", descending ? "descending" : "ascending");
  body.append(...rows);
}

function compare(one, other, descending) {
  if (one === "" || other === "") return (one === "") - (other === ""); // cells without a value come last
  const [a, b] = [Number(one), Number(other)];
  const order = Number.isNaN(a) || Number.isNaN(b) ? one.localeCompare(other) : a - b;
  return descending ? -order : order;
}

function openTarget() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) target.open = true;
}

function unfold() { // print shows everything
  for (const details of document.querySelectorAll("details")) {
    if (print.matches && !details.open) details.dataset.folded = details.open = true;
    else if (!print.matches && details.dataset.folded) details.open = delete details.dataset.folded && false;
  }
}

document.addEventListener("click", (event) => {
  const head = event.target.closest(".sortable th");
  if (head) sort(head);
});
addEventListener("hashchange", openTarget);
openTarget();

if (dataElement) {
  let waiting;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(draw, 100); });
  dark.addEventListener("change", draw);
  print.addEventListener("change", draw);
  draw();
}
print.addEventListener("change", unfold);
