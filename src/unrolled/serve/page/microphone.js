// Runs beside the page: hands on what the microphone hears, in pieces of about 40 ms.

class Microphone extends AudioWorkletProcessor {
  constructor() {
    super();
    this.kept = [];
  }

  process([[channel]]) {
    if (channel) {
      this.kept.push(...channel);
      if (this.kept.length >= sampleRate / 25) {
        this.port.postMessage(this.kept);
        this.kept = [];
      }
    }
    return true;
  }
}

registerProcessor("microphone", Microphone);
