"""Who may speak to the server, and what slow, greedy and broken clients cost the others: nothing."""

from __future__ import annotations

import http.client
import io
import json
import logging
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from serve.serving import TEXTS, Client, ask, classifier, served, serving, until
from unrolled.errors import ArgumentError, DataError, RunError
from unrolled.serve.keys import Keys, read_keys
from unrolled.serve.limits import Limits
from unrolled.serve.logs import LOGGER, JsonLines, event
from unrolled.serve.model import Served, open_models
from unrolled.serve.server import bind, check_address
from unrolled.serve.store import Store

KEY, OTHER = "0123456789abcdef0", "fedcba9876543210f"


def test_a_key_opens_and_nothing_else_does() -> None:
    with serving(served(moods=classifier()), keys=Keys([KEY, OTHER]), hosts=None) as client:
        for headers in ({}, {"Authorization": "Bearer x"}, {"X-API-Key": KEY[:-1]}, {"Authorization": f"Basic {KEY}"}):
            reply = client.post("/predict", {"inputs": ["a"]}, headers=headers)
            assert reply.status == 401 and reply.headers["www-authenticate"] == "Bearer" and "key" in reply.error
        for path in ("/models", "/metrics", "/sessions/x"):
            assert client.get(path).status == 401
        for headers in ({"Authorization": f"Bearer {KEY}"}, {"X-API-Key": OTHER}):
            assert client.post("/predict", {"inputs": ["a"]}, headers=headers).status == 200
        for path in ("/health", "/ready", "/openapi.json", "/"):
            assert client.get(path).status == 200
        assert client.get("/openapi.json").json["security"] == [{"key": []}, {"header": []}]
        name = client.post("/sessions", headers={"X-API-Key": KEY}).json["session"]
        assert client.get(f"/sessions/{name}", headers={"X-API-Key": OTHER}).status == 404
        assert client.get(f"/sessions/{name}", headers={"X-API-Key": KEY}).status == 200
        with client.socket("/stream") as stream:
            assert ask(stream, {"key": KEY})["model"] == "moods"
        for first in ({"key": "x"}, {"key": 5}, {"push": "a"}):
            with client.socket("/stream") as stream:
                assert "error" in ask(stream, first)
                with pytest.raises(ConnectionClosed):
                    stream.recv(timeout=20)
        with client.socket("/stream", additional_headers={"Authorization": f"Bearer {OTHER}"}) as stream:
            assert json.loads(stream.recv(timeout=20))["step"] == 0


def test_keys_are_read_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys"
    path.write_text(f"# ours\n{KEY}\n\n  {OTHER}  \n")
    path.chmod(0o644)
    with pytest.raises(DataError, match="others may read the keys"):
        read_keys(path)
    path.chmod(0o600)
    keys = read_keys(path)
    assert len(keys) == 2 and keys.owner(KEY) != keys.owner(OTHER) and keys.owner("x") is None
    assert KEY not in repr(keys) and KEY not in str(vars(keys)) and KEY not in str(keys.owner(KEY))
    path.write_text("# none\n")
    with pytest.raises(DataError, match="holds no key"):
        read_keys(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_keys(tmp_path / "none")
    monkeypatch.setenv("UNROLLED_KEYS", f"{KEY}, {OTHER}")
    assert len(read_keys(None)) == 2
    monkeypatch.delenv("UNROLLED_KEYS")
    assert read_keys(None).owner(None) == ""
    for bad in ("short", "with a space in it", "schlüssel-schlüssel"):
        with pytest.raises(ArgumentError, match="API key"):
            Keys([bad])


def test_without_a_key_only_this_machine_is_listened_to() -> None:
    for host in ("127.0.0.1", "::1", "localhost", "127.8.9.1"):
        check_address(host, Keys())
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org"):
        with pytest.raises(ArgumentError, match="without a key"):
            check_address(host, Keys())
        check_address(host, Keys([KEY]))


def test_pages_of_other_sites_are_refused(client: Client) -> None:
    own = f"127.0.0.1:{client.port}"
    ask_for = {"inputs": ["a"]}
    for origin in ("https://evil.example", "null", f"http://{own}.evil.example"):
        reply = client.post("/models/moods/predict", ask_for, headers={"Origin": origin})
        assert reply.status == 403 and "another site" in reply.error
        with pytest.raises(InvalidStatus), client.socket("/models/moods/stream", origin=origin):
            pass
    assert client.post("/models/moods/predict", ask_for, headers={"Origin": f"http://{own}"}).status == 200
    reply = client.get("/models", headers={"Host": "rebound.example"})
    assert reply.status == 403 and "localhost" in reply.error
    assert client.get("/health", headers={"Host": f"localhost:{client.port}"}).status == 200
    assert client.get("/health", headers={"Host": "[::1]:80"}).status == 200


def test_headers_of_every_answer(client: Client) -> None:
    for path in ("/", "/models", "/nowhere", "/openapi.json"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff" and "server" not in headers
    assert "sandbox" in client.get("/models/moods/drawing").headers["content-security-policy"]
    assert client.get("/docs").status == 404  # it would load scripts from elsewhere


def raw(client: Client, data: bytes) -> socket.socket:
    found = socket.create_connection(("127.0.0.1", client.port), timeout=20)
    found.sendall(data)
    return found


def read_all(connection: socket.socket) -> bytes:
    """What comes until the server closes; nothing more where it resets."""
    found = b""
    try:
        while part := connection.recv(65_536):
            found += part
    except ConnectionResetError:
        pass
    return found


def status_of(connection: socket.socket) -> int:
    """The status of the next answer."""
    with http.client.HTTPResponse(connection) as response:
        response.begin()
        assert set(json.loads(response.read())) == {"error"}
        return response.status


HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def test_bodies_beyond_the_limit() -> None:
    with serving(served(moods=classifier()), limits=Limits(max_body=0.02)) as client:
        with raw(client, HEAD + b"Content-Length: 100000000000\r\n\r\n") as connection:
            assert status_of(connection) == 413
        body = json.dumps({"inputs": ["a" * 30_000]}).encode()
        assert client.post("/predict", body=body, headers={"Content-Type": "application/json"}).status == 413
        chunks = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1000\r\n" + b"x" * 4096 + b"\r\n"
        with raw(client, chunks) as connection:
            connection.sendall((b"1000\r\n" + b"x" * 4096 + b"\r\n") * 8)
            assert status_of(connection) == 413
        form = client.upload("/predict", "a.txt", b"x" * 30_000)
        assert form.status == 413 and "0.02 MB" in form.error
        assert client.post("/predict", {"inputs": ["a"]}).status == 200


def test_slow_and_half_open_requests_cost_the_others_nothing() -> None:
    limits = Limits(slow_time=0.3)
    with serving(served(moods=classifier()), limits=limits) as client:
        silent = [raw(client, b"") for _ in range(5)]
        half_heads = [raw(client, b"POST /predict HT") for _ in range(5)]
        half_bodies = [raw(client, HEAD + b'Content-Length: 50\r\n\r\n{"inputs"') for _ in range(5)]
        half_upgrades = [raw(client, b"GET /stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: webso") for _ in range(5)]
        for text in TEXTS:
            began = time.monotonic()
            assert client.post("/predict", {"inputs": [text]}).status == 200
            assert time.monotonic() - began < 5
        assert all(read_all(connection) == b"" for connection in [*silent, *half_heads, *half_upgrades])
        for connection in half_bodies:
            said = read_all(connection)
            assert b" 408 " in said.split(b"\r\n")[0] and b"did not arrive" in said
        for connection in [*silent, *half_heads, *half_bodies, *half_upgrades]:
            connection.close()


def test_a_reader_who_does_not_read_is_let_go_of() -> None:
    with serving(served(moods=classifier()), limits=Limits(slow_time=0.3)) as client:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", client.port))
        connection.settimeout(0.1)
        request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 16_000 + b"\r\n\r\n"
        with connection:
            with pytest.raises((TimeoutError, ConnectionError)):
                connection.sendall(request * 10_000)
            assert client.post("/predict", {"inputs": ["a"]}).status == 200
            connection.settimeout(20)
            with pytest.raises(ConnectionError):
                connection.sendall(request * 10_000)


def test_no_more_connections_than_may_be() -> None:
    with serving(served(moods=classifier()), limits=Limits(max_connections=4, slow_time=0.5)) as client:
        held = [raw(client, b"") for _ in range(4)]
        with raw(client, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n") as late:
            assert read_all(late) == b""
        assert all(read_all(connection) == b"" for connection in held)  # they said nothing for too long
        assert client.get("/health").status == 200
        for connection in held:
            connection.close()


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        HEAD + b"Content-Length: -5\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
        HEAD + b"X: " + b"a" * 60_000 + b"\r\n\r\n",
    ],
)
def test_what_is_no_http(client: Client, data: bytes) -> None:
    with raw(client, data) as connection:
        connection.shutdown(socket.SHUT_WR)
        said = read_all(connection)
    assert not said or said.startswith(b"HTTP/1.1 4")
    assert client.get("/health").status == 200


def written(stream: io.StringIO) -> list[dict[str, Any]]:
    """The whole lines of a log."""
    return [json.loads(line) for line in stream.getvalue().splitlines(keepends=True) if line.endswith("\n")]


def test_logs_say_what_was_done_and_nothing_of_users(client: Client) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    try:
        client.post("/models/moods/predict?key=SECRET", {"inputs": ["SECRET"]}, headers={"X-API-Key": "SECRET"})
        client.post("/models/SECRET/predict", {"inputs": ["SECRET"]})
        client.get("/page/main.js?SECRET")
        # A line is written when the answer has gone, also of the tests before.
        wanted = {("/models/{name}/predict", 200), ("/models/{name}/predict", 404), ("/page", 200)}
        assert until(lambda: wanted <= {(line.get("route"), line.get("status")) for line in written(stream)})
        try:
            raise ValueError("SECRET")
        except ValueError as error:
            event("fault", level=40, error=error, model="moods")
    finally:
        LOGGER.removeHandler(handler)
    (fault,) = (line for line in written(stream) if line["event"] == "fault")
    assert fault["error"] == "ValueError" and "test_guarding.py" in fault["at"][0]
    assert "SECRET" not in stream.getvalue()


def test_a_fault_of_ours_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    models = served(moods=classifier())

    def broken(*arguments: Any) -> Any:
        raise ZeroDivisionError("SECRET")

    monkeypatch.setattr(models["moods"].model, "probabilities", broken)
    with serving(models) as client:
        reply = client.post("/predict", {"inputs": ["a"]})
        assert reply.status == 500 and "fault of the server itself" in reply.error and b"SECRET" not in reply.body
        assert client.get("/health").status == 200


def test_a_folder_that_others_can_read_saves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    with pytest.raises(RunError, match="chmod 700"):
        Store(folder, keep=1, most=1)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be made"):
        Store(tmp_path / "file" / "in", keep=1, most=1)


def test_saved_streams_are_neither_too_old_nor_too_many(tmp_path: Path) -> None:
    from unrolled.serve.store import Saved, new_id

    store = Store(tmp_path / "saved", keep=1000, most=3)
    names = [new_id() for _ in range(5)]
    for place, name in enumerate(names):
        store.save(name, Saved("m", "", bytes([place])))
        now = time.time() - (2000 if place == 4 else 100 - place)
        os.utime(tmp_path / "saved" / f"{name}.session", (now, now))
    assert store.prune() == 2
    assert [store.load(name) for name in names] == [
        None, *(Saved("m", "", bytes([place])) for place in (1, 2, 3)), None
    ]  # fmt: skip
    for name in ("../x", "", "a" * 22 + "/..", "é" * 22):
        assert store.load(name) is None
        store.remove(name)


def test_a_port_that_is_taken() -> None:
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(RunError, match="cannot be used"):
            bind("127.0.0.1", taken.getsockname()[1])


def test_names_of_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Served, "open", lambda name, run: (name, run))
    assert open_models(["x/a", "b=y/a"]) == {"a": ("a", Path("x/a")), "b": ("b", Path("y/a"))}
    with pytest.raises(ArgumentError, match="two runs are called 'a'"):
        open_models(["x/a", "y/a"])
    with pytest.raises(ArgumentError, match="no name for an address"):
        served(**{"a b": classifier()})


def test_a_long_input_holds_up_neither_streams_nor_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    models = served(moods=classifier())
    go, busy = threading.Event(), threading.Event()
    probabilities = models["moods"].model.probabilities

    def slow(inputs: Any) -> Any:
        busy.set()
        assert go.wait(20)
        return probabilities(inputs)

    monkeypatch.setattr(models["moods"].model, "probabilities", slow)
    with serving(models) as client, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.post, "/predict", {"inputs": ["a"]})
        try:
            assert busy.wait(20)
            name = client.post("/sessions").json["session"]
            assert client.post(f"/sessions/{name}/push", {"push": "red"}).json["step"] == 3
            assert client.get("/models/moods/drawing").status == 200
            assert client.post("/predict", {"inputs": [5]}).status == 422
        finally:
            go.set()
        assert waiting.result(20).status == 200
