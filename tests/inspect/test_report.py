from __future__ import annotations

import base64
import json
import os
import random
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

import unrolled as ur
from unrolled import cells
from unrolled.cli.main import main
from unrolled.inspect.condition import health
from unrolled.inspect.inspection import Depth, Inspection, Reading
from unrolled.inspect.patterns import best_followers
from unrolled.inspect.report import report_html
from unrolled.inspect.report.charts import decay_chart, heat_table
from unrolled.inspect.report.data import packed, page_data
from unrolled.inspect.report.page import embedded
from unrolled.inspect.states import path, record
from unrolled.inspect.subject import AttentionMap
from unrolled.inspect.why import Attribution, Surprise
from unrolled.layers import Recurrent

EVIL = '</script><script>document.title="run"</script><img src=x onerror=alert(1)>'
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def reading(labels: list[str], hidden: int = 6, seed: int = 1) -> Reading:
    """A layer of random weights reads `labels`."""
    torch.manual_seed(seed)
    chance = np.random.default_rng(seed)
    layer = Recurrent(cells.LSTM(), 3, hidden)
    x = torch.randn(1, len(labels), 3)
    states = tuple(record(layer, lambda: layer(x), {"": labels}))
    probabilities = np.sort(chance.dirichlet(np.ones(3), len(labels)))[:, ::-1]
    likely = tuple(("a", EVIL, "\n") for _ in labels)
    nats = -np.log(probabilities[:, 0])
    return Reading(
        "".join(labels),
        states,
        tuple(health(s) for s in states),
        tuple(path(s.trace("h")) for s in states),
        best_followers(states[0]),
        (Attribution("occlusion", tuple(labels), chance.normal(size=len(labels)), EVIL, "b", 1.5, 1.0),),
        Surprise((*labels[1:], "z"), likely, probabilities, chance.random(len(labels)), nats),
        AttentionMap(("one", EVIL), ("x", "y"), chance.dirichlet(np.ones(2), 2)),
    )


def inspection(found: Reading, run: str = "runs/one") -> Inspection:
    return Inspection(run, "language", "LSTM", 1, 6, 240, Depth("a text", (), (), ()), found)


def page(found: Reading, run: str = "runs/one", **more) -> str:
    return report_html(inspection(found, run), {"cell": ur.draw(cells.LSTM())}, **more)


def some_text(length: int) -> list[str]:
    chance = random.Random(4)
    return [chance.choice('ab "\n') for _ in range(length)]


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs) -> None:
        self.found.append((tag, dict(attrs)))


def tags(text: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(text)
    return parser.found


def test_values_come_back_from_a_byte_each() -> None:
    values = np.random.default_rng(2).normal(size=(40, 5)) * [1, 10, 0.01, 100, 0]
    values[3, 1] = np.nan
    scales, data = packed(values)
    back = np.frombuffer(base64.b64decode(data), np.int8).reshape(5, 40).T * np.array(scales) / 127
    assert np.abs(back - np.nan_to_num(values)).max(0) == pytest.approx(np.zeros(5), abs=1.0)
    assert (np.abs(back - np.nan_to_num(values)).max(0) <= np.array(scales) / 127).all()


def test_where_not_all_units_fit_the_followers_and_the_liveliest_stay() -> None:
    found = reading(some_text(50), hidden=30)
    whole = page_data(found)
    assert all(t["units"] == list(range(30)) for t in whole["networks"][0]["traces"])
    small = page_data(found, budget=50 * 6 * 8)
    traces = small["networks"][0]["traces"]
    assert all(len(t["units"]) == 8 and t["of"] == 30 for t in traces)
    assert len(small["followers"]) > 3
    for one in small["followers"]:
        assert one["unit"] in traces[one["trace"]]["units"]
    states = found.states[0].trace("c").values
    liveliest = int(states.std(0).argmax())
    assert liveliest in next(t for t in traces if t["name"] == "c")["units"]


def test_json_cannot_leave_its_element() -> None:
    data = {"label": EVIL + "\u2028\ud800<!--"}
    text = embedded(data)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text)["label"].startswith(EVIL)


def test_labels_of_any_kind_stay_text() -> None:
    found = replace(reading([EVIL, "b", "\n"] * 3), text=EVIL)
    text = page(found, run=EVIL)
    assert [name for name, _ in tags(text)].count("script") == 2
    assert not [attributes for name, attributes in tags(text) if any(key.startswith("on") for key in attributes)]
    assert "img" not in [name for name, _ in tags(text)]


def test_the_page_needs_nothing_but_itself() -> None:
    text = page(reading(some_text(30)))
    for _, attributes in tags(text):
        for key in ("src", "href"):
            assert (attributes.get(key) or "#").startswith(("#", "data:"))
    assert "default-src 'none'" in text and "url(" not in text and "@import" not in text
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)


def test_ids_are_there_once_and_links_lead_somewhere() -> None:
    found = [attributes for _, attributes in tags(page(reading(some_text(30))))]
    ids = [a["id"] for a in found if "id" in a]
    assert len(ids) == len(set(ids))
    for attributes in found:
        if (attributes.get("href") or "").startswith("#"):
            assert attributes["href"][1:] in ids


def test_five_thousand_characters_take_less_than_five_megabytes() -> None:
    assert len(page(reading(some_text(5000), hidden=128)).encode()) < 5_000_000


def test_curves_and_tables_say_what_they_show() -> None:
    distances, sizes = np.arange(40), np.exp(-0.3 * np.arange(40))
    chart = decay_chart([("layer <1>", distances, sizes)], "steps", "size", level=0.01)
    assert "layer &lt;1&gt;: 1 at 0 steps" in chart and "<polyline" in chart and 'class="level"' in chart
    assert decay_chart([("none", distances, np.full(40, np.nan))], "steps", "size")
    table = heat_table(["a", " "], ["x", "y"], np.array([[0.25, 0.75], [1.0, 0.0]]), "head")
    assert "a looked at y: 75.0%" in table and table.count("<td style") == 4 and "␣" in table


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="the browser test needs playwright")
    if CHROMIUM is None:
        pytest.skip("the browser test needs Chromium")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield found
        found.close()


@pytest.fixture
def opened(browser, tmp_path: Path):
    """Opens a page and fails for any error of the console and any request besides the page itself."""
    troubles: list[str] = []

    def open_(text: str):
        file = tmp_path / "report.html"
        file.write_text(text, encoding="utf-8", errors="replace")
        view = browser.new_page(color_scheme="dark")
        view.on("console", lambda message: troubles.append(f"console: {message.text}"))
        view.on("pageerror", lambda error: troubles.append(f"error: {error}"))
        view.on("request", lambda request: request.url == file.as_uri() or troubles.append(f"request: {request.url}"))
        view.goto(file.as_uri())
        return view

    yield open_
    assert troubles == []


def colours(view) -> list[str]:
    return view.eval_on_selector_all("#text span", "spans => spans.map(s => getComputedStyle(s).backgroundColor)")


def test_clicking_a_unit_colours_the_text(opened) -> None:
    found = reading(some_text(60))
    view = opened(page(found))
    view.select_option("#trace", label="layer 1: state c")
    view.click("#units button >> nth=3")
    assert view.get_attribute("#units button >> nth=3", "aria-pressed") == "true"
    values = found.states[0].trace("c").values[:, 3]
    shown = colours(view)
    assert len(shown) == 60
    most = np.abs(values).max()
    for colour, value in zip(shown, values, strict=True):
        red, _, blue, *alpha = map(float, re.findall(r"[\d.]+", colour))
        assert (alpha or [1.0])[0] == pytest.approx(0.85 * abs(value) / most, abs=0.02)
        assert abs(value) < 0.02 * most or (red > blue) == (value > 0)
    view.click("#units button >> nth=1")
    assert colours(view) != shown


def test_the_page_is_used_by_keyboard_and_search(opened) -> None:
    labels = some_text(60)
    view = opened(page(reading(labels)))
    view.focus("#text")
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "End"):
        view.keyboard.press(key)
    assert view.inner_text("#step").startswith("Step 60 of 60")
    view.keyboard.press("Home")
    assert view.inner_text("#step").startswith("Step 1 of 60")
    view.keyboard.press("]")
    assert view.get_attribute("#units button >> nth=1", "aria-pressed") == "true"
    view.fill("#find", "ab")
    text = "".join(labels)
    assert view.inner_text("#found") == f"{len(re.findall('(?=ab)', text))} found"
    view.press("#find", "Enter")
    assert view.inner_text("#step").startswith(f"Step {text.index('ab') + 1} of")
    view.hover("#text span >> nth=4")
    assert view.inner_text("#tip").startswith("step 5 ")
    assert view.get_attribute("html", "data-theme") == "dark"
    view.click("#theme")
    assert view.get_attribute("html", "data-theme") == "light"


def test_units_are_one_stop_of_the_keyboard(opened) -> None:
    view = opened(page(reading(some_text(60))))
    view.click("#units button >> nth=1")
    view.keyboard.press("ArrowRight")
    assert view.get_attribute("#units button >> nth=2", "aria-pressed") == "true"
    assert view.evaluate("document.activeElement.textContent") == "2"
    view.keyboard.press("Tab")
    assert view.evaluate("document.activeElement.parentNode.id") != "units"


def test_a_pattern_leads_to_its_unit_and_steps_show_what_was_expected(opened) -> None:
    found = reading(some_text(60))
    view = opened(page(found))
    view.select_option("#pattern", index=1)
    best = max(found.followers.values(), key=lambda one: one.score)
    pressed = view.get_attribute("#units button[aria-pressed='true']", "aria-label")
    assert pressed == f"unit {best.unit.number}"
    view.click("#text span >> nth=7")
    assert view.inner_text("#likely li >> nth=0").split()[-2] == f"{100 * found.surprise.probabilities[7, 0]:.1f}"
    view.select_option("#mode", "surprise")
    assert "surprise" in view.inner_text("#what")
    assert view.inner_text("#next-head") == "Expected next"


def test_of_answers_at_the_steps_themselves_the_right_one_is_not_called_the_next(opened) -> None:
    found = reading(some_text(20))
    tagged = replace(found.surprise, answers=found.states[0].labels)
    view = opened(page(replace(found, surprise=tagged)))
    assert view.inner_text("#next-head") == "Its answer"
    assert view.inner_text("#came").startswith("The right answer, p ")


def test_nothing_that_a_label_says_ever_runs(opened) -> None:
    view = opened(page(reading([EVIL, '"', "&amp;", "<b>x</b>", "\n"] * 4), run=EVIL))
    assert view.inner_text("#text span >> nth=0") == EVIL
    assert view.title() != "run" and view.query_selector("img") is None


@pytest.mark.parametrize(
    ("task", "given"), [("language", ["--literal", "the cat sees a dog.\n" * 4]), ("classify", [])]
)
def test_the_command_writes_it(task: str, given: list[str], tmp_path: Path, opened, capsys) -> None:
    chance = random.Random(5)
    source = tmp_path / "moods.csv"
    rows = [
        f"it is {chance.choice(('good', 'fine'))} {k},happy\nit is {chance.choice(('bad', 'poor'))} {k},sad"
        for k in range(20)
    ]
    source.write_text("text,label\n" + "\n".join(rows) + "\n")
    if task == "language":
        source = tmp_path / "story.txt"
        source.write_text("".join(f'the {chance.choice(("cat", "dog"))} sees a "dog".\n' for _ in range(60)))
    small = ["--hidden", "6", "--embedding", "4", "--epochs", "1", "--threads", "1", "--quiet"]
    assert main(["train", task, str(source), "--out", str(tmp_path / "run"), *small]) == 0
    capsys.readouterr()
    file = tmp_path / "out.html"
    assert main(["inspect", str(tmp_path / "run"), *given, "--out", str(file), "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["report"] == str(file)
    view = opened(file.read_text(encoding="utf-8"))
    assert view.query_selector("#part-network svg") and view.query_selector("#part-horizon")
    assert len(set(colours(view))) > 3
    assert main(["inspect", str(tmp_path / "run"), *given, "--out", str(tmp_path / "no" / "x.html"), "--quiet"]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_answers_that_are_no_steps_stand_in_a_table_of_their_own() -> None:
    found = reading(some_text(12))
    assert page_data(found)["surprise"]["ahead"]
    other = replace(found.surprise, answers=tuple("zyxwvutsrqpo"))
    assert not page_data(replace(found, surprise=other))["surprise"]["aligned"]
    tagged = replace(found.surprise, answers=found.states[0].labels)
    shown = page_data(replace(found, surprise=tagged))["surprise"]
    assert shown["aligned"] and not shown["ahead"]
    text = page(replace(found, surprise=other))
    assert f"<td>z</td><td>a {found.surprise.probabilities[0, 0]:.1%}" in text
