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
    const scores = element(card, "div");
    element(scores, "p", "note", "waiting");
    results.prepend(card);
    waiting.push({ file, scores });
  }
  next();
}

function next() {
  while (running < AT_ONCE && waiting.length) {
    running += 1;
    ask(waiting.shift()).finally(() => { running -= 1; next(); });
  }
}

async function ask(job) {
  const { file, scores } = job;
  try {
    const response = await fetch("/predict", { method: "POST", body: file });
    const said = await response.json();
    if (response.status === 503) {
      waiting.push(job);
      await new Promise((done) => setTimeout(done, 1000 * Number(response.headers.get("Retry-After") || 1)));
      return;
    }
    if (!response.ok) throw new Error(said.error);
    show(scores, said);
  } catch (problem) {
    scores.replaceChildren();
    element(scores, "p", "problem", problem.message);
  }
}

function show(scores, said) {
  const hits = new Set(said.labels);
  const all = Object.entries(said.scores);
  all.sort((a, b) => hits.has(b[0]) - hits.has(a[0]) || b[1] - a[1]);
  scores.replaceChildren();
  if (!hits.size) element(scores, "p", "note", "no label reaches its threshold");
  const bars = element(scores, "ul", "bars");
  for (const [label, score] of all.slice(0, Math.max(BARS, hits.size))) {
    const bar = element(bars, "li", hits.has(label) ? "hit" : "");
    const line = element(bar, "div");
    element(line, "span", "", label).title = label;
    element(line, "span", "", score.toFixed(3));
    element(bar, "i").style.setProperty("--score", 100 * score + "%");
  }
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
