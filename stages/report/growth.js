// Accuracy on validation at growing supports, and what twice the labels would bring. Labels double from tick to tick.
function growthFigure(width, shown) {
  const { points, curve, doubled } = shown.growth, at = (labels) => Math.log2(labels);
  const ends = [...points, doubled].flatMap((row) => [row.low, row.high]), low = Math.max(0, Math.min(...ends) - 1), high = Math.min(100, Math.max(...ends) + 1);
  const labels = [...points, doubled].map((row) => row.labels), places = labels.map(at), wide = (places[places.length - 1] - places[0]) * 0.04 || 0.1;
  const across = { from: places[0] - wide, to: places[places.length - 1] + wide, name: "labelled training images", ticks: places, format: (place) => count(Math.round(2 ** place)) };
  const picture = chart(width, Math.min(360, width * 0.7), across, { from: low, to: high, name: "accuracy on validation (%)" }, { about: "Accuracy at growing numbers of labels" });
  const line = (column) => curve.map((row) => [picture.x(at(row[0])), picture.y(Math.min(high, Math.max(low, row[column])))]);
  picture.plot.append(svg("path", { d: `${path(line(3))}${path(line(2).reverse()).replace("M", "L")}Z`, fill: SHOWN, "fill-opacity": 0.15 }));
  picture.plot.append(svg("path", { d: path(line(1)), fill: "none", stroke: SHOWN, "stroke-width": 2 }));
  for (const row of [...points, doubled]) {
    const x = picture.x(at(row.labels)), ahead = row === doubled;
    const about = `${count(row.labels)} labels${ahead ? ", foretold" : ""}: ${row.accuracy.toFixed(2)} %, 95 % interval ${row.low.toFixed(2)} to ${row.high.toFixed(2)}`;
    picture.plot.append(titled(svg("g", {},
      svg("line", { x1: x, x2: x, y1: picture.y(row.low), y2: picture.y(row.high), stroke: SHOWN, "stroke-width": 2, "stroke-dasharray": ahead ? "4 3" : null }),
      svg("circle", { cx: x, cy: picture.y(row.accuracy), r: 5, fill: ahead ? "var(--card)" : SHOWN, stroke: SHOWN, "stroke-width": 2 })), about));
  }
  return figure("growth-figure", "", picture.root, "Filled marks are measured, the open one is foretold, each with its 95 % interval; the line is the curve, the band its 95 % interval on average over supports. The gain foretold is the rise of the line.");
}

function growthTable(rows) {
  const columns = ["class", "samples", "recall with half the labels (%)", "with all (%)", "rise (points)", "95 % interval", "verdict"];
  const cells = (row) => [count(row.samples), fixed(row.before, 1), fixed(row.recall, 1), row.rise === null ? "" : signed(row.rise, 1), row.low === null ? "" : `${signed(row.low, 1)} to ${signed(row.high, 1)}`];
  return el("details", { class: "note" }, el("summary", {}, "What more labels did for each class"), el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, columns.map((name, place) => el("th", { class: place && place < 6 ? "number" : "" }, name)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, el("td", {}, row.name), cells(row).map((text) => el("td", { class: "number" }, text)), el("td", { class: "whole" }, row.verdict)))))));
}
