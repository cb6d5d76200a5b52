"""Every task as ONNX models: proved by the export itself, and with the manifest enough to give what `predict` gives."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
import torch

import unrolled as ur
from batteries.small_models import WORDS, small_file, small_model
from unrolled.data.windows import Windows
from unrolled.errors import ArgumentError, ExportError
from unrolled.export.to_onnx.operations import ONNX
from unrolled.export.to_onnx.verify import open_session
from unrolled.tasks.forecast import as_window
from unrolled.tasks.transcribe import GREEDY

EXAMPLE = Path(__file__).parents[2] / "examples" / "translate_with_onnx.py"
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("language", "", {"tied": True, "layers": 2, "cell": "slstm"}),
    ("language", "", {"units": "byte", "tied": True}),
    ("language", "many", {"softmax": "adaptive", "hidden": 20, "units": "word", "embedding": 16}),
    ("classify", "", {"bidirectional": False, "pooling": "last"}),
    ("classify", "", {"bidirectional": False, "pooling": "mean", "positions": True}),
    ("classify", "", {"bidirectional": False, "pooling": "max", "cell": "mgu", "layers": 2}),
    ("classify", "", {"bidirectional": False, "pooling": "attention"}),
    ("classify", "dna", {"read_as": "dna", "pooling": "attention", "convolutions": 2, "kernel": 3, "stride": 2}),
    ("regress", "", {"bidirectional": False, "pooling": "attention", "convolutions": 1, "kernel": 3}),
    ("tag", "", {"characters": 0, "causal": True}),
    ("tag", "", {"causal": True, "cell": "janet"}),
    ("tag", "numbers", {"sequence": "part", "causal": True, "drift": 0.5}),
    ("tag", "numbers", {"sequence": "part", "crf": True, "drift": 0.0}),
    ("transcribe", "", {"causal": True}),
    (
        "transcribe",
        "",
        {"reduction": 4, "reduce_by": "pyramid", "layer_norm": True, "layers": 3, "features": "offsets"},
    ),
    ("transcribe", "", {"reduction": 4, "reduce_by": "pyramid", "layer_norm": True, "layers": 3, "causal": True}),
    ("translate", "", {"joint": True, "input_feeding": True, "bidirectional": False, "attention": "additive"}),
    ("translate", "", {"joint": True, "tied": False, "layers": 2, "cell": "gru-reset-before"}),
    ("caption", "", {"attention": "additive", "cell": "slstm", "layers": 2}),
    (
        "forecast",
        "",
        {
            "known": ("open",),
            "distribution": "gaussian",
            "attention": "additive",
            "horizon": 6,
            "segment": 4,
            "context": 32,
        },
    ),
    (
        "forecast",
        "",
        {"distribution": "student-t", "bidirectional": True, "past": ("open",), "attention": "multiplicative"},
    ),
    ("forecast", "", {"distribution": "negative-binomial", "target": ("sold",)}),
    ("forecast", "", {"distribution": "point", "quantiles": (0.5,)}),
    ("forecast", "", {"quantiles": (0.3,)}),
    ("forecast", "", {"recursive": True, "distribution": "quantiles", "segment": 3, "known": ("open",)}),
    ("forecast", "", {"recursive": True, "distribution": "gaussian", "segment": 2, "target": ("sold",)}),
    ("forecast", "", {"recursive": True, "distribution": "student-t", "known": ("open",), "target": ("sold",)}),
    ("forecast", "", {"recursive": True, "distribution": "negative-binomial", "segment": 2, "target": ("sold",)}),
]


@pytest.mark.parametrize(("task", "kind", "options"), CASES, ids=lambda part: str(part)[:60])
def test_every_kind_of_network_proves_itself(task: str, kind: str, options: dict[str, Any], tmp_path: Path) -> None:
    model = small_model(task, small_file(task, tmp_path, kind), **options)
    found = ur.export.onnx(model, tmp_path / "out")
    assert len(found.files) >= 1
    for file in found.files:
        assert len(set(file.sizes)) == 3
        assert file.largest[1] < 5e-5
        onnx.checker.check_model(onnx.load(file.path), full_check=True)
    names = {file.path.name for file in found.files}
    causal = (
        options.get("causal") or options.get("bidirectional") is False or task in ("language", "translate", "caption")
    )
    stepwise = options.get("recursive") if task == "forecast" else causal and not options.get("convolutions")
    assert ("step.onnx" in names) == bool(stepwise)
    assert found.remarks or stepwise


def exported(model: Any, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The manifest, and the sessions by the names of the files."""
    found = ur.export.onnx(model, folder)
    assert found.manifest is not None
    sessions = {file.path.name: open_session(file.path) for file in found.files}
    return json.loads(found.manifest.read_text(encoding="utf-8")), sessions


def answer(session: Any, given: dict[str, Any]) -> dict[str, Any]:
    return dict(zip((o.name for o in session.get_outputs()), session.run(None, given), strict=True))


def starts(manifest: dict[str, Any]) -> dict[str, Any]:
    return {name: np.full(s["shape"], s["start"], s["type"]) for name, s in manifest["states"].items()}


def test_language_step_by_step_gives_the_next_units(tmp_path: Path) -> None:
    model = small_model("language", small_file("language", tmp_path))
    manifest, sessions = exported(model, tmp_path / "out")
    tokens = json.loads((tmp_path / "out" / "vocabulary.json").read_text(encoding="utf-8"))["tokens"]
    ids = [manifest["preprocessing"]["first"], *model.vocabulary.encode("bad").tolist()]
    carried, found = starts(manifest), {}
    for unit in ids:
        found = answer(sessions["step.onnx"], {"ids": np.array([unit]), **carried})
        carried = {name: found[state["becomes"]] for name, state in manifest["states"].items()}
    whole = answer(sessions["model.onnx"], {"ids": np.array([ids]), "lengths": np.array([4]), **starts(manifest)})
    np.testing.assert_allclose(whole["logits"][:, -1], found["logits"], atol=1e-5)
    p = torch.from_numpy(found["logits"][0]).softmax(0)
    (name, probability), *_ = model.complete("bad", 1, single=True)
    p[manifest["postprocessing"]["never_drawn"]] = 0
    best = int(p.argmax())
    assert probability == pytest.approx(float(p[best]), abs=1e-6)
    assert name == tokens[best - (len(model.vocabulary) - len(tokens))]


def test_classifier_gives_the_probabilities_of_predict(tmp_path: Path) -> None:
    model = small_model("classify", small_file("classify", tmp_path))
    manifest, sessions = exported(model, tmp_path / "out")
    texts = ["the dog sees", "a Cat", "dog"]
    ids = model.vocabulary.encode_all(texts)
    given = {"ids": np.array([np.pad(row, (0, 3 - len(row)), constant_values=2) for row in ids])}
    found = answer(sessions["model.onnx"], given | {"lengths": np.array([len(row) for row in ids])})
    np.testing.assert_allclose(found["probabilities"], model.probabilities(texts), atol=1e-5)
    classes = manifest["postprocessing"]["classes"]
    assert [classes[k] for k in found["logits"].argmax(1)] == model.predict(texts)


def test_regressor_gives_the_numbers_of_predict(tmp_path: Path) -> None:
    model = small_model("regress", small_file("regress", tmp_path))
    manifest, sessions = exported(model, tmp_path / "out")
    x = np.random.default_rng(0).normal(size=(2, 5, 2))
    before, after = manifest["preprocessing"]["scaler"], manifest["postprocessing"]["scaler"]
    scaled = ((x - before["mean"]) / before["scale"]).astype(np.float32)
    values = answer(sessions["model.onnx"], {"x": scaled, "lengths": np.array([5, 5])})["values"]
    np.testing.assert_allclose(
        values * after["scale"] + after["mean"], model.predict(list(x.astype(np.float32))), atol=1e-5
    )


def test_tagger_with_a_random_field_decoded_as_the_manifest_says(tmp_path: Path) -> None:
    model = small_model("tag", small_file("tag", tmp_path), crf=True)
    manifest, sessions = exported(model, tmp_path / "out")
    sentence = list(np.random.default_rng(4).choice(WORDS, 9))
    batch = model.reader.collate(model.reader.prepare_all([sentence]))
    names = ("words", "forms", "which", "characters", "spelling_lengths")
    given = {name: part.numpy() for name, part in zip(names, batch, strict=True)}
    scores = answer(sessions["model.onnx"], given | {"lengths": np.array([9])})["scores"][0]
    rules = manifest["postprocessing"]
    start, moves, end = (np.array(rules[name]) for name in ("start", "transitions", "end"))
    best, came = start + scores[0], []
    for t in range(1, 9):
        reached = best[:, None] + moves
        came.append(reached.argmax(0))
        best = reached.max(0) + scores[t]
    path = [int((best + end).argmax())]
    for before in came[::-1]:
        path.insert(0, int(before[path[0]]))
    assert [rules["classes"][k] for k in path] == model.predict([sentence])[0]
    assert [rules["classes"][k] for k in scores.argmax(1)] != model.predict([sentence])[0]


def test_film_tagger(tmp_path: Path) -> None:
    from unrolled.tasks.film_input import FilmInput
    from unrolled.tasks.network import NetworkPlan
    from unrolled.tasks.tag import TagTask
    from unrolled.tasks.tag_parts import Layout

    torch.manual_seed(0)
    plan = NetworkPlan(program=ur.trace(ur.cells.GRU()), inputs=7, hidden=5, layers=1, outputs=2)
    model = TagTask(plan, FilmInput(5.0, 20), Layout("frames", rate=5.0, size=20), classes=["a", "b"], crf=False)
    _, sessions = exported(model, tmp_path / "out")
    film = np.random.default_rng(1).integers(0, 256, (4, 20, 20, 3)).astype(np.uint8)
    given = {"frames": film.transpose(0, 3, 1, 2)[None], "lengths": np.array([4])} | starts(
        json.loads((tmp_path / "out" / "manifest.json").read_text())
    )
    scores = torch.from_numpy(answer(sessions["model.onnx"], given)["scores"][0])
    np.testing.assert_allclose(scores.softmax(1), model.probabilities([film])[0], atol=1e-5)


def test_transcriber_from_the_strokes_to_the_text(tmp_path: Path) -> None:
    model = small_model("transcribe", small_file("transcribe", tmp_path))
    manifest, sessions = exported(model, tmp_path / "out")
    samples = [np.array(np.random.default_rng(k).normal(size=(25 + k, 3)), np.float32) for k in range(4)]
    rules = manifest["postprocessing"]
    texts = []
    for sample in samples:
        x = answer(sessions["front.onnx"], {"points": sample})["x"]
        found = answer(sessions["model.onnx"], {"x": x[None], "lengths": np.array([len(x)])})
        best = found["log_probabilities"][0, : found["steps"][0]].argmax(1)
        kept = [
            k for k, before in zip(best, [-1, *best], strict=False) if before not in (k, None) and k != rules["blank"]
        ]
        texts.append(model.vocabulary.decode(kept))
    assert texts == model.transcribe(samples, GREEDY)


def test_sound_in_front_of_a_transcriber(tmp_path: Path) -> None:
    from unrolled.data import Scaler, build_vocabulary
    from unrolled.data.signals import Sound
    from unrolled.tasks.network import NetworkPlan
    from unrolled.tasks.transcribe import TranscribeTask

    rng = np.random.default_rng(0)
    vocabulary = build_vocabulary("char", ["abc"])
    plan = NetworkPlan(program=ur.trace(ur.cells.GRU()), inputs=12, hidden=5, layers=1, outputs=len(vocabulary))
    scaler = Scaler(rng.normal(size=12), rng.uniform(0.5, 2, 12))
    for steady in (False, True):
        model = TranscribeTask(
            plan,
            vocabulary,
            signal=Sound(8000, 12, steady=steady),
            scaler=scaler,
            reductions=(2,),
            columns=("text", None),
        )
        _, sessions = exported(model, tmp_path / str(steady))
        samples = (np.sin(np.arange(1234)) + 0.1 * rng.normal(size=1234)).astype(np.float32)
        samples[:600] = 0  # silence, 80 dB below the loudest or at its floor
        found = answer(sessions["front.onnx"], {"samples": samples})["x"]
        np.testing.assert_allclose(found, scaler.transform(model.signal.mel(samples)), atol=1e-4)


def test_forecaster_gives_the_values_of_predict(tmp_path: Path) -> None:
    model = small_model("forecast", small_file("forecast", tmp_path), known=("open",), target=("sold",))
    _, sessions = exported(model, tmp_path / "out")
    part = model.read_part(tmp_path / "sold.csv")
    windows = Windows(part.lines, model.shape.context, model.shape.horizon)
    lines, origins = windows.origins(3)
    window = as_window(windows, windows.block(lines, origins))
    given = {name: getattr(window, name).numpy() for name in ("context", "seen", "known")}
    found = answer(sessions["model.onnx"], given)
    wanted = model.foretell(windows, lines, origins)
    scale = part.lines[0].scale
    np.testing.assert_allclose(scale.restored(found["centre"]), wanted.centres, atol=1e-4)
    np.testing.assert_allclose(scale.restored(found["quantiles"]), wanted.quantiles, atol=1e-4)


def test_a_recursive_forecast_fed_back_step_by_step(tmp_path: Path) -> None:
    options = {"recursive": True, "distribution": "point", "segment": 2, "target": ("sold",), "known": ("open",)}
    model = small_model("forecast", small_file("forecast", tmp_path), **options)
    manifest, sessions = exported(model, tmp_path / "out")
    part = model.read_part(tmp_path / "sold.csv")
    windows = Windows(part.lines, model.shape.context, model.shape.horizon)
    window = as_window(windows, windows.block(*windows.origins(2)))
    size, begin = 2, model.shape.context
    known = np.pad(window.known.numpy(), ((0, 0), (0, 3), (0, 0)))
    given = {"context": window.context.numpy(), "seen": window.seen.numpy(), "known": known[:, : begin + size]}
    found = first = answer(sessions["model.onnx"], given | starts(manifest))
    values = [found["parameters"][..., 0]]
    for place in range(1, model.shape.ahead):
        carried = {name: found[state["becomes"]] for name, state in manifest["states"].items()}
        coming = known[:, begin + place * size : begin + (place + 1) * size]
        found = answer(sessions["step.onnx"], {"values": values[-1], "known": coming, **carried})
        values.append(found["parameters"][..., 0])
    forecast = first["level"] + first["scale"] * np.concatenate(values, 1)[:, : model.shape.horizon]
    wanted, _ = model.module.forecast(window, (0.5,))
    np.testing.assert_allclose(forecast, wanted, atol=1e-4)


def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("translate_with_onnx", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("width", [1, 3])
@torch.no_grad()
@pytest.mark.parametrize("options", [{}, {"input_feeding": True, "joint": True, "bidirectional": False}], ids=str)
def test_translations_by_the_loop_of_the_example(options: dict[str, Any], width: int, tmp_path: Path) -> None:
    model = small_model("translate", small_file("translate", tmp_path), beam=width, **options)
    ur.export.onnx(model, tmp_path / "out")
    for text in ("the dog sees", "Cat", "a 42 . the runs dog"):
        ids = model.translator.read([text])[0]
        longest = int(np.ceil(model.translator.stretch * len(ids))) + 10
        given = {"ids": ids[None], "lengths": np.array([len(ids)])}
        tokens = example().write(tmp_path / "out", given, longest, width, model.search.length_penalty)
        ((best,),) = model.translator._search([ids], model.search)
        assert tuple(tokens) == best.tokens


@pytest.mark.parametrize("beam", [1, 4])
def test_captions_by_the_same_loop(beam: int, tmp_path: Path) -> None:
    model = small_model("caption", small_file("caption", tmp_path), beam=beam)
    manifest, _ = exported(model, tmp_path / "out")
    pictures = np.random.default_rng(2).integers(0, 256, (3, 16, 24, 3)).astype(np.uint8)
    for k, (caption,) in enumerate(model.describe(pictures)):
        longest = manifest["postprocessing"]["longest"]
        tokens = example().write(tmp_path / "out", {"pictures": pictures[k : k + 1]}, longest, beam, 0.6)
        assert model.vocabulary.decode(tokens) == caption.text
        assert len(tokens) == len(caption.units)


def test_int8_says_what_it_costs_on_the_users_data(tmp_path: Path) -> None:
    data = small_file("classify", tmp_path)
    model = small_model("classify", data, hidden=32, embedding=32)
    told: list[str] = []
    found = ur.export.onnx(model, tmp_path / "out", int8=True, data=data, notify=lambda name, *_: told.append(name))
    accuracy = found.accuracy
    assert accuracy is not None
    assert set(accuracy.float32) == {"loss", "accuracy", "macro_f1"}
    exact = model.evaluate(data)
    assert accuracy.float32["loss"] == pytest.approx(exact["loss"], abs=1e-6)
    assert 0 < abs(accuracy.int8["loss"] - exact["loss"]) < 0.05
    assert accuracy.bytes_int8 == found.files[0].bytes < 0.5 * accuracy.bytes_float32
    assert told == ["model.onnx", str(data)]
    given = {"ids": np.array([[3, 4, 5]]), "lengths": np.array([3])}
    small = answer(open_session(found.files[0].path), given)["logits"]
    with torch.no_grad():
        plain = model.module(torch.tensor([[3, 4, 5]]), torch.tensor([3])).numpy()
    assert 0 < np.abs(small - plain).max() < 0.1


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("language", {"tied": True, "cell": "slstm"}),
        ("caption", {}),
        ("translate", {"joint": True}),
        ("transcribe", {"reduction": 2, "causal": True}),
        ("forecast", {"known": ("open",)}),
    ],
    ids=str,
)
def test_int8_of_every_kind_of_matrix(task: str, options: dict[str, Any], tmp_path: Path) -> None:
    """The file is compared with a network whose weights were rounded, so a matrix in other steps would show."""
    model = small_model(task, small_file(task, tmp_path), **options)
    plain, small = (ur.export.onnx(model, tmp_path / f"int8 {int8}", int8=int8) for int8 in (False, True))
    assert max(file.largest[1] for file in small.files) < 5e-5
    for file in small.files:
        arrays = onnx.load(file.path).graph.initializer
        left = [a.name for a in arrays if a.data_type == onnx.TensorProto.FLOAT and len(a.dims) > 1 and min(a.dims) > 3]
        assert set(left) <= {"student", "weights of quantiles"}, left
    assert small.files[-1].operators == plain.files[-1].operators


def test_an_estimator_and_a_folder_of_a_run(tmp_path: Path) -> None:
    texts = ["good dog", "bad cat", "good cat", "bad dog"] * 4
    labels = ["x", "y"] * 8
    estimator = ur.Classifier(hidden=4, embedding=3, epochs=1, threads=1).fit(texts, labels)
    estimator.save(tmp_path / "run")
    for what in (estimator, tmp_path / "run", str(tmp_path / "run")):
        found = ur.export.onnx(what, tmp_path / "out")
        assert found.task == "classify" and found.bytes > 0


def test_a_model_too_large_for_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model("language", small_file("language", tmp_path))
    monkeypatch.setattr("unrolled.export.to_onnx.graph._LARGEST", 1000)
    with pytest.raises(ArgumentError, match=r"has 0\.0 GiB of weights and an ONNX file holds 2; export it with int8\."):
        ur.export.onnx(model, tmp_path / "out")


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model("language", small_file("language", tmp_path))
    with pytest.raises(ArgumentError, match=r"data is for measuring what int8 weights cost.*add int8"):
        ur.export.onnx(model, tmp_path / "out", data=tmp_path / "story.txt")
    with pytest.raises(ArgumentError, match="a layer alone has no metrics that data could be measured by"):
        ur.export.onnx(model.module.recurrent, tmp_path / "out", int8=True, data=tmp_path / "story.txt")
    monkeypatch.setitem(ONNX, "exp", lambda a: a.graph.add("Nonsense", a))
    other = small_model("language", tmp_path / "story.txt", cell="slstm")
    with pytest.raises(ExportError, match=r"model\.onnx was not written, because ONNX cannot run it \(.*Nonsense"):
        ur.export.onnx(other, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.onnx"))
