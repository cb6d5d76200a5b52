// What goes on inside while a stream is read: the unrolled network lighting up, and every unit at every step.

import { byId, make, shape, visible } from "./dom.js";

const COPY = 96;
const FEWEST = 3;
const SIDE = 8;
const KEPT = 3000;
const WIDE = 7;

/** Blue below zero, red above. */
function tint(value) {
  const much = Math.min(1, Math.abs(value));
  const [r, g, b] = value >= 0 ? [214, 69, 65] : [47, 102, 196];
  return `rgba(${r}, ${g}, ${b}, ${much.toFixed(2)})`;
}

export class Inside {
  constructor(model) {
    this.model = model;
    this.part = byId("part");
    this.slider = byId("step");
    this.canvas = byId("states");
    this.part.onchange = () => this.redraw();
    this.slider.oninput = () => this.point(Number(this.slider.value) - 1);
    this.canvas.onclick = (event) => {
      const step = Math.floor(event.offsetX / WIDE);
      if (step < this.steps.length) this.point(step);
    };
    this.canvas.onkeydown = (event) => {
      const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (move) { event.preventDefault(); this.point(Math.min(this.steps.length - 1, Math.max(0, this.at + move))); }
    };
    this.reset();
  }

  reset() {
    this.steps = [];
    this.waiting = "";
    this.names = [];
    this.at = -1;
    this.part.replaceChildren();
    byId("inside").hidden = true;
    byId("strip").replaceChildren();
  }

  /** A part was read: what it was, the tensors after it, the number of steps. */
  add(label, state, step) {
    // A letter of a word that is not finished changes nothing yet.
    if (step === (this.steps.at(-1)?.step ?? 0)) { this.waiting += label; return; }
    label = this.waiting + label;
    this.waiting = "";
    const found = Object.entries(state ?? {}).filter(([name]) => /(^|\.)layer\d+\./.test(name));
    if (!found.length) return;
    const units = Object.fromEntries(found.map(([name, values]) => [name, values.flat(Infinity)]));
    if (!this.names.length) this.name(Object.keys(units));
    this.steps.push({ label, step, units });
    if (this.steps.length > KEPT) this.steps.shift();
    byId("inside").hidden = false;
    this.slider.max = this.steps.length;
    this.point(this.steps.length - 1);
    this.column(this.steps.length - 1, this.steps.length === 1);
    const film = byId("film");
    film.scrollLeft = this.steps.length * WIDE - film.clientWidth + 2 * WIDE;
  }

  name(names) {
    // What a layer puts out comes first, the last layer before the others.
    this.names = names.sort((a, b) => Number(b.endsWith(".h")) - Number(a.endsWith(".h")) || b.localeCompare(a));
    const told = (name) => name.replace(/^.*?layer(\d+)\.?.*?\.(\w+)$/, (_, layer, part) => `layer ${Number(layer) + 1}, ${part}`);
    this.part.replaceChildren(...this.names.map((name) => make("option", { value: name }, told(name))));
  }

  /** Look at one step. */
  point(place) {
    this.at = place;
    this.slider.value = place + 1;
    const { label, step, units } = this.steps[place];
    const values = units[this.part.value];
    const size = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
    byId("seen").value = `after ${visible(label)} (step ${step}): mean size of ${values.length} units ${size.toFixed(3)}`;
    this.strip(place);
  }

  redraw() {
    this.steps.forEach((_, place) => this.column(place, place === 0));
    if (this.at >= 0) this.point(this.at);
  }

  column(place, first) {
    const values = this.steps[place].units[this.part.value];
    const tall = Math.max(2, Math.min(8, Math.floor(260 / values.length)));
    const needed = WIDE * Math.max(this.steps.length, 1);
    if (first || this.canvas.width < needed) {
      // A canvas that is made wider forgets what was on it.
      this.canvas.width = first ? WIDE * Math.max(64, this.steps.length) : 2 * needed;
      this.canvas.height = tall * values.length;
      if (!first) { this.steps.forEach((_, k) => this.column(k, false)); return; }
    }
    const ink = this.canvas.getContext("2d");
    ink.clearRect(place * WIDE, 0, WIDE, this.canvas.height);
    values.forEach((value, unit) => {
      ink.fillStyle = tint(value);
      ink.fillRect(place * WIDE, unit * tall, WIDE - 1, tall);
    });
  }

  /** The copies of the network that read the last steps, each handing its state to the next. */
  strip(place) {
    const columns = Math.max(FEWEST, Math.floor(byId("strip").clientWidth / COPY));
    const first = Math.max(0, place - columns + 1);
    const layers = this.names.filter((name) => name.endsWith(".h")).length ? this.names.filter((name) => name.endsWith(".h")).sort() : this.names.slice(0, 1);
    const [width, cell, gap] = [COPY, 56, 84];
    const height = 40 + layers.length * gap + 30;
    const picture = shape("svg", { viewBox: `0 0 ${width * columns} ${height}`, role: "img",
      "aria-label": "The unrolled network at its last steps; the copy that reads now is lit" });
    for (let k = first; k <= place; k += 1) {
      const x = (k - first) * width + width / 2;
      const { label, step, units } = this.steps[k];
      const group = shape("g", { class: k === place ? "now" : "" });
      group.append(shape("text", { x, y: height - 22 }, clipped(label)), shape("text", { class: "small", x, y: height - 6 }, `x${subscript(step)}`));
      layers.forEach((name, layer) => {
        const top = height - 40 - (layer + 1) * gap + (gap - cell) / 2;
        group.append(shape("path", { d: `M${x} ${top + gap - (gap - cell) / 2 - 2} V${top + cell}` }));
        if (k > first) group.append(shape("path", { d: `M${x - width + cell / 2} ${top + cell / 2} H${x - cell / 2}` }));
        group.append(shape("rect", { class: "cell", x: x - cell / 2, y: top, width: cell, height: cell, rx: 8 }));
        group.append(...dots(units[name], x - cell / 2 + 5, top + 5, cell - 10));
      });
      group.append(shape("path", { d: `M${x} ${height - 40 - layers.length * gap + (gap - cell) / 2} V14` }),
        shape("text", { class: "small", x: x + 14, y: 20 }, `h${subscript(step)}`));
      picture.append(group);
    }
    byId("strip").replaceChildren(picture);
  }
}

const subscript = (number) => [...String(number)].map((digit) => "₀₁₂₃₄₅₆₇₈₉"[digit]).join("");

const clipped = (label) => { const shown = visible(label); return shown.length > 11 ? `${shown.slice(0, 10)}…` : shown; };

/** As many units as fit, in the order in which they are. */
function dots(values, left, top, side) {
  const count = Math.min(values.length, SIDE * SIDE);
  const across = Math.ceil(Math.sqrt(count));
  const size = side / across;
  return Array.from({ length: count }, (_, k) => {
    const value = values[Math.floor((k * values.length) / count)];
    return shape("rect", { x: left + (k % across) * size, y: top + Math.floor(k / across) * size, width: size - 0.6, height: size - 0.6, fill: tint(value) });
  });
}
