// Small charts, drawn when they are asked for.

import { colour, make, shape } from "./dom.js";

const WIDTH = 560;
const HEIGHT = 170;
const EDGE = 46;

function scale(values, least, most) {
  const known = values.filter(Number.isFinite);
  let low = least ?? Math.min(...known);
  let high = most ?? Math.max(...known);
  if (!(high > low)) { low -= 1; high += 1; }
  const y = (value) => HEIGHT - 22 - ((value - low) / (high - low)) * (HEIGHT - 36);
  return { low, high, y };
}

function frame(label, { low, high, y }, steps) {
  return shape("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label },
    ...[low, (low + high) / 2, high].flatMap((value) => [
      shape("line", { class: "axis", x1: EDGE, x2: WIDTH - 8, y1: y(value), y2: y(value) }),
      shape("text", { x: EDGE - 6, y: y(value) + 4, "text-anchor": "end" }, Number(value.toPrecision(3)).toString())]),
    shape("text", { x: WIDTH - 8, y: HEIGHT - 4, "text-anchor": "end" }, steps));
}

/** A line for each name over all records, the largest last values first. */
export function lines(records, least, most, label) {
  if (records.length < 2) return null;
  const names = Object.entries(records.at(-1)).sort((a, b) => b[1] - a[1]).slice(0, 6).map(([name]) => name);
  const axis = scale(records.flatMap((record) => names.map((name) => record[name])), least, most);
  const x = (k) => EDGE + (k / (records.length - 1)) * (WIDTH - EDGE - 8);
  const picture = frame(label, axis, `${records.length} parts`);
  const own = apart(names, Object.keys(records[0]));
  for (const name of names) {
    const points = records.map((record, k) => `${x(k).toFixed(1)},${axis.y(record[name]).toFixed(1)}`);
    picture.append(shape("polyline", { class: own.get(name), points: points.join(" ") }));
  }
  const key = make("ul", { class: "key" }, ...names.map((name) => make("li", { class: own.get(name) }, name)));
  return make("div", {}, picture, key);
}

/** A colour for each of at most six names: its own, or where a likelier one has that, the next that is free. */
function apart(names, known) {
  const found = new Map();
  for (const name of names) {
    let place = known.indexOf(name);
    while ([...found.values()].includes(colour(place))) place += 1;
    found.set(name, colour(place));
  }
  return found;
}

/** The past, what comes, and how sure that is: quantiles in pairs from the outside in. */
export function bands(history, values, quantiles) {
  const past = history.slice(-Math.max(24, 3 * values.length));
  const axis = scale([...past, ...values, ...quantiles.flatMap(([, found]) => found)]);
  const count = past.length + values.length;
  const x = (k) => EDGE + (k / Math.max(1, count - 1)) * (WIDTH - EDGE - 8);
  const point = (value, k) => `${x(past.length + k).toFixed(1)},${axis.y(value).toFixed(1)}`;
  const picture = frame("The past and the forecast", axis, `${values.length} steps to come`);
  for (let k = 0; k < Math.floor(quantiles.length / 2); k += 1) {
    const low = quantiles[k][1].map(point);
    const high = quantiles.at(-1 - k)[1].map(point).reverse();
    picture.append(shape("polygon", { points: [...low, ...high].join(" ") }));
  }
  picture.append(shape("polyline", { class: "past", points: past.map((value, k) => `${x(k).toFixed(1)},${axis.y(value).toFixed(1)}`).join(" ") }));
  const joint = past.length ? [`${x(past.length - 1).toFixed(1)},${axis.y(past.at(-1)).toFixed(1)}`] : [];
  picture.append(shape("polyline", { class: "c0", points: [...joint, ...values.map(point)].join(" ") }));
  return picture;
}
