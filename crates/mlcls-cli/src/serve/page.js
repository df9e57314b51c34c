// Images that are chosen, dropped or pasted go to /predict, a few at a time; each becomes a card with its scores.
"use strict";

const drop = document.getElementById("drop");
const results = document.getElementById("results");
const BARS = 8; // labels shown of each image
const AT_ONCE = 4;
const waiting = [];
let running = 0;

function element(parent, tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

function add(files) {
  const cards = document.createDocumentFragment();
  for (const file of files) {
    const card = document.createElement("article");
    card.className = "result";
    const figure = element(card, "figure");
    const picture = element(figure, "div", "picture");
    const image = element(picture, "img");
    image.alt = "";
    image.src = URL.createObjectURL(file);
    image.onerror = () => picture.remove(); // of a kind that browsers do not show
    element(figure, "figcaption", "", file.name);
    const overlay = element(picture, "canvas");
    const scores = element(card, "div");
    element(scores, "p", "note", "waiting");
    cards.append(card);
    waiting.push({ file, overlay, scores });
  }
  results.prepend(cards); // the newest above, each drop in its own order
  next();
}

function next() {
  while (running < AT_ONCE && waiting.length) {
    running += 1;
    ask(waiting.shift()).finally(() => { running -= 1; next(); });
  }
}

async function ask(job) {
  const { file, overlay, scores } = job;
  try {
    const response = await fetch("/predict?saliency=1", { method: "POST", body: file });
    const said = await response.json();
    if (response.status === 503) {
      waiting.push(job);
      await new Promise((done) => setTimeout(done, 1000 * Number(response.headers.get("Retry-After") || 1)));
      return;
    }
    if (!response.ok) throw new Error(said.error);
    show(scores, said, overlay);
  } catch (problem) {
    scores.replaceChildren();
    element(scores, "p", "problem", problem.message);
  }
}

function show(scores, said, overlay) {
  const hits = new Set(said.labels);
  const all = Object.entries(said.scores);
  all.sort((a, b) => hits.has(b[0]) - hits.has(a[0]) || b[1] - a[1]);
  scores.replaceChildren();
  if (!hits.size) element(scores, "p", "note", "no label reaches its threshold");
  const bars = element(scores, "ul", "bars");
  // A map at a time: that of the best label at first, then of the one that is chosen, or none.
  const toggle = (bar, map) => {
    const shown = bar.classList.contains("shown");
    for (const other of bars.children) other.classList.remove("shown");
    if (!shown) bar.classList.add("shown");
    draw(overlay, shown ? null : map, said.saliency.rows);
  };
  for (const [label, score] of all.slice(0, Math.max(BARS, hits.size))) {
    const bar = element(bars, "li", hits.has(label) ? "hit" : "");
    const line = element(bar, "div");
    element(line, "span", "", label).title = label;
    element(line, "span", "", score.toFixed(3));
    element(bar, "i").style.setProperty("--score", 100 * score + "%");
    const map = said.saliency.maps[label];
    if (!map) continue;
    bar.tabIndex = 0;
    bar.role = "button";
    bar.title = "where it sees " + label;
    bar.addEventListener("click", () => toggle(bar, map));
    bar.addEventListener("keydown", (event) => { if (event.key === "Enter") toggle(bar, map); });
    if (!bars.querySelector(".shown")) toggle(bar, map);
  }
  element(scores, "p", "hint", "colours: where it sees the framed label, red the most");
}

// A map in the colours of `mlcls explain`, half transparent; the browser enlarges it smoothly.
function draw(canvas, map, rows) {
  if (!map) { canvas.width = canvas.height = 1; return; }
  const columns = map.length / rows;
  canvas.width = columns;
  canvas.height = rows;
  const pixels = new ImageData(columns, rows);
  map.forEach((value, i) => {
    [3, 2, 1].forEach((place, channel) => {
      pixels.data[4 * i + channel] = 255 * Math.min(1, Math.max(0, 1.5 - Math.abs(4 * value - place)));
    });
    pixels.data[4 * i + 3] = 128;
  });
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

drop.querySelector("input").addEventListener("change", (event) => {
  add(event.target.files);
  event.target.value = "";
});
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
}
for (const kind of ["dragleave", "drop"]) {
  document.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.remove("over"); });
}
document.addEventListener("drop", (event) => add(event.dataTransfer.files));
document.addEventListener("paste", (event) => add(event.clipboardData.files));
