from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from unrolled import cells
from unrolled.cell import Cell, Initial
from unrolled.engine import Capture, scan
from unrolled.errors import ArgumentError, CellError
from unrolled.layers import Captures, Recurrent, Regularisation, State, Structure, explain, map_state

CELLS = [cells.Elman(), cells.LSTM(), cells.GRU(), cells.PeepholeLSTM(), cells.IndRNN(), cells.SLSTM(), cells.MinGRU()]
BATCH, STEPS, FEATURES, HIDDEN = 4, 7, 3, 5
RAGGED = torch.tensor([4, 0, 7, 2])


@pytest.fixture(autouse=True)
def double() -> object:
    torch.manual_seed(7)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def build(cell: Cell | None = None, **options: object) -> Recurrent:
    """A layer whose biases and vectors are random too, so that nothing hides behind a zero."""
    options = {"hidden_size": HIDDEN, "layers": 2, **options}
    layer = Recurrent(cell or cells.LSTM(), FEATURES, **options)  # type: ignore[arg-type]
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if not name.endswith((".W", ".U")):
                parameter.add_(0.3 * torch.randn_like(parameter))
    return layer


def numbers(batch: int = BATCH, steps: int = STEPS) -> Tensor:
    return torch.randn(batch, steps, FEATURES)


def close(a: object, b: object) -> None:
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def gradients(layer: torch.nn.Module, outputs: Tensor, state: State) -> dict[str, Tensor]:
    """Gradients of a loss that reads every output and every final state with fixed random weights."""
    generator = torch.Generator().manual_seed(3)
    parts = [outputs, *(s for directions in state for one in directions for s in one)]
    loss = sum((p.sin() * torch.randn(p.shape, generator=generator)).sum() for p in parts)
    layer.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in layer.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("cell", CELLS, ids=lambda c: type(c).__name__)
class TestLaws:
    def test_folding_step_equals_the_whole(self, cell: Cell) -> None:
        layer, x, state = build(cell), numbers(), None
        outputs, last = layer(x)
        for t in range(STEPS):
            y, state = layer.step(x[:, t], state)
            close(y, outputs[:, t])
        close(state, last)

    def test_chunks_equal_the_whole(self, cell: Cell) -> None:
        layer, x = build(cell), numbers()
        outputs, last = layer(x)
        first, state = layer(x[:, :3])
        second, state = layer(x[:, 3:], state)
        close(torch.cat((first, second), 1), outputs)
        close(state, last)

    @pytest.mark.parametrize("bidirectional", [False, True])
    def test_padding_changes_nothing(self, cell: Cell, bidirectional: bool) -> None:
        options = {"structure": Structure(residual=True), "regularisation": Regularisation(layer_norm=True)}
        layer = build(cell, hidden_size=(4, 4), bidirectional=bidirectional, **options)
        x = numbers()
        outputs, state = layer(x, lengths=RAGGED)
        wanted = gradients(layer, outputs, state)
        other = torch.cat((x, numbers(steps=3)), 1)
        for row, length in enumerate(RAGGED):
            other[row, length:] = 9.0
        padded, after = layer(other, lengths=RAGGED)
        close(padded[:, :STEPS], outputs)
        assert not padded[:, STEPS:].any()
        close(after, state)
        generous = torch.cat((outputs, outputs.new_zeros(BATCH, 3, layer.output_size)), 1)
        close(padded, generous)
        close(gradients(layer, padded[:, :STEPS], after), wanted)

    def test_a_row_does_not_see_the_others(self, cell: Cell) -> None:
        layer, x = build(cell, bidirectional=True), numbers()
        outputs, state = layer(x, lengths=RAGGED)
        order = torch.tensor([2, 0, 3, 1])
        permuted, after = layer(x[order], lengths=RAGGED[order])
        close(permuted, outputs[order])
        close(after, map_state(lambda s: s[order], state))
        alone, _ = layer(x[:1, :4])
        close(alone, outputs[:1, :4])

    def test_length_zero_keeps_the_state(self, cell: Cell) -> None:
        layer = build(cell, bidirectional=True)
        _, start = layer(numbers())
        outputs, state = layer(numbers(), start, lengths=[0] * BATCH)
        assert not outputs.any()
        close(state, start)

    def test_no_steps(self, cell: Cell) -> None:
        layer = build(cell, bidirectional=True)
        _, start = layer(numbers())
        outputs, state = layer(numbers(steps=0), start)
        assert outputs.shape == (BATCH, 0, 2 * HIDDEN)
        close(state, start)

    def test_two_directions_by_hand(self, cell: Cell) -> None:
        layer, x = build(cell, layers=1, bidirectional=True), numbers()
        outputs, state = layer(x)
        (stage,) = layer.stack
        forwards, last = scan(layer.program, stage.forwards.weights(), x)
        backwards, first = scan(layer.program, stage.directions[1].weights(), x.flip(1))
        close(outputs, torch.cat((forwards, backwards.flip(1)), 2))
        close(state, ((last, first),))

    def test_without_input(self, cell: Cell) -> None:
        layer = build(cell)
        outputs, state = layer(None, steps=STEPS)
        wanted, after = layer(torch.zeros(1, STEPS, FEATURES))
        close(outputs, wanted)
        close(state, after)
        y, state = layer.step(None)
        close(y, outputs[:, 0])
        y, _ = layer.step(None, state)
        close(y, outputs[:, 1])

    def test_capture_equals_the_states(self, cell: Cell) -> None:
        layer, x = build(cell, bidirectional=True), numbers()
        names = tuple(layer.program.state)
        captures = Captures(*names, *(g for g in layer.program.gates if g not in names))
        _, state = layer(x, capture=captures, lengths=[STEPS] * BATCH)
        for name in names:
            for i in range(2):
                close(captures[name][i][0][:, -1], getattr(state[i][0], name))
                close(captures[name][i][1][:, 0], getattr(state[i][1], name))
        for gate in layer.program.gates:
            assert captures[gate][1][1].shape == (BATCH, STEPS, HIDDEN)


def test_capture_of_hidden_states_equals_the_outputs() -> None:
    layer, x, captures = build(), numbers(), Captures("h", "f")
    outputs, _ = layer(x, capture=captures)
    close(captures["h"][1][0], outputs)
    assert ((captures["f"][0][0] > 0) & (captures["f"][0][0] < 1)).all()
    one = Captures("h")
    layer.step(x[:, 0], capture=one)
    close(one["h"][1][0][:, 0], outputs[:, 0])


def test_each_layer_has_its_width() -> None:
    layer = build(hidden_size=(6, 2, 4), layers=3, bidirectional=True)
    outputs, state = layer(numbers())
    assert outputs.shape == (BATCH, STEPS, 8) == (BATCH, STEPS, layer.output_size)
    assert [s.h.shape[1] for directions in state for s in directions] == [6, 6, 2, 2, 4, 4]
    assert [layer.forwards.W.shape[1] for layer in layer.stack] == [FEATURES, 12, 4]


def test_the_number_of_widths_says_how_many_layers() -> None:
    assert len(Recurrent(cells.GRU(), 3, [4, 5]).stack) == 2


def test_projection_sets_the_output() -> None:
    layer = build(cells.ProjectedLSTM(), structure=Structure(output_size=2))
    outputs, state = layer(numbers())
    assert outputs.shape[2] == layer.output_size == 2
    assert state[1][0].h.shape == (BATCH, 2)
    assert state[1][0].c.shape == (BATCH, HIDDEN)


def test_residual_adds_the_input_where_widths_agree() -> None:
    torch.manual_seed(1)
    plain = build(hidden_size=HIDDEN, layers=2)
    torch.manual_seed(1)
    layer = build(hidden_size=HIDDEN, layers=2, structure=Structure(residual=True))
    assert [stage.residual for stage in layer.stack] == [False, True]
    x = numbers()
    first = Captures("h")
    outputs, _ = plain(x, capture=first)
    close(layer(x)[0], outputs + first["h"][0][0])


def test_layer_normalisation_stands_between_layers() -> None:
    layer, x = build(regularisation=Regularisation(layer_norm=True)), numbers()
    captures = Captures("h")
    outputs, _ = layer(x, capture=captures)
    norm = layer.stack[1].norm
    assert layer.stack[0].norm is None
    assert norm is not None
    inner = norm(captures["h"][0][0])
    close(scan(layer.program, layer.stack[1].forwards.weights(), inner)[0], outputs)


def test_a_learned_start_is_used_and_learns() -> None:
    layer, x = build(structure=Structure(learned_start=True), bidirectional=True), numbers()
    outputs, state = layer(x)
    assert set(layer.stack[0].forwards.start) == {"h", "c"}
    found = gradients(layer, outputs, state)
    starts = [name for name in found if ".start." in name]
    assert len(starts) == 8
    assert all(found[name].abs().sum() > 0 for name in starts)
    close(layer(x, layer.initial_state(BATCH))[0], outputs)
    close(layer.initial_state(2)[1][0].c[1], layer.stack[1].forwards.start["c"])


def test_restart_sets_marked_rows_anew() -> None:
    layer = build(structure=Structure(learned_start=True))
    _, state = layer(numbers())
    fresh = torch.tensor([True, False, False, True])
    mixed = layer.restart(state, fresh)
    start = layer.initial_state(BATCH)
    for i in range(2):
        for name in ("h", "c"):
            got = getattr(mixed[i][0], name)
            close(got[fresh], getattr(start[i][0], name)[fresh])
            close(got[~fresh], getattr(state[i][0], name)[~fresh])


def test_deepcopy_and_state_dict_keep_the_function() -> None:
    options = {"bidirectional": True, "structure": Structure(learned_start=True), "cell": cells.PeepholeLSTM()}
    layer, x = build(**options), numbers()
    other = build(**options)
    assert not torch.equal(other(x)[0], layer(x)[0])
    twin = copy.deepcopy(layer)
    other.load_state_dict(layer.state_dict())
    close(other(x)[0], layer(x)[0])
    close(twin(x)[0], layer(x)[0])
    with torch.no_grad():
        layer.stack[0].forwards.W.zero_()
    close(twin(x)[0], other(x)[0])


def test_parameters_have_the_names_of_the_cell() -> None:
    layer = build(cells.ProjectedLSTM(), layers=1, bidirectional=True, structure=Structure(output_size=2))
    names = [f"layers.0.{d}.{p}" for d in ("forwards", "backwards") for p in ("W", "U", "b", "products.p")]
    assert sorted(layer.state_dict()) == sorted(names)
    assert "vectors.peep_i" in build(cells.PeepholeLSTM()).stack[0].forwards.state_dict()
    assert "c" in build(cells.GRU()).stack[0].forwards.state_dict()


def test_the_seed_of_torch_decides_initial_values() -> None:
    made = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        made.append(Recurrent(cells.GRU(), 3, 4, bidirectional=True).state_dict())
    close(made[0], made[1])
    assert not torch.equal(made[0]["layers.0.forwards.U"], made[2]["layers.0.forwards.U"])
    assert not torch.equal(made[0]["layers.0.forwards.U"], made[0]["layers.0.backwards.U"])


def test_the_rule_of_initial_values_reaches_the_cell() -> None:
    layer = Recurrent(cells.LSTM(), 3, 4, initial=Initial(forget_bias=2.5))
    assert (layer.stack[0].forwards.b is not None) and (layer.stack[0].forwards.b[4:8] == 2.5).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_to_changes_the_type_of_everything(dtype: torch.dtype) -> None:
    layer = build(bidirectional=True, structure=Structure(learned_start=True)).to(dtype)
    outputs, state = layer(numbers().to(dtype))
    assert outputs.dtype == state[1][1].c.dtype == dtype
    assert layer.initial_state(2)[0][0].h.dtype == dtype


def test_gradients_are_right() -> None:
    layer = build(
        cells.GRU(), hidden_size=2, bidirectional=True, structure=Structure(residual=True, learned_start=True)
    )
    names = [name for name, _ in layer.named_parameters()]
    x = numbers(2, 3).requires_grad_()

    def outputs(x: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        y, state = torch.func.functional_call(
            layer, dict(zip(names, values, strict=True)), (x,), {"lengths": torch.tensor([2, 3])}
        )
        return y, *(s for directions in state for one in directions for s in one)

    assert torch.autograd.gradcheck(outputs, (x, *(p.detach().clone().requires_grad_() for p in layer.parameters())))


def test_representation_reads_well() -> None:
    layer = build(bidirectional=True, regularisation=Regularisation(dropout=0.25, variational=True))
    assert layer.extra_repr() == "LSTM, 3 -> 5 -> 5, bidirectional, dropout=0.25, variational"
    assert "(forwards): Direction(LSTM, 10 -> 5: W (20, 10), U (20, 5), b (20,))" in repr(layer)


def test_explain_names_an_engine_for_each_direction() -> None:
    said = str(explain(build(bidirectional=True), numbers()))
    assert said.count("forwards") == said.count("backwards") == 2
    assert said.count(": engine ") == 4


class TestErrors:
    def test_bidirectional_step(self) -> None:
        with pytest.raises(ArgumentError, match="bidirectional layer cannot go step by step"):
            build(bidirectional=True).step(torch.randn(2, FEATURES))

    @pytest.mark.parametrize("shape", [(4, 3), (4, 7, 2), (3,)])
    def test_shape_of_x(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ArgumentError, match=r"needs \(B, T, 3\)"):
            build()(torch.randn(shape))

    def test_shape_of_a_step(self) -> None:
        with pytest.raises(ArgumentError, match=r"step was given x of shape \(2, 1, 3\), but it needs \(B, 3\)"):
            build().step(torch.randn(2, 1, FEATURES))

    def test_type_of_x(self) -> None:
        with pytest.raises(ArgumentError, match=r"x is torch\.float32 and the layer torch\.float64"):
            build()(numbers().float())

    def test_steps_that_contradict_x(self) -> None:
        with pytest.raises(ArgumentError, match="with steps=5"):
            build()(numbers(), steps=5)

    def test_neither_x_nor_steps(self) -> None:
        with pytest.raises(ArgumentError, match="x is None and steps is None"):
            build()(None)

    @pytest.mark.parametrize("lengths", [[1, 2], torch.rand(BATCH), torch.ones(BATCH, 1).long()])
    def test_lengths_of_the_wrong_kind(self, lengths: object) -> None:
        with pytest.raises(ArgumentError, match="give one whole number a row"):
            build()(numbers(), lengths=lengths)

    @pytest.mark.parametrize("lengths", [[1, 2, 3, 8], [-1, 2, 3, 4]])
    def test_lengths_out_of_range(self, lengths: list[int]) -> None:
        with pytest.raises(ArgumentError, match="give numbers from 0 to 7"):
            build()(numbers(), lengths=lengths)

    def test_a_state_of_another_layer(self) -> None:
        _, state = build(layers=3)(numbers())
        with pytest.raises(ArgumentError, match="the state has 3 layers"):
            build()(numbers(), state)

    def test_a_state_of_another_batch(self) -> None:
        _, state = build()(numbers(batch=2))
        with pytest.raises(ArgumentError, match=r"state of layer 0 .* needs h \(4, 5\), c \(4, 5\)"):
            build()(numbers(), state)

    def test_residual_without_equal_widths(self) -> None:
        with pytest.raises(ArgumentError, match="make two neighbouring widths equal"):
            build(hidden_size=(4, 6), structure=Structure(residual=True))

    @pytest.mark.parametrize(("sizes", "layers"), [((4, 5), 3), ((), 1)])
    def test_widths_that_are_not_one_a_layer(self, sizes: tuple[int, ...], layers: int) -> None:
        with pytest.raises(ArgumentError, match=f"hidden_size has {len(sizes)} widths for {layers} layers"):
            build(hidden_size=sizes, layers=layers)

    def test_an_output_size_without_projection(self) -> None:
        with pytest.raises(CellError, match="no product"):
            build(structure=Structure(output_size=2))

    def test_a_capture_for_one_direction(self) -> None:
        with pytest.raises(ArgumentError, match=r"give a layer Captures\(\.\.\.\)"):
            build()(numbers(), capture=Capture("h"))

    def test_a_capture_that_was_not_asked_for(self) -> None:
        captures = Captures("h")
        with pytest.raises(ArgumentError, match="nothing was captured yet"):
            captures["h"]
        build()(numbers(), capture=captures)
        with pytest.raises(ArgumentError, match="'f' was not captured, only h"):
            captures["f"]
