"""The page in a browser: one model of each task, no error on the console, no request to anywhere else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unrolled as ur
from batteries.small_models import small_file, small_model
from serve.serving import Client, language, served, serving
from unrolled.data import Scaler, build_vocabulary
from unrolled.data.signals import Sound
from unrolled.serve.keys import Keys
from unrolled.tasks.network import NetworkPlan
from unrolled.tasks.transcribe import TranscribeTask

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
KEY = "open-sesame-open-sesame"
STRANGE = "<img src=x onerror=alert(1)>"


def speech() -> TranscribeTask:
    """Untrained, for sound of 8 kHz; it streams."""
    vocabulary = build_vocabulary("char", ["abc"])
    plan = NetworkPlan(program=ur.trace(ur.cells.GRU()), inputs=12, hidden=5, layers=1, outputs=len(vocabulary))
    scaler = Scaler(np.zeros(12), np.ones(12))
    signal = Sound(8000, 12, steady=True)
    model = TranscribeTask(plan, vocabulary, signal=signal, scaler=scaler, reductions=(2,), columns=("text", None))
    model.module.eval()
    return model


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("page")
    moods = small_file("classify", folder)
    moods.write_text(moods.read_text().replace(",x", f",{STRANGE}"))
    models = {
        "story": small_model("language", small_file("language", folder), units="char"),
        "moods": small_model("classify", moods, bidirectional=False, units="char"),
        "both": small_model("classify", moods, units="char"),
        "sums": small_model("regress", small_file("regress", folder)),
        "words": small_model("tag", small_file("tag", folder), causal=True),
        "sold": small_model("forecast", small_file("forecast", folder), target=("sold",)),
        "planned": small_model("forecast", small_file("forecast", folder), target=("sold",), known=("open",)),
        "pens": small_model("transcribe", small_file("transcribe", folder), causal=True),
        "pairs": small_model("translate", small_file("translate", folder)),
        "views": small_model("caption", small_file("caption", folder)),
        "speech": speech(),
    }
    with serving(served(**models)) as client:
        yield client


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="the browser test needs playwright")
    if CHROMIUM is None:
        pytest.skip("the browser test needs Chromium")
    flags = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    flags += ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield found
        found.close()


@pytest.fixture
def opened(browser: Any, site: Client) -> Iterator[Callable[..., Any]]:
    """Opens the page of a model; fails for an error of the console and for a request to anywhere else."""
    home = f"http://127.0.0.1:{site.port}/"
    troubles: list[str] = []
    views: list[Any] = []

    def open_(model: str, **settings: Any) -> Any:
        view = browser.new_page(**settings)
        view.set_default_timeout(30_000)
        # a browser writes every refused request to the console itself
        view.on("console", lambda said: "status of 422" in said.text or troubles.append(f"console: {said.text}"))
        view.on("pageerror", lambda error: troubles.append(f"error: {error}"))
        own = (home, f"blob:{home}")
        view.on("request", lambda sent: sent.url.startswith(own) or troubles.append(f"request: {sent.url}"))
        view.goto(f"{home}#{model}")
        view.wait_for_selector("#drawing[src^=blob]")
        views.append(view)
        return view

    yield open_
    for view in views:
        view.close()
    assert troubles == []


def verdict(view: Any) -> str:
    view.wait_for_selector("#verdict")
    return str(view.inner_text("#verdict"))


def until(view: Any, script: str) -> None:
    """Until a script says yes; the page forbids what `wait_for_function` would do."""
    for _ in range(600):
        if view.evaluate(script):
            return
        view.wait_for_timeout(50)
    raise AssertionError(script)


def press(view: Any, name: str) -> None:
    view.get_by_role("button", name=name, exact=True).click()


def test_typed_text_is_read_as_it_comes(opened: Callable[..., Any]) -> None:
    view = opened("story")
    view.fill("textarea", "abca")
    view.wait_for_selector("#strip g.now")
    until(view, "document.querySelectorAll('#strip g').length == 4")
    view.focus("textarea")
    view.keyboard.press("End")
    view.keyboard.type("d")
    until(view, "document.querySelectorAll('#strip g').length == 5")
    assert verdict(view) == "abcad"
    assert view.locator("#answer .bars li").count() > 1
    # with the keyboard back to the second step
    view.focus("#step")
    for _ in range(3):
        view.keyboard.press("ArrowLeft")
    assert "after b (step 2)" in view.inner_text("#seen")
    press(view, "Write on")
    view.wait_for_selector("#continuation strong")
    assert len(view.inner_text("#continuation strong")) > 100


def test_the_verdict_grows_and_names_are_only_text(opened: Callable[..., Any]) -> None:
    view = opened("moods")
    view.fill("textarea", "the dog")
    view.wait_for_selector("#answer svg polyline")
    assert set(view.locator("#answer .bars .name").all_inner_texts()) == {"y", STRANGE}
    assert view.locator("main img:not(#drawing)").count() == 0
    streamed = verdict(view)
    view.focus("textarea")
    view.keyboard.press("Control+Enter")
    until(view, "!document.querySelector('#answer svg')")
    assert verdict(view) == streamed
    view.fill("textarea", "")
    until(view, "document.querySelector('#answer').textContent.includes('Nothing was read')")


def test_a_run_that_reads_backwards_too(opened: Callable[..., Any]) -> None:
    view = opened("both")
    assert "in both directions" in view.inner_text("#about") and "--no-bidirectional" in view.inner_text("#about")
    assert view.get_by_role("button", name="Read step by step").count() == 0
    view.fill("textarea", "the dog")
    press(view, "Answer")
    assert verdict(view) in ("y", STRANGE)


def test_words_get_their_labels_one_by_one(opened: Callable[..., Any]) -> None:
    view = opened("words")
    view.fill("textarea", "the Cat sees 42")
    press(view, "Read step by step")
    until(view, "document.querySelectorAll('#verdict > span').length == 4")
    assert "Cat" in verdict(view) and set(view.locator("#verdict small").all_inner_texts()) <= {"N", "V", "X"}


def test_rows_of_numbers(opened: Callable[..., Any], site: Client) -> None:
    view = opened("sums")
    view.fill("textarea", "0.1, 0.2\n0.3, -0.4")
    press(view, "Answer")
    view.wait_for_selector("#answer td")
    found = float(view.inner_text("#answer td"))
    (row,) = site.post("/models/sums/predict", {"inputs": [[[0.1, 0.2], [0.3, -0.4]]]}).json["predictions"]
    assert found == pytest.approx(row["values"]["goal"], rel=1e-3)
    press(view, "Read step by step")
    view.wait_for_selector("#answer svg polyline")
    view.fill("textarea", "0.1, cat")
    press(view, "Answer")
    assert view.inner_text("#trouble") == "Row 1 holds “cat”, which is no number; mend it."
    view.fill("textarea", "0.1")
    press(view, "Answer")
    until(view, "document.querySelector('#trouble').textContent.includes('reads 2 a step')")


def test_a_forecast_with_its_bands(opened: Callable[..., Any]) -> None:
    view = opened("sold")
    press(view, "Answer")
    view.wait_for_selector("#answer svg polygon")
    assert view.locator("#answer svg .past").get_attribute("points").count(",") >= 3
    view.click("#answer summary")
    assert view.locator("#answer tbody tr").count() == 5


def test_a_forecast_that_grows_with_its_rows(opened: Callable[..., Any]) -> None:
    view = opened("planned")
    rows = [f"2024-03-{day:02d}, {day % 7}, {day % 2}" for day in range(1, 13)]
    table = "\n".join(["time, sold, open", *rows, *(f"2024-03-{day}, , 1" for day in range(13, 18))])
    view.fill("textarea", table)
    press(view, "Answer")
    view.wait_for_selector("#answer svg polygon")
    whole = view.locator("#answer tbody").text_content()
    press(view, "Read step by step")
    until(view, "document.querySelector('#answer .past')?.getAttribute('points').split(' ').length == 3")
    until(view, f"document.querySelector('#answer tbody').textContent == {whole!r}")


@pytest.mark.parametrize("touch", [False, True], ids=["desk", "phone"])
def test_the_pen(opened: Callable[..., Any], touch: bool) -> None:
    small: dict[str, Any] = {"viewport": {"width": 390, "height": 800}, "has_touch": True} if touch else {}
    view = opened("pens", **small)
    pad = view.locator("#pad").bounding_box()
    view.mouse.move(pad["x"] + 30, pad["y"] + 30)
    view.mouse.down()
    for step in range(12):
        view.mouse.move(pad["x"] + 30 + 9 * step, pad["y"] + 30 + (step % 4) * 20)
    view.mouse.up()
    view.wait_for_selector("#strip g.now")
    press(view, "Answer")
    view.wait_for_selector("#verdict", state="attached")
    assert view.evaluate("document.documentElement.scrollWidth <= innerWidth")
    press(view, "Clear")
    assert "Nothing was read" in view.inner_text("#answer")
    press(view, "Example")
    view.wait_for_selector("#strip g.now")


def test_the_microphone(opened: Callable[..., Any]) -> None:
    view = opened("speech")
    press(view, "Speak")
    view.wait_for_selector("#strip g.now")
    press(view, "Stop")
    view.wait_for_selector("#verdict", state="attached")
    assert not view.is_visible("#trouble")
    assert float(view.inner_text("#input output").split()[0]) > 0


def test_translation_and_pictures(opened: Callable[..., Any], site: Client, tmp_path: Path) -> None:
    view = opened("pairs")
    view.fill("textarea", "the dog")
    press(view, "Answer")
    view.wait_for_selector("#verdict", state="attached")
    view.select_option("#model", "views")
    view.wait_for_selector("input[type=file]")
    album = small_file("caption", tmp_path)
    picture = next(path for path in sorted(album.parent.rglob("*")) if path.suffix in (".png", ".jpg"))
    view.set_input_files("input[type=file]", picture)
    view.wait_for_selector("#verdict", state="attached")
    view.wait_for_selector("#picture img")
    view.locator(".words button").first.focus()
    view.wait_for_selector("#picture canvas")


def test_a_key_is_asked_for(browser: Any) -> None:
    models = served(story=language())
    with serving(models, keys=Keys([KEY])) as client:
        view = browser.new_page()
        view.goto(f"http://127.0.0.1:{client.port}/")
        view.wait_for_selector("#unlock:not([hidden])")
        view.keyboard.type(KEY)
        view.keyboard.press("Enter")
        view.wait_for_selector("#drawing[src^=blob]")
        view.fill("textarea", "ab")
        view.wait_for_selector("#strip g.now")
        view.close()
