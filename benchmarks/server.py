"""`unrolled serve` under load and through stops: no stream is lost, none is mixed up with another.

A server in a process of its own reads with a language model of characters (GRU); each of many clients at once sends a
text of its own, character by character over a WebSocket, and waits for each answer. Every answer is compared with that
of an offline stream of the same text: it must be the same to the last digit. In two further rounds the server is ended
half-way, once by SIGTERM and once by SIGKILL, and started again: after SIGTERM all streams go on where they were; after
SIGKILL those that were saved go on from the step that was saved last, and the others are told so in a sentence.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from reporting import Claim, Table, parse, parser, report
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from unrolled.tasks import TASKS, Common, open_run

LETTERS = "abcdefgh "
CHOICES: dict[str, Any] = {"next": 3}
# Opened so late that they are not saved when the server is killed.
LATE = 0.2


@dataclass
class Round:
    """What the clients of one round saw."""

    seconds: list[float] = field(default_factory=list)
    finished: int = 0
    wrong: int = 0
    told: int = 0
    repeated: int = 0


class Process:
    """`unrolled serve` as a user starts it."""

    def __init__(self, run: Path, folder: Path, port: int = 0, **options: Any) -> None:
        command = [sys.executable, "-m", "unrolled", "serve", str(run), "--port", str(port), "--json", "--quiet"]
        command += ["--save", str(folder / "saved"), "--max-sessions", "2000"]
        command += [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
        with (folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)  # noqa: S603
        assert self.process.stdout is not None  # noqa: S101 - for the type checker
        first = self.process.stdout.readline()
        if not first:
            raise SystemExit(f"server: it did not start; see {(folder / 'log').read_text()[-2000:]}")
        self.port = int(json.loads(first)["address"].rpartition(":")[2])

    @property
    def memory(self) -> float:
        """Resident megabytes."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    @property
    def processor(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self, how: signal.Signals) -> float:
        """Send a signal and wait; seconds that it took."""
        begin = time.perf_counter()
        self.process.send_signal(how)
        self.process.wait(60)
        assert self.process.stdout is not None  # noqa: S101 - for the type checker
        self.process.stdout.close()
        return time.perf_counter() - begin

    def session(self) -> str:
        """A new stream."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        body = json.dumps({"choices": CHOICES})
        connection.request("POST", "/sessions", body, {"Content-Type": "application/json"})
        name: str = json.loads(connection.getresponse().read())["session"]
        connection.close()
        return name

    def socket(self, name: str) -> connect:
        """A connection to a stream."""
        return connect(f"ws://127.0.0.1:{self.port}/stream?session={name}", open_timeout=60, ping_interval=None)


@dataclass
class Client:
    """One text and what an offline stream answers to it after each character and at the end."""

    text: str
    expected: list[Any]
    name: str = ""
    step: int = 0

    async def read(self, server: Process, found: Round, until: int, *, finish: bool = False) -> None:
        """Push characters up to `until`, and compare; goes on where the server says that the stream is."""
        async with server.socket(self.name) as socket:
            first = json.loads(await socket.recv())
            if "error" in first:
                found.told += first.get("status") == 404 and "open a new one" in first["error"]
                return
            found.repeated += self.step - first["step"]
            self.step = first["step"]
            while self.step < until:
                answer = await self._ask(socket, {"push": self.text[self.step], "at": self.step}, found)
                found.wrong += answer["step"] != self.step + 1 or answer["answer"] != self.expected[self.step]
                self.step += 1
            if finish:
                last = await self._ask(socket, {"finish": True}, found)
                found.wrong += last["answer"] != self.expected[-1]
                found.finished += 1

    async def until_told(self, server: Process, found: Round) -> None:
        """Push until the server says that it stops, or is gone."""
        async with server.socket(self.name) as socket:
            await socket.recv()
            stopping = False
            try:
                while self.step < len(self.text):
                    if not stopping:
                        await socket.send(json.dumps({"push": self.text[self.step], "at": self.step}))
                    answer = json.loads(await socket.recv())
                    if "saved" in answer:
                        found.told += answer["saved"] is True
                        self.step = answer["step"]
                        return
                    stopping = answer.get("status") == 503  # the part came too late; the farewell is next
                    if not stopping:
                        found.wrong += answer.get("answer") != self.expected[self.step]
                        self.step += 1
                # Its text was at an end before the signal was heard; what the server says comes all the same.
                # a sum that waits in its middle would forget what others add meanwhile
                last = json.loads(await socket.recv())
                found.told += last["saved"] is True
            except ConnectionClosed:
                return

    async def _ask(self, socket: ClientConnection, message: Any, found: Round) -> Any:
        begin = time.perf_counter()
        await socket.send(json.dumps(message))
        answer = json.loads(await socket.recv())
        found.seconds.append(time.perf_counter() - begin)
        return answer


def clients_of(run: Path, count: int, steps: int) -> list[Client]:
    """Texts by chance, with the answers of offline streams."""
    model = open_run(run)
    chance = random.Random(5)
    found = []
    for _ in range(count):
        text = "".join(chance.choices(LETTERS, k=steps))
        stream = model.stream(**CHOICES)
        answers = [stream.push(letter) for letter in text]
        # As JSON brings them.
        found.append(Client(text, json.loads(json.dumps([*answers, stream.finish()]))))
    return found


async def all_at_once(clients: Sequence[Client], server: Process, found: Round, until: int, *, finish: bool) -> None:
    """All clients read up to the same step."""
    await asyncio.gather(*(client.read(server, found, until, finish=finish) for client in clients))


@dataclass(frozen=True)
class Load:
    """Megabytes of the server after a tenth of the load and at its end, seconds, and seconds of the processor."""

    memory: tuple[float, float]
    seconds: float
    processor: float


def opened(server: Process, clients: Sequence[Client]) -> None:
    """A new stream for each client."""
    for client in clients:
        client.name, client.step = server.session(), 0


def load(server: Process, clients: Sequence[Client], found: Round) -> Load:
    """All texts from beginning to end."""
    opened(server, clients)
    steps = len(clients[0].text)
    begin, cpu = time.perf_counter(), server.processor
    asyncio.run(all_at_once(clients, server, found, steps // 10, finish=False))
    warm = server.memory
    asyncio.run(all_at_once(clients, server, found, steps, finish=True))
    took = time.perf_counter() - begin
    return Load((warm, server.memory), took, server.processor - cpu)


def stop(server: Process, clients: Sequence[Client], found: Round) -> float:
    """SIGTERM while all clients wait for answers; seconds until the server has ended."""

    async def half() -> float:
        tasks = [asyncio.create_task(client.until_told(server, found)) for client in clients]
        while min(client.step for client in clients) < len(clients[0].text) // 4:
            await asyncio.sleep(0.01)
        ending = asyncio.create_task(asyncio.to_thread(server.end, signal.SIGTERM))
        await asyncio.gather(*tasks)
        return await ending

    opened(server, clients)
    return asyncio.run(half())


def kill(server: Process, clients: Sequence[Client], saved: Path) -> None:
    """SIGKILL while the clients wait for answers, the last of them so new that they are hardly saved."""
    late = max(1, int(LATE * len(clients)))
    early = clients[:-late]
    ignored = Round()

    async def half() -> None:
        tasks = [asyncio.create_task(client.until_told(server, ignored)) for client in early]
        while min(client.step for client in early) < len(clients[0].text) // 4:
            await asyncio.sleep(0.01)
        while not all((saved / f"{client.name}.session").exists() for client in early):
            await asyncio.sleep(0.01)
        await asyncio.to_thread(opened, server, clients[-late:])
        server.end(signal.SIGKILL)
        await asyncio.gather(*tasks)

    opened(server, early)
    asyncio.run(half())


def make_run(folder: Path, hidden: int) -> Path:
    """A language model of characters, hardly trained: what it answers does not matter here."""
    chance = random.Random(3)
    text = folder / "text.txt"
    text.write_text("".join(chance.choices(LETTERS, k=4000)) + "\n")
    options = TASKS["language"].options(hidden=hidden, embedding=16, cell="gru")
    TASKS["language"].train(options, Common(data=text, out=folder / "run", epochs=1))
    return folder / "run"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the three rounds and report."""
    begin = time.perf_counter()
    found = parser("The server under load and through stops.")
    found.add_argument("--sessions", type=int, default=200, help="streams at once")
    found.add_argument("--steps", type=int, default=1000, help="characters of each")
    found.add_argument("--hidden", type=int, default=256, help="units of the model")
    options = parse(found, arguments)
    if options.quick:
        options.sessions, options.steps, options.hidden = 8, 24, 16
    with tempfile.TemporaryDirectory() as name:
        claims, table = measure(Path(name), options)
    return report("server", options, claims, table=table, begin=begin, remarks=str(__doc__))


def measure(folder: Path, options: argparse.Namespace) -> tuple[list[Claim], Table]:
    """The claims and what lies behind them."""
    others = os.getloadavg()[0]
    run = make_run(folder, options.hidden)
    clients = clients_of(run, options.sessions, options.steps)
    few = clients[: max(5, len(clients) // 4)]
    server = Process(run, folder)
    busy, term, killed = Round(), Round(), Round()
    under = load(server, clients, busy)
    print(f"server: {len(clients)} streams of {options.steps} steps in {under.seconds:.1f} s", flush=True)
    ending = stop(server, few, term)
    server = Process(run, folder, server.port, save_every=0.2)
    asyncio.run(all_at_once(few, server, term, options.steps, finish=True))
    print(f"server: SIGTERM took {ending:.2f} s; {term.told} told, {term.finished} finished", flush=True)
    kill(server, few, folder / "saved")
    server = Process(run, folder, server.port)
    asyncio.run(all_at_once(few, server, killed, options.steps, finish=True))
    server.end(signal.SIGTERM)
    print(f"server: SIGKILL; {killed.finished} went on, {killed.told} told, {killed.repeated} steps again", flush=True)
    wrong = busy.wrong + term.wrong + killed.wrong
    grown = under.memory[1] - under.memory[0]
    claims = [
        Claim("streams lost under load", len(clients) - busy.finished, 0, most=True),
        Claim("answers unlike the offline stream's", wrong, 0, most=True),
        Claim("megabytes that the server grew from a tenth of the load to its end", grown, 50, most=True),
        Claim("streams lost by SIGTERM", len(few) - term.finished, 0, most=True),
        Claim("streams not told of SIGTERM", len(few) - term.told, 0, most=True),
        Claim("streams neither resumed nor told after SIGKILL", len(few) - killed.finished - killed.told, 0, most=True),
    ]
    pushes = 1000 * np.array(busy.seconds)
    p50, p99 = np.quantile(pushes, (0.5, 0.99))
    rows: list[tuple[str, float]] = [
        ("streams at once", len(clients)),
        ("characters of each", options.steps),
        ("other processes that wanted to run, at the beginning", round(others, 1)),
        ("pushes", len(pushes)),
        ("pushes a second", round(len(pushes) / under.seconds)),
        ("p50 of a push, ms", round(float(p50), 2)),
        ("p99 of a push, ms", round(float(p99), 2)),
        ("processor time of the server a push, us", round(1e6 * under.processor / len(pushes))),
        ("memory of the server at the end, MB", round(under.memory[1])),
        ("seconds from SIGTERM to the end", round(ending, 2)),
        ("streams that went on after SIGTERM", term.finished),
        ("streams that went on after SIGKILL", killed.finished),
        ("streams told that they are gone after SIGKILL", killed.told),
        ("steps read again after SIGKILL", killed.repeated),
    ]
    return claims, Table(("what", "value"), tuple(rows))


if __name__ == "__main__":
    raise SystemExit(main())
