// Puts the page together: a model, its input, its answer, and what goes on inside.

import { drawing, models, predict, predictFile, setKey, Stream } from "./api.js";
import { Answers } from "./answers.js";
import { byId, make } from "./dom.js";
import { panel } from "./inputs.js";
import { Inside } from "./inside.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const wait = (time) => new Promise((resolve) => { setTimeout(resolve, time); });

/** One model at work: answers to whole inputs, and the one stream that is open. */
class Desk {
  constructor(model) {
    this.model = model;
    this.answers = new Answers(model, byId("answer"));
    this.inside = new Inside(model);
    this.stream = null;
    this.turn = 0;
  }

  trouble(sentence) {
    byId("trouble").textContent = sentence ?? "";
    byId("trouble").hidden = !sentence;
  }

  reset() {
    this.turn += 1;
    this.stream?.close();
    this.stream = null;
    this.inside.reset();
    this.answers.reset();
    this.trouble();
  }

  async attempt(work) {
    const turn = this.turn;
    try {
      await work();
    } catch (error) {
      // What another input has overtaken is nobody's trouble any more.
      if (turn === this.turn) this.trouble(error.message);
    }
  }

  answer(inputs, options) {
    this.reset();
    const turn = this.turn;
    return this.attempt(async () => {
      const rows = await predict(this.model, inputs, options);
      if (turn === this.turn) this.answers.whole(rows, inputs);
    });
  }

  file(file, name) {
    this.reset();
    const turn = this.turn;
    return this.attempt(async () => {
      const rows = await predictFile(this.model, file, name);
      if (turn === this.turn) this.answers.whole(rows);
    });
  }

  /** Read parts from the beginning, with a pause after each; at the end say that nothing follows. */
  parts(parts, pause, whole = false, choices = {}) {
    this.reset();
    const turn = this.turn;
    this.stream = new Stream(this.model, choices);
    return this.attempt(async () => {
      for (const part of parts) {
        await this.push(part);
        if (turn !== this.turn) return;
        if (pause) await wait(pause);
        if (turn !== this.turn) return;
      }
      if (whole) await this.finish();
    });
  }

  more(part) {
    return this.attempt(() => this.push(part));
  }

  done() {
    return this.attempt(() => this.finish());
  }

  async push(part) {
    const turn = this.turn;
    if (!this.stream) return;
    const { answer, state, step } = await this.stream.push(part);
    if (turn !== this.turn) return;
    this.answers.part(answer, part);
    this.inside.add(this.label(part), state, step);
  }

  async finish() {
    const turn = this.turn;
    if (!this.stream) return;
    const { answer } = await this.stream.finish();
    if (turn === this.turn) this.stream = null;
    if (turn === this.turn) this.answers.part(answer, null);
  }

  /** What a part is called below its step. */
  label(part) {
    const kind = this.model.input.kind;
    if (typeof part === "string") return kind === "words" ? part.trim() : part;
    if (kind === "sound") return "♪";
    if (kind === "strokes") return "✎";
    const targets = this.model.input.targets ?? [];
    const cells = (row) => (row?.constructor === Object ? targets.map((name) => row[name]) : row);
    return (part.rows ?? part).map(cells).flat(Infinity).slice(0, 2).join(" ");
  }
}

let desk = null;
let view = "unrolled";

async function draw() {
  const model = desk.model;
  try {
    const address = await drawing(model, view, dark.matches ? "dark" : "light");
    const image = byId("drawing");
    URL.revokeObjectURL(image.src);
    image.src = address;
    image.alt = `The network of ${model.name}, ${view === "cell" ? "inside its cell" : view}`;
  } catch (error) {
    desk.trouble(error.message);
  }
}

function choose(model) {
  desk?.reset();
  desk = new Desk(model);
  const { cell, layers, hidden, parameters, bidirectional } = model.network;
  const stacked = layers > 1 ? `${layers} layers of ` : "";
  byId("about").textContent = `${model.task}: ${cell}, ${stacked}${hidden} units${bidirectional ? " in both directions" : ""}, `
    + `${parameters.toLocaleString("en")} parameters.${model.streams ? "" : ` No streams: ${model.why_not}.`}`;
  byId("input").replaceChildren(panel(model, desk));
  desk.trouble();
  draw();
}

async function begin() {
  let found;
  try {
    found = (await models()).models;
  } catch (error) {
    const locked = error.status === 401;
    byId("unlock").hidden = !locked;
    byId("trouble").textContent = locked ? "This server needs an API key." : error.message;
    byId("trouble").hidden = false;
    if (locked) byId("key").focus();
    return;
  }
  byId("unlock").hidden = true;
  byId("trouble").hidden = true;
  byId("main").hidden = false;
  byId("model").replaceChildren(...found.map((model) => make("option", { value: model.name }, model.name)));
  const asked = decodeURIComponent(location.hash.slice(1));
  const first = found.find((model) => model.name === asked) ?? found[0];
  byId("model").value = first.name;
  byId("model").onchange = () => {
    location.hash = encodeURIComponent(byId("model").value);
    choose(found.find((model) => model.name === byId("model").value));
  };
  choose(first);
}

byId("unlock").addEventListener("submit", (event) => {
  event.preventDefault();
  setKey(byId("key").value);
  begin();
});
byId("views").addEventListener("click", ({ target }) => {
  if (!target.dataset.view) return;
  view = target.dataset.view;
  for (const button of byId("views").children) button.setAttribute("aria-pressed", button === target);
  draw();
});
dark.addEventListener("change", draw);
begin();
