"""Every kind of run behind the server: what it reads as JSON and as files, and its streams."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serve.serving import Client, ask, served, serving
from tasks.pens import SMALL as PENS
from tasks.pens import write_pens
from unrolled.data.histories import read_histories
from unrolled.tasks import TASKS, Common, open_run
from unrolled.tasks.model import TaskModel

soundfile = pytest.importorskip("soundfile")
RNG = np.random.default_rng(31)


def small(task: str, data: Path, out: Path, **options: Any) -> TaskModel[Any]:
    TASKS[task].train(TASKS[task].options(**options), Common(data=data, out=out, epochs=1, threads=1))
    return open_run(out)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TaskModel[Any]]:
    folder = tmp_path_factory.mktemp("kinds")
    days = np.arange("2026-01-01", "2026-05-01", dtype="datetime64[D]").astype(str)
    numbers = np.sin(np.arange(len(days)) / 3) + 0.1 * RNG.normal(size=len(days))
    prices = "\n".join(f"{day},{number:.4f},{n}" for n, (day, number) in enumerate(zip(days, numbers, strict=True)))
    (folder / "prices.csv").write_text(f"date,close,volume\n{prices}\n")
    planned = "\n".join(f"{n},{k % 7 == 0:d}" for k, n in enumerate(numbers.round(3)))
    (folder / "planned.csv").write_text(f"sold,promo\n{planned}\n,1\n,0\n,0\n")
    series = "\n".join(f"s{k}," + ",".join(f"{x:.3f}" for x in RNG.normal(size=40) + k) for k in range(4))
    (folder / "many.csv").write_text("id," + ",".join(f"v{k}" for k in range(40)) + f"\n{series}\n")
    pairs = "\n".join(f"{a} {b}\t{b} {a}" for a in ("uno", "dos", "tres") for b in ("casa", "perro", "gato")) + "\n"
    (folder / "pairs.tsv").write_text(pairs * 3)
    rooms = "\n".join(
        f"{day} 12:00,{RNG.normal():.3f},{RNG.normal():.3f},{'in' if k % 3 else 'out'}" for k, day in enumerate(days)
    )
    (folder / "rooms.csv").write_text(f"when,light,heat,label\n{rooms}\n")
    genes = "\n".join(f"{''.join(RNG.choice(list('ACGT'), 20))},{('EI', 'N')[k % 2]}" for k in range(30))
    (folder / "genes.csv").write_text(f"sequence,label\n{genes}\n")
    (folder / "clips").mkdir()
    for k in range(8):
        soundfile.write(folder / "clips" / f"{k}.wav", 0.1 * RNG.normal(size=4000), 8000)
    clips = "\n".join(f"clips/{k}.wav,{'ab'[k % 2] * (1 + k % 3)}" for k in range(8))
    (folder / "clips.csv").write_text(f"file,text\n{clips}\n")
    calls = "\n".join(f"clips/{k}.wav,{('owl', 'wren')[k % 2]}" for k in range(8))
    (folder / "calls.csv").write_text(f"file,label\n{calls}\n")
    pens = write_pens(folder / "pens.jsonl", 30)
    return {
        "prices": small("forecast", folder / "prices.csv", folder / "1", hidden=6, horizon=3, context=16,
                        target=("close",), past=("volume",)),
        "planned": small("forecast", folder / "planned.csv", folder / "9", hidden=6, horizon=3, context=16,
                         target=("sold",), known=("promo",)),
        "many": small("forecast", folder / "many.csv", folder / "2", hidden=6, horizon=3, context=16),
        "pairs": small("translate", folder / "pairs.tsv", folder / "3", hidden=8, embedding=6, units="word"),
        "rooms": small("tag", folder / "rooms.csv", folder / "4", hidden=6, causal=True, clock="when",
                       features=("light", "heat")),
        "genes": small("classify", folder / "genes.csv", folder / "5", hidden=6, embedding=4, bidirectional=False),
        "calls": small("classify", folder / "calls.csv", folder / "8", hidden=6, bands=8, bidirectional=False),
        "speech": small("transcribe", folder / "clips.csv", folder / "6", hidden=6, layers=1, causal=True),
        "pens": small("transcribe", pens, folder / "7", **{**PENS, "causal": True}),
    }  # fmt: skip


@pytest.fixture(scope="module")
def client(models: dict[str, TaskModel[Any]]) -> Iterator[Client]:
    with serving(served(**models)) as found:
        yield found


def predictions(client: Client, name: str, inputs: list[Any]) -> list[Any]:
    reply = client.post(f"/models/{name}/predict", {"inputs": inputs})
    assert reply.status == 200, reply.body
    return list(reply.json["predictions"])


def test_every_model_answers_to_its_own_example(client: Client) -> None:
    for model in client.get("/models").json["models"]:
        if model["input"]["json"]:
            example = model["input"]["example"]
            assert predictions(client, model["name"], [example]), model["name"]


def test_forecasts_from_rows_and_from_a_file(client: Client, models: Any, tmp_path: Path) -> None:
    rows = [{"date": f"2026-02-{day:02d}", "close": float(day % 4), "volume": day} for day in range(1, 21)]
    table = "date,close,volume\n" + "".join(f"{r['date']},{r['close']},{r['volume']}\n" for r in rows)
    (tmp_path / "rows.csv").write_text(table)
    model = models["prices"]
    (expected,) = model.forecast(read_histories(tmp_path / "rows.csv", model.reading.layout))
    (by_json,) = predictions(client, "prices", [rows])
    (by_file,) = client.upload("/models/prices/predict", "x.csv", table.encode()).json["predictions"]
    for found in (by_json["forecast"][0], by_file["forecast"][0]):
        np.testing.assert_allclose(found["values"], expected.values, rtol=1e-5)
        np.testing.assert_allclose(
            found["quantiles"]["q0.5"], expected.quantiles[:, model.levels.index(0.5)], rtol=1e-5
        )
        assert found["times"] == ["2026-02-21", "2026-02-22", "2026-02-23"]
    two = predictions(client, "many", [[1.0, 2.0, 3.0] * 8, [5.0, 1.0] * 12])
    assert [len(row["forecast"][0]["values"]) for row in two] == [3, 3]
    bad = client.post("/models/prices/predict", {"inputs": [[*rows[:3], {**rows[3], "close": None}, *rows[4:]]]})
    assert bad.status == 422 and bad.error.startswith("Row 4 of an input: column 'close'")
    bad = client.post("/models/prices/predict", {"inputs": [[*rows[:3], {**rows[3], "date": "then"}]]})
    assert bad.status == 422 and "Row 4" in bad.error and "/tmp" not in bad.error


def test_translations_and_genes(client: Client, models: Any) -> None:
    texts = ["uno casa", "dos gato"]
    assert [row["text"] for row in predictions(client, "pairs", texts)] == models["pairs"].predict(texts)
    assert "why_not" in client.get("/models/pairs").json and client.post("/models/pairs/sessions").status == 409
    genes = ["ACGTACGTACGTACGTACGT", "TTTTTACGTACGTACGTACG"]
    assert [row["label"] for row in predictions(client, "genes", genes)] == models["genes"].predict(genes)
    wrong = client.post("/models/genes/predict", {"inputs": ["HELLO"]})
    assert wrong.status == 422 and wrong.error
    fasta = b">one\nACGTACGTACGTACGTACGT\n>two\nTTTTTACGTACGTACGTACG\n"
    found = client.upload("/models/genes/predict", "a.fasta", fasta).json["predictions"]
    assert [row["label"] for row in found] == models["genes"].predict(genes)


def test_rows_with_a_time_of_day(client: Client, models: Any) -> None:
    rows = [{"when": f"2026-03-01 {hour:02d}:30", "light": hour / 9, "heat": 1 - hour / 9} for hour in range(10)]
    (by_json,) = predictions(client, "rooms", [rows])
    table = "when,light,heat\n" + "".join(f"{r['when']},{r['light']!r},{r['heat']!r}\n" for r in rows)
    (by_file,) = client.upload("/models/rooms/predict", "x.csv", table.encode()).json["predictions"]
    assert by_json == by_file and len(by_json["labels"]) == 10
    name = client.post("/models/rooms/sessions").json["session"]
    pushed = [client.post(f"/sessions/{name}/push", {"push": [row]}).json["answer"]["tags"] for row in rows]
    assert [tag["label"] for tags in pushed for tag in tags] == by_json["labels"]


def test_sound_as_a_file_as_numbers_and_as_it_comes(client: Client, models: Any) -> None:
    whole = np.round(0.1 * RNG.normal(size=6000) * 32768).astype("<i2")
    written = io.BytesIO()
    soundfile.write(written, whole, 8000, format="WAV", subtype="PCM_16")
    samples = (whole / np.float32(32768)).astype(np.float32)
    model = models["speech"]
    expected = model.transcribe([model.signal.mel(samples)])[0]
    (by_file,) = client.upload("/models/speech/predict", "a.wav", written.getvalue()).json["predictions"]
    (by_json,) = predictions(client, "speech", [samples.tolist()])
    assert by_file["text"] == by_json["text"] == expected
    with client.socket("/models/speech/stream") as socket:
        socket.recv(timeout=20)
        for part in np.split(whole, range(700, 6000, 700)):
            socket.send(part.tobytes())
            assert "text" in json.loads(socket.recv(timeout=20))["answer"]
        assert ask(socket, {"finish": True})["answer"]["text"] == expected
    cut = client.upload("/models/speech/predict", "a.wav", written.getvalue()[:-500])
    assert cut.status == 422 and "cut short" in cut.error
    with client.socket("/models/speech/stream") as socket:
        socket.recv(timeout=20)
        socket.send(b"\0\1\2")
        assert "odd in number" in json.loads(socket.recv(timeout=20))["error"]


def test_a_sound_is_judged_while_it_comes(client: Client, models: Any, tmp_path: Path) -> None:
    whole = np.round(0.1 * RNG.normal(size=6000) * 32768).astype("<i2")
    soundfile.write(tmp_path / "a.wav", whole, 8000, subtype="PCM_16")
    (by_file,) = client.upload("/models/calls/predict", "a.wav", (tmp_path / "a.wav").read_bytes()).json["predictions"]
    with client.socket("/models/calls/stream") as socket:
        socket.recv(timeout=20)
        for part in np.split(whole, range(700, 6000, 700)):
            socket.send(part.tobytes())
            assert set(json.loads(socket.recv(timeout=20))["answer"]["probabilities"]) == {"owl", "wren"}
        found = ask(socket, {"finish": True})["answer"]
    model = models["calls"]
    assert [found["label"]] == [by_file["label"]] == model.predict(model.reading.sounds([tmp_path / "a.wav"]))
    assert found["probabilities"] == pytest.approx(by_file["probabilities"], abs=1e-5)
    (by_json,) = predictions(client, "calls", [(whole / 32768).tolist()])
    assert by_json["probabilities"] == pytest.approx(by_file["probabilities"], abs=1e-5)


def test_pen_strokes(client: Client, models: Any) -> None:
    strokes = [[[0, 0], [1, 2], [2, 0]], [[3, 0], [3, 2]]]
    points = [[*point, int(place == 0)] for stroke in strokes for place, point in enumerate(stroke)]
    model = models["pens"]
    (found,) = predictions(client, "pens", [strokes])
    assert found["text"] == model.transcribe([np.array(points, np.float32)])[0]
    name = client.post("/models/pens/sessions", {"choices": {"beam": 2}}).json["session"]
    for point in points:
        assert client.post(f"/sessions/{name}/push", {"push": [point]}).status == 200
    wrong = client.post(f"/sessions/{name}/push", {"push": [[0, 0]]})
    assert wrong.status == 422 and "3 a step" in wrong.error
    assert "text" in client.post(f"/sessions/{name}/finish").json["answer"]


def test_a_forecast_that_goes_on(client: Client, models: Any) -> None:
    needs = client.get("/models/prices").json
    assert needs["streams"] is True
    opened = client.post("/models/prices/sessions", {"choices": {"start": "2026-02-01"}})
    assert opened.status == 201, opened.body
    path = f"/sessions/{opened.json['session']}"
    rows = [[float(day % 4), day] for day in range(1, 21)]
    for row in rows[:-1]:
        client.post(f"{path}/push", {"push": [row]})
    last = client.post(f"{path}/push", {"push": [{"close": rows[-1][0], "volume": rows[-1][1]}]}).json["answer"]
    dated = [{"date": f"2026-02-{day:02d}", "close": row[0], "volume": row[1]} for day, row in enumerate(rows, 1)]
    (whole,) = predictions(client, "prices", [dated])
    values = next(iter(last["forecast"].values()))["values"]
    np.testing.assert_allclose(values, whole["forecast"][0]["values"], rtol=1e-4)


def test_a_forecast_with_what_is_known_ahead(client: Client, models: Any) -> None:
    rows = [{"sold": float(day % 4), "promo": int(day % 7 == 0)} for day in range(20)]
    ahead = [{"sold": None, "promo": n} for n in (1, 0, 0)]
    (whole,) = predictions(client, "planned", [[*rows, *ahead]])
    with client.socket("/models/planned/stream") as socket:
        socket.recv(timeout=20)
        lacking = ask(socket, {"push": rows})
        assert (
            "needs promo of the 3 steps after a part, and 0 are known" in lacking["error"] and lacking["status"] == 422
        )
        said = ask(socket, {"push": {"rows": rows[:15], "ahead": [[n["promo"]] for n in [*rows[15:], *ahead]]}})
        assert said["step"] == 15
        last = ask(socket, {"push": [[row["sold"], row["promo"]] for row in rows[15:]]})["answer"]
        assert ask(socket, {"push": {"rows": [], "promo": 3}})["error"].startswith("The key 'promo' is not known")
    np.testing.assert_allclose(last["forecast"]["sold"]["values"], whole["forecast"][0]["values"], rtol=1e-4)
