// How answers look: those to whole inputs, and those of a stream, which grow.

import { bands, lines } from "./charts.js";
import { colour, make, percent, short, visible } from "./dom.js";

const MOST = 10;
const KEPT = 4000;

/** Shows the answers of one model in an element. */
export class Answers {
  constructor(model, element) {
    this.model = model;
    this.element = element;
    this.reset();
  }

  reset() {
    this.seen = [];
    this.read = [];
    this.show(make("p", { class: "muted" }, "Nothing was read yet."));
  }

  show(...parts) {
    this.element.replaceChildren(...parts.filter(Boolean));
  }

  /** The answers to whole inputs. */
  whole(rows, inputs) {
    const made = WHOLE[this.model.output.kind];
    const shown = rows.flatMap((row, place) => {
      const name = rows.length > 1 ? [make("h3", {}, `Input ${place + 1}`)] : [];
      return [...name, ...made(row, this.model, inputs?.[place])];
    });
    this.show(...shown);
  }

  /** The answer after a part of a stream. */
  part(answer, part) {
    this.show(...STREAMED[this.model.output.kind](answer, this, part));
  }

  keep(value) {
    this.seen.push(value);
    if (this.seen.length > KEPT) this.seen.shift();
    return this.seen;
  }
}

function bars(pairs, code = false) {
  const rows = pairs.map(([name, share]) => {
    const meter = make("i", {});
    meter.style.width = `${100 * share}%`;
    return make("li", {}, make("span", { class: code ? "name code" : "name", title: name }, name), make("div", { class: "meter" }, meter),
      make("span", { class: "number" }, percent(share)));
  });
  return make("ol", { class: "bars" }, ...rows);
}

const likeliest = (shares) => Object.entries(shares).sort((a, b) => b[1] - a[1]).slice(0, MOST);

function verdict(row) {
  const found = row.labels ? row.labels.join(", ") || "none of them" : row.label;
  return [make("p", { class: "big", id: "verdict" }, found), bars(likeliest(row.probabilities))];
}

function table(values) {
  return make("table", {}, make("tbody", {}, ...Object.entries(values).map(([name, value]) =>
    make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, short(value))))));
}

function tags(labels, steps, sure, model) {
  const known = model.output.labels ?? [...new Set(labels)];
  const place = (label) => colour(known.indexOf(label));
  const key = make("ul", { class: "key" }, ...[...new Set(labels)].map((label) => make("li", { class: place(label) }, label)));
  if (steps) {
    const shown = labels.map((label, k) => make("span", { class: place(label), title: sure ? percent(sure[k]) : "" }, steps[k], make("small", {}, label)));
    return [make("div", { class: "tags", id: "verdict" }, ...shown)];
  }
  const ribbon = make("div", { class: "ribbon", role: "img", "aria-label": `Labels of ${labels.length} steps` },
    ...labels.map((label, k) => make("i", { class: place(label), title: `step ${k + 1}: ${label}` })));
  return [make("p", { class: "big", id: "verdict" }, labels.at(-1) ?? ""), ribbon, key];
}

function caption(row) {
  const picture = document.querySelector("#picture");
  const buttons = row.units.map((unit, k) => make("button", {
    onfocus: () => look(picture, row.attention[k]), onmouseenter: () => look(picture, row.attention[k]),
  }, unit));
  const hint = picture ? "Point at a word to see where the network looked." : "";
  return [make("p", { class: "said", id: "verdict" }, row.caption), make("div", { class: "words" }, ...buttons), make("p", { class: "muted" }, hint)];
}

/** Darken what a word was not taken from. */
function look(picture, attention) {
  const side = Math.round(Math.sqrt(attention?.length ?? 0));
  if (!picture || side * side !== attention.length) return;
  picture.querySelector("canvas")?.remove();
  const veil = make("canvas", { width: side, height: side });
  const ink = veil.getContext("2d");
  const most = Math.max(...attention);
  attention.forEach((share, k) => {
    ink.fillStyle = `rgba(0, 0, 0, ${0.75 * (1 - share / most)})`;
    ink.fillRect(k % side, Math.floor(k / side), 1, 1);
  });
  picture.append(veil);
}

function next(likely) {
  return bars(likely.map(({ text, unit, probability }) => [visible(text ?? unit), probability]), true);
}

function score(row, input) {
  const names = { loss: "nats a unit", perplexity: "perplexity", bits_per_character: "bits a character" };
  const values = Object.fromEntries(Object.entries(row).filter(([name, value]) => typeof value === "number" && names[name] !== undefined)
    .map(([name, value]) => [names[name], value]));
  const more = row.continuation === undefined ? [] : [make("p", { class: "surprise", id: "continuation" }, input ?? "", make("strong", {}, row.continuation))];
  return [...more, table(values), make("h3", {}, "Next"), next(row.next)];
}

function read(row) {
  const times = row.symbols?.length ? [make("details", {}, make("summary", {}, "When each symbol was said"),
    table(Object.fromEntries(row.symbols.map(({ symbol, start, end }, k) => [`${k + 1}. ${visible(symbol)}`, (start + end) / 2]))))] : [];
  return [make("p", { class: "big", id: "verdict" }, row.text), ...times];
}

const levels = (quantiles) => Object.entries(quantiles).map(([name, values]) => [Number(name.replace("q", "")), values]).sort((a, b) => a[0] - b[0]);

/** The target's own past, where the input shows it. */
function past(input, target) {
  if (!Array.isArray(input)) return [];
  if (typeof input[0] === "number") return input;
  return input.map((row) => (Array.isArray(row) ? row[0] : row?.[target])).filter((value) => typeof value === "number");
}

function forecast(row, model, input) {
  return row.forecast.flatMap((one) => coming(one.target ?? one.series ?? "forecast", one, past(input, one.target), one.times));
}

function coming(name, one, history, times) {
  const steps = one.values.map((value, k) => make("tr", {}, make("th", { scope: "row" }, times?.[k] ?? `+${k + 1}`), make("td", {}, short(value)),
    ...levels(one.quantiles).map(([, values]) => make("td", {}, short(values[k])))));
  const head = make("tr", {}, ...["", "value", ...levels(one.quantiles).map(([level]) => percent(level))].map((text) => make("th", { scope: "col" }, text)));
  return [make("h3", {}, name), bands(history, one.values, levels(one.quantiles)),
    make("details", {}, make("summary", {}, "Numbers"), make("table", {}, make("thead", {}, head), make("tbody", {}, ...steps)))];
}

const WHOLE = {
  label: verdict,
  values: (row) => [table(row.values)],
  labels: (row, model, input) => tags(row.labels, row.words ?? (typeof input?.[0] === "string" ? input : null), row.probabilities, model),
  next: (row, model, input) => score(row, input),
  forecast,
  text: read,
  caption,
};

const STREAMED = {
  label: (answer, view) => [...verdict(answer), lines(view.keep(answer.probabilities), 0, 1, "Probabilities after each part")],
  values: (answer, view) => [table(answer.values), lines(view.keep(answer.values), null, null, "Values after each part")],
  labels(answer, view, part) {
    const words = view.model.input.kind === "words";
    if (words) view.read.push(...(Array.isArray(part) ? part : String(part ?? "").split(/\s+/)).filter(Boolean));
    for (const tag of answer.tags) view.keep(tag);
    const labels = view.seen.map((tag) => tag.label);
    const sure = view.seen.map((tag) => tag.probabilities[tag.label]);
    return tags(labels, words ? view.read.slice(0, labels.length) : null, sure, view.model);
  },
  next(answer, view) {
    for (const unit of answer.units) view.keep(unit);
    const shown = view.seen.map(({ unit, surprise }) => {
      const span = make("span", { title: `surprise ${short(surprise)} nats` }, unit);
      span.style.setProperty("--how", `${Math.min(80, 14 * surprise)}%`);
      return span;
    });
    return [make("p", { class: "surprise", id: "verdict" }, ...shown), make("p", { class: "muted" },
      `log probability ${short(answer.log_probability)} nats; the redder, the more surprising`), make("h3", {}, "Next"), next(answer.next)];
  },
  forecast(answer, view, part) {
    for (const row of part?.rows ?? part ?? []) view.keep(row);
    const columns = view.model.input.targets ?? [];
    return Object.entries(answer.forecast ?? {}).flatMap(([target, one]) => {
      const place = Math.max(0, columns.indexOf(target));
      const value = (row) => (Array.isArray(row) ? row[place] : row?.[target] ?? row);
      const history = view.seen.map(value).filter((one) => typeof one === "number");
      return coming(target, one, history, answer.times);
    });
  },
  text: read,
};
