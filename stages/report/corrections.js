// Corrected labels: what a person picked, in the order of picking, and the table of them that `xmap run --labels` takes.
const OUT = -1;
const picks = [];
let saved = 0, listing = false;

// The last pick of each image, where it was not taken back: a class or OUT as `to`.
const imageOf = (dataset, sample) => JSON.stringify([dataset, sample]);
function corrections() {
  const last = new Map(picks.map((pick) => [imageOf(pick.dataset, pick.sample), pick]));
  return new Map([...last].filter(([, pick]) => pick.to !== null));
}

const wordOf = (task, to) => (to === OUT ? "left out" : task.classes[to]);

// A list of the classes for one image, those that its own is taken for (`likely`) first.
function classPicker(run, sample, label, likely) {
  const task = report.tasks[run.task], { dataset } = run, content = task.contents[sample] || "";
  if (!run.corrects || !task.words.some(Boolean)) return null;
  if (!content && CONTROL.test(sample)) return el("span", { class: "soft" }, "Its name cannot stand in a table.");
  const others = [...new Set([...likely, ...task.classes.keys()])].filter((of) => of !== label && task.words[of]);
  const select = el("select", { class: "correct", "aria-label": `Right class of ${sample}`, onchange: () => {
    picks.push({ dataset, sample, content, task, label, to: select.value === "" ? null : Number(select.value) });
    correctionsChanged();
  } }, el("option", { value: "" }, `${task.classes[label]} (as it is)`), others.map((of) => el("option", { value: of }, task.classes[of])), el("option", { value: OUT }, "leave out"));
  select.refresh = () => { select.value = String(corrections().get(imageOf(dataset, sample))?.to ?? ""); };
  select.refresh();
  return select;
}

// Training images whose labels are improbable, to look through.
function suspectCards(run) {
  const task = report.tasks[run.task];
  return el("ol", { class: "nearest" }, run.suspects.map(({ sample, label, probability, near }) => el("li", {}, picture(task, sample, "near"),
    el("div", {}, el("b", {}, task.classes[label]), `${probability === null ? "," : ` (${chance(probability)} %),`} among ${near.map((of) => task.classes[of]).join(", ")}`), el("div", { class: "soft" }, breakable(sample)), classPicker(run, sample, label, near))));
}

// Cached images that supported most wrong answers.
function misleadingCards(run) {
  const task = report.tasks[run.task];
  return el("ol", { class: "nearest" }, run.misleading.map(({ sample, label, wrong, right, taken }) => el("li", {}, picture(task, sample, "near"),
    el("div", {}, el("b", {}, task.classes[label]), `: ${plural(wrong, "wrong answer")}, mostly to images of ${task.classes[taken]}; ${count(right)} right`), el("div", { class: "soft" }, breakable(sample)), classPicker(run, sample, label, [taken]))));
}

// One line a correction.
function labelsTable() {
  return tableText(["sample_id", "content", "label", "dataset"], [...corrections().values()].map(({ dataset, sample, content, task, to }) => [CONTROL.test(sample) ? "" : sample, content, to === OUT ? report.leave_out : task.words[to], CONTROL.test(dataset) ? "" : dataset]));
}

// A name that no table of this run has that came from here: both are given to the next run.
const labelsName = (run) => (run.labels.length ? `labels-${run.labels.length + 1}.csv` : "labels.csv");

function saveLabels(run) {
  saveFile(labelsName(run), labelsTable());
  saved = picks.length;
}

// How many there are, to undo, to save and to look through; nothing where none was picked.
function correctionsBar(run) {
  const found = [...corrections().values()], out = found.filter((pick) => pick.to === OUT).length, bar = el("div", { class: "corrections", hidden: picks.length === 0 });
  const row = (pick) => el("li", {}, breakable(pick.sample), ": ", el("s", {}, pick.task.classes[pick.label]), " ", el("b", {}, wordOf(pick.task, pick.to)));
  bar.refresh = () => bar.replaceWith(correctionsBar(run));
  return put(bar, {}, [
    el("div", { class: "more" }, el("b", { role: "status" }, `${plural(found.length - out, "label")} corrected, ${plural(out, "image")} left out`),
      el("button", { type: "button", "data-undo": true, disabled: picks.length === 0, onclick: () => { picks.pop(); correctionsChanged(); } }, "Undo"),
      el("button", { type: "button", "data-save": true, disabled: found.length === 0, onclick: () => saveLabels(run) }, `Save ${labelsName(run)}`)),
    found.length > 0 && el("details", { open: listing, ontoggle: (event) => { listing = event.target.open; } }, el("summary", {}, "Which, and what to do with the file"),
      el("p", {}, "Give the file to the next run: ", el("code", {}, ["xmap run", ...run.labels, labelsName(run)].join(" --labels ")), ". No image is encoded again. The numbers in this report stay those of the labels as they were.",
        run.labels.length > 0 && " Labels were corrected before: the last table that names an image counts."),
      el("ol", {}, found.map(row)))]);
}

function correctionsChanged() {
  for (const node of document.querySelectorAll(".correct, .corrections")) node.refresh();
  redraw("samples", samples);
}

window.addEventListener("beforeunload", (event) => { if (saved !== picks.length && corrections().size) event.preventDefault(); });
