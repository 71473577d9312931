// Pools that were labelled and kept: counts of each class, and the answers that are least sure.

function answersTable(columns, rows) {
  return el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, columns.map(([name, number]) => el("th", { class: number ? "number" : "" }, name)))), el("tbody", {}, rows.map((row) => el("tr", {}, row.map((text, place) => el("td", { class: columns[place][1] ? "number" : "" }, text)))))));
}

function labelledText(pool) {
  const bad = pool.bad ? `, ${count(pool.bad)} of which cannot be read` : "", none = pool.rejected === null || pool.rejected === undefined ? "" : `; ${count(pool.rejected)} of none of the classes`;
  return `${plural(pool.samples, "image")}${bad}${none}${pool.known ? `; ${count(pool.known)} that the adapter learned from` : ""}. Labelled ${pool.created.slice(0, 16).replace("T", " ")} UTC.`;
}

function labelledPool(pool) {
  const rows = (found) => found.map((row) => [breakable(row.path), row.class || `none (nearest ${row.nearest})`, chance(row.probability), row.second || "", row.second_probability === null ? "" : chance(row.second_probability)]);
  const columns = [["image", false], ["answer", false], ["percent", true], ["second choice", false], ["percent", true]];
  return [el("h3", {}, pool.name), el("p", {}, labelledText(pool)), pool.promises.map((text) => el("p", { class: "soft" }, text)),
    answersTable([["class", false], ["images", true], ["share (%)", true]], pool.answered.map(([name, found]) => [name, count(found), ((100 * found) / Math.max(pool.samples - pool.bad, 1)).toFixed(1)])),
    pool.unsure.length > 0 && el("details", { class: "note" }, el("summary", {}, `The ${count(pool.unsure.length)} least sure answers`), answersTable(columns, rows(pool.unsure))),
    pool.strangers.length > 0 && el("details", { class: "note" }, el("summary", {}, `The ${count(pool.strangers.length)} strangest images`), answersTable(columns, rows(pool.strangers)))];
}
