"""Streams of clients: each alone with its state, by requests, events and WebSocket; saved, resumed, moved and ended."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from serve.serving import TEXTS, Client, ask, classifier, language, served, serving, until
from unrolled.errors import RunError
from unrolled.serve.limits import Limits
from unrolled.serve.store import Store


def offline(text: str, size: int = 1) -> list[Any]:
    """What a stream of the classifier answers to pieces of so many characters, and at the end."""
    stream = classifier().stream()
    answers = [stream.push(text[at : at + size]) for at in range(0, len(text), size)]
    return [json.loads(json.dumps(answer)) for answer in [*answers, stream.finish()]]


def test_pushes_answer_as_the_stream_does(client: Client) -> None:
    text = TEXTS[0]
    session = client.post("/models/moods/sessions").json
    assert session == {"session": session["session"], "model": "moods", "step": 0}
    path = f"/sessions/{session['session']}"
    expected = offline(text, 5)
    for place, answer in enumerate(expected[:-1]):
        reply = client.post(f"{path}/push", {"push": text[5 * place : 5 * place + 5]})
        assert reply.status == 200 and reply.json == {"answer": answer, "step": answer["steps"]}
    assert client.get(path).json["step"] == len(text)
    last = client.post(f"{path}/finish").json
    assert last["answer"] == expected[-1] and last["finished"] is True
    assert client.get(path).status == 404 and "open a new one" in client.get(path).error


def test_sessions_do_not_see_each_other(client: Client) -> None:
    def run(text: str) -> list[Any]:
        with client.socket("/models/moods/stream") as socket:
            json.loads(socket.recv(timeout=20))
            pushed = [ask(socket, {"push": letter})["answer"] for letter in text]
            return [*pushed, ask(socket, {"finish": True})["answer"]]

    with ThreadPoolExecutor(len(TEXTS)) as pool:
        found = list(pool.map(run, TEXTS))
    assert found == [offline(text) for text in TEXTS]


def test_a_session_goes_on_by_its_name(client: Client) -> None:
    text = TEXTS[1]
    with client.socket("/models/moods/stream") as socket:
        name = json.loads(socket.recv(timeout=20))["session"]
        ask(socket, {"push": text[:6]})
        with client.socket(f"/models/moods/stream?session={name}") as second:
            assert "Another connection" in json.loads(second.recv(timeout=20))["error"]
    assert until(lambda: not _attached(client, name))
    with client.socket(f"/stream?session={name}") as socket:
        assert json.loads(socket.recv(timeout=20)) == {"session": name, "model": "moods", "step": 6}
        late = ask(socket, {"push": text[6:], "at": 5})
        assert late["status"] == 409 and "step 6" in late["error"]
        assert ask(socket, {"push": text[6:], "at": 6})["step"] == len(text)
        assert ask(socket, {"finish": True})["answer"] == offline(text)[-1]


def _attached(client: Client, name: str) -> bool:
    with client.socket(f"/stream?session={name}") as socket:
        return "error" in json.loads(socket.recv(timeout=20))


def test_a_state_goes_on_in_another_session_and_nowhere_else(client: Client) -> None:
    text = TEXTS[2]
    first = client.post("/models/moods/sessions").json["session"]
    client.post(f"/sessions/{first}/push", {"push": text[:7]})
    state = client.get(f"/sessions/{first}/state").json
    assert state["step"] == 7
    second = client.post("/models/moods/sessions", {"state": state["state"]}).json
    assert second["step"] == 7 and second["session"] != first
    client.post(f"/sessions/{second['session']}/push", {"push": text[7:]})
    assert client.post(f"/sessions/{second['session']}/finish").json["answer"] == offline(text)[-1]
    for token in (state["state"][:-40], "QUJD", "%", 7):
        assert client.post("/models/moods/sessions", {"state": token}).status == 422
    other = client.post("/models/story/sessions", {"state": state["state"]})
    assert other.status == 422 and "another run" in other.error


def test_the_state_can_be_looked_at(client: Client) -> None:
    with client.socket("/models/story/stream") as socket:
        socket.recv(timeout=20)
        assert "state" not in ask(socket, {"push": "re"})
        seen = ask(socket, {"push": "d", "look": True})["state"]
    sizes = [len(json.dumps(value)) for value in seen.values()]
    assert seen and all(sizes)


def test_choices_of_a_stream(client: Client) -> None:
    name = client.post("/models/story/sessions", {"choices": {"next": 2}}).json["session"]
    assert len(client.post(f"/sessions/{name}/push", {"push": "re"}).json["answer"]["next"]) == 2
    for choices in ({"nexxt": 2}, {"state": "x"}, {"next": -1}, {"next": 10**9}, [1]):
        assert client.post("/models/story/sessions", {"choices": choices}).status == 422
    with client.socket("/models/story/stream?next=2") as socket:
        name = json.loads(socket.recv(timeout=20))["session"]
        assert len(ask(socket, {"push": "re"})["answer"]["next"]) == 2
    for query, words in (
        ("next=many", "next is a text; give a whole number"),
        ("next=-1", "next is -1; give a whole number from 0"),
        ("nexxt=2", "'nexxt' is not known; 'next' can be given"),
        (f"session={name}&next=2", "goes on with the choices it was opened with; leave all but session out"),
    ):
        with client.socket(f"/models/story/stream?{query}") as socket:
            refused = json.loads(socket.recv(timeout=20))
            assert words in refused["error"] and refused["status"] == 422
    # A state that was written by hand chooses no more than a request may.
    state = language().stream(next=5000).state()
    token = base64.b64encode(state).decode()
    assert "5000" in client.post("/models/story/sessions", {"state": token}).error


@pytest.mark.parametrize(
    ("message", "status", "words"),
    [
        ("{", 400, "no JSON"),
        ("[]", 422, "object"),
        ("{}", 422, "asks for nothing"),
        ('{"pusch": "a"}', 422, "'pusch'"),
        ('{"push": 5}', 422, "a number"),
        ('{"push": NaN}', 400, "NaN"),
        (json.dumps({"push": "a" * 20_001}), 422, "20,001"),
        (b"\0\1", 422, "Bytes are samples"),
    ],
)
def test_a_bad_message_leaves_the_stream_as_it_was(
    client: Client, message: str | bytes, status: int, words: str
) -> None:
    with client.socket("/models/moods/stream") as socket:
        socket.recv(timeout=20)
        ask(socket, {"push": TEXTS[0][:4]})
        socket.send(message)
        refused = json.loads(socket.recv(timeout=20))
        assert refused["status"] == status and words in refused["error"] and refused["step"] == 4
        ask(socket, {"push": TEXTS[0][4:]})
        assert ask(socket, {"finish": True})["answer"] == offline(TEXTS[0])[-1]


def test_a_message_beyond_the_limit_ends_the_connection_and_not_the_session() -> None:
    with serving(served(moods=classifier()), limits=Limits(max_body=0.01)) as client:
        with client.socket("/stream") as socket:
            name = json.loads(socket.recv(timeout=20))["session"]
            ask(socket, {"push": "red"})
            socket.send(json.dumps({"push": "a" * 20_000}))
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(timeout=20)
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1009
        assert client.get(f"/sessions/{name}").json["step"] == 3


def events_of(client: Client, path: str, headers: dict[str, str] | None = None) -> Iterator[tuple[str, str, Any]]:
    """Number, name and value of each event, after the comment that opens the stream."""
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=20)
    connection.request("GET", path, headers=headers or {})
    response = connection.getresponse()
    assert response.getheader("content-type", "").startswith("text/event-stream")
    assert response.readline() == b": open\n" and response.readline() == b"\n"
    return _events(connection, response)


def _events(
    connection: http.client.HTTPConnection, response: http.client.HTTPResponse
) -> Iterator[tuple[str, str, Any]]:
    with contextlib.closing(connection), response:
        fields: dict[str, str] = {}
        while line := response.readline().decode():
            if line == "\n":
                yield fields.get("id", ""), fields["event"], json.loads(fields["data"])
                fields = {}
            else:
                name, _, value = line.rstrip("\n").partition(": ")
                fields[name] = value


def test_events_tell_the_answers(client: Client) -> None:
    text = TEXTS[3]
    path = f"/sessions/{client.post('/models/moods/sessions').json['session']}"
    events = events_of(client, f"{path}/events")
    for letter in text:
        client.post(f"{path}/push", {"push": letter})
    again = events_of(client, f"{path}/events", {"Last-Event-ID": str(len(text) - 2)})
    client.post(f"{path}/finish")
    found = list(events)
    assert [int(number) for number, _, _ in found] == list(range(1, len(text) + 2))
    assert [value["answer"] for _, _, value in found] == offline(text)
    assert found[-1][1] == "finished"
    assert [int(number) for number, _, _ in again] == list(range(len(text) - 1, len(text) + 2))


def test_a_reader_who_comes_late_is_told_what_it_missed(client: Client) -> None:
    path = f"/sessions/{client.post('/models/moods/sessions').json['session']}"
    for _ in range(70):
        client.post(f"{path}/push", {"push": "a"})
    events = events_of(client, f"{path}/events", {"Last-Event-ID": "1"})
    client.delete(path)
    found = list(events)
    assert found[0][1:] == ("missed", 5) and len(found) == 65


def test_two_parts_at_once_are_refused(client: Client) -> None:
    path = f"/sessions/{client.post('/models/story/sessions').json['session']}/push"
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: client.post(path, {"push": "red blue " * 150}), range(8)))
    assert {reply.status for reply in replies} <= {200, 409} and any(reply.status == 200 for reply in replies)
    read = sum(reply.status == 200 for reply in replies)
    assert client.get(path.removesuffix("/push")).json["step"] == read * 9 * 150


def test_as_many_sessions_as_may_be() -> None:
    with serving(served(moods=classifier()), limits=Limits(max_sessions=2)) as client:
        names = [client.post("/sessions").json["session"] for _ in range(2)]
        refused = client.post("/sessions")
        assert refused.status == 429 and "2 sessions" in refused.error and refused.headers["retry-after"]
        with client.socket("/stream") as socket:
            assert json.loads(socket.recv(timeout=20))["status"] == 429
        assert client.delete(f"/sessions/{names[0]}").status == 204
        assert client.post("/sessions").status == 201


def test_an_idle_session_is_closed_and_with_a_folder_saved(tmp_path: Path) -> None:
    limits = Limits(idle_time=0.15)
    with serving(served(moods=classifier()), limits=limits) as client:
        name = client.post("/sessions").json["session"]
        assert until(lambda: _gauge(client, "unrolled_sessions") == 0)
        assert client.get(f"/sessions/{name}").status == 404
    store = Store(tmp_path / "saved", keep=100, most=10)
    with serving(served(moods=classifier()), limits=limits, store=store, save_every=0.05) as client:
        name = client.post("/sessions").json["session"]
        client.post(f"/sessions/{name}/push", {"push": TEXTS[0][:9]})
        assert until(lambda: _gauge(client, "unrolled_sessions") == 0)
        assert client.post(f"/sessions/{name}/push", {"push": TEXTS[0][9:]}).json["step"] == len(TEXTS[0])


def _gauge(client: Client, name: str) -> float:
    lines = client.get("/metrics").body.decode().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(name + " ")))


def test_an_idle_connection_is_closed() -> None:
    with (
        serving(served(moods=classifier()), limits=Limits(idle_time=0.1)) as client,
        client.socket("/stream") as socket,
    ):
        socket.recv(timeout=20)
        assert json.loads(socket.recv(timeout=20))["status"] == 408
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=20)


def test_a_restarted_server_goes_on_with_what_was_saved(tmp_path: Path) -> None:
    store = Store(tmp_path / "saved", keep=100, most=10)
    models = served(moods=classifier(), story=language())
    text = TEXTS[4]
    with contextlib.ExitStack() as later, serving(models, store=store) as client:
        socket = later.enter_context(client.socket("/models/moods/stream"))
        name = json.loads(socket.recv(timeout=20))["session"]
        ask(socket, {"push": text[:10]})
        done = client.post("/models/story/sessions").json["session"]
        client.post(f"/sessions/{done}/finish")
        client.stop()
        farewell = json.loads(socket.recv(timeout=20))
        assert farewell["saved"] is True and farewell["step"] == 10 and "stopping" in farewell["error"]
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=20)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1012
    files = list((tmp_path / "saved").iterdir())
    assert [file.stem for file in files] == [name] and all(file.stat().st_mode & 0o077 == 0 for file in files)
    assert (tmp_path / "saved").stat().st_mode & 0o777 == 0o700
    with serving(models, store=store) as client:
        assert client.get(f"/sessions/{done}").status == 404
        with client.socket(f"/stream?session={name}") as socket:
            assert json.loads(socket.recv(timeout=20))["step"] == 10
            ask(socket, {"push": text[10:]})
            assert ask(socket, {"finish": True})["answer"] == offline(text)[-1]
    assert not list((tmp_path / "saved").iterdir())
    with serving(served(story=language()), store=store) as client:
        assert client.get(f"/sessions/{name}").status == 404


def test_saving_while_parts_come_disturbs_nobody(tmp_path: Path) -> None:
    store = Store(tmp_path / "saved", keep=100, most=10)
    text = (TEXTS[0] * 3)[:80]
    with serving(served(moods=classifier()), store=store, save_every=0.01) as client:
        with client.socket("/stream") as socket:
            name = json.loads(socket.recv(timeout=20))["session"]
            pushed = [ask(socket, {"push": letter}) for letter in text]
            assert (tmp_path / "saved" / f"{name}.session").exists()
            last = ask(socket, {"finish": True})
        assert [reply.get("answer") for reply in [*pushed, last]] == offline(text)
    assert not list((tmp_path / "saved").iterdir())  # what is finished is not kept


def test_a_disk_that_refuses_is_logged_and_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "saved", keep=100, most=10)
    tried: list[str] = []

    def full(name: str, saved: Any) -> None:
        tried.append(name)
        raise RunError("a stream could not be saved (No space left on device); make room")

    monkeypatch.setattr(store, "save", full)
    with serving(served(moods=classifier()), store=store, save_every=0.01) as client:
        name = client.post("/sessions").json["session"]
        assert until(lambda: name in tried)
        assert client.post(f"/sessions/{name}/push", {"push": "red"}).json["step"] == 3


def test_without_a_folder_a_stopped_server_forgets_and_says_so() -> None:
    models = served(moods=classifier())
    with contextlib.ExitStack() as later, serving(models) as client:
        socket = later.enter_context(client.socket("/stream"))
        name = json.loads(socket.recv(timeout=20))["session"]
        events = events_of(client, f"/sessions/{name}/events")
        client.stop()
        assert json.loads(socket.recv(timeout=20))["saved"] is False
        assert [event for _, event, _ in events] == ["stopping"]
    with serving(models) as client, client.socket(f"/stream?session={name}") as socket:
        assert "was not saved" in json.loads(socket.recv(timeout=20))["error"]


def test_a_saved_session_of_a_run_that_has_changed(tmp_path: Path) -> None:
    store = Store(tmp_path / "saved", keep=100, most=10)
    with serving(served(moods=classifier()), store=store) as client:
        name = client.post("/sessions").json["session"]
    changed = classifier(("a", "b", "c"))
    changed.module.output.weight.data += 1
    with serving(served(moods=changed), store=store) as client:
        assert "another run" in client.get(f"/sessions/{name}").error
    with serving(served(other=classifier()), store=store) as client:
        assert client.get(f"/sessions/{name}").status == 409
    (tmp_path / "saved" / f"{name}.session").write_text('{"format": 1, "state": "x"}')
    with serving(served(moods=classifier()), store=store) as client:
        assert client.get(f"/sessions/{name}").status == 404
