// Images that are there twice, side by side.
function pairsGrid(task, rows) {
  const side = (sample, split, label) => el("figure", {}, picture(task, sample, "near"), el("figcaption", {}, el("b", {}, split), ` · ${task.classes[label] ?? "unknown"}`, el("div", {}, breakable(sample))));
  return el("ul", { class: "twice" }, rows.map((row) => el("li", { class: row.leak ? "leak" : "" }, el("div", {}, row.exact ? "byte for byte" : `cosine ${row.cosine.toFixed(4)}`, row.label !== row.other_label && el("span", { class: "verdict wrong" }, "two classes")),
    el("div", { class: "sides" }, side(row.other, row.other_split, row.other_label), side(row.sample, row.split, row.label)))));
}

function twiceText(found) {
  const leaks = Object.entries(found.leaks).filter(([, of]) => of.exact + of.near > 0).map(([split, of]) => `${count(of.exact + of.near)} of ${count(of.images)} ${split === "val" ? "validation" : split} images ${of.exact + of.near === 1 ? "is" : "are"} in an earlier split too (${count(of.exact)} byte for byte, ${count(of.near)} nearly)`);
  const said = leaks.length ? `${leaks.join("; ")}: what they measure was seen before.` : "No validation or test image was found in an earlier split.";
  return `${said} ${found.duplicates ? `${plural(found.duplicates, "pair")} within a split.` : "None is twice in one split."} Nearly the same means a cosine of their features of ${found.threshold.toFixed(5)} or more.`;
}
