// The page: which series are shown, and all sections drawn from them. State changes redraw; nothing is stored but the theme.
const report = JSON.parse(document.getElementById("data").textContent);
const bases = report.runs.map((run) => (run.label ? run.name.slice(0, -run.label.length - 1) : run.name));
// What all runs' names begin with, in whole parts, says nothing beside each method; what tells runs of one name apart does.
function commonStart(names) {
  const start = names.reduce((found, name) => { while (!name.startsWith(found)) found = found.slice(0, -1); return found; });
  return names.every((name) => name === start) ? start : start.slice(0, start.lastIndexOf("-") + 1);
}
const common = commonStart(bases);
for (const series of report.series) {
  const run = report.runs[series.run], title = [bases[series.run].slice(common.length), run.label].filter(Boolean).join(" ") || run.name;
  series.title = report.runs.length > 1 ? `${series.method} · ${title}` : series.method;
  series.task = run.task;
}
const newest = [...report.series].reverse();
const state = { shown: newest.find((series) => series.method === "xmadapter") || newest[0], against: null, classes: "worst", all: false, view: { search: "", outcome: "all", label: "", predicted: "", sort: { key: "margin", down: false }, rows: PAGE }, place: null };
const main = document.getElementById("main"), dialog = el("dialog", { "aria-labelledby": "sample-title" });

const peers = () => report.series.filter((series) => series.task === state.shown.task && series !== state.shown);
function firstAgainst() {
  return peers().find((series) => series.run !== state.shown.run && series.method === state.shown.method) || peers().find((series) => series.method === "zero-shot") || peers()[0] || null;
}

function difference(of, against) {
  for (const row of report.differences) {
    if (report.series[row.of] === of && report.series[row.against] === against) return row;
    if (report.series[row.of] === against && report.series[row.against] === of) return { ...row, difference: -row.difference, low: -row.high, high: -row.low };
  }
  return null;
}

function choose(series) {
  if (series.task !== state.shown.task) state.view = { ...state.view, label: "", predicted: "" };
  const before = state.shown;
  state.shown = series;
  if (state.against === series) state.against = before.task === series.task ? before : null;
  if (state.against && state.against.task !== series.task) state.against = firstAgainst();
  draw();
}

function picker(id, name, options, chosen, pick, none) {
  const select = el("select", { id, onchange: () => pick(options[select.value] || null) }, none && el("option", { value: "" }, none), options.map((series, place) => el("option", { value: place, selected: series === chosen }, series.title)));
  return el("label", {}, name, select);
}

const section = (id, title, about, ...children) => el("section", { id }, el("h2", {}, title), about && el("p", { class: "soft" }, about), ...children);

// A figure drawn when its place is in the page, at the width it then has: text keeps its size on every screen.
const waitingFits = [];
function fit(build) {
  const place = el("div", { class: "fit" });
  waitingFits.push([place, build]);
  return place;
}
function fitAll() {
  for (const [place, build] of waitingFits.splice(0)) place.replaceChildren(...[build(Math.max(220, place.clientWidth))].flat(Infinity));
}

function bar() {
  const theme = el("button", { type: "button", class: "theme", onclick: () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark") }, document.documentElement.dataset.theme === "dark" ? "Light" : "Dark");
  return el("nav", { class: "bar", "aria-label": "What is shown" },
    picker("shown", "Show", report.series, state.shown, (series) => choose(series)),
    picker("against", "Compare with", peers(), state.against, (series) => { state.against = series; draw(); }, "nothing"), theme);
}

// Whether one class has clearly more test images than its share (as the table on the command line says it).
const uneven = (series) => series.class_samples && series.largest_share >= 125 / Math.max(series.class_samples.filter(Boolean).length, 1);

function headline() {
  const { shown, against } = state, run = report.runs[shown.run], task = report.tasks[shown.task], gap = against && difference(shown, against);
  const tile = (value, text) => el("div", { class: "tile" }, el("b", {}, value), el("span", {}, text));
  const shared = gap && gap.images !== run.samples;
  const words = gap ? (gap.tie ? `a tie with ${against.title}: the 95 % interval of the difference holds zero` : `${gap.difference > 0 ? "better" : "worse"} than ${against.title} on the ${shared ? `${count(gap.images)} test images that both scored` : "same test images"}`) : "";
  return section("headline", shown.title, `${run.features}, ${shown.shots} labelled ${shown.shots === 1 ? "image" : "images"} a class; settings chosen on ${shown.selected_on}${shown.trials ? ` (${count(shown.trials)} tried)` : ""}.`,
    el("div", { class: "tiles" },
      tile(`${shown.accuracy.toFixed(2)} %`, `accuracy on test, 95 % interval ${shown.low.toFixed(2)} to ${shown.high.toFixed(2)} (${shown.ci_kind})`),
      gap && tile(`${signed(gap.difference)} points`, `against ${against.title}${shared ? ` on ${count(gap.images)} images` : ""}, paired 95 % interval ${signed(gap.low)} to ${signed(gap.high)} (${gap.kind})${gap.tie ? ": a tie" : ""}`),
      uneven(shown) && tile(`${shown.largest_share.toFixed(1)} %`, `of the test images are of the largest class: naming it always would be right as often; mean of the classes: ${shown.balanced_accuracy_mean.toFixed(1)} %`),
      tile(`${shown.ece_mean.toFixed(1)} %`, `expected calibration error${shown.raw_ece_mean === null ? "" : `, ${shown.raw_ece_mean.toFixed(1)} % before calibration`}`),
      tile(count(run.samples), `test images of ${count(task.classes.length)} classes, ${shown.seeds.length} ${shown.seeds.length === 1 ? "seed" : "seeds"}`),
      tile(count(shown.trainable_parameters), `trained numbers, ${atLeast(shown.train_seconds, 1)} s of training, ${bytes(shown.stored_bytes)} stored`)),
    el("p", {}, `${shown.method} names the right class for ${shown.accuracy.toFixed(1)} % of the test images${words ? `, ${words}` : ""}.`),
    shown.pool && el("p", { class: "note" }, `Learned from images without labels too: ${shown.pool}.`),
    shown.edges.length > 0 && el("p", { class: "note" }, `The choice of ${shown.edges.join(", ")} lies at the edge of its grid: a wider one may give more.`),
    run.unreadable.length > 0 && el("details", { class: "note" }, el("summary", {}, `${count(run.unreadable.length)} ${run.unreadable.length === 1 ? "image" : "images"} could not be read`), el("ul", {}, run.unreadable.slice(0, 50).map((row) => el("li", {}, `${row.sample} (${row.kind})`)))),
    run.remarks.map((remark) => el("p", { class: "note" }, remark)));
}

function methods() {
  const rows = report.series.filter((series) => series.task === state.shown.task);
  const columns = ["method", "accuracy (%)", "95 % interval", "top-5 (%)", "calibration error (%)", "log loss", "macro-F1 (%)", "trained numbers", "training (s)", "per image (ms)", "chosen on"];
  const table = el("table", {}, el("thead", {}, el("tr", {}, columns.map((name, place) => el("th", { class: place && place < 10 ? "number" : "" }, name)))), el("tbody", {}, rows.map((row) => el("tr", { class: row === state.shown ? "chosen" : "" },
    el("td", { class: "whole" }, row.title), [row.accuracy.toFixed(2), `${row.low.toFixed(2)} to ${row.high.toFixed(2)}`, fixed(row.top5_mean, 2), fixed(row.ece_mean, 1), fixed(row.log_loss_mean, 3), fixed(row.macro_f1_mean, 1), count(row.trainable_parameters), atLeast(row.train_seconds, 1), atLeast(row.ms_per_query, 3)].map((text) => el("td", { class: "number" }, text)), el("td", {}, `${row.selected_on}${row.pool ? `; learned from ${row.pool} too` : ""}`)))));
  const others = report.series.length - rows.length;
  return section("methods", "Methods side by side", "", fit((width) => methodsFigure(width, rows, state.shown, state.against, choose)), el("div", { class: "scroll" }, table),
    others > 0 && el("p", { class: "soft" }, `${others} more are of runs over other classes; choose one above to see them.`));
}

const pairLegend = () => legend([dot(SHOWN), state.shown.title], state.against && [svg("rect", { x: 6, y: 2, width: 10, height: 10, fill: AGAINST }), state.against.title]);

function classes() {
  const task = report.tasks[state.shown.task], orders = { worst: "worst first", name: "in class order", change: "largest loss first" };
  const order = el("select", { id: "class-order", "aria-label": "Order", onchange: () => { state.classes = order.value; redraw("classes", classes); } }, Object.entries(orders).filter(([key]) => key !== "change" || state.against).map(([key, name]) => el("option", { value: key, selected: key === state.classes }, name)));
  const seen = state.shown.per_class.filter((value) => value !== null).length;
  return section("classes", "Accuracy of each class", "", el("div", { class: "filters" }, order, seen > 30 && el("button", { type: "button", onclick: () => { state.all = !state.all; redraw("classes", classes); } }, state.all ? "Show 30" : `Show all ${count(seen)}`)),
    pairLegend(), fit((width) => classesFigure(width, task, state.shown, state.against, state.classes, state.all)), state.shown.precision && classTable(task, state.shown));
}

function classTable(task, shown) {
  const columns = ["class", "test images", "recall (%)", "precision (%)"];
  const rows = task.classes.map((name, label) => el("tr", {}, el("td", {}, name), [count(shown.class_samples[label]), fixed(shown.per_class[label], 1), fixed(shown.precision[label], 1)].map((text) => el("td", { class: "number" }, text))));
  return el("details", { class: "note" }, el("summary", {}, "Precision and recall of each class"), el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, columns.map((name, place) => el("th", { class: place ? "number" : "" }, name)))), el("tbody", {}, rows))));
}

function confusion() {
  const task = report.tasks[state.shown.task], wrong = mistakes(state.shown);
  const pick = (label, predicted) => { change({ outcome: "all", search: "", label: task.classes[label], predicted: task.classes[predicted] }); document.getElementById("samples").scrollIntoView(); };
  const list = wrong.slice(0, 5).map(([label, predicted, n]) => el("li", {}, `${task.classes[label]} taken for ${task.classes[predicted]}: ${(n / state.shown.seeds.length).toFixed(1)} images a seed`));
  return section("confusion", "Confusion", `${state.shown.title}, mean over seeds`, fit((width) => confusionFigure(width, task, state.shown, pick)), list.length > 0 && [el("h3", {}, "Most frequent mistakes"), el("ol", {}, list)]);
}

const calibration = () => section("calibration", "Calibration", "", pairLegend(), fit((width) => calibrationFigure(width, state.shown, state.against)), state.shown.calibrated_on && el("p", { class: "soft" }, `Temperature ${state.shown.temperatures.map((value) => value.toFixed(2)).join(", ")}, fitted on ${state.shown.calibrated_on}. Risk against coverage, the error among the surest answers averaged over all their numbers: ${fixed(state.shown.aurc_mean, 2)} %; Brier score ${fixed(state.shown.brier_mean, 3)}.`));

function sets() {
  const { shown } = state;
  if (!shown.sets_by) return "";
  const task = report.tasks[shown.task];
  return section("sets", "Prediction sets", setsText(shown), shown.coverage_mean !== null && el("div", { class: "small few" }, fit((width) => setSizesFigure(width, shown.set_sizes)), el("div", {}, el("h3", {}, "Classes held least"), worstSets(task, shown))));
}

function distributions() {
  const found = Object.entries(state.shown.distributions);
  return section("distributions", "Gamma and affinities", found.length ? `${state.shown.title}, all test images and seeds; affinities as the method uses them (its class sums, no unit)` : `${state.shown.title} has no caches, or has them for several encoders: no affinities are logged. Choose another method above.`,
    found.length > 0 && legend([block("color-mix(in srgb, var(--right) 45%, transparent)"), "right answers"], [line("var(--wrong)"), "wrong answers"]),
    el("div", { class: "small" }, found.map(([name, data]) => fit((width) => distributionFigure(width, name, data)))));
}

function training() {
  const found = Object.keys(CURVES).map((name) => [name, state.shown.curves[name] || []]).filter(([, rows]) => rows.length > 1 && (rows.some((row) => row[1] !== rows[0][1])));
  return section("training", "Training", found.length ? `${state.shown.title} on its support; the line is the mean over seeds, the band reaches from the lowest to the highest` : `${state.shown.title} was not trained in epochs.`, el("div", { class: found.length > 2 ? "small" : "small few" }, found.map(([name, rows]) => fit((width) => curveFigure(width, name, rows)))));
}

// Only where the store holds the method at several numbers of shots.
const learning = () => report.learning && section("learning", "Accuracy against shots", "All methods of these runs on their test images, each with its 95 % interval", el("div", { class: "scroll" }, el("img", { class: "learning", src: report.learning, alt: "Accuracy against shots, a line a method; the numbers are in the tables of the runs" })));

function growth() {
  const found = state.shown.growth;
  if (!found) return "";
  const last = found.points[found.points.length - 1];
  return section("growth", "Have I labelled enough?", `${state.shown.title} on ${count(last.samples)} validation images that chose nothing, mean over ${plural(last.seeds, "seed")}`, el("p", {}, found.verdict), fit((width) => growthFigure(width, state.shown)), growthTable(found.classes));
}

// The twentieth of the listed samples with the largest disagreement.
function hardOnes() {
  const values = (state.shown.answers.difference || []).map((value, place) => [value, place]).filter(([value]) => value !== null).sort((a, b) => b[0] - a[0]);
  return new Set(values.slice(0, Math.ceil(values.length / 20)).map(([, place]) => place));
}

function scatter() {
  const task = report.tasks[state.shown.task], answers = state.shown.answers;
  const both = answers.image && answers.image.some((value, place) => value !== null && answers.text[place] !== null);
  return section("scatter", "What the two caches know", both ? `${state.shown.title}, seed ${report.runs[state.shown.run].seed}` : `${state.shown.title} does not have both caches, or has them for several encoders. Choose another method above.`,
    both && [legend([ring("var(--right)"), "right"], [cross_mark("var(--wrong)"), "wrong"], [svg("circle", { cx: 11, cy: 7, r: 6, fill: "none", stroke: "var(--hard)" }), "hard: the two disagree most"]), fit((width) => scatterFigure(width, task, state.shown, hardOnes(), openSample))]);
}

function listed() {
  const task = report.tasks[state.shown.task];
  return chosenRows(sampleRows(task, report.runs[state.shown.run], state.shown, state.against, hardOnes()), state.view);
}

function samples() {
  const task = report.tasks[state.shown.task], rows = listed(), { view } = state;
  const total = task.total === task.samples.length ? `All ${count(task.total)} test images` : `${count(task.samples.length)} of ${count(task.total)} test images: half of them those with the smallest margin, half spread evenly over the others`;
  const search = el("input", { id: "search", type: "search", value: view.search, placeholder: "file or class", oninput: () => { change({ search: search.value }); const field = document.getElementById("search"); field.focus(); field.setSelectionRange(search.value.length, search.value.length); } });
  const outcome = el("select", { id: "outcome", onchange: () => change({ outcome: outcome.value }) }, Object.entries(OUTCOMES).filter(([key]) => state.against || (key !== "fixed" && key !== "broken")).map(([key, [name]]) => el("option", { value: key, selected: key === view.outcome }, name)));
  const classPicker = (id, key) => { const pick = el("select", { id, onchange: () => change({ [key]: pick.value }) }, el("option", { value: "" }, "any"), task.classes.map((name) => el("option", { value: name, selected: name === view[key] }, name))); return pick; };
  return put(section("samples", "Test images", `${total}; answers of ${state.shown.title}, seed ${report.runs[state.shown.run].seed}. Click a row for its evidence, and to pick its right class.`,
    el("div", { class: "filters" }, el("label", {}, "Search", search), el("label", {}, "Outcome", outcome), el("label", {}, "True class", classPicker("label", "label")), el("label", {}, "Predicted class", classPicker("predicted", "predicted")),
      el("button", { type: "button", id: "reset", onclick: () => change({ search: "", outcome: "all", label: "", predicted: "" }) }, "Clear"), el("span", { id: "matches", class: "soft", role: "status" }, `${count(rows.length)} match`)),
    samplesTable(task, rows, view, state.against, change, openSample),
    rows.length > view.rows && el("div", { class: "more" }, el("button", { type: "button", id: "more", onclick: () => change({ rows: view.rows + MORE }, true) }, `Show ${count(Math.min(MORE, rows.length - view.rows))} more`), el("span", { class: "soft" }, `${count(view.rows)} of ${count(rows.length)} shown`))), { class: "long" }, []);
}

function suspects() {
  const run = report.runs[state.shown.run], total = run.suspects.length;
  return total > 0 && section("suspects", "Suspect labels", `${plural(total, "training image")} ${run.suspects[0].probability === null ? "whose nearest cached images are all of another class" : "whose label has a probability below 5 % by class texts and other cached images"}: often a wrong label. Each with its class and the classes it is among.`, suspectCards(run));
}

function misleading() {
  const run = report.runs[state.shown.run], total = run.misleading.length;
  return total > 0 && section("misleading", "Cached images that mislead", `${plural(total, "training image")} that supported most wrong answers: among the nearest to a test image, and of the class that was wrongly answered; over all methods with an image cache and all seeds. Test images name them: what is mended by this is to be measured on others.`, misleadingCards(run));
}

function change(changes, keep) {
  state.view = { ...state.view, ...(keep ? {} : { rows: PAGE }), ...changes };
  redraw("samples", samples);
}

function openSample(place) {
  state.place = place;
  const task = report.tasks[state.shown.task], order = listed().map((row) => row.place);
  const series = report.series.filter((other) => other.task === state.shown.task);
  const actions = { open: openSample, close: () => dialog.close(), show: (other, at) => { choose(other); openSample(at); } };
  dialog.replaceChildren(...sampleView(task, report.runs[state.shown.run], series, state.shown, place, order.includes(place) ? order : [place], actions).flat(Infinity));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

// Of an evaluation from before pairs were looked for nothing is said.
function pairs() {
  const found = report.runs[state.shown.run].pairs;
  if (!found) return "";
  const total = found.duplicates + Object.values(found.leaks).reduce((sum, of) => sum + of.exact + of.near, 0);
  return section("pairs", "Images that are there twice", twiceText(found), pairsGrid(report.tasks[state.shown.task], found.rows),
    found.rows.length < total && el("p", { class: "soft" }, `${count(found.rows.length)} pairs are shown; xmap sql leaks and xmap sql duplicates list more.`));
}

// Only where answers of its adapters were kept.
function labelled() {
  const found = report.runs[state.shown.run].labelled;
  return found.length > 0 && section("labelled", "Images labelled by it", "Answers that were kept with xmap predict --store-as; xmap sql answers and xmap sql unsure-answers list more.", found.map(labelledPool));
}

function provenance() {
  return el("footer", { id: "provenance" }, el("h2", {}, "Where this comes from"), report.runs.map((run) => el("details", { open: report.runs.length === 1 }, el("summary", {}, run.name),
    el("p", {}, `Evaluation ${run.artifact}, fingerprint ${run.fingerprint.slice(0, 16)}, made ${run.created}.`), el("p", {}, "Made again by: ", el("code", {}, run.command)),
    el("p", {}, Object.entries(run.versions).map(([name, version]) => `${name} ${version}`).join(", ")))),
    el("p", {}, `Report written ${report.made} by xmap. This file loads nothing from anywhere. Differences and intervals are those of the evaluation; between two runs they are taken over the test images that both scored.`));
}

function redraw(id, build) {
  document.getElementById(id).replaceWith(build());
  fitAll();
}

function draw() {
  const top = window.scrollY;
  main.replaceChildren(el("header", {}, el("h1", {}, report.title), el("p", { class: "soft" }, `${count(report.runs.length)} ${report.runs.length === 1 ? "run" : "runs"}, ${count(report.series.length)} methods; written ${report.made.replace("T", " ").replace("+00:00", " UTC")}`)),
    bar(), headline(), methods(), el("div", { class: "pair" }, classes(), confusion()), el("div", { class: "pair" }, calibration(), training()), sets(), learning() || "", growth(), distributions(), scatter(), samples(), suspects() || "", misleading() || "", pairs(), labelled() || "", provenance(), correctionsBar(report.runs[state.shown.run]));
  fitAll();
  window.scrollTo(0, top);
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  const button = document.querySelector(".theme");
  if (button) button.textContent = theme === "dark" ? "Light" : "Dark";
}

const dark = window.matchMedia("(prefers-color-scheme: dark)");
setTheme(dark.matches ? "dark" : "light");
dark.addEventListener("change", () => setTheme(dark.matches ? "dark" : "light"));
let before = "";
window.addEventListener("beforeprint", () => { before = document.documentElement.dataset.theme; setTheme("light"); });
window.addEventListener("afterprint", () => setTheme(before));
let waiting = 0, width = window.innerWidth;
window.addEventListener("resize", () => { if (window.innerWidth !== width) { width = window.innerWidth; clearTimeout(waiting); waiting = setTimeout(draw, 120); } });
document.body.append(dialog);
state.against = firstAgainst();
draw();
