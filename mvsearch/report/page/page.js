"use strict";
// Draws the plots in the colours of the paper they are on, and sorts tables.

const NARROW = 560; // pixels: below, plots take the layout for narrow screens
const dark = matchMedia("(prefers-color-scheme: dark)");
const print = matchMedia("print");
const held = document.getElementById("data");
const { inks, figures, config } = held ? JSON.parse(held.textContent) : { inks: {}, figures: {}, config: {} };

function inked(value) {
  if (typeof value === "string") return inks[value] || value;
  if (Array.isArray(value)) return value.map(inked);
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, inside]) => [key, inked(inside)]));
  }
  return value;
}

function draw() {
  const onDark = dark.matches && !print.matches;
  for (const box of document.querySelectorAll("[data-figure]")) {
    const figure = figures[box.dataset.figure];
    const layout = box.clientWidth < NARROW && figure.narrow ? figure.narrow : figure.layout;
    const drawn = structuredClone({ data: figure.data, layout }); // plotly writes into what it is given
    const { data, layout: laid } = onDark ? inked(drawn) : drawn;
    Plotly.react(box, data, { ...laid, autosize: true, width: box.clientWidth }, config);
  }
}

function sort(head) {
  const table = head.closest("table");
  const place = head.cellIndex;
  const falling = head.getAttribute("aria-sort") === "ascending";
  const value = (row) => row.cells[place].dataset.value;
  const body = table.tBodies[0];
  const rows = [...body.rows].sort((one, other) => compare(value(one), value(other), falling));
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", falling ? "descending" : "ascending");
  body.append(...rows);
}

function compare(one, other, falling) {
  if (one === "" || other === "") return (one === "") - (other === ""); // what was not measured comes last
  const [a, b] = [Number(one), Number(other)];
  const order = Number.isNaN(a) || Number.isNaN(b) ? one.localeCompare(other) : a - b;
  return falling ? -order : order;
}

function openTarget() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) target.open = true;
}

function unfold() { // what is folded would not be on paper
  for (const one of document.querySelectorAll("details")) {
    if (print.matches && !one.open) one.dataset.folded = one.open = true;
    else if (!print.matches && one.dataset.folded) one.open = delete one.dataset.folded && false;
  }
}

document.addEventListener("click", (event) => {
  const head = event.target.closest(".sortable th");
  if (head) sort(head);
});
addEventListener("hashchange", openTarget);
openTarget();

if (held) {
  let waiting;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(draw, 100); });
  dark.addEventListener("change", draw);
  print.addEventListener("change", draw);
  draw();
}
print.addEventListener("change", unfold);
