"""One target searched by one engine in a process of its own, so that a crash or a hang ends nothing else."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import sys
import time
import traceback
from pathlib import Path

MEMORY = 2 * 2**30


def main() -> None:
    """`python -m fuzzing.search TARGET SECONDS FOLDER OUT SEED`."""
    name, seconds, folder, out, seed = sys.argv[1], float(sys.argv[2]), *map(Path, sys.argv[3:5]), int(sys.argv[5])
    end = time.monotonic() + seconds
    both = importlib.util.find_spec("atheris") is not None
    with _instrumented() if both else contextlib.nullcontext():
        from fuzzing.targets import TARGETS

        search = Search(TARGETS[name], folder, out / "found")
        search.warm_up()
    _limit_memory()
    # However long the libraries took to load, each engine has its time.
    left = max(1.0, end - time.monotonic())
    search.by_hypothesis(left / 2 if both else left, seed)
    if both:
        search.by_atheris(left / 2, seed)
    search.tell()


def _instrumented() -> contextlib.AbstractContextManager[object]:
    import atheris

    return atheris.instrument_imports(include=["unrolled.data", "unrolled.tasks.run", "unrolled.tasks.reading"])  # type: ignore[no-any-return]


class Search:
    """Tries inputs; each new fault is written into `found`, made as short as a second allows."""

    def __init__(self, target, folder: Path, found: Path) -> None:  # type: ignore[no-untyped-def]
        self.target = target
        self.folder = folder
        self.path = target.place(folder)
        self.found = found
        self.found.mkdir(parents=True, exist_ok=True)
        self.tried = 0
        self.read = 0
        self.faults: set[str] = set()

    def warm_up(self) -> None:
        """Read what is whole, so that libraries are loaded before memory is counted."""
        from fuzzing.law import Broken

        self.seeds = self.target.seeds()
        for seed in self.seeds:
            try:
                self._fault(seed)
            except Broken:
                continue

    def try_one(self, data: bytes) -> None:
        """Read it; a fault is noted and the search goes on."""
        self.tried += 1
        fault = self._fault(data)
        if fault is None or fault.where in self.faults:
            return
        self.faults.add(fault.where)
        data, fault = self._shortened(data, fault)
        name = f"{self.target.name}-{hashlib.sha256(data).hexdigest()[:10]}"
        (self.found / f"{name}.bin").write_bytes(data)
        said = "".join(traceback.format_exception(fault))[-6000:]
        (self.found / f"{name}.txt").write_text(
            f"{fault}\n{data[:2000]!r}\n\n{said}", encoding="utf-8", errors="replace"
        )

    def _fault(self, data: bytes):  # type: ignore[no-untyped-def]
        from fuzzing.law import SECONDS, Broken, check, die_after

        # What is being read when this process dies is there for the one who started it.
        (self.folder / "input.bin").write_bytes(data)
        self.path.write_bytes(self.target.wrap(data))
        die_after(SECONDS)
        try:
            self.read += check(self.target.read, self.path) == "read"
        except Broken as fault:
            return fault
        finally:
            die_after(0)
        return None

    def _shortened(self, data: bytes, fault):  # type: ignore[no-untyped-def]
        end = time.monotonic() + 1.0
        size = len(data) // 2
        while size >= 1:
            start = 0
            while start < len(data) and time.monotonic() < end:
                shorter = data[:start] + data[start + size :]
                again = self._fault(shorter)
                if again is not None and again.where == fault.where:
                    data, fault = shorter, again
                else:
                    start += size
            size //= 2
        return data, fault

    def by_hypothesis(self, seconds: float, seed: int) -> None:
        """Edits of the seeds, drawn by hypothesis."""
        import hypothesis

        from fuzzing.edits import damaged

        end = time.monotonic() + seconds
        settings = hypothesis.settings(
            max_examples=100, deadline=None, database=None, derandomize=False,
            phases=(hypothesis.Phase.generate,), suppress_health_check=list(hypothesis.HealthCheck),
        )  # fmt: skip
        while time.monotonic() < end:

            @hypothesis.seed(seed)
            @settings
            @hypothesis.given(damaged(self.seeds))
            def one(data: bytes) -> None:
                self.try_one(data)

            one()
            seed += 1

    def by_atheris(self, seconds: float, seed: int) -> None:
        """Edits that reach new lines of our own code, found by atheris."""
        import atheris

        from fuzzing.edits import TOKENS

        corpus = self.folder / "corpus"
        corpus.mkdir()
        for place, data in enumerate(self.seeds):
            (corpus / f"seed-{place}").write_bytes(data)
        words = self.folder / "words"
        words.write_text("".join(_word(token) for token in TOKENS if 0 < len(token) < 60))
        options = (
            f"-seed={seed + 1}", "-timeout=0", "-rss_limit_mb=0", "-max_len=8192", f"-dict={words}",
            f"-artifact_prefix={self.folder}/", "-verbosity=0",
        )  # fmt: skip

        def one(data: bytes) -> None:
            self.try_one(data)
            if time.monotonic() >= end:
                self.tell()
                os._exit(0)  # libFuzzer's own end would look for leaks first

        end = time.monotonic() + seconds
        atheris.Setup([sys.argv[0], *options, str(corpus)], one)
        atheris.Fuzz()

    def tell(self) -> None:
        """One line of numbers for the process that started this one."""
        print(f"{self.tried} {self.read} {len(self.faults)}", flush=True)


def _word(token: bytes) -> str:
    """A line of libFuzzer's dictionary."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in token) + '"\n'


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    main()
