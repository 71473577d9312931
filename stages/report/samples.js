// The table of samples, and the view of one: its evidence.
const PAGE = 50, MORE = 200;
const COLUMNS = [
  { key: "sample", name: "sample", text: true },
  { key: "label", name: "true class", text: true },
  { key: "predicted", name: "predicted", text: true },
  { key: "probability", name: "probability (%)", show: (value) => chance(value) },
  { key: "other", name: "compared", text: true, compares: true },
  { key: "margin", name: "margin (logits)", show: (value) => fixed(value, 2) },
  { key: "image", name: "image affinity", show: (value) => fixed(value, 3), wide: true },
  { key: "text", name: "text affinity", show: (value) => fixed(value, 3), wide: true },
  { key: "difference", name: "disagreement", show: (value) => fixed(value, 2), wide: true },
  { key: "agreement", name: "same-class neighbours (%)", show: (value) => fixed(value === null ? null : 100 * value, 0), wide: true },
];

const OUTCOMES = {
  all: ["all", () => true],
  corrected: ["corrected here", (row) => row.to !== null],
  wrong: ["wrong", (row) => row.right === false],
  right: ["right", (row) => row.right === true],
  hard: ["hard: the caches disagree most", (row) => row.hard],
  suspect: ["no neighbour of its class", (row) => row.agreement === 0],
  fixed: ["wrong when compared, right here", (row) => row.right && row.otherRight === false],
  broken: ["right when compared, wrong here", (row) => row.right === false && row.otherRight],
};

function picture(task, sample, kind = "") {
  const uri = task.thumbnails[sample];
  if (!uri) return el("span", { class: `picture ${kind}`, role: "img", "aria-label": `no picture of ${sample}` });
  const image = el("img", { class: `picture ${kind}`, src: uri, alt: sample });
  image.addEventListener("load", () => image.classList.toggle("tiny", image.naturalWidth <= 40));
  return image;
}

// One object a listed sample that the shown series has seen.
function sampleRows(task, run, shown, against, hard) {
  const said = shown.answers, other = against ? against.answers : null, corrected = corrections();
  return task.samples.map((sample, place) => {
    const label = task.labels[place], predicted = said.predicted[place], compared = other ? other.predicted[place] : null;
    return {
      place, sample, label: task.classes[label], predicted: predicted === null ? "" : task.classes[predicted], right: predicted === null ? null : predicted === label,
      other: compared === null ? "" : task.classes[compared], otherRight: compared === null ? null : compared === label, hard: hard.has(place), to: corrected.get(imageOf(run.dataset, sample))?.to ?? null,
      probability: said.probability[place], margin: said.margin[place], image: said.image[place], text: said.text[place], difference: said.difference[place], agreement: said.agreement[place],
    };
  }).filter((row) => row.right !== null);
}

function chosenRows(rows, view) {
  const words = view.search.toLowerCase().split(/\s+/).filter(Boolean), [, keeps] = OUTCOMES[view.outcome];
  const found = rows.filter((row) => keeps(row) && (!view.label || row.label === view.label) && (!view.predicted || row.predicted === view.predicted)
    && words.every((word) => `${row.sample} ${row.label} ${row.predicted}`.toLowerCase().includes(word)));
  const { key } = view.sort, down = view.sort.down ? -1 : 1, text = COLUMNS.find((column) => column.key === key).text;
  const compare = text ? (a, b) => a[key].localeCompare(b[key], "en", { numeric: true }) : (a, b) => a[key] - b[key];
  const empty = (row) => row[key] === null || row[key] === "";
  return found.sort((a, b) => (empty(a) - empty(b)) || down * compare(a, b) || a.place - b.place);
}

function samplesTable(task, rows, view, against, change, open) {
  const columns = COLUMNS.filter((column) => !column.compares || against);
  const head = el("tr", {}, el("th", {}, el("span", { class: "wide" }, "picture")), columns.map((column) => {
    const sorted = view.sort.key === column.key, arrow = sorted ? (view.sort.down ? " ▼" : " ▲") : "";
    return el("th", { class: `${column.text ? "" : "number"} ${column.wide ? "wide" : ""}`, "aria-sort": sorted ? (view.sort.down ? "descending" : "ascending") : "none" },
      el("button", { type: "button", "data-sort": column.key, onclick: () => change({ sort: { key: column.key, down: sorted ? !view.sort.down : !column.text } }) }, column.name + arrow));
  }));
  const body = rows.slice(0, view.rows).map((row) => el("tr", { class: "open", "data-place": row.place, onclick: () => open(row.place) },
    el("td", {}, picture(task, row.sample)),
    columns.map((column) => {
      if (column.key === "sample") return el("td", { class: "name sample" }, el("a", { href: `#sample=${row.place}`, onclick: (event) => event.preventDefault() }, breakable(row.sample)));
      const right = { predicted: row.right, other: row.otherRight }[column.key];
      if (right !== undefined) return el("td", { class: "name" }, el("span", { class: `verdict ${right ? "right" : "wrong"}` }, breakable(row[column.key])));
      if (column.key === "label" && row.to !== null) return el("td", { class: "name" }, el("s", {}, breakable(row.label)), " ", el("b", {}, breakable(wordOf(task, row.to))));
      if (column.text) return el("td", { class: "name" }, breakable(row[column.key]));
      return el("td", { class: `number ${column.wide ? "wide" : ""}` }, column.show(row[column.key]));
    })));
  const none = rows.length === 0 && el("p", { class: "soft" }, "No listed image fits; “Clear” shows all of them again.");
  return el("div", { class: "scroll" }, el("table", { id: "samples-table" }, el("thead", {}, head), el("tbody", {}, body)), none);
}

function meter(value, most, kind) {
  if (value === null || value === undefined) return el("span", { class: "soft" }, "none");
  return el("span", {}, el("span", { class: `meter ${kind}`, "aria-hidden": "true" }, put(el("i"), { style: `width:${Math.max(0, Math.min(100, (100 * value) / (most || 1))).toFixed(1)}%` }, [])), value.toFixed(3));
}

// The evidence for one sample: what each class got from both caches, and the cached images nearest to it.
function evidence(task, run, shown, place) {
  const said = shown.answers, label = task.labels[place];
  const rows = (said.top[place] || []).map((of, rank) => ({ of, chance: said.top_probability[place]?.[rank], image: said.top_image[place]?.[rank], text: said.top_text[place]?.[rank] }));
  if (!rows.some((row) => row.of === label)) rows.push({ of: label, chance: said.true[place], image: said.image[place], text: said.text[place] });
  const most = (key) => Math.max(...rows.map((row) => row[key] || 0));
  const table = el("table", { class: "evidence" }, el("thead", {}, el("tr", {}, ["class", "class text", "probability", "image affinity", "text affinity"].map((name, column) => el("th", { class: column === 1 ? "wide" : "" }, name)))),
    el("tbody", {}, rows.map((row) => el("tr", { class: row.of === label ? "chosen" : "" },
      el("td", {}, task.classes[row.of], row.of === label && el("span", { class: "soft" }, " (true)"), row.of === said.predicted[place] && el("span", { class: "soft" }, " (predicted)")),
      el("td", { class: "wide" }, task.prompts[row.of]),
      el("td", { class: "number" }, row.chance === null || row.chance === undefined ? "" : [el("span", { class: "meter chance", "aria-hidden": "true" }, put(el("i"), { style: `width:${100 * row.chance}%` }, [])), `${chance(row.chance)} %`]),
      el("td", { class: "number" }, meter(row.image, most("image"), "")), el("td", { class: "number" }, meter(row.text, most("text"), "text"))))));
  const near = (said.near[place] || []).map((sample, rank) => el("li", {}, picture(task, sample, "near"),
    el("span", { class: `verdict ${said.near_label[place][rank] === label ? "right" : "wrong"}` }, task.classes[said.near_label[place][rank]]),
    el("div", {}, `affinity ${fixed(said.near_affinity[place][rank], 3)}`), el("div", { class: "soft" }, breakable(sample)), classPicker(run, sample, said.near_label[place][rank], [label])));
  return [el("h3", {}, "What each class got"), el("div", { class: "scroll" }, table), el("h3", {}, "Nearest cached images (labelled training images)"), near.length ? el("ol", { class: "nearest" }, near) : el("p", { class: "soft" }, "None are logged.")];
}

function sampleView(task, run, series, shown, place, order, actions) {
  const sample = task.samples[place], label = task.labels[place], said = shown.answers, at = order.indexOf(place);
  const step = (by) => el("button", { type: "button", "data-step": by, disabled: !order[at + by] && order[at + by] !== 0, onclick: () => actions.open(order[at + by]) }, by < 0 ? "‹ previous" : "next ›");
  const chips = series.filter((other) => other.answers.predicted && other.answers.predicted[place] !== null).map((other) => el("button", { type: "button", "aria-pressed": String(other === shown), onclick: () => actions.show(other, place) },
    `${other.title}: `, el("span", { class: `verdict ${other.answers.predicted[place] === label ? "right" : "wrong"}` }, `${task.classes[other.answers.predicted[place]]} (${chance(other.answers.probability[place])} %)`)));
  const gamma = shown.distributions.gamma, pick = classPicker(run, sample, label, said.top[place] || []);
  return [
    el("div", { class: "top" }, el("h2", { id: "sample-title" }, breakable(sample)), el("button", { type: "button", "data-close": true, onclick: actions.close, "aria-label": "Close" }, "✕")),
    el("div", { class: "who" }, picture(task, sample, "large"), el("div", {},
      el("p", {}, "True class: ", el("b", {}, task.classes[label]), ". Encoder alone (zero-shot): ", el("span", { class: `verdict ${said.zero[place] === label ? "right" : "wrong"}` }, task.classes[said.zero[place]] ?? "unknown"), "."),
      el("p", { class: "soft" }, `Margin ${fixed(said.margin[place], 2)} logits`, said.difference[place] !== null && `; disagreement of the two caches ${fixed(said.difference[place], 2)}`, gamma && gamma.right.length === 1 && `; gamma ${gamma.from.toFixed(2)}`, `; ${percent(said.agreement[place], 0)} of its nearest cached images are of its class.`),
      pick && el("label", { class: "soft" }, "Right class: ", pick), correctionsBar(run),
      el("div", { class: "chips" }, chips))),
    evidence(task, run, shown, place),
    el("div", { class: "more" }, step(-1), step(1), el("span", { class: "soft" }, `${at + 1} of ${count(order.length)}`)),
  ];
}
