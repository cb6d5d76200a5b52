"""What every cell must hold to, whoever wrote it."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from batteries.equations import evaluate
from batteries.random_case import RandomCase, assert_close, gradients, random_case
from unrolled.cell import Cell, Leaves, Products, Program, ProgramCell, Pullback, pullback, run, to_text, trace
from unrolled.engine import explain, scan, step


def folding_steps_equals_scan(cell: Cell) -> None:
    case = random_case(cell)
    outputs, last = case.scan()
    state, parts = case.state, []
    for t in range(case.xs.shape[1]):
        noise = {k: v[:, t] if v.dim() == 3 else v for k, v in case.noise.items()}
        y, state = step(cell, case.weights, case.xs[:, t], state, noise=noise)
        parts.append(y)
    assert_close([torch.stack(parts, 1), *state], [outputs, *last])


def chunked_equals_whole(cell: Cell) -> None:
    case = random_case(cell, steps=7)
    outputs, last = case.scan(noise=None)
    first, state = scan(cell, case.weights, case.xs[:, :3], case.state)
    second, state = scan(cell, case.weights, case.xs[:, 3:], state)
    assert_close([torch.cat([first, second], 1), *state], [outputs, *last])


def rows_are_independent(cell: Cell) -> None:
    case = random_case(cell, batch=5)
    outputs, last = case.scan(noise=None)
    order = torch.tensor([3, 0, 4, 1, 2])
    state = type(case.state)(*(s[order] for s in case.state))
    permuted, moved = scan(cell, case.weights, case.xs[order], state)
    assert_close([permuted, *moved], [outputs[order], *(s[order] for s in last)])


def engines(case: RandomCase, lengths: Tensor | None = None) -> list[str]:
    """Every engine that takes the cell."""
    refusals = explain(case.cell, case.weights, case.xs, lengths=lengths, engine="reference").refusals
    return ["reference", *(name for name, reason in refusals.items() if reason == "reference was asked for")]


def padding_changes_nothing(cell: Cell) -> None:
    """Whatever lies past a row's end, also NaN, leaves outputs, state and every gradient alone."""
    case = random_case(cell, batch=4, steps=6)
    lengths = torch.tensor([6, 2, 0, 5])
    for engine, reverse in product(engines(case, lengths), (False, True)):
        dirty = case.xs.detach().clone()
        for row, length in enumerate(lengths):
            dirty[row, length:] = float("nan")
        dirty.requires_grad_()
        outputs, last = scan(cell, case.weights, dirty, case.state, lengths=lengths, reverse=reverse, engine=engine)
        found = gradients(outputs, last, [*case.named.values(), dirty, *case.state])
        rows_out, rows_last = [], []
        for row, length in enumerate(lengths):
            state = type(case.state)(*(s[row : row + 1] for s in case.state))
            y, end = scan(cell, case.weights, case.xs[row : row + 1, :length], state, reverse=reverse, engine=engine)
            rows_out.append(torch.cat([y, y.new_zeros(1, 6 - int(length), y.shape[2])], 1))
            rows_last.append(end)
        joined = type(case.state)(*(torch.cat(parts) for parts in zip(*rows_last, strict=True)))
        wanted = gradients(torch.cat(rows_out), joined, case.leaves())
        assert_close([outputs, *last, *found], [torch.cat(rows_out), *joined, *wanted], 1e-11)


def reverse_twice_is_forward(cell: Cell) -> None:
    case = random_case(cell)
    outputs, last = case.scan(noise=None)
    turned, end = scan(cell, case.weights, case.xs.flip(1), case.state, reverse=True)
    assert_close([turned.flip(1), *end], [outputs, *last])


def nothing_in_nothing_out(cell: Cell) -> None:
    """T = 0 and lengths of 0 keep the state and put out zeros."""
    case = random_case(cell)
    outputs, last = scan(cell, case.weights, case.xs[:, :0], case.state)
    assert outputs.shape[:2] == (3, 0)
    assert_close(last, case.state, 0.0)
    outputs, last = scan(cell, case.weights, case.xs, case.state, lengths=torch.zeros(3, dtype=torch.int64))
    assert_close([outputs, *last], [torch.zeros_like(outputs), *case.state], 0.0)


def gradients_are_right(cell: Cell) -> None:
    """Against finite differences in float64, for weights, input, state and through the output of every step."""
    case = random_case(cell, batch=2, steps=3, inputs=2, hidden=3, output=2)
    names = list(case.named)

    def run_case(*leaves: Tensor) -> tuple[Tensor, ...]:
        named = dict(zip(names, leaves, strict=False))
        state = type(case.state)(*leaves[len(names) + 1 :])
        moved = RandomCase(cell, case.program, case.sizes, named, leaves[len(names)], state, case.noise)
        outputs, last = moved.scan(engine="reference")
        return outputs, *last

    assert torch.autograd.gradcheck(run_case, tuple(case.leaves()), atol=1e-6)


def symbolic_derivative_equals_autograd(cell: Cell) -> None:
    """The derivative program, run step by step with tensors, gives what autograd gives."""
    case = random_case(cell, steps=1)
    outputs, last = case.scan(engine="reference")
    seeds = [torch.cos(torch.arange(v.numel(), dtype=v.dtype)).reshape(v.shape) for v in (outputs, *last)]
    wanted = torch.autograd.grad((outputs, *last), case.state, seeds, allow_unused=True, retain_graph=True)
    parts = run_pullback(pullback(case.program), case, seeds)
    for name, old, want in zip(case.program.state, case.state, wanted, strict=True):
        got = parts.get(f"state {name}", torch.zeros_like(old))
        assert_close([got], [torch.zeros_like(old) if want is None else want])
    weights = torch.autograd.grad((outputs, *last), case.named["W"], seeds, retain_graph=True)[0]
    stacked = torch.cat([parts[f"gate {g}"] for g in case.program.gates], -1)
    assert_close([stacked.mT @ case.xs[:, 0]], [weights])
    for name in case.program.vectors:
        want = torch.autograd.grad((outputs, *last), case.named[f"vectors.{name}"], seeds, retain_graph=True)[0]
        assert_close([parts[f"parameter {name}"].sum(0)], [want])


def run_pullback(derivative: Pullback, case: RandomCase, seeds: list[Tensor]) -> dict[str, Tensor]:
    """Values of a derivative program; products with U transposed are done by autograd of a plain product."""
    program = derivative.program
    hidden = case.sizes.hidden
    gates = torch.nn.functional.linear(case.xs[:, 0], case.named["W"], case.named.get("b")).chunk(
        len(program.gates), -1
    )
    noise = {k: v[:, 0] if v.dim() == 3 else v for k, v in case.noise.items()}
    vectors = {k.removeprefix("vectors."): v.expand(3, -1) for k, v in case.named.items() if k.startswith("vectors.")}
    place = {g: k for k, g in enumerate(program.recurrent)}
    bias = {g: k for k, g in enumerate(program.recurrent_biased)}

    def matrix(name: str) -> Tensor:
        if name in program.products:
            return case.named[f"products.{name}"]
        rows = case.named["U"][place[name] * hidden : (place[name] + 1) * hidden]
        return torch.block_diag(*rows.chunk(program.heads)) if program.heads > 1 else rows

    def multiply(name: str, operand: Tensor) -> Tensor:
        product = operand @ matrix(name).mT
        return product + case.named["c"][bias[name] * hidden : (bias[name] + 1) * hidden] if name in bias else product

    def transposed(name: str, d: Tensor) -> Tensor:
        return d @ matrix(name)

    names = ["output", *(f"next.{s}" for s in program.state)]
    full = [torch.zeros(3, case.sizes.of(program.output_width), dtype=torch.float64), *case.state]
    adjoints = dict(zip(names, [seeds[0][:, 0], *seeds[1:]], strict=True))
    assert all(adjoints[n].shape == f.shape for n, f in zip(names, full, strict=True))
    values = run_nodes(derivative, gates, case, vectors | noise, multiply, transposed, adjoints)
    groups = {"gate": derivative.gates, "state": derivative.state, "parameter": derivative.parameters}
    return {f"{kind} {name}": values[i] for kind, group in groups.items() for name, i in group.items()}


def run_nodes(
    derivative: Pullback, gates: tuple[Tensor, ...], case: RandomCase, extras: dict[str, Tensor],
    multiply: Callable[[str, Tensor], Tensor], transposed: Callable[[str, Tensor], Tensor], adjoints: dict[str, Tensor],
) -> list[Tensor]:  # fmt: skip
    from unrolled.cell.functions import apply

    program = derivative.program
    x = Leaves("law", "x", dict(zip(program.gates, gates, strict=True)))
    u = Products("law", (*program.gates, *program.products), case.state[0], multiply)
    values = run(program, x, u, case.state, Leaves("law", "p", extras))
    for node in derivative.nodes[len(program.nodes) :]:
        if node.operation == "adjoint":
            values.append(adjoints[str(node.name)])
        elif node.operation == "transposed":
            parts = zip(str(node.name).split(","), node.arguments, strict=True)
            values.append(sum(transposed(name, values[a]) for name, a in parts))
        elif node.operation == "constant":
            values.append(node.value)
        else:
            values.append(apply(node.operation, *(values[a] for a in node.arguments)))
    return values


def program_survives_json(cell: Cell) -> None:
    program = trace(cell)
    again = Program.from_json(json.loads(json.dumps(program.to_json())))
    assert again == program
    assert to_text(again) == to_text(program)
    case = random_case(cell)
    outputs, last = case.scan(engine="reference")
    case.cell = ProgramCell(again)
    from_file, end = case.scan(engine="reference")
    assert_close([from_file, *end], [outputs, *last], 0.0)


def printed_equations_equal_the_trace(cell: Cell) -> None:
    """The lines of text, read as arithmetic, compute the same step."""
    case = random_case(cell, steps=1)
    case.noise = {k: torch.full_like(v, case.program.noise[k].mean) for k, v in case.noise.items()}
    outputs, last = case.scan(engine="reference")
    found = evaluate(to_text(case.program), case)
    wanted = dict(zip(case.program.state, last, strict=True))
    assert_close([found[f"{k}[t]"] for k in wanted], list(wanted.values()))
    if case.program.output not in case.program.next:
        assert_close([found["y[t]"]], [outputs[:, 0]])


CELL_LAWS: tuple[Callable[[Cell], None], ...] = (
    folding_steps_equals_scan,
    chunked_equals_whole,
    rows_are_independent,
    padding_changes_nothing,
    reverse_twice_is_forward,
    nothing_in_nothing_out,
    gradients_are_right,
    symbolic_derivative_equals_autograd,
    program_survives_json,
    printed_equations_equal_the_trace,
)


def check_cell(cell: Cell) -> None:
    """Every law, one after the other; the first that is broken raises AssertionError."""
    for law in CELL_LAWS:
        law(cell)
