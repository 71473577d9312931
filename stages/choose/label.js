// Labels by click or key: one image after the other, every pick to be undone, and a table of them to save.
const asked = JSON.parse(document.getElementById("data").textContent);
const LABELS = "labels.csv", OUT = -1, FEW = 12;
const main = document.getElementById("main");
const picks = [];
let at = 0, saved = 0;

const theme = window.matchMedia("(prefers-color-scheme: dark)");
const setTheme = () => { document.documentElement.dataset.theme = theme.matches ? "dark" : "light"; };
theme.addEventListener("change", setTheme);

// The last pick of each image: a class, or OUT.
const given = () => new Map(picks.map((pick) => [pick.row, pick.to]));
const nameOf = (to) => (to === OUT ? "left out" : asked.classes[to]);

// The classes that have a button: all where they are few, in their order, else those that the image is likely to be of.
const few = asked.classes.length <= FEW;
const offered = (row) => (few ? [...asked.classes.keys()] : row.likely).filter((of) => asked.words[of]);

// A class that is called by one digit has that key; else they are numbered as they stand.
const digits = few && asked.classes.every((name) => /^[0-9]$/.test(name));
const keyOf = (of, place) => (digits ? asked.classes[of] : "1234567890"[place] || "");

function pick(to) {
  picks.push({ row: at, to });
  const labelled = given(), later = [...asked.rows.keys()].map((step) => (at + step) % asked.rows.length);
  at = later.find((row) => !labelled.has(row)) ?? at;
  draw();
}

function undo() {
  if (picks.length) at = picks.pop().row;
  draw();
}

function go(row) {
  at = (row + asked.rows.length) % asked.rows.length;
  draw();
}

function save() {
  const rows = [...given()].sort((a, b) => a[0] - b[0]).map(([row, to]) => [asked.rows[row].path, asked.rows[row].content, to === OUT ? asked.leave_out : asked.words[to]]);
  saveFile(LABELS, tableText(["path", "content", "label"], rows));
  saved = picks.length;
}

const tiny = (event) => { if (Math.max(event.target.naturalWidth, event.target.naturalHeight) <= 40) event.target.classList.add("tiny"); };
const picture = (row, name) => (row.picture ? el("img", { class: name, src: row.picture, alt: "", onload: tiny }) : el("span", { class: `${name} none` }, "no picture"));

function classButton(row, of, place, now) {
  const key = keyOf(of, place), guessed = of === row.guess;
  return el("button", { type: "button", class: guessed ? "class guessed" : "class", "aria-pressed": String(now === of), "data-key": key, onclick: () => pick(of) },
    key && !digits && el("kbd", { "aria-hidden": true }, key), el("span", {}, asked.classes[of]), guessed && el("small", {}, "guess"));
}

function otherClasses(row, now) {
  const shown = new Set(offered(row)), others = [...asked.classes.keys()].filter((of) => asked.words[of] && !shown.has(of));
  const select = el("select", { id: "others", "aria-label": "Another class", onchange: () => { if (select.value) pick(Number(select.value)); } },
    el("option", { value: "" }, "another class"), others.map((of) => el("option", { value: of, selected: of === now }, asked.classes[of])));
  return others.length > 0 && select;
}

function one() {
  const row = asked.rows[at], now = given().get(at);
  return el("section", { id: "one" }, picture(row, "large"), el("div", { class: "ask" },
    el("h2", {}, `Image ${count(at + 1)} of ${count(asked.rows.length)}`, now !== undefined && el("span", { class: "soft" }, `: ${nameOf(now)}`)),
    el("p", {}, "Guess: ", el("b", {}, asked.classes[row.guess]), ` (${chance(row.probability)} %), ${row.why}`),
    el("div", { class: "classes", role: "group", "aria-label": "Classes" }, offered(row).map((of, place) => classButton(row, of, place, now))),
    el("div", { class: "more" }, otherClasses(row, now),
      el("button", { type: "button", "data-key": "x", "aria-pressed": String(now === OUT), onclick: () => pick(OUT) }, el("kbd", { "aria-hidden": true }, "x"), "Leave out"),
      el("button", { type: "button", "aria-label": "Image before", onclick: () => go(at - 1) }, "←"), el("button", { type: "button", "aria-label": "Next image", onclick: () => go(at + 1) }, "→")),
    el("p", { class: "soft path" }, breakable(row.path))));
}

function all() {
  const labelled = given();
  return el("ol", { id: "all" }, asked.rows.map((row, place) => el("li", {}, el("button", { type: "button", "aria-current": place === at && "true", "aria-label": `Image ${place + 1}`, class: labelled.has(place) ? "done" : "", onclick: () => go(place) },
    picture(row, "small"), el("span", {}, labelled.has(place) ? nameOf(labelled.get(place)) : `${asked.classes[row.guess]}?`)))));
}

function bar() {
  const labelled = given(), out = [...labelled.values()].filter((to) => to === OUT).length;
  return el("div", { id: "bar" }, el("div", { class: "more" }, el("b", { role: "status" }, `${count(labelled.size)} of ${count(asked.rows.length)} labelled${out ? `, ${count(out)} of them left out` : ""}`),
    el("button", { type: "button", "data-undo": true, disabled: picks.length === 0, onclick: undo }, "Undo"),
    el("button", { type: "button", "data-save": true, disabled: labelled.size === 0, onclick: save }, `Save ${LABELS}`)),
  labelled.size === asked.rows.length && el("p", {}, "All are labelled: save the file and give it to the next run, ", el("code", {}, `xmap run --labels ${LABELS}`), "."));
}

function draw() {
  const top = window.scrollY;
  main.replaceChildren(el("header", {}, el("h1", {}, asked.title), el("p", { class: "soft" }, asked.about, el("span", { class: "keys" }, " Click a class or press its key; Enter takes the guess, x leaves an image out, u undoes, ← and → move."))), one(), bar(), all());
  window.scrollTo(0, top);
}

const KEYS = { Enter: () => pick(asked.rows[at].guess), u: undo, Backspace: undo, ArrowLeft: () => go(at - 1), ArrowRight: () => go(at + 1) };
window.addEventListener("keydown", (event) => {
  // A key that is held would label on and on; one for a list or a button in focus is its own.
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select") || (event.key === "Enter" && event.target.closest("button"))) return;
  const button = [...document.querySelectorAll("[data-key]")].find((other) => other.dataset.key && other.dataset.key === event.key);
  const act = button ? () => button.click() : asked.words[asked.rows[at].guess] || event.key !== "Enter" ? KEYS[event.key] : null;
  if (!act) return;
  event.preventDefault();
  act();
});
window.addEventListener("beforeunload", (event) => { if (saved !== picks.length && picks.length) event.preventDefault(); });
setTheme();
draw();
