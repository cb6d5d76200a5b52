"""What is answered to whole inputs equals what the models say, and each fault has its own refusal."""

from __future__ import annotations

import json

import numpy as np
import pytest

from serve.serving import ROWS, TEXTS, WORDS, Client, classifier, language, regressor, served, serving, tagger

JSON = {"Content-Type": "application/json"}


def test_labels_are_those_of_the_model(client: Client) -> None:
    reply = client.post("/models/moods/predict", {"inputs": TEXTS})
    assert reply.status == 200 and reply.json["model"] == "moods"
    model = classifier()
    found = reply.json["predictions"]
    assert [row["label"] for row in found] == model.predict(TEXTS)
    given = [[row["probabilities"][name] for name in model.classes] for row in found]
    np.testing.assert_allclose(given, model.probabilities(TEXTS), atol=1e-6)


def test_numbers_and_tags_and_next_units(client: Client) -> None:
    rows = client.post("/models/sums/predict", {"inputs": [row.tolist() for row in ROWS]}).json["predictions"]
    np.testing.assert_allclose([list(row["values"].values()) for row in rows], regressor().predict(ROWS), rtol=1e-4)
    words = WORDS[:3]
    tags = client.post("/models/tags/predict", {"inputs": [words, " ".join(words)]}).json["predictions"]
    assert tags[0] == tags[1] and tags[0]["labels"] == tagger().predict([words])[0] and tags[0]["words"] == words
    options = {"count": 3, "length": 12, "temperature": 0.0, "seed": 4}
    (row,) = client.post("/models/story/predict", {"inputs": ["red"], "options": options}).json["predictions"]
    model = language()
    assert [one["text"] for one in row["next"]] == [name for name, _ in model.complete("red", 3)]
    assert row["continuation"] == "".join(model.generate("red", 12, temperature=0.0))


def test_a_file_is_read_by_the_readers_of_its_task(client: Client) -> None:
    table = "text,label\n" + "".join(f"{text},warm\n" for text in TEXTS)
    found = client.upload("/models/moods/predict", "../../etc/passwd.csv", table.encode()).json["predictions"]
    assert [row["label"] for row in found] == classifier().predict(TEXTS)
    reply = client.upload("/models/moods/predict", "bad.csv", b"label\nwarm\n")
    assert reply.status == 422 and reply.error.startswith("file-1.csv") and "'text'" in reply.error
    assert client.upload("/models/moods/predict", "a.exe", b"MZ").status == 415


def test_what_a_page_must_know(client: Client) -> None:
    found = {model["name"]: model for model in client.get("/models").json["models"]}
    assert set(found) == {"moods", "story", "sums", "tags"}
    assert found["moods"]["output"]["labels"] == ["<b>mild</b>", "cold", "warm"]
    assert found["sums"]["input"]["kind"] == "numbers" and found["sums"]["input"]["width"] == 2
    assert client.get("/models/sums").json == found["sums"]
    for name, model in found.items():
        example = model["input"]["example"]
        assert client.post(f"/models/{name}/predict", {"inputs": [example]}).status == 200, name
        assert model["network"]["parameters"] > 0
    drawing = client.get("/models/moods/drawing?view=rolled&theme=dark")
    assert drawing.status == 200 and drawing.headers["content-type"] == "image/svg+xml"
    assert drawing.body.startswith(b"<svg") and b"<script" not in drawing.body


def test_one_model_needs_no_name(client: Client) -> None:
    assert client.post("/predict", {"inputs": ["a"]}).status == 404
    with serving(served(moods=classifier())) as alone:
        assert alone.post("/predict", {"inputs": ["a"]}).json["model"] == "moods"


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "no JSON"),
        (b"\xff\xfe", 400, "UTF-8"),
        (b'{"inputs": [NaN]}', 400, "NaN"),
        (b"[" * 100_000, 400, "nested"),
        (b"[1]", 422, "object"),
        (b"{}", 422, "inputs"),
        (b'{"inputs": "a"}', 422, "list"),
        (b'{"inputs": []}', 422, "empty list"),
        (b'{"inputs": [1]}', 422, "a number"),
        (b'{"inputs": ["a"], "input": 1}', 422, "'input'"),
        (b'{"inputs": [""]}', 422, "empty"),
        (b'{"inputs": ["\\ud800"]}', 422, "surrogate"),
        (b'{"inputs": ["a"], "options": {"count": 1}}', 422, "options"),
        (json.dumps({"inputs": ["a"] * 65}).encode(), 422, "65 inputs"),
        (json.dumps({"inputs": ["a" * 20_001]}).encode(), 422, "20,001 steps"),
    ],
)
def test_malformed_requests(client: Client, body: bytes, status: int, words: str) -> None:
    reply = client.post("/models/moods/predict", body=body, headers=JSON)
    assert reply.status == status and words in reply.error


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("x", "a text"),
        ([[1.0]], "1 numbers"),
        ([[1.0, "2"]], "a text"),
        ([[1.0, True]], "true or false"),
        ([[1.0, None]], "null"),
        ([[1.0, 1e39]], "not finite"),
        ([[1.0, 10**400]], "not finite"),
    ],
)
def test_rows_that_do_not_fit(client: Client, value: object, words: str) -> None:
    reply = client.post("/models/sums/predict", {"inputs": [value]})
    assert reply.status == 422 and words in reply.error


def test_an_infinite_number_of_json(client: Client) -> None:
    reply = client.post("/models/sums/predict", body=b'{"inputs": [[[1e999, 0]]]}', headers=JSON)
    assert reply.status == 422 and "finite" in reply.error


def test_addresses_and_media_types(client: Client) -> None:
    assert client.get("/nowhere").status == 404 and client.get("/nowhere").error
    assert client.post("/models/none/predict", {"inputs": ["a"]}).status == 404
    assert client.get("/predict").status == 405
    reply = client.post("/models/moods/predict", body=b"inputs=a", headers={"Content-Type": "text/plain"})
    assert reply.status == 415 and "application/json" in reply.error
    reply = client.post("/models/moods/predict", body=b"x", headers={"Content-Type": "multipart/form-data"})
    assert reply.status == 400 and reply.error
    assert client.get("/models/moods/drawing?steps=0").status == 422
    assert client.get("/models/moods/drawing?view=none").error
