// Elements and what they say. Text always becomes a text node: nothing of the data is ever read as markup.
function put(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}
const el = (tag, attributes, ...children) => put(document.createElement(tag), attributes, children);

const fixed = (value, digits) => (value === null || value === undefined ? "" : value.toFixed(digits));
const percent = (value, digits = 1) => (value === null || value === undefined ? "" : `${(100 * value).toFixed(digits)} %`);
// A number above zero that would round to zero is said to be below the last digit.
function atLeast(value, digits) {
  const text = fixed(value, digits);
  return value > 0 && text === fixed(0, digits) ? `<${fixed(10 ** -digits, digits)}` : text;
}
// A probability in percent: no answer is certain, and none impossible.
function chance(value, digits = 1) {
  const text = fixed(value === null || value === undefined ? null : 100 * value, digits), step = 10 ** -digits;
  if (text === fixed(100, digits)) return `>${fixed(100 - step, digits)}`;
  return text === fixed(0, digits) ? `<${fixed(step, digits)}` : text;
}
const signed = (value, digits = 2) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;
const count = (value) => value.toLocaleString("en-GB");
// A name that may be broken after its separators, and nowhere in mid-word unless a word alone is too long.
const breakable = (text) => text.split(/(?<=[/\\_.\-])/).flatMap((part, place) => (place ? [el("wbr"), part] : [part]));
const plural = (number, name) => `${count(number)} ${name}${number === 1 ? "" : "s"}`;
const short = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);
