// Tables that a page saves: every cell quoted, a name is text, whatever is in it.
// With these begins what spreadsheets calculate; an apostrophe before it says that it is text, and is not read as part of it.
const FORMULA = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/;
// What no table of text may hold.
const CONTROL = /[\0-\x08\x0e-\x1f]/;

const tableCell = (text) => `"${(FORMULA.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
const tableText = (header, rows) => `\ufeff${[header, ...rows].map((row) => `${row.map(tableCell).join(",")}\r\n`).join("")}`;

function saveFile(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  el("a", { href: address, download: name }).click();
  // The browser reads it after the click.
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}
