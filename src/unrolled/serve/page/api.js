// What the page asks the server: the models, whole answers, and streams.

let key = null;

export const setKey = (given) => { key = given; };

/** A refusal of the server: one sentence, and its status. */
export class Refusal extends Error {
  constructor(sentence, status) {
    super(sentence);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  let reply;
  try {
    reply = await fetch(path, { ...options, headers });
  } catch {
    throw new Refusal("The server does not answer; see whether it still runs.", 0);
  }
  if (reply.ok) return reply;
  let said;
  try {
    said = (await reply.json()).error;
  } catch {
    said = `The server answered with status ${reply.status}.`;
  }
  throw new Refusal(said, reply.status);
}

export const models = async () => (await ask("/models")).json();

/** The address of a drawing in this page's memory: an image cannot send a key itself. */
export async function drawing(model, view, theme) {
  const reply = await ask(`${model.links.drawing}?view=${view}&theme=${theme}`);
  return URL.createObjectURL(await reply.blob());
}

/** The answers to whole inputs, as JSON. */
export async function predict(model, inputs, options = {}) {
  const body = JSON.stringify({ inputs, ...(Object.keys(options).length ? { options } : {}) });
  return (await (await ask(model.links.predict, { method: "POST", body, headers: { "Content-Type": "application/json" } })).json()).predictions;
}

/** The answers to the inputs in a file. */
export async function predictFile(model, file, name = file.name) {
  const body = new FormData();
  body.append("file", file, name);
  return (await (await ask(model.links.predict, { method: "POST", body })).json()).predictions;
}

/** A stream: parts go in one after the other, each is answered before the next is sent. */
export class Stream {
  constructor(model, choices) {
    const address = new URL(model.links.stream, location.href);
    address.search = new URLSearchParams(choices);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    this.socket = new WebSocket(address);
    this.waiting = [];
    this.last = Promise.resolve();
    this.ended = null;
    this.opened = this.expect();
    this.socket.addEventListener("open", () => { if (key) this.socket.send(JSON.stringify({ key })); });
    this.socket.addEventListener("message", (event) => this.hear(JSON.parse(event.data)));
    this.socket.addEventListener("close", () => this.end(new Refusal("The stream was closed; start again.", 0)));
    this.opened.catch(() => {});
  }

  expect() {
    return new Promise((resolve, reject) => { this.waiting.push({ resolve, reject }); });
  }

  hear(message) {
    if (message.error !== undefined) {
      const refusal = new Refusal(message.error, message.status);
      if (this.waiting.length) this.waiting.shift().reject(refusal);
      else this.ended ??= refusal;
    } else this.waiting.shift()?.resolve(message);
  }

  end(refusal) {
    this.ended ??= refusal;
    for (const { reject } of this.waiting.splice(0)) reject(this.ended);
  }

  /** Send the next message when the one before was answered. */
  say(message) {
    const turn = this.last.then(async () => {
      await this.opened;
      if (this.ended) throw this.ended;
      const answered = this.expect();
      this.socket.send(JSON.stringify(message));
      return answered;
    });
    this.last = turn.catch(() => {});
    return turn;
  }

  push(part) {
    return this.say({ push: part, look: true });
  }

  finish() {
    return this.say({ finish: true });
  }

  close() {
    this.ended ??= new Refusal("The stream was closed; start again.", 0);
    const close = () => this.socket.close();
    // A browser complains of a connection that is closed before it is made.
    if (this.socket.readyState === WebSocket.CONNECTING) this.socket.addEventListener("open", close);
    else close();
  }
}
