"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const make = (name, text, classes) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text; // text alone: a label can never become markup
    if (classes) element.className = classes;
    return element;
  };
  const svg = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };

  // ---- colours of the page
  const root = document.documentElement;
  const dark = window.matchMedia && window.matchMedia("(prefers-color-scheme: dark)").matches;
  if (root.dataset.theme === "auto") root.dataset.theme = dark ? "dark" : "light";
  byId("theme").addEventListener("click", () => {
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  });

  let shown = null; // paper is light
  window.addEventListener("beforeprint", () => { shown = root.dataset.theme; root.dataset.theme = "light"; });
  window.addEventListener("afterprint", () => { root.dataset.theme = shown || "light"; });

  // ---- what an element says of itself, where the reader points
  const tip = byId("tip");
  const show = (event) => {
    const element = event.target.closest && event.target.closest("[data-tip]");
    tip.hidden = !element;
    if (!element) return;
    tip.textContent = element.dataset.tip;
    const box = element.getBoundingClientRect();
    const x = event.clientX || box.left, y = event.clientY || box.bottom;
    tip.style.left = Math.min(x + 12, window.innerWidth - tip.offsetWidth - 8) + "px";
    tip.style.top = Math.min(y + 14, window.innerHeight - tip.offsetHeight - 8) + "px";
  };
  document.addEventListener("mousemove", show);
  document.addEventListener("focusin", show);

  const data = JSON.parse(byId("data").textContent);
  if (!data || !data.networks || !data.networks.length) return;

  const now = { network: 0, trace: 0, unit: 0, step: 0, mode: "unit" };
  const text = byId("text"), curve = byId("curve"), units = byId("units");
  const visible = (label) => (label === "\n" ? "↵" : label === " " ? "␣" : label === "" ? "·" : label);
  const network = () => data.networks[now.network];
  const trace = () => network().traces[now.trace];
  const decoded = new Map();
  const bytes = (t) => {
    if (!decoded.has(t)) {
      const raw = atob(t.data), found = new Int8Array(raw.length);
      for (let i = 0; i < raw.length; i++) found[i] = (raw.charCodeAt(i) << 24) >> 24;
      decoded.set(t, found);
    }
    return decoded.get(t);
  };
  const value = (t, place, step) => (bytes(t)[place * network().labels.length + step] * t.scales[place]) / 127;
  const activity = () => {
    const t = trace(), length = network().labels.length, found = new Float64Array(length);
    for (let s = 0; s < length; s++) found[s] = value(t, now.unit, s);
    return found;
  };
  const known = () => data.surprise && data.surprise.aligned && now.network === 0;
  const shade = (v, most) => {
    const share = most > 0 ? Math.min(1, Math.abs(v) / most) : 0;
    return `rgba(var(${v < 0 ? "--negative" : "--positive"}), ${(0.85 * share).toFixed(3)})`;
  };

  // ---- the text
  let spans = [];
  // Letters stand close together; words, and steps that only have numbers, apart.
  const lettered = (labels) => !labels.every((label, s) => label === String(s + 1)) &&
    (labels.every((label) => [...label].length <= 1) || labels.some((label) => label.includes(" ")));
  const write = () => {
    const labels = network().labels;
    const letters = lettered(labels);
    text.classList.toggle("spaced", !letters);
    spans = labels.map((label, step) => {
      const span = make("span", letters && label === "\n" ? "↵\n" : label === "" ? "·" : label);
      span.dataset.step = step;
      return span;
    });
    text.replaceChildren(...spans);
    now.step = Math.min(now.step, labels.length - 1);
  };
  const numbers = () => {
    if (now.mode === "surprise") {
      const nats = data.surprise.nats; // a step is as surprising as the one before it found it
      return data.surprise.ahead ? nats.map((_, s) => (s === 0 ? 0 : nats[s - 1] || 0)) : nats;
    }
    if (now.mode === "entropy") return data.surprise.entropy;
    return activity();
  };
  const paint = () => {
    const found = numbers();
    const t = trace();
    // A gate or a state that only takes one sign is coloured over its own range.
    let most = 0;
    for (const v of found) most = Math.max(most, Math.abs(v || 0));
    const what = now.mode === "unit" ? `${t.place} ${t.name}[${t.units[now.unit]}]` : now.mode;
    spans.forEach((span, s) => {
      span.style.backgroundColor = shade(found[s] || 0, most);
      span.dataset.tip = `step ${s + 1} ${visible(network().labels[s])}: ${what} ${(found[s] || 0).toFixed(3)}`;
    });
    byId("what").textContent = `${what}: ${(-most).toFixed(2)} `;
    byId("most").textContent = ` ${most.toFixed(2)}`;
    draw(found, most);
    passages();
  };

  // ---- its curve
  const draw = (found, most) => {
    const wide = Math.max(1, found.length - 1);
    curve.setAttribute("viewBox", `0 0 ${wide} 100`);
    const points = Array.from(found, (v, s) => `${s},${(50 - (45 * (v || 0)) / (most || 1)).toFixed(1)}`).join(" ");
    curve.replaceChildren(svg("line", { class: "zero", x1: 0, x2: wide, y1: 50, y2: 50 }), svg("polyline", { points }));
    curve.append(svg("line", { id: "cursor", y1: 0, y2: 100 }));
    mark();
  };
  const mark = () => {
    const cursor = byId("cursor");
    if (cursor) { cursor.setAttribute("x1", now.step); cursor.setAttribute("x2", now.step); }
    const point = byId("here"), at = network().path.points[now.step];
    if (!point || !at) return;
    point.setAttribute("cx", px(at));
    point.setAttribute("cy", py(at));
    const last = network().path.points.slice(Math.max(0, now.step - 24), now.step + 1);
    byId("trail").setAttribute("points", last.map((p) => `${px(p)},${py(p)}`).join(" "));
  };

  // ---- the path of the state
  let px = () => 0, py = () => 0;
  const way = () => {
    const points = network().path.points, xs = points.map((p) => p[0]), ys = points.map((p) => p[1]);
    const low = [Math.min(...xs), Math.min(...ys)], high = [Math.max(...xs), Math.max(...ys)];
    px = (p) => (10 + (280 * (p[0] - low[0])) / (high[0] - low[0] || 1)).toFixed(1);
    py = (p) => (190 - (180 * (p[1] - low[1])) / (high[1] - low[1] || 1)).toFixed(1);
    byId("path").replaceChildren(
      svg("polyline", { class: points.length > 200 ? "tangle" : "", points: points.map((p) => `${px(p)},${py(p)}`).join(" ") }),
      svg("polyline", { id: "trail", class: "trail" }), svg("circle", { id: "here", r: 4 }));
  };

  // ---- what is known of a step
  const row = (words, share, number, choose) => {
    const item = make("li"), meter = make("div", undefined, "meter"), bar = make("i");
    const name = choose ? make("button", words) : make("span", words);
    if (choose) name.addEventListener("click", choose);
    bar.style.width = `${Math.round(100 * Math.min(1, share))}%`;
    meter.append(bar);
    item.append(name, meter, make("span", number));
    return item;
  };
  const detail = () => {
    const labels = network().labels;
    byId("step").textContent = `Step ${now.step + 1} of ${labels.length}: ${visible(labels[now.step])}`;
    const likely = byId("likely");
    likely.replaceChildren();
    byId("next").hidden = !known();
    byId("next-head").textContent = data.surprise && data.surprise.ahead ? "Expected next" : "Its answer";
    if (known()) {
      data.surprise.likely[now.step].forEach((word, k) => {
        const p = data.surprise.probabilities[now.step][k];
        likely.append(row(visible(word), p, `${(100 * p).toFixed(1)} %`));
      });
      const cost = data.surprise.nats[now.step];
      byId("came").textContent = cost === undefined || cost === null ? "" :
        `${data.surprise.ahead ? `Came: ${visible(data.surprise.answers[now.step])}` : "The right answer"}, ` +
        `p ${Math.exp(-cost).toPrecision(2)}, ${cost.toFixed(2)} nats`;
    }
    const t = trace(), most = Math.max(...t.scales);
    const all = t.units.map((number, place) => [place, number, value(t, place, now.step)]);
    all.sort((a, b) => Math.abs(b[2]) - Math.abs(a[2]));
    byId("active").replaceChildren(...all.slice(0, 6).map(([place, number, v]) =>
      row(`${t.name}[${number}]`, most ? Math.abs(v) / most : 0, v.toFixed(3), () => choose(place))));
    t.units.forEach((_, place) => { units.children[place].style.backgroundColor = shade(value(t, place, now.step), t.scales[place]); });
  };
  const go = (step, scroll) => {
    spans[now.step].classList.remove("now");
    now.step = Math.max(0, Math.min(network().labels.length - 1, step));
    spans[now.step].classList.add("now");
    if (scroll) {
      const box = text.getBoundingClientRect(), at = spans[now.step].getBoundingClientRect();
      if (at.top < box.top || at.bottom > box.bottom) text.scrollTop += at.top - box.top - box.height / 2;
    }
    mark();
    detail();
  };

  // ---- units
  const list = () => {
    const t = trace();
    units.replaceChildren(...t.units.map((number, place) => {
      const button = make("button", String(number));
      button.addEventListener("click", () => choose(place));
      button.setAttribute("aria-label", `unit ${number}`);
      return button;
    }));
    byId("some").textContent = t.units.length < t.of ? `${t.units.length} of ${t.of} units: those that move most` : `${t.of} units`;
  };
  const choose = (place) => {
    const count = trace().units.length;
    now.unit = ((place % count) + count) % count;
    now.mode = "unit";
    byId("mode").value = "unit";
    for (const [k, button] of [...units.children].entries()) {
      button.setAttribute("aria-pressed", String(k === now.unit));
      button.tabIndex = k === now.unit ? 0 : -1; // Tab stops once at all of them, arrows go on from there
    }
    paint();
  };
  const passages = () => {
    const found = numbers(), labels = network().labels, picked = [];
    const order = Array.from(found, (_, s) => s).sort((a, b) => (found[b] || 0) - (found[a] || 0));
    for (const s of order) {
      if (picked.every((other) => Math.abs(other - s) > 20)) picked.push(s);
      if (picked.length === 5) break;
    }
    const gap = text.classList.contains("spaced") ? " " : "";
    byId("passages").replaceChildren(...picked.map((s) => {
      const item = make("li");
      const words = labels.slice(Math.max(0, s - 14), s + 8).map((label) => (label === "\n" ? "↵" : label)).join(gap);
      const button = make("button", words);
      button.addEventListener("click", () => go(s, true));
      item.append(button);
      return item;
    }));
  };
  const option = (select, entries) => select.replaceChildren(...entries.map(([key, words]) => {
    const one = make("option", words);
    one.value = key;
    return one;
  }));
  const change = () => {
    now.unit = 0;
    list();
    choose(0);
    detail();
  };
  const read = () => {
    option(byId("trace"), network().traces.map((t, k) => [k, `${t.place}: ${t.kind} ${t.name}`]));
    now.trace = 0;
    write();
    way();
    change();
    go(0);
  };

  // ---- controls
  option(byId("network-choice"), data.networks.map((one, k) => [k, one.name || "network"]));
  byId("network-label").hidden = data.networks.length < 2;
  option(byId("pattern"), [["", "a unit that follows …"], ...data.followers.map((f, k) =>
    [k, `${f.pattern} (|r| ${f.score.toFixed(2)})`])]);
  byId("pattern-label").hidden = !data.followers.length;
  const modes = [["unit", "the unit"]];
  if (data.surprise && data.surprise.aligned) {
    if (data.surprise.nats.length) modes.push(["surprise", "surprise (nats)"]);
    modes.push(["entropy", "how unsure it is (nats)"]);
  }
  option(byId("mode"), modes);
  byId("network-choice").addEventListener("change", (event) => { now.network = Number(event.target.value); read(); });
  byId("trace").addEventListener("change", (event) => { now.trace = Number(event.target.value); change(); });
  byId("mode").addEventListener("change", (event) => { now.mode = event.target.value; paint(); });
  byId("pattern").addEventListener("change", (event) => {
    if (event.target.value === "") return;
    const one = data.followers[Number(event.target.value)];
    if (now.network !== 0) { now.network = 0; byId("network-choice").value = "0"; read(); }
    now.trace = one.trace;
    byId("trace").value = String(one.trace);
    list();
    choose(trace().units.indexOf(one.unit));
    detail();
  });
  text.addEventListener("click", (event) => {
    const span = event.target.closest("span");
    if (span) go(Number(span.dataset.step));
  });
  curve.addEventListener("click", (event) => {
    const box = curve.getBoundingClientRect();
    go(Math.round(((event.clientX - box.left) / box.width) * (network().labels.length - 1)), true);
  });
  document.addEventListener("keydown", (event) => {
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) || event.ctrlKey || event.metaKey || event.altKey) return;
    const turns = { ArrowLeft: -1, ArrowRight: 1, "[": -1, "]": 1 };
    const among = event.target.parentNode === units;
    const inside = event.target === text || event.target === curve;
    const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -25, PageDown: 25 };
    if (inside && event.key in moves) go(now.step + moves[event.key], true);
    else if (inside && event.key === "Home") go(0, true);
    else if (inside && event.key === "End") go(network().labels.length - 1, true);
    else if (event.key in turns && (among || event.key === "[" || event.key === "]")) {
      choose(now.unit + turns[event.key]);
      if (among) units.children[now.unit].focus();
    } else return;
    event.preventDefault();
  });
  let hits = [], hit = -1;
  const find = () => {
    for (const span of spans) span.classList.remove("hit");
    const wanted = byId("find").value.toLowerCase(), starts = [];
    let whole = "";
    for (const label of network().labels) { starts.push(whole.length); whole += label.toLowerCase(); }
    hits = [];
    hit = -1;
    for (let at = wanted ? whole.indexOf(wanted) : -1; at >= 0; at = whole.indexOf(wanted, at + 1)) {
      const first = starts.findLastIndex((start) => start <= at);
      hits.push(first);
      for (let s = first; s < spans.length && starts[s] < at + wanted.length; s++) spans[s].classList.add("hit");
    }
    byId("found").textContent = wanted ? `${hits.length} found` : "";
  };
  byId("find").addEventListener("input", find);
  byId("find").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !hits.length) return;
    hit = (hit + 1) % hits.length;
    go(hits[hit], true);
  });
  read();

  // ---- why this answer: contributions, the same colours
  for (const [k, one] of data.why.entries()) {
    const place = byId(`why-${k}`), most = Math.max(...one.contributions.map((v) => Math.abs(v || 0)));
    const letters = lettered(one.labels);
    place.classList.toggle("spaced", !letters);
    place.replaceChildren(...one.labels.map((label, s) => {
      const span = make("span", letters && label === "\n" ? "↵\n" : label === "" ? "·" : label), v = one.contributions[s] || 0;
      span.style.backgroundColor = shade(v, most);
      span.dataset.tip = `step ${s + 1} ${visible(label)}: ${v >= 0 ? "+" : ""}${v.toPrecision(3)}`;
      return span;
    }));
  }
})();
