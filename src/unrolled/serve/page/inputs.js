// A panel for each kind of input. A panel tells `host` what to do:
//   host.answer(inputs)   the answer to whole inputs        host.file(file)   to a file
//   host.parts(parts, pause, whole, choices)   read parts one after the other, from the beginning
//   host.more(part)       the next part of what is being read   host.done()   nothing follows

import { make } from "./dom.js";
import { pen } from "./pen.js";
import { sound } from "./sound.js";

const PAUSE = 90;
// A part that is no longer is read unit by unit, so that every step is seen.
const FEW = 80;

/** The panel for a model's input. */
export function panel(model, host) {
  const kind = model.input.kind;
  const makers = { text, dna: text, words: text, numbers: rows, history: rows, features: rows, sound, strokes: pen };
  const own = makers[kind] ? [makers[kind](model, host)] : [];
  return make("div", {}, ...own, ...(model.input.files.length ? [drop(model, host)] : []));
}

/** Characters as a stream reads them: a pair of code units is one. */
const characters = (text) => Array.from(text);

function text(model, host) {
  const words = model.input.kind === "words";
  const example = words ? model.input.example.join(" ") : model.input.example;
  const area = make("textarea", { "aria-label": "Text", placeholder: example, spellcheck: "false", rows: 5 });
  const value = () => area.value || example;
  let read = "";
  let later;

  // What is asked for now overtakes what typing would still begin.
  function ask(options) {
    clearTimeout(later);
    return host.answer([words ? value().split(/\s+/).filter(Boolean) : value()], options);
  }

  async function typed() {
    // What was added at the end is read on; any other change starts the stream again.
    const now = area.value;
    if (host.stream && now.startsWith(read) && read !== "") pieces(now.slice(read.length)).forEach((part) => host.more(part));
    else if (now) host.parts(pieces(now), 0);
    else host.reset();
    read = now;
  }

  function pieces(added) {
    const found = words ? added.match(/\S*\s*/g).filter(Boolean) : characters(added);
    return found.length > FEW ? [added] : found;
  }

  area.addEventListener("input", () => {
    if (!model.streams) return;
    clearTimeout(later);
    later = setTimeout(typed, 60);
  });
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) ask();
  });
  function slowly() {
    clearTimeout(later);
    read = "";
    if (!area.value) area.value = example;
    host.parts(words ? area.value.match(/\S+\s*/g) ?? [] : characters(area.value), PAUSE, true);
  }
  const buttons = [make("button", { class: "main", onclick: () => ask(), title: "Ctrl+Enter" }, "Answer")];
  if (model.streams) buttons.push(make("button", { onclick: slowly }, "Read step by step"));
  if (model.output.kind === "next") {
    buttons.push(make("button", { onclick: () => ask({ length: 300, temperature: 0.7 }) }, "Write on"));
  }
  const hint = model.streams ? "Typed text is read as it comes." : "Ctrl+Enter answers.";
  return make("div", {}, area, make("div", { class: "bar" }, ...buttons), make("p", { class: "muted" }, hint));
}

function rows(model, host) {
  const columns = model.input.columns ?? [];
  const named = needsNames(model);
  const area = make("textarea", {
    class: "code", "aria-label": "Rows of numbers", spellcheck: "false", value: asTable(model.input.example, columns, named),
  });
  function whole(act) {
    try {
      act(fromTable(area.value, named));
    } catch (error) {
      host.trouble(error.message);
    }
  }
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) whole((found) => host.answer([found]));
  });
  const buttons = [make("button", { class: "main", onclick: () => whole((found) => host.answer([found])) }, "Answer")];
  const history = model.input.kind === "history";
  // Streams of other objects are not taken: their columns are read with the whole table.
  if (model.streams && (!named || history)) {
    const wide = (row) => [Array.isArray(row) ? row : [row]];
    const slowly = named ? (found) => observed(model, found) : (found) => ({ parts: found.map(wide) });
    buttons.push(make("button", {
      onclick: () => whole((found) => { const { parts, choices } = slowly(found); host.parts(parts, PAUSE, true, choices); }),
    }, "Read step by step"));
  }
  const what = columns.length ? `: ${columns.join(", ")}` : "";
  const hint = `A row a line${named ? ", the first names the columns" : ""}${what}. Ctrl+Enter answers.`;
  return make("div", {}, area, make("div", { class: "bar" }, ...buttons), make("p", { class: "muted" }, hint));
}

/** Rows with names as parts of a forecaster's stream; those at the end without a target say what is known ahead. */
function observed(model, rows) {
  const { targets, known, time } = model.input;
  const seen = (row) => targets.some((name) => row[name] !== null);
  const end = known.length ? rows.findLastIndex(seen) + 1 : rows.length;
  const parts = rows.slice(0, end).map((row) => [row]);
  if (known.length && end) parts[0] = { rows: parts[0], ahead: rows.slice(1) };
  return { parts, choices: time ? { start: rows[0][time] } : {} };
}

const needsNames = (model) => {
  const first = Array.isArray(model.input.example) ? model.input.example[0] : null;
  return first !== null && typeof first === "object" && !Array.isArray(first);
};

function asTable(example, columns, named) {
  const rows = example ?? [];
  if (!named) return rows.map((row) => (Array.isArray(row) ? row.join(", ") : row)).join("\n");
  return [columns.join(", "), ...rows.map((row) => columns.map((name) => row[name] ?? "").join(", "))].join("\n");
}

function fromTable(text, named) {
  const lines = text.split("\n").map((line) => line.trim()).filter(Boolean).map((line) => line.split(/\s*[,;\t]\s*/));
  if (!lines.length) throw new Error("There are no rows; write one a line, its values with commas between.");
  if (named) {
    const [names, ...rest] = lines;
    return rest.map((cells) => Object.fromEntries(names.map((name, place) => [name, cell(cells[place] ?? "", false)])));
  }
  const found = lines.map((cells, place) => cells.map((one) => cell(one, true, place + 1)));
  return found.every((row) => row.length === 1) ? found.map(([only]) => only) : found;
}

function cell(written, strict, row) {
  if (written === "" || /^(nan|null|\?)$/i.test(written)) return null;
  const number = Number(written);
  if (!Number.isNaN(number)) return number;
  if (strict) throw new Error(`Row ${row} holds “${written.slice(0, 30)}”, which is no number; mend it.`);
  return written;
}

function drop(model, host) {
  const suffixes = model.input.files;
  const input = make("input", { type: "file", accept: suffixes.join(","), "aria-label": "File" });
  const shown = make("div", {});
  function take(file) {
    shown.replaceChildren();
    if (file.type.startsWith("image/")) {
      const image = make("img", { src: URL.createObjectURL(file), alt: "The picture that is read" });
      shown.append(make("div", { class: "picture", id: "picture" }, image));
    }
    host.file(file);
  }
  input.addEventListener("change", () => { if (input.files.length) take(input.files[0]); });
  const box = make("div", { class: "drop" }, make("label", {}, "Or a file: ", input), shown,
    make("p", { class: "muted" }, `Choose it or drop it here: ${suffixes.join(" ")}`));
  box.addEventListener("dragover", (event) => { event.preventDefault(); box.classList.add("over"); });
  box.addEventListener("dragleave", () => box.classList.remove("over"));
  box.addEventListener("drop", (event) => {
    event.preventDefault();
    box.classList.remove("over");
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });
  return box;
}
