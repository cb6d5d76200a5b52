"""The page as HTML: everything in one file, nothing loaded, labels escaped."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np

from unrolled.inspect.condition import ALIKE, CLOSED, OPEN
from unrolled.inspect.draw import Picture
from unrolled.inspect.inspection import Depth, Inspection, Reading
from unrolled.inspect.report.charts import decay_chart, heat_table, visible
from unrolled.inspect.report.data import BUDGET, page_data
from unrolled.inspect.why import Attribution, Surprise
from unrolled.inspect.words import comparison

_MOST_ROWS = 20


def report_html(
    found: Inspection,
    pictures: Mapping[str, Picture],
    compared: Inspection | None = None,
    *,
    theme: str = "auto",
    budget: int = BUDGET,
) -> str:
    """The report of one inspection, beside another run where that was asked for."""
    sections = [
        ("summary", "In short", _summary(found, compared)),
        ("network", "The network", _drawings(pictures)),
        ("gradient", "Gradient through time", _gradient(found.depth)),
        ("horizon", "Memory horizon", _horizon(found.depth)),
    ]
    reading = found.reading
    if reading is not None and reading.states:
        sections += [("units", "Units at work", _explorer()), ("health", "Health of the units", _health(reading))]
    if reading is not None and reading.why:
        sections.append(("why", "Why this answer", _why(reading.why)))
    if reading is not None and reading.surprise is not None:
        sections.append(("expected", "What it expected", _expected(reading.surprise)))
    if reading is not None and reading.attention is not None:
        looked = reading.attention
        table = heat_table(looked.answers, looked.steps, looked.weights, "A row an answer: where it looked.")
        sections.append(("attention", "Attention", table))
    kept = [(key, head, body) for key, head, body in sections if body]
    data = {} if reading is None or not reading.states else page_data(reading, budget)
    return _document(found, kept, data, theme)


def _document(found: Inspection, sections: Sequence[tuple[str, str, str]], data: Any, theme: str) -> str:
    script, style = _part("report.js"), _part("report.css")
    # Only this script may run and nothing may be fetched, whatever a label says.
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src '{_digest(script)}'"
    name = f"{found.run}: inside"
    facts = f"{found.task}, {found.cell}, {found.layers} × {found.hidden} units, {found.parameters:,} weights"
    links = "".join(f'<a href="#part-{key}">{escape(head)}</a>' for key, head, _ in sections)
    body = "\n".join(
        f'<section id="part-{key}"><h2>{escape(head)}</h2>\n{content}</section>' for key, head, content in sections
    )
    return f"""<!doctype html>
<html lang="en" data-theme="{escape(theme)}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_clean(name)}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<header><div><h1>{_clean(found.run)}</h1><p class="muted">{_clean(facts)}</p></div>
<button id="theme" type="button">light / dark</button></header>
<nav aria-label="parts">{links}</nav>
<main>
{body}
</main>
<div id="tip" role="tooltip" hidden></div>
<script type="application/json" id="data">{embedded(data)}</script>
<script>{script}</script>
</body>
</html>
"""


def embedded(data: Any) -> str:
    """JSON that may stand in a script element: nothing in it can end the element or begin another."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def _part(name: str) -> str:
    return files("unrolled.inspect.report").joinpath(name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _clean(words: str) -> str:
    return escape(words.encode("utf-8", "replace").decode())


def _items(lines: Sequence[str]) -> str:
    return f'<ul class="said">{"".join(f"<li>{_clean(line)}</li>" for line in lines)}</ul>'


# ---- sections


def _summary(found: Inspection, compared: Inspection | None) -> str:
    depth = found.depth
    lines = [f"Looked at {depth.data}."]
    lines += [f"Gradient, {g.place}: {_sentence(g.verdict.sentence)}" for g in depth.gradients]
    # The advice of several layers differs in a number at most.
    lines += [_sentence(g.verdict.advice) for g in depth.gradients if g.verdict.advice][:1]
    horizon = depth.horizon
    if horizon is not None:
        lines.append(f"It looks back {horizon.words}: further back an input changes less than {horizon.threshold:.0%}.")
    if found.reading is not None and found.reading.surprise is not None and len(found.reading.surprise.nats):
        lines.append(f"On this input: {float(found.reading.surprise.nats.mean()):.3f} nats an answer.")
    beside = ""
    if compared is not None:
        beside = f'<div class="wide" tabindex="0"><pre>{_clean(comparison([found, compared]))}</pre></div>'
    return _items(lines) + beside


def _muted(words: str) -> str:
    return f'<p class="muted">{_clean(words)}</p>'


def _sentence(words: str) -> str:
    return words if not words or words.endswith(".") else f"{words}."


def _drawings(pictures: Mapping[str, Picture]) -> str:
    parts = []
    for name, picture in pictures.items():
        both = "".join(f'<div class="{theme}">{picture.svg(theme)}</div>' for theme in ("light", "dark"))
        opened = " open" if name != "rolled" else ""
        parts.append(
            f'<details{opened}><summary>{_clean(picture.title)}</summary><figure tabindex="0">{both}</figure></details>'
        )
    return "".join(parts)


def _gradient(depth: Depth) -> str:
    if not depth.gradients:
        return _items(depth.remarks) if depth.remarks else ""
    curves = [(str(g.place), g.distances, g.reach) for g in depth.gradients]
    said = [f"{g.place}: {g.verdict.sentence}" for g in depth.gradients]
    said += [f"Jacobian of a step, {s.place}: {s.sentence}" for s in depth.spectra]
    chart = decay_chart(curves, "steps before the last", "what is left of the gradient, ‖dh_T / ds_t‖", level=1.0)
    told = "How much of what the last step teaches reaches earlier ones: below 0.01 training hardly sees what is there."
    return _muted(told) + chart + _items([*said, *depth.remarks])


def _horizon(depth: Depth) -> str:
    if not depth.horizons:
        return ""
    curves = [(f"{h.place}, by {h.by}", h.distances, h.curve) for h in depth.horizons]
    level = depth.horizons[0].threshold
    said = [f"{h.place}, by {h.by}: {h.words}" for h in depth.horizons]
    told = f"How much the last state changes with the input of one step; the horizon is the furthest with {level:.0%}."
    chart = decay_chart(curves, "steps back", "how much another input changes the last state", level=level)
    return _muted(told) + chart + _items(said)


def _explorer() -> str:
    return """<p class="muted">Choose a unit: the text takes the colour of its activity. Arrow keys step through the
text, [ and ] through the units.</p>
<div class="bar">
<label id="network-label">network <select id="network-choice"></select></label>
<label>values <select id="trace"></select></label>
<label>colour <select id="mode"></select></label>
<label id="pattern-label">find <select id="pattern"></select></label>
<label>search <input id="find" type="search"></label><span id="found" class="muted" aria-live="polite"></span>
</div>
<p class="muted"><span id="what"></span><span class="scale"></span><span id="most"></span></p>
<div class="explorer"><div>
<div id="text" class="text" tabindex="0" role="group" aria-label="the input, step by step"></div>
<div id="units" class="units" role="group" aria-label="units"></div>
<p class="muted" id="some"></p>
<svg id="curve" tabindex="0" preserveAspectRatio="none" role="img" aria-label="activity over the steps"></svg>
</div><div class="side">
<h3 id="step" aria-live="polite"></h3>
<div id="next"><h3 id="next-head"></h3><ol id="likely"></ol><p id="came" class="muted"></p></div>
<h3>Most active here</h3><ul id="active"></ul>
<h3>Highest at</h3><ul id="passages" class="passages"></ul>
<h3>Path of the state, the last steps in red</h3>
<svg id="path" viewBox="0 0 300 200" role="img" aria-label="the state in two dimensions"></svg>
</div></div>"""


def _health(reading: Reading) -> str:
    lines = [line for health in reading.health for line in health.lines]
    lines += [
        f"two dimensions show {plane.explained.sum():.0%} of what {plane.place} {plane.name} does"
        for plane in reading.paths
    ]
    told = f"A gate is closed below {CLOSED:g} and open above {OPEN:g}; two units say the same where |r| is above"
    return _muted(f"{told} {ALIKE:g}.") + _items([*lines, *reading.remarks])


def _expected(found: Surprise) -> str:
    """The answers with the likeliest of each; of many, those that surprised the most."""
    nats = found.nats if len(found.nats) else -found.entropy
    order = np.argsort(-nats, kind="stable")[:_MOST_ROWS] if len(nats) > _MOST_ROWS else np.arange(len(nats))
    rows = []
    for u in order:
        pairs = list(zip(found.likely[u], found.probabilities[u], strict=False))[:3]
        likely = ", ".join(f"{visible(word)} {p:.1%}" for word, p in pairs)
        cost = f"{found.nats[u]:.2f}" if len(found.nats) else ""
        cells = (str(u + 1), visible(found.answers[u]), likely, cost)
        rows.append("<tr>" + "".join(f"<td>{_clean(cell)}</td>" for cell in cells) + "</tr>")
    which = "the most surprising answers" if len(nats) > _MOST_ROWS else "the answers"
    head = "<tr><th>place</th><th>answer</th><th>likeliest</th><th>nats</th></tr>"
    told = f"{which.capitalize()}, and what was likeliest. Nats are -log p of what came: 0.7 is 1 in 2, 4.6 is 1 in 99."
    return f'{_muted(told)}<table class="plain"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>'


def _why(found: Sequence[Attribution]) -> str:
    parts = [_muted("Red steps speak for the answer, blue ones against it; point at one to see by how much.")]
    for k, one in enumerate(found):
        gap = "" if one.gap is None else f" The contributions sum to the change of the score within {one.gap:.2%}."
        asked = f"the score of {visible(one.output)!r} at {visible(one.answer)!r} ({one.score:.3g})"
        head = f"{one.method}: what each step added to {asked}."
        parts.append(
            f'<h3>{_clean(head)}</h3><p class="muted">{_clean(gap)}</p>'
            f'<div class="text" id="why-{k}" tabindex="0"></div>'
        )
    return "".join(parts)
