// A pad for a pen, a finger or a mouse.

import { make } from "./dom.js";

const QUIET = 250;

/** Strokes are answered when the pen rests; a run that streams reads them while they are drawn. */
export function pen(model, host) {
  const pad = make("canvas", { id: "pad", tabindex: "0", "aria-label": "Pad to write on" });
  const up = make("input", { type: "checkbox" });
  const remembered = `upwards ${model.name}`;
  up.checked = localStorage.getItem(remembered) === "1";
  up.addEventListener("change", () => { localStorage.setItem(remembered, up.checked ? "1" : "0"); again(); });
  let strokes = [];
  let later;
  let sent = 0;

  const turned = ([x, y]) => [x, up.checked ? pad.clientHeight - y : y];

  function place(event) {
    const box = pad.getBoundingClientRect();
    return [Math.round(10 * (event.clientX - box.left)) / 10, Math.round(10 * (event.clientY - box.top)) / 10];
  }

  function draw() {
    const scale = devicePixelRatio || 1;
    pad.width = pad.clientWidth * scale;
    pad.height = pad.clientHeight * scale;
    const ink = pad.getContext("2d");
    ink.scale(scale, scale);
    ink.lineWidth = 3;
    ink.lineCap = ink.lineJoin = "round";
    ink.strokeStyle = getComputedStyle(pad).color;
    for (const stroke of strokes) {
      ink.beginPath();
      stroke.forEach(([x, y], index) => (index ? ink.lineTo(x, y) : ink.moveTo(x, y)));
      if (stroke.length === 1) ink.lineTo(stroke[0][0] + 0.1, stroke[0][1]);
      ink.stroke();
    }
  }

  const flat = () => strokes.flatMap((stroke) => stroke.map((point, index) => [...turned(point), index ? 0 : 1]));

  function send() {
    if (!strokes.length) return;
    if (!model.streams) {
      host.answer([strokes.map((stroke) => stroke.map(turned))]);
      return;
    }
    const points = flat();
    if (sent === 0) host.parts([points], 0);
    else if (points.length > sent) host.more(points.slice(sent));
    sent = points.length;
  }

  function soon(wait) {
    clearTimeout(later);
    later = setTimeout(send, wait);
  }

  function again() {
    sent = 0;
    host.reset();
    soon(0);
  }

  pad.addEventListener("pointerdown", (event) => {
    pad.setPointerCapture(event.pointerId);
    strokes.push([place(event)]);
    draw();
  });
  pad.addEventListener("pointermove", (event) => {
    if (!pad.hasPointerCapture(event.pointerId)) return;
    for (const one of event.getCoalescedEvents?.() ?? [event]) strokes.at(-1).push(place(one));
    draw();
    if (model.streams) soon(0);
  });
  pad.addEventListener("pointerup", () => soon(QUIET));
  function clear() {
    strokes = [];
    draw();
    sent = 0;
    host.reset();
  }
  function undo() {
    strokes.pop();
    draw();
    again();
  }
  function example() {
    const points = model.input.example.flat();
    const most = Math.max(...points.flat());
    const scale = (pad.clientHeight * 0.7) / most;
    const bring = ([x, y]) => [20 + x * scale, up.checked ? pad.clientHeight * 0.85 - y * scale : 20 + y * scale];
    strokes = model.input.example.map((stroke) => stroke.map(bring));
    draw();
    again();
  }
  requestAnimationFrame(draw);
  return make("div", {}, pad, make("div", { class: "bar" },
    make("button", { class: "main", onclick: () => (model.streams && strokes.length ? host.done() : soon(0)) }, "Answer"),
    make("button", { onclick: undo }, "Undo stroke"), make("button", { onclick: clear }, "Clear"),
    make("button", { onclick: example }, "Example"),
    make("label", {}, up, "the run was trained with y upwards")));
}
