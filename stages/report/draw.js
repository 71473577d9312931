// Scales and axes.
const svg = (tag, attributes, ...children) => put(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
const titled = (node, text) => { node.append(svg("title", {}, text)); return node; };

function bytes(value) {
  const units = ["B", "kB", "MB", "GB"];
  let step = 0;
  while (value >= 1000 && step < units.length - 1) { value /= 1000; step += 1; }
  return `${step ? value.toFixed(1) : value} ${units[step]}`;
}

function scale(from, to, start, end) {
  const factor = (end - start) / (to - from || 1);
  return (value) => start + (value - from) * factor;
}

// Round numbers from `low` to `high`, about `wanted` of them.
function ticks(low, high, wanted) {
  // Steps below the numbers' own precision would never arrive.
  if (!(high - low > 1e-9 * Math.max(Math.abs(low), Math.abs(high)))) return [low];
  const rough = (high - low) / wanted, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999);
  const found = [];
  for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + step * 1e-9; value += step) found.push(Math.abs(value) < step * 1e-9 ? 0 : value);
  return found;
}

function label(value, values) {
  const gap = values.length > 1 ? Math.abs(values[1] - values[0]) : Math.abs(value) || 1;
  if (Math.abs(value) >= 10000) return count(Math.round(value));
  return value.toFixed(Math.min(6, Math.max(0, Math.ceil(-Math.log10(gap) - 1e-9) + (gap < 10 && /2\.?5/.test(gap.toPrecision(2)) ? 1 : 0))));
}

// A picture with axes. `x` and `y` are {from, to, name, ticks, format}; returns {root, plot, x, y, width, height} with x and y as scales.
function chart(width, height, x, y, options = {}) {
  const margin = { top: 8, right: 12, bottom: x ? 40 : 8, left: 60, ...options.margin };
  const inner = { width: width - margin.left - margin.right, height: height - margin.top - margin.bottom };
  const plot = svg("g", { transform: `translate(${margin.left} ${margin.top})` });
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": options.about || "" }, plot);
  const across = x && scale(x.from, x.to, 0, inner.width), up = y && scale(y.from, y.to, inner.height, 0);
  if (x) {
    const values = x.ticks || ticks(x.from, x.to, Math.max(3, Math.floor(inner.width / 64)));
    for (const value of values) {
      plot.append(svg("line", { class: "grid", x1: across(value), x2: across(value), y1: 0, y2: inner.height }));
      plot.append(svg("text", { class: "tick", x: across(value), y: inner.height + 16, "text-anchor": "middle" }, x.format ? x.format(value) : label(value, values)));
    }
    plot.append(svg("text", { class: "axis", x: inner.width / 2, y: inner.height + 34, "text-anchor": "middle" }, x.name));
  }
  if (y) {
    const values = y.ticks || ticks(y.from, y.to, Math.max(3, Math.floor(inner.height / 45)));
    for (const value of values) {
      plot.append(svg("line", { class: "grid", x1: 0, x2: inner.width, y1: up(value), y2: up(value) }));
      plot.append(svg("text", { class: "tick", x: -7, y: up(value) + 4, "text-anchor": "end" }, label(value, values)));
    }
    plot.append(svg("text", { class: "axis", transform: `translate(${-margin.left + 12} ${inner.height / 2}) rotate(-90)`, "text-anchor": "middle" }, y.name));
  }
  if (options.frame !== false) plot.append(svg("rect", { class: "frame", width: inner.width, height: inner.height }));
  return { root, plot, x: across, y: up, ...inner };
}

function path(points) {
  return points.map(([x, y], place) => `${place ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
}

const cross = (x, y, r) => `M${(x - r).toFixed(1)} ${(y - r).toFixed(1)}l${2 * r} ${2 * r}m0 ${-2 * r}l${-2 * r} ${2 * r}`;

function legend(...entries) {
  return el("ul", { class: "legend" }, entries.filter(Boolean).map(([mark, text]) => el("li", {}, svg("svg", { viewBox: "0 0 22 14" }, mark), text)));
}

const dot = (colour) => svg("circle", { cx: 11, cy: 7, r: 5, fill: colour });
const ring = (colour) => svg("circle", { cx: 11, cy: 7, r: 4, fill: "none", stroke: colour, "stroke-width": 1.6 });
const cross_mark = (colour) => svg("path", { d: cross(11, 7, 4), stroke: colour, "stroke-width": 2 });
const block = (colour) => svg("rect", { x: 2, y: 2, width: 18, height: 10, fill: colour });
const line = (colour, dashes) => svg("path", { d: "M1 7H21", stroke: colour, "stroke-width": 2.4, "stroke-dasharray": dashes });
