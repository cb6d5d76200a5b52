// The microphone: while it is open a run that streams answers, another one when it is closed.

import { make } from "./dom.js";

/** Samples of a WAV file of 16 bits. */
function wav(samples, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const name = (at, text) => [...text].forEach((one, index) => view.setUint8(at + index, one.charCodeAt(0)));
  name(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  name(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  name(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((value, index) => view.setInt16(44 + 2 * index, Math.max(-1, Math.min(1, value)) * 32767, true));
  return new Blob([view], { type: "audio/wav" });
}

/** A button that listens until it is pressed again. */
export function sound(model, host) {
  const wave = make("canvas", { id: "wave", role: "img", "aria-label": "The sound that was heard" });
  const said = make("output", {});
  const button = make("button", { class: "main", onclick: () => (open ? stop() : start()) }, "Speak");
  let open = null;
  let heard = [];
  let waiting = [];

  function draw() {
    wave.width = wave.clientWidth;
    wave.height = wave.clientHeight;
    const ink = wave.getContext("2d");
    ink.fillStyle = getComputedStyle(wave).color;
    const each = Math.max(1, Math.ceil(heard.length / wave.width));
    for (let x = 0; x * each < heard.length; x += 1) {
      let most = 0;
      for (let k = x * each; k < Math.min(heard.length, (x + 1) * each); k += 1) most = Math.max(most, Math.abs(heard[k]));
      ink.fillRect(x, (wave.height * (1 - most)) / 2, 1, Math.max(1, wave.height * most));
    }
    said.value = `${(heard.length / model.input.rate).toFixed(1)} s`;
  }

  function flush() {
    if (!waiting.length) return;
    const part = waiting.map((value) => Math.round(value * 1e4) / 1e4);
    waiting = [];
    if (open.first) host.parts([part], 0);
    else host.more(part);
    open.first = false;
  }

  async function start() {
    heard = [];
    waiting = [];
    host.reset();
    let media;
    try {
      media = await navigator.mediaDevices.getUserMedia({ audio: true });
    } catch {
      host.trouble("The microphone cannot be used; allow it for this page, or choose a file.");
      return;
    }
    // The browser resamples to the rate that the run was trained at.
    const context = new AudioContext({ sampleRate: model.input.rate });
    await context.audioWorklet.addModule("/page/microphone.js");
    const node = new AudioWorkletNode(context, "microphone");
    context.createMediaStreamSource(media).connect(node);
    open = { media, context, first: true };
    node.port.onmessage = ({ data }) => {
      if (!open) return;
      heard.push(...data);
      waiting.push(...data);
      draw();
      if (model.streams && waiting.length >= model.input.rate / 10) flush();
    };
    button.textContent = "Stop";
  }

  async function stop() {
    if (model.streams) {
      flush();
      host.done();
    }
    const { media, context } = open;
    open = null;
    button.textContent = "Speak";
    media.getTracks().forEach((track) => track.stop());
    await context.close();
    if (!heard.length) host.trouble("Nothing was heard; see whether the microphone is on.");
    else if (!model.streams) host.file(wav(heard, model.input.rate), "speech.wav");
  }

  const hint = model.streams ? "The answer grows while you speak." : "The answer comes when you stop.";
  return make("div", {}, wave, make("div", { class: "bar" }, button, said), make("p", { class: "muted" }, hint));
}
