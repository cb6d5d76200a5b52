"""The compiled kernels over NumPy arrays: whole sequences of many rows, and the bound step of one."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.cell import Program, Sizes
from unrolled.engine.cpu import team
from unrolled.engine.cpu.compiler import Compiled, Pass, compiled, tools
from unrolled.engine.cpu.joined import INPUT
from unrolled.engine.cpu.kernel import HEADER
from unrolled.engine.cpu.recipe import BLOCKS, recipe, where
from unrolled.engine.cpu.schedule import Place
from unrolled.runtime.interpreter import dense

Array = npt.NDArray[np.float32]
Lengths = npt.NDArray[np.int64]

DTYPE = "float32"
# Rows of a thread from which on W x_t is multiplied in its step, because storing it for all steps costs more.
_MANY_ROWS = 8
# Below this many multiplications a second thread costs more than it saves.
_WORTH_A_THREAD = 2_000_000


@dataclass(frozen=True)
class Packed:
    """The matrices of a pass as its kernel reads them; `places` are addresses in `memory`."""

    memory: Sequence[Array]
    places: list[int]


class Kernels:
    """One direction of a layer: a cell's program, without noise, and its float32 parameters by name.

    Parameters are laid out once; `scan` takes many rows, `step` makes the step of a single one.
    """

    def __init__(self, program: Program, sizes: Sizes, named: Mapping[str, Array]) -> None:
        self.program, self.sizes, self.named = program, sizes, named
        self.code: Compiled = compiled(program, DTYPE)
        lanes = self.code.lanes
        self.padded = {w: -(-sizes.of(w) // lanes) * lanes for w in ("hidden", "output")}
        self._units: dict[str, Array] = {}
        self._packed: dict[int, Packed] = {}

    def scan(
        self, xs: Array, state: tuple[Array, ...], lengths: Lengths | None, *, reverse: bool
    ) -> tuple[Array, tuple[Array, ...]]:
        """From xs (B, T, F) and states (B, size) to outputs (B, T, O) and the last states; zero past a row's length."""
        rows, steps, _ = xs.shape
        if not rows or not steps:
            return np.zeros((rows, steps, self.sizes.of(self.program.output_width)), np.float32), state
        shares = min(rows, self._worth(rows * steps))
        ends = np.full(rows, steps) if lengths is None else lengths
        # The kernel wants the longest rows of each share first; they are dealt out one by one.
        order = np.argsort(-ends, kind="stable")
        order = np.concatenate([order[k::shares] for k in range(shares)])
        ends = np.ascontiguousarray(ends[order], dtype=np.int64)
        many = self.code.joined is not None and rows // shares >= _MANY_ROWS
        step = self.code.joined if many and self.code.joined is not None else self.code.infer
        call = _Call(self, step, np.ascontiguousarray(xs[order].transpose(1, 0, 2)), reverse=reverse)
        begins = ends if reverse else np.zeros_like(ends)
        call.start(tuple(part[order] for part in state), begins)
        bounds = [sum(len(order[k::shares]) for k in range(n)) for n in range(shares + 1)]
        call.run(bounds, None if lengths is None else ends)
        outputs, last = call.results(np.zeros_like(ends) if reverse else ends)
        back = np.argsort(order)
        if lengths is not None:
            outputs[np.arange(steps)[:, None] >= ends] = 0
        return outputs[:, back].transpose(1, 0, 2), tuple(part[back] for part in last)

    def _worth(self, rows: int) -> int:
        sizes, program = self.sizes, self.program
        work = rows * sizes.hidden * (sizes.input * len(program.gates) + sizes.output * len(program.recurrent))
        return max(1, min(_threads(), work // _WORTH_A_THREAD))

    def unit(self, place: Place) -> Array:
        """A parameter that is the same for all rows, each part of it filled up with zeros to whole vectors."""
        kind, _, name = place.buffer.partition(".")
        if place.buffer not in self._units:
            given = self.named.get(f"vectors.{name}" if kind == "q" else kind)
            width = self.sizes.of(place.width)
            whole = np.zeros((place.slots, self.padded[place.width]), np.float32)
            if given is not None:
                whole[:, :width] = given.reshape(place.slots, width)
            self._units[place.buffer] = whole.reshape(-1)
        return self._units[place.buffer]

    def source(self, name: str) -> Array:
        """A parameter that matrices are taken from, dense where heads make it a stack of blocks."""
        if name == BLOCKS:
            return self.named["U"]
        value, heads = self.named[name], self.program.heads
        if name != "U" or heads == 1:
            return value
        parts = np.split(value, len(value) // self.sizes.hidden)
        return np.concatenate([dense(part, heads) for part in parts])

    @property
    def input_matrix(self) -> Array:
        """W with each gate filled up with rows of zeros to whole vectors, (G * padded H, F)."""
        parts = self.named["W"].reshape(len(self.program.gates), self.sizes.hidden, self.sizes.input)
        missing = self.padded["hidden"] - self.sizes.hidden
        return np.pad(parts, ((0, 0), (0, missing), (0, 0))).reshape(-1, self.sizes.input)

    def packed(self, step: Pass) -> Packed:
        """The matrices of a pass, packed when they are first asked for."""
        if id(step) not in self._packed:
            self._packed[id(step)] = self._direct(step) if step is self.code.direct else self._panels(step)
        return self._packed[id(step)]

    def _direct(self, step: Pass) -> Packed:
        memory = []
        for _, group in step.schedule.placed():
            for name in group.names:
                source, row, height, _ = where(self.program, self.sizes, group, name)
                memory.append(np.ascontiguousarray(self.source(source)[row : row + height]))
        return Packed(memory, [_address(matrix) for matrix in memory])

    def _panels(self, step: Pass) -> Packed:
        how = recipe(self.code, step, self.sizes)
        sources = {part.source: self.source(part.source) for part in how.parts}
        panels = _aligned(how.elements)
        start, entries = _address(panels), array("q", [len(how.parts), 0, 1])
        for part in how.parts:
            matrix = sources[part.source]
            per_row, per_column = matrix.shape[1], 1
            strides = (per_column, per_row) if part.transposed else (per_row, per_column)
            entries.extend((_address(matrix) + part.row * per_row * 4, *strides, part.units, part.inner, part.room,
                            start + part.place * 4, *part.rest))  # fmt: skip
        if how.parts:
            tools(DTYPE).pack.call(entries.buffer_info()[0])
        return Packed([panels], [start + place * 4 for place in how.groups])

    def header(self, steps: int, rows: tuple[int, int], starts: int, *, reverse: bool, lengths: int = 0) -> list[int]:
        """The first entries of a table."""
        sizes = self.sizes
        found = {"steps": steps, "first": rows[0], "last": rows[1], "input": sizes.input, "hidden": sizes.hidden,
                 "output": sizes.output, "descending": int(reverse), "before": int(reverse), "lengths": lengths,
                 "steps_at": starts, "states_at": starts, "shares": 1}  # fmt: skip
        return [found.get(name, 0) for name in HEADER]


class _Call:
    """The memory of one call of `scan`: T steps of B sorted rows, time-major."""

    def __init__(self, kernels: Kernels, step: Pass, xs: Array, *, reverse: bool) -> None:
        self.kernels, self.step, self.reverse = kernels, step, reverse
        self.steps, self.rows = xs.shape[:2]
        self.buffers: dict[str, Array] = {}
        if INPUT.buffer in step.buffers:
            self.buffers[INPUT.buffer] = xs
        else:
            flat = xs.reshape(self.steps * self.rows, -1) @ kernels.input_matrix.T
            self.buffers["x"] = flat.reshape(self.steps, self.rows, -1)

    def start(self, state: tuple[Array, ...], begins: Lengths) -> None:
        """Put the first states (B, size) where each row begins."""
        for (name, width), first in zip(self.kernels.program.state.items(), state, strict=True):
            buffer = np.zeros((self.steps + 1, self.rows, self.kernels.padded[width]), np.float32)
            buffer[begins, np.arange(self.rows), : first.shape[1]] = first
            self.buffers[f"s.{name}"] = buffer

    def run(self, bounds: Sequence[int], lengths: Lengths | None) -> None:
        """Call the kernel once for each share of the rows."""
        starts = np.zeros(self.steps + 1, np.int64)
        values = [number for place in self.step.places for number in self._entry(place)]
        values += self.kernels.packed(self.step).places
        ends = 0 if lengths is None else _address(lengths)
        tables = [
            array("q", [*self.kernels.header(self.steps, rows, _address(starts), reverse=self.reverse, lengths=ends),
                        *values])
            for rows in pairwise(bounds)
        ]  # fmt: skip
        team.run(self.step.run, tables)

    def _entry(self, place: Place) -> tuple[int, int, int]:
        """Address and strides, in elements, of a buffer."""
        if place.when == "unit":
            return _address(self.kernels.unit(place)), 0, 0
        buffer = self.buffers.get(place.buffer)
        if buffer is None:
            buffer = self.buffers[place.buffer] = np.empty(self._shape(place), np.float32)
        if buffer.ndim == 2:
            return _address(buffer), 0, buffer.shape[1]
        return _address(buffer), buffer.shape[1] * buffer.shape[2], buffer.shape[2]

    def _shape(self, place: Place) -> tuple[int, ...]:
        if place.when == "mean":
            return self.rows, self.kernels.code.lanes
        width = self.kernels.padded[place.width] * place.slots
        return (self.rows, width) if place.when == "row" else (self.steps, self.rows, width)

    def results(self, ends: Lengths) -> tuple[Array, tuple[Array, ...]]:
        """Outputs (T, B, O) and the states (B, size) at which each row ends."""
        program, sizes = self.kernels.program, self.kernels.sizes
        width = sizes.of(program.output_width)
        if program.output in program.next:
            buffer = self.buffers[f"s.{list(program.state)[program.next.index(program.output)]}"]
            outputs = buffer[:-1] if self.reverse else buffer[1:]
        else:
            outputs = self.buffers["y"]
        last = tuple(
            self.buffers[f"s.{name}"][ends, np.arange(self.rows), : sizes.of(of)] for name, of in program.state.items()
        )
        return outputs[..., :width].copy(), last


class Step:
    """One row, one step after the other, with everything laid out once: two tables take turns with the states.

    Read is `x`, or the output of a step `before`, or one of `rows` (V, n) that `select` has named: inputs or, where
    these are `multiplied`, W x without b. `calls[phase]` steps, `outputs[phase]` is what it puts out; the phase is 0,
    then 1, then 0.
    """

    def __init__(
        self, kernels: Kernels, before: Step | None = None, rows: Array | None = None, *, multiplied: bool = False
    ) -> None:
        self.kernels, self.rows = kernels, rows
        # Packed once, panels are read faster than the parameters as they lie.
        step = kernels.code.joined if kernels.code.joined is not None and not multiplied else kernels.code.infer
        states = kernels.program.state
        self.states = {name: _aligned(2 * kernels.padded[w]).reshape(2, -1) for name, w in states.items()}
        self.x = _aligned(kernels.sizes.input)
        inputs = [self.x, self.x] if before is None else before.outputs
        self._buffers: dict[str, Array] = {}
        self._starts = np.zeros(2, np.int64)
        # Where the step has no product with the input inside, the rows are multiplied beforehand.
        self._direct = multiplied or INPUT.buffer in step.buffers
        self._slot = len(HEADER) + 3 * [p.buffer for p in step.places].index(
            "x" if "x" in step.buffers else INPUT.buffer
        )
        self._first, self._stride = (0, 0) if rows is None else (_address(rows), rows.strides[0])
        self._tables = [self._table(step, phase, inputs[phase]) for phase in range(2)]
        self.outputs: list[Array] = [self._output(phase) for phase in range(2)]
        self.calls = [self._call(step, phase, inputs[phase]) for phase in range(2)]

    def select(self, phase: int, row: int) -> None:
        """The next step, of this phase, reads that row."""
        if self._direct:
            self._tables[phase][self._slot] = self._first + row * self._stride
        elif self.rows is not None:
            self.x[:] = self.rows[row]

    def put(self, phase: int, state: Sequence[Array]) -> None:
        """The state (1, size) that the step of this phase goes on from."""
        for both, part in zip(self.states.values(), state, strict=True):
            both[phase, : part.shape[1]] = part[0]

    def state(self, phase: int) -> tuple[Array, ...]:
        """A copy of the state that the step of this phase would go on from."""
        kept = zip(self.states.values(), self.kernels.program.state.values(), strict=True)
        return tuple(both[phase : phase + 1, : self.kernels.sizes.of(width)].copy() for both, width in kept)

    def _table(self, step: Pass, phase: int, x: Array) -> array[int]:
        kernels = self.kernels
        values = kernels.header(1, (0, 1), _address(self._starts), reverse=False)
        for place in step.places:
            kind, _, name = place.buffer.partition(".")
            if kind == "s":
                both = self.states[name]
                values += (_address(both[phase]), both.shape[1] * (1 - 2 * phase), both.shape[1])
            else:
                values += (_address(self._buffer(place, x)), 0, 0)
        return array("q", values + kernels.packed(step).places)

    def _buffer(self, place: Place, x: Array) -> Array:
        if place.when == "unit":
            return self.kernels.unit(place)
        if place.buffer == INPUT.buffer:
            return x
        if place.buffer not in self._buffers:
            count = self.kernels.padded[place.width] * place.slots if place.when != "mean" else self.kernels.code.lanes
            self._buffers[place.buffer] = _aligned(count)
        return self._buffers[place.buffer]

    def _call(self, step: Pass, phase: int, x: Array) -> Callable[[], None]:
        kernel = partial(step.run.call, self._tables[phase].buffer_info()[0])
        if self._direct:
            return kernel
        matrix, gates = self.kernels.input_matrix, self._buffers["x"]

        def call() -> None:
            np.dot(matrix, x, out=gates)
            kernel()

        return call

    def _output(self, phase: int) -> Array:
        program = self.kernels.program
        width = self.kernels.sizes.of(program.output_width)
        if program.output in program.next:
            return self.states[list(program.state)[program.next.index(program.output)]][1 - phase, :width]
        return self._buffers["y"][:width]


def _address(values: npt.NDArray[Any]) -> int:
    return values.__array_interface__["data"][0]  # type: ignore[no-any-return]  # NumPy does not type it


def _aligned(count: int) -> Array:
    """Zeros that begin on a cache line."""
    room = np.zeros(count + 16, np.float32)
    skip = -_address(room) % 64 // 4
    return room[skip : skip + count]


def _threads() -> int:
    """Threads for whole sequences: OMP_NUM_THREADS, else as many as there are cores to use."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdecimal() and int(given):
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
