// Prediction sets: whether they held what they promise, how large they are, and the classes for which they hold it least.
const SET_SIZES = [[0, 0], [1, 1], [2, 2], [3, 3], [4, 4], [5, 5], [6, 10], [11, Infinity]];
const WORST_SETS = 5;

function setSizesFigure(width, sizes) {
  const total = Math.max(1, sizes.reduce((sum, [, n]) => sum + n, 0));
  const rows = SET_SIZES.map(([from, to]) => ({ name: to === from ? `${from}` : to === Infinity ? `${from} or more` : `${from} to ${to}`, share: (100 * sizes.reduce((sum, [size, n]) => sum + (size >= from && size <= to ? n : 0), 0)) / total }));
  const last = rows.findLastIndex((row) => row.share > 0), shown = rows.slice(rows[0].share > 0 ? 0 : 1, Math.max(last, 2) + 1);
  const x = { from: 0, to: shown.length, name: "classes in the set", ticks: shown.map((_, place) => place + 0.5), format: (value) => shown[Math.floor(value)].name };
  const picture = chart(width, 210, x, { from: 0, to: 100, name: "test images (%)" }, { about: "Sizes of the prediction sets", margin: { left: 52 } });
  shown.forEach((row, place) => picture.plot.append(titled(svg("rect", { x: picture.x(place + 0.12), width: picture.x(0.76), y: picture.y(row.share), height: picture.height - picture.y(row.share), fill: SHOWN, "fill-opacity": 0.75 }), `${row.name}: ${row.share.toFixed(1)} % of the test images`)));
  return figure("sets-figure", "", picture.root);
}

function worstSets(task, shown) {
  const rows = task.classes.map((name, label) => ({ name, covered: shown.class_coverage[label], images: shown.class_samples[label] })).filter((row) => row.covered !== null).sort((one, other) => one.covered - other.covered).slice(0, WORST_SETS);
  const columns = ["class", "test images", "sets that hold it (%)"];
  return el("table", { id: "worst-sets" }, el("thead", {}, el("tr", {}, columns.map((name, place) => el("th", { class: place ? "number" : "" }, name)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, el("td", {}, row.name), [count(row.images), row.covered.toFixed(1)].map((text) => el("td", { class: "number" }, text))))));
}

// Of an evaluation from before sets were measured nothing is said.
function setsText(shown) {
  if (shown.coverage_mean === null) return `None: ${shown.sets_by}.`;
  const [low, high] = shown.coverage_ci95;
  return `Sets of ${shown.title}, meant to hold the true class of ${Number(shown.coverage_promised.toPrecision(6))} % of images, hold it for ${shown.coverage_mean.toFixed(1)} % of the test images (95 % interval ${low.toFixed(1)} to ${high.toFixed(1)}). They have ${shown.set_size_mean.toFixed(2)} classes on average; ${shown.single_share.toFixed(1)} % are of one class. They stand on ${shown.sets_by}.`;
}
