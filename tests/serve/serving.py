"""Small models with chance weights behind a real server on loopback, and what speaks to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from websockets.sync.client import ClientConnection, connect

from unrolled.serve.app import build_app
from unrolled.serve.limits import Limits
from unrolled.serve.model import Served
from unrolled.serve.server import bind, make_server
from unrolled.tasks import TASKS
from unrolled.tasks.classify import ClassifyTask
from unrolled.tasks.language import LanguageTask
from unrolled.tasks.model import Parts, TaskModel
from unrolled.tasks.regress import RegressTask
from unrolled.tasks.sequences import Examples
from unrolled.tasks.tag import TagTask
from unrolled.tasks.tag_parts import Layout, TagExamples

RNG = np.random.default_rng(23)
WORDS = ["red", "green", "blue", "grey", "red's"]
TEXTS = [" ".join(RNG.choice(WORDS, size)) for size in (9, 4, 7, 12, 5, 8)]
ROWS = [RNG.normal(size=(length, 2)).astype(np.float32) for length in (11, 5, 8)]


def stirred(model: Any) -> Any:
    """With weights large enough that answers differ."""
    with torch.no_grad():
        for parameter in model.module.parameters():
            parameter += 0.5 * torch.randn_like(parameter) * (parameter.dim() > 1)
    model.module.eval()
    return model


def language() -> LanguageTask:
    torch.manual_seed(2)
    options = TASKS["language"].options(hidden=8, embedding=6, units="char")
    return stirred(LanguageTask.build(Parts(TEXTS), options))


def classifier(labels: tuple[str, ...] = ("warm", "cold", "<b>mild</b>")) -> ClassifyTask:
    torch.manual_seed(3)
    examples = Examples(TEXTS, [labels[place % 3] for place in range(len(TEXTS))])
    options = TASKS["classify"].options(hidden=6, embedding=5, bidirectional=False, units="char")
    return stirred(ClassifyTask.build(Parts(examples), options))


def regressor() -> RegressTask:
    torch.manual_seed(4)
    examples = Examples(ROWS, [(float(place), -100.0 * place**2) for place in range(len(ROWS))])
    return stirred(RegressTask.build(Parts(examples), TASKS["regress"].options(hidden=6, target=("x", "y"))))


def tagger() -> TagTask:
    torch.manual_seed(5)
    words = [text.split() for text in TEXTS]
    examples = TagExamples(words, [["N" if "r" in w else "V" for w in row] for row in words], Layout("words"))
    return stirred(TagTask.build(Parts(examples), TASKS["tag"].options(hidden=6, embedding=5, causal=True)))


def served(**models: TaskModel[Any]) -> dict[str, Served]:
    return {name: Served.of(name, model) for name, model in models.items()}


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The sentence of a refusal, which must be one and nothing else."""
        assert set(self.json) == {"error"}, self.json
        said = self.json["error"]
        assert said.endswith((".", "!", "?")) and "\n" not in said and "Traceback" not in said, said
        return str(said)


@dataclass(frozen=True)
class Client:
    port: int
    stop: Callable[[], None]

    def __call__(
        self, method: str, path: str, value: Any = None, *, body: bytes | None = None, headers: Any = None
    ) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        sent = dict(headers or {})
        if value is not None:
            body = json.dumps(value).encode()
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        with contextlib.closing(connection):
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return Reply(answer.status, dict(answer.getheaders()), answer.read())

    def get(self, path: str, **more: Any) -> Reply:
        return self("GET", path, **more)

    def post(self, path: str, value: Any = None, **more: Any) -> Reply:
        return self("POST", path, value, **more)

    def delete(self, path: str, **more: Any) -> Reply:
        return self("DELETE", path, **more)

    def upload(self, path: str, name: str, content: bytes, **fields: str) -> Reply:
        return self.post(path, **multipart([("file", name, content)], fields))

    def socket(self, path: str, **more: Any) -> ClientConnection:
        return connect(f"ws://127.0.0.1:{self.port}{path}", open_timeout=20, close_timeout=5, **more)


def multipart(files: list[tuple[str, str, bytes]], fields: Mapping[str, str]) -> dict[str, Any]:
    """The body of a form and its headers."""
    parts = [
        f'--edge\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'.encode() + content
        for field, name, content in files
    ]
    parts += [
        f'--edge\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}'.encode()
        for field, value in fields.items()
    ]
    body = b"\r\n".join([*parts, b"--edge--\r\n"])
    return {"body": body, "headers": {"Content-Type": "multipart/form-data; boundary=edge"}}


@contextlib.contextmanager
def serving(models: Mapping[str, Served], **settings: Any) -> Iterator[Client]:
    """A server on a free port, until the end of the block, which it leaves gracefully."""
    app = build_app(models, **settings)
    listener = bind("127.0.0.1", 0)
    listens = threading.Event()
    server = make_server(app, settings.get("limits", Limits()), lambda address: listens.set(), stop_within=5)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        assert listens.wait(20)
        yield Client(listener.getsockname()[1], server.stop)
    finally:
        server.stop()
        thread.join(20)
        assert not thread.is_alive()


def ask(socket: ClientConnection, value: Any) -> Any:
    """One message to a stream and its answer."""
    socket.send(json.dumps(value))
    return json.loads(socket.recv(timeout=20))


def until(true: Callable[[], bool], within: float = 20) -> bool:
    """Whether it becomes true."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.02)
    return False
