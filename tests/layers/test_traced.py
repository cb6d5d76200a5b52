"""Layers under `torch.compile` and `torch.export`: one opaque operation, with the numbers of the plain call."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import unrolled as ur
from unrolled import cells
from unrolled.errors import ArgumentError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")


class Tagger(nn.Module):
    """Something before and after the layer that a tracer can read."""

    def __init__(self, cell: str, **options: Any) -> None:
        super().__init__()
        self.recurrent = ur.Recurrent(cells.by_name(cell), 5, 9, **options)
        self.output = nn.Linear(self.recurrent.output_size, 4)

    def forward(self, x: Tensor, state: Any = None, lengths: Tensor | None = None) -> tuple[Tensor, Any]:
        h, after = self.recurrent(1.5 * x, state, lengths=lengths)
        return self.output(torch.relu(h)), after


def flat(state: Any) -> list[Tensor]:
    return [value for layer in state for direction in layer for value in direction]


def results(network: Any, module: nn.Module, *arguments: Any) -> list[Tensor]:
    """Outputs, last state and every gradient."""
    x = arguments[0].detach().requires_grad_()
    y, after = network(x, *arguments[1:])
    loss = y.square().sum() + sum(s.sin().sum() for s in flat(after))
    return [y, *flat(after), *torch.autograd.grad(loss, [x, *module.parameters()])]


@pytest.fixture(autouse=True)
def fresh_compiler() -> Any:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ("cell", "options"),
    [("lstm", {"layers": 2}), ("gru", {"bidirectional": True}), ("slstm", {}), ("lstm-projected", {}), ("mingru", {})],
)
def test_compiled_whole_with_the_same_numbers(cell: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = Tagger(cell, **options)
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    for batch, steps in ((3, 6), (2, 4)):
        x = torch.randn(batch, steps, 5)
        torch.testing.assert_close(results(compiled, network, x), results(network, network, x))
    _, state = network(torch.randn(2, 3, 5))
    state = tuple(tuple(type(d)(*(s.detach() for s in d)) for d in layer) for layer in state)
    lengths = torch.tensor([4, 1])
    arguments = (torch.randn(2, 4, 5), state, lengths)
    torch.testing.assert_close(results(compiled, network, *arguments), results(network, network, *arguments))
    assert type(compiled(*arguments)[1][0][0])._fields == type(state[0][0])._fields
    with torch.no_grad():
        torch.testing.assert_close(compiled(x)[0], network(x)[0])


# torch's tracer looks at `.grad` of a state that an earlier step computed.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
def test_a_compiled_step() -> None:
    layer = ur.Recurrent(cells.GRU(), 5, 9)
    step = torch.compile(layer.step, fullgraph=True, backend="aot_eager")
    state, x = layer.initial_state(2), torch.randn(2, 3, 5)
    for t in range(3):
        y, state = step(x[:, t], state)
    wanted, last = layer(x)
    torch.testing.assert_close([y, *flat(state)], [wanted[:, -1], *flat(last)])
    weights = list(layer.parameters())
    found, expected = torch.autograd.grad(y.sum(), weights), torch.autograd.grad(wanted[:, -1].sum(), weights)
    torch.testing.assert_close(found, expected)


class Steps(nn.Module):
    """One step of a layer, as a stream would export it."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = ur.Recurrent(cells.LSTM(), 5, 16)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        kind = self.recurrent.program.state_type
        y, ((state,),) = self.recurrent.step(x, ((kind(h, c),),))
        return y, *state


def test_an_exported_step() -> None:
    module = Steps().eval()
    given = tuple(torch.randn(1, size) for size in (5, 16, 16))
    with torch.no_grad():
        module(*given)
        exported = torch.export.export(module, given).module()
        other = tuple(torch.randn(1, size) for size in (5, 16, 16))
        torch.testing.assert_close(exported(*other), module(*other))


@pytest.mark.parametrize("options", [{"layers": 2}, {"bidirectional": True}], ids=str)
def test_exported_as_one_operation_for_any_batch_and_length(options: dict[str, Any]) -> None:
    network = Tagger("lstm", **options).eval()
    batch, steps = torch.export.Dim("batch", min=1), torch.export.Dim("steps", min=1)
    shapes = ({0: batch, 1: steps}, None, {0: batch})
    example = (torch.randn(3, 6, 5), None, torch.tensor([6, 2, 0]))
    exported = torch.export.export(network, example, dynamic_shapes=shapes)
    calls = [node.target for node in exported.graph.nodes if node.target is torch.ops.unrolled.scan.default]
    assert len(calls) == 2
    module = exported.module()
    for rows, length in ((3, 6), (5, 2), (1, 9)):
        x, lengths = torch.randn(rows, length, 5), torch.randint(0, length + 1, (rows,))
        found, wanted = module(x, None, lengths), network(x, None, lengths)
        torch.testing.assert_close([found[0], *flat(found[1])], [wanted[0], *flat(wanted[1])])


def test_lengths_that_do_not_fit_are_found_when_the_traced_call_runs() -> None:
    network = Tagger("gru")
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    x = torch.randn(2, 4, 5)
    compiled(x, None, torch.tensor([4, 1]))
    with pytest.raises(ArgumentError, match="lengths go from 1 to 5, but the input has 4 steps"):
        compiled(x, None, torch.tensor([5, 1]))


def test_the_operation_keeps_torchs_rules() -> None:
    layer = ur.Recurrent(cells.LSTM(), 4, 6)
    forwards = layer.stack[0].forwards
    from unrolled.engine.cpu import opaque

    named = forwards.weights().as_dict()
    xs = torch.randn(5, 3, 4, requires_grad=True)
    state = [torch.randn(3, 6, requires_grad=True) for _ in range(2)]
    arguments = (opaque._text(forwards.program), ",".join(named), "", xs, state, list(named.values()), [], None, False)
    for train in (False, True):
        torch.library.opcheck(
            torch.ops.unrolled.scan.default, (*arguments, train), test_utils=("test_schema", "test_faketensor")
        )
