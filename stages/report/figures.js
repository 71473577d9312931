// Each figure takes the width at hand, the series shown and the one it is compared with (or null), and returns nodes.
const SHOWN = "var(--shown)", AGAINST = "var(--against)";

function figure(id, about, body, caption) {
  return el("figure", { id }, body, caption && el("figcaption", {}, caption));
}

// Accuracy of all series with its interval: one row each, chosen by clicking.
function methodsFigure(width, rows, shown, against, choose) {
  const low = Math.min(...rows.map((row) => row.low)), high = Math.max(...rows.map((row) => row.high));
  const pad = Math.max(1, (high - low) * 0.08), from = Math.max(0, low - pad), to = Math.min(100, high + pad);
  const left = Math.min(18 + 7.2 * Math.max(...rows.map((row) => row.title.length)), 240, width * 0.42), height = 30 * rows.length + 48;
  const picture = chart(width, height, { from, to, name: "accuracy on the test images (%)" }, null, { margin: { left }, about: "Accuracy of each method with its 95 % interval" });
  rows.forEach((row, place) => {
    const y = 30 * place + 15, colour = row === shown ? SHOWN : row === against ? AGAINST : "var(--soft)";
    const ends = [Math.max(from, row.low), Math.min(to, row.high)], name = short(row.title, Math.floor((left - 14) / 6.9));
    const group = svg("g", { class: "hit", tabindex: 0, role: "button", onclick: () => choose(row), onkeydown: (event) => event.key === "Enter" && choose(row) },
      svg("rect", { x: -left, y: y - 15, width, height: 30, fill: "transparent", stroke: "none" }),
      svg("text", { x: -10, y: y + 4, "text-anchor": "end", "font-weight": row === shown ? 700 : 400 }, name),
      svg("line", { x1: picture.x(ends[0]), x2: picture.x(ends[1]), y1: y, y2: y, stroke: colour, "stroke-width": 3 }),
      svg("path", { d: ends.filter((end) => end === row.low || end === row.high).map((end) => `M${picture.x(end)} ${y - 5}v10`).join(""), stroke: colour, "stroke-width": 2 }),
      row === against ? svg("rect", { x: picture.x(row.accuracy) - 5.5, y: y - 5.5, width: 11, height: 11, fill: colour }) : svg("circle", { cx: picture.x(row.accuracy), cy: y, r: 6, fill: colour }));
    picture.plot.append(titled(group, `${row.title}: ${row.accuracy.toFixed(2)} %, 95 % interval ${row.low.toFixed(2)} to ${row.high.toFixed(2)} (${row.ci_kind})`));
  });
  return figure("methods-figure", "", picture.root, "A dot is the mean over seeds, the bar its 95 % interval. Click a row to show that method below.");
}

// Accuracy of each class: a bar for the series shown, a square for the other.
function classesFigure(width, task, shown, against, order, all) {
  const values = task.classes.map((name, label) => ({ name, label, value: shown.per_class[label], other: against ? against.per_class[label] : null }));
  const there = values.filter((row) => row.value !== null), totals = imagesOf(shown);
  const change = (row) => (row.other === null ? 0 : row.value - row.other);
  there.sort({ worst: (a, b) => a.value - b.value, name: (a, b) => a.label - b.label, change: (a, b) => change(a) - change(b) }[order]);
  const rows = all ? there : there.slice(0, 30), left = 16 + 7 * Math.min(20, Math.max(1, ...rows.map((row) => row.name.length)), width / 24), step = Math.max(21, Math.min(46, 470 / rows.length)), height = step * rows.length + 48;
  const picture = chart(width, height, { from: 0, to: 100, name: "accuracy (%)" }, null, { margin: { left, right: 92 }, about: "Accuracy of each class" });
  rows.forEach((row, place) => {
    const y = step * (place + 0.5), thick = step * 0.66;
    picture.plot.append(titled(svg("g", {},
      svg("text", { x: -8, y: y + 4, "text-anchor": "end" }, short(row.name, Math.floor(left / 7))),
      svg("rect", { x: 0, y: y - thick / 2, width: Math.max(0.5, picture.x(row.value)), height: thick, fill: SHOWN }),
      row.other !== null && svg("rect", { x: picture.x(row.other) - 5, y: y - 5, width: 10, height: 10, fill: AGAINST, stroke: "var(--card)", "stroke-width": 1.5 }),
      svg("text", { class: "tick", x: picture.width + 11, y: y + 4 }, `${row.value.toFixed(1)} of ${count(totals.get(row.label) || 0)}`)), `${row.name}: ${row.value.toFixed(1)} % of ${plural(totals.get(row.label) || 0, "test image")}${row.other === null ? "" : `, compared with ${row.other.toFixed(1)} %`}`));
  });
  return figure("classes-figure", "", picture.root, "Beside each bar: accuracy in percent, and of how many test images. A class of few says little.");
}

// How many test images each class has.
function imagesOf(shown) {
  const totals = new Map();
  for (const [label, , n] of shown.confusion) totals.set(label, (totals.get(label) || 0) + n / shown.seeds.length);
  return totals;
}

const mistakes = (shown) => shown.confusion.filter(([label, predicted]) => label !== predicted).sort((a, b) => b[2] - a[2]);

// Which class is taken for which. Of many classes those of the largest confusions are drawn.
function confusionFigure(width, task, shown, choose) {
  const seeds = shown.seeds.length, wrong = mistakes(shown);
  const limit = width < 420 ? 12 : 24, picked = new Set();
  if (task.classes.length <= limit) task.classes.forEach((_, label) => picked.add(label));
  else for (const [label, predicted] of wrong) { if (picked.size > limit - 2) break; picked.add(label); picked.add(predicted); }
  const labels = [...picked].sort((a, b) => a - b), places = new Map(labels.map((label, place) => [label, place]));
  const totals = imagesOf(shown);
  const longest = Math.max(...labels.map((label) => short(task.classes[label], 16).length), 1);
  const left = Math.min(width * 0.34, 30 + longest * 7), side = (width - left - 6) / Math.max(labels.length, 1), bottom = Math.min(110, 14 + longest * 6.2);
  const cell = Math.min(side, 60), height = cell * labels.length + bottom + 22;
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Confusion of classes" });
  for (const [label, predicted, n] of shown.confusion) {
    if (!places.has(label) || !places.has(predicted)) continue;
    const share = n / seeds / totals.get(label), x = left + places.get(predicted) * cell, y = places.get(label) * cell, same = label === predicted;
    const group = svg("g", {}, svg("rect", { class: "hit", "data-cell": `${label},${predicted}`, x, y, width: cell - 1, height: cell - 1, fill: same ? SHOWN : "var(--wrong)", "fill-opacity": same ? 0.15 + 0.6 * share : Math.min(1, 0.12 + 2.2 * share), onclick: () => choose(label, predicted) }));
    if (cell > 24) group.append(svg("text", { x: x + cell / 2, y: y + cell / 2 + 4, "text-anchor": "middle", "pointer-events": "none", "font-size": 11 }, String(Math.round(n / seeds) || "<1")));
    root.append(titled(group, `${task.classes[label]} taken for ${task.classes[predicted]}: ${(n / seeds).toFixed(1)} a seed, ${(100 * share).toFixed(1)} % of the class`));
  }
  labels.forEach((label, place) => {
    const name = short(task.classes[label], 16);
    root.append(svg("text", { x: left - 6, y: place * cell + cell / 2 + 4, "text-anchor": "end" }, name));
    const x = left + place * cell + cell / 2, y = labels.length * cell + 12;
    root.append(name.length < 4 ? svg("text", { x, y: y + 2, "text-anchor": "middle" }, name) : svg("text", { transform: `translate(${x + 3} ${y - 4}) rotate(-55)`, "text-anchor": "end" }, name));
  });
  root.append(svg("text", { class: "axis", x: left + (cell * labels.length) / 2, y: height - 4, "text-anchor": "middle" }, "predicted class"));
  root.append(svg("text", { class: "axis", transform: `translate(11 ${(cell * labels.length) / 2}) rotate(-90)`, "text-anchor": "middle" }, "true class"));
  const some = labels.length < task.classes.length ? `The ${labels.length} classes of the most frequent confusions, of ${count(task.classes.length)}. ` : "";
  return figure("confusion-figure", "", root, `${some}Images a seed${cell > 24 ? "" : " (point at a cell)"}; blue is right, orange wrong, stronger is a larger share of the true class. Click a cell to list its images.`);
}

// Reliability: accuracy against stated probability.
function calibrationFigure(width, shown, against) {
  const picture = chart(width, Math.min(400, width * 0.82), { from: 0, to: 100, name: "stated probability (%)" }, { from: 0, to: 100, name: "accuracy (%)" }, { about: "Accuracy against stated probability" });
  picture.plot.append(svg("line", { x1: picture.x(0), y1: picture.y(0), x2: picture.x(100), y2: picture.y(100), stroke: "var(--soft)", "stroke-dasharray": "5 4" }));
  for (const [series, colour] of [[against, AGAINST], [shown, SHOWN]]) {
    if (!series) continue;
    const total = series.calibration.reduce((sum, row) => sum + row[1], 0);
    const points = series.calibration.map(([, n, stated, accuracy]) => [picture.x(stated), picture.y(accuracy), n, stated, accuracy]);
    picture.plot.append(svg("path", { d: path(points), fill: "none", stroke: colour, "stroke-width": 2, "stroke-dasharray": series === against ? "2 3" : null }));
    for (const [x, y, n, stated, accuracy] of points) {
      const r = 3 + 9 * Math.sqrt(n / total);
      const mark = series === against ? svg("rect", { x: x - r, y: y - r, width: 2 * r, height: 2 * r, fill: colour, "fill-opacity": 0.75 }) : svg("circle", { cx: x, cy: y, r, fill: colour, "fill-opacity": 0.75 });
      picture.plot.append(titled(mark, `${series.title}: ${count(n)} answers at ${chance(stated / 100)} %, ${accuracy.toFixed(1)} % right`));
    }
  }
  return figure("calibration-figure", "", picture.root, `On the dashed line, stated probability is accuracy; below it the method is too sure. Larger marks hold more answers. Expected calibration error: ${shown.title} ${shown.ece_mean.toFixed(1)} %${against ? `, ${against.title} ${against.ece_mean.toFixed(1)} %` : ""}.`);
}

const NAMES = { gamma: "gamma: share of the image side (0 to 1)", affinity_image: "image affinity to the true class", affinity_text: "text affinity to the true class", difference: "disagreement of the two sides" };

// One distribution: right answers filled, wrong ones as an outline, each as a share of its own.
function distributionFigure(width, name, data) {
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  if (data.right.length === 1) return el("p", { class: "soft" }, `${NAMES[name]}: ${data.from.toFixed(3)} for every image.`);
  const right = data.right.map((n) => (100 * n) / Math.max(1, sum(data.right))), wrong = data.wrong.map((n) => (100 * n) / Math.max(1, sum(data.wrong)));
  const top = Math.max(...right, ...wrong) * 1.06, bins = right.length;
  const picture = chart(width, 190, { from: data.from, to: data.to, name: NAMES[name] }, { from: 0, to: top, name: "images (%)" }, { about: `Distribution of ${NAMES[name]}`, margin: { left: 48 } });
  const edge = (place) => picture.x(data.from + ((data.to - data.from) * place) / bins);
  right.forEach((value, place) => picture.plot.append(svg("rect", { x: edge(place), width: Math.max(0.5, edge(place + 1) - edge(place) - 0.6), y: picture.y(value), height: picture.height - picture.y(value), fill: "var(--right)", "fill-opacity": 0.45 })));
  const steps = [[edge(0), picture.y(0)]];
  wrong.forEach((value, place) => steps.push([edge(place), picture.y(value)], [edge(place + 1), picture.y(value)]));
  picture.plot.append(svg("path", { d: path([...steps, [edge(bins), picture.y(0)]]), fill: "none", stroke: "var(--wrong)", "stroke-width": 2 }));
  return figure(`distribution-${name}`, "", picture.root);
}

const CURVES = { loss: "loss (cross entropy, nats)", accuracy: "accuracy on the support (%)", weight_high: "weight that one image in twenty exceeds", gamma: "gamma (0 to 1)", affinity_image: "image affinity to the true class", affinity_text: "text affinity to the true class" };

function curveFigure(width, name, rows) {
  const lows = rows.map((row) => row[2]), highs = rows.map((row) => row[3]), pad = (Math.max(...highs) - Math.min(...lows)) * 0.06 || Math.abs(highs[0]) * 0.1 || 0.1;
  const epochs = ticks(rows[0][0], rows[rows.length - 1][0], Math.max(3, width / 90)).filter(Number.isInteger);
  const picture = chart(width, 190, { from: rows[0][0], to: rows[rows.length - 1][0], name: "epoch", ticks: epochs }, { from: Math.min(...lows) - pad, to: Math.max(...highs) + pad, name: "" }, { about: CURVES[name], margin: { left: 52 } });
  const at = (column) => rows.map((row) => [picture.x(row[0]), picture.y(row[column])]);
  picture.plot.append(svg("path", { d: `${path(at(3))}${path(at(2).reverse()).replace("M", "L")}Z`, fill: SHOWN, "fill-opacity": 0.2 }));
  picture.plot.append(svg("path", { d: path(at(1)), fill: "none", stroke: SHOWN, "stroke-width": 2 }));
  return el("div", {}, el("h3", {}, CURVES[name]), figure(`curve-${name}`, "", picture.root));
}

// Image against text affinity of each listed sample; `hard` is the set of those marked.
function scatterFigure(width, task, shown, hard, open) {
  const answers = shown.answers, places = task.samples.map((_, place) => place).filter((place) => answers.image[place] !== null && answers.text[place] !== null);
  const most = (values) => Math.max(...places.map((place) => values[place])) * 1.04 || 1;
  const ties = new Map();
  for (const place of places) ties.set(answers.text[place], (ties.get(answers.text[place]) || 0) + 1);
  // Deterministic: the same report is the same picture.
  const sideways = (place) => (ties.get(answers.text[place]) > 10 ? (((place * 7919) % 101) / 101 - 0.5) * 24 : 0);
  const picture = chart(width, Math.min(width * 0.8, 480), { from: 0, to: most(answers.text), name: "text affinity to the true class" }, { from: 0, to: most(answers.image), name: "image affinity to the true class" }, { about: "Image affinity against text affinity" });
  const right = (place) => answers.predicted[place] === task.labels[place];
  for (const place of [...places].sort((a, b) => right(b) - right(a))) {
    const x = picture.x(answers.text[place]) + sideways(place), y = picture.y(answers.image[place]);
    const mark = right(place) ? svg("circle", { cx: x, cy: y, r: 3.2, fill: "var(--right)", "fill-opacity": 0.35, stroke: "var(--right)", "stroke-opacity": 0.8 }) : svg("path", { d: cross(x, y, 3.6), stroke: "var(--wrong)", "stroke-width": 1.9 });
    const group = svg("g", { class: "hit", "data-sample": place, onclick: () => open(place) }, hard.has(place) && svg("circle", { cx: x, cy: y, r: 7.5, fill: "none", stroke: "var(--hard)", "stroke-width": 1.2 }), mark);
    picture.plot.append(titled(group, `${task.samples[place]}: ${task.classes[task.labels[place]]}, predicted ${task.classes[answers.predicted[place]]}`));
  }
  return figure("scatter-figure", "", picture.root, "One mark a listed test image. Upper right: both caches know it; upper left: only the images do; lower right: only the class texts do; lower left: neither. Ringed: the twentieth on which the two disagree most. Marks of one text affinity are spread sideways a little. Click one to see its evidence.");
}
