from __future__ import annotations

import copy
import itertools
import pickle
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence

import unrolled.nn
from unrolled.errors import ArgumentError
from unrolled.layers import accelerate

FEATURES, HIDDEN, BATCH, STEPS = 3, 5, 4, 6
MODES: dict[str, tuple[str, dict[str, Any]]] = {
    "tanh": ("RNN", {}),
    "relu": ("RNN", {"nonlinearity": "relu"}),
    "lstm": ("LSTM", {}),
    "projected": ("LSTM", {"proj_size": 2}),
    "gru": ("GRU", {}),
}
OPTIONS = [
    dict(zip(("num_layers", "bidirectional", "batch_first", "bias"), values, strict=True))
    for values in itertools.product((1, 2), (False, True), (False, True), (False, True))
]


def pair(mode: str, **options: Any) -> tuple[nn.RNNBase, nn.RNNBase]:
    """Torch's module and ours with the same weights."""
    torch.manual_seed(5)
    name, extra = MODES[mode]
    options = {"input_size": FEATURES, "hidden_size": HIDDEN, "dtype": torch.float64, **extra, **options}
    torchs, ours = getattr(nn, name)(**options), getattr(unrolled.nn, name)(**options)
    ours.load_state_dict(torchs.state_dict())
    return torchs, ours


def start(module: nn.RNNBase, batch: int | None) -> Any:
    """Random first states that ask for gradients."""
    count = module.num_layers * (2 if module.bidirectional else 1)
    widths = [module.proj_size or HIDDEN] + [HIDDEN] * (module.mode == "LSTM")
    shapes = [(count, width) if batch is None else (count, batch, width) for width in widths]
    states = tuple(torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes)
    return states if module.mode == "LSTM" else states[0]


def flat(result: Any) -> list[Tensor]:
    if isinstance(result, PackedSequence):
        return [result.data]
    return [result] if isinstance(result, Tensor) else [t for part in result for t in flat(part)]


def compare(torchs: nn.Module, ours: nn.Module, x: Any, hx: Any, seed: int = 11) -> None:
    """Outputs, states and every gradient: of the weights, the input and the first states."""
    inputs = [*flat(x), *(() if hx is None else flat(hx))]
    found = []
    for module in (torchs, ours):
        torch.manual_seed(seed)
        results = flat(module(x, hx))
        torch.manual_seed(seed)
        loss = sum((r.sin() * torch.randn(r.shape, dtype=r.dtype)).sum() for r in results)
        found.append((results, torch.autograd.grad(loss, [*module.parameters(), *inputs])))
    torch.testing.assert_close(found[1], found[0], rtol=1e-12, atol=1e-12)


def same_refusal(torchs: nn.Module, ours: nn.Module, *inputs: Any) -> None:
    with pytest.raises((RuntimeError, ValueError, IndexError)) as expected:
        torchs(*inputs)
    with pytest.raises(type(expected.value)) as raised:
        ours(*inputs)
    assert str(raised.value) == str(expected.value)


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(str(v) for v in o.values()))
@pytest.mark.parametrize("mode", MODES)
class TestEveryOption:
    def test_padded(self, mode: str, options: dict[str, Any]) -> None:
        torchs, ours = pair(mode, **options)
        x = numbers(BATCH, STEPS, FEATURES) if ours.batch_first else numbers(STEPS, BATCH, FEATURES)
        compare(torchs, ours, x, None)
        compare(torchs, ours, x, start(ours, BATCH))

    def test_unbatched(self, mode: str, options: dict[str, Any]) -> None:
        torchs, ours = pair(mode, **options)
        compare(torchs, ours, numbers(STEPS, FEATURES), None)
        compare(torchs, ours, numbers(STEPS, FEATURES), start(ours, None))

    @pytest.mark.parametrize("ordered", [False, True], ids=["unsorted", "sorted"])
    def test_packed(self, mode: str, options: dict[str, Any], ordered: bool) -> None:
        torchs, ours = pair(mode, **options)
        lengths = torch.tensor([6, 4, 4, 1] if ordered else [4, 1, 6, 3])
        packed = pack_padded_sequence(
            numbers(BATCH, STEPS, FEATURES), lengths, batch_first=True, enforce_sorted=ordered
        )
        for got, wanted in zip(ours(packed)[0][1:], packed[1:], strict=True):
            assert (got is None and wanted is None) or torch.equal(got, wanted)
        compare(torchs, ours, packed, None)
        compare(torchs, ours, packed, start(ours, BATCH))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_dropout_has_torchs_mask(mode: str, bidirectional: bool, batch_first: bool) -> None:
    torchs, ours = pair(mode, num_layers=3, bidirectional=bidirectional, batch_first=batch_first, dropout=0.4)
    x = numbers(BATCH, STEPS, FEATURES)
    compare(torchs, ours, x, None)
    compare(torchs, ours, pack_padded_sequence(x, [6, 3, 2, 2], batch_first=True), None)
    plain = ours(x)[0]
    assert not torch.equal(ours(x)[0], plain)
    torchs.eval(), ours.eval()
    compare(torchs, ours, x, None)
    torch.testing.assert_close(ours(x)[0], ours(x)[0], rtol=0, atol=0)


@pytest.mark.parametrize("mode", ["tanh", "lstm", "gru"])
def test_single_precision(mode: str) -> None:
    torchs, ours = pair(mode, num_layers=2, bidirectional=True, dtype=torch.float32)
    x = torch.randn(STEPS, BATCH, FEATURES)
    torch.testing.assert_close(ours(x), torchs(x), rtol=2e-6, atol=2e-6)


def test_a_module_is_torchs_own_in_every_other_way() -> None:
    torchs, ours = pair("lstm", num_layers=2, bidirectional=True)
    assert isinstance(ours, nn.LSTM)
    assert list(ours.state_dict()) == list(torchs.state_dict())
    assert repr(ours) == repr(torchs)
    torchs.load_state_dict(ours.state_dict())
    x = numbers(STEPS, BATCH, FEATURES)
    for twin in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert type(twin) is unrolled.nn.LSTM
        compare(torchs, twin, x, None)


def test_the_same_seed_gives_torchs_initial_values() -> None:
    torch.manual_seed(3)
    torchs = nn.GRU(4, 5, 2)
    torch.manual_seed(3)
    torch.testing.assert_close(unrolled.nn.GRU(4, 5, 2).state_dict(), torchs.state_dict(), rtol=0, atol=0)


def test_time_first_outputs_can_be_viewed() -> None:
    _, ours = pair("gru", bidirectional=True)
    outputs, _ = ours(numbers(STEPS, BATCH, FEATURES))
    assert outputs.view(STEPS, BATCH, 2, HIDDEN).shape == (STEPS, BATCH, 2, HIDDEN)


@pytest.mark.parametrize(
    ("shape", "hx"),
    [
        ((STEPS, BATCH, 2), None),
        ((STEPS,), None),
        ((STEPS, BATCH, FEATURES), (1, BATCH, 4)),
        ((STEPS, FEATURES), (1, 2, 5)),
    ],
)
@pytest.mark.parametrize("mode", ["tanh", "gru"])
def test_what_torch_refuses_is_refused_in_its_words(mode: str, shape: tuple[int, ...], hx: Any) -> None:
    torchs, ours = pair(mode)
    same_refusal(torchs, ours, numbers(*shape), None if hx is None else numbers(*hx))


def test_an_lstm_needs_both_states_as_in_torch() -> None:
    torchs, ours = pair("lstm")
    x, h, c = numbers(STEPS, BATCH, FEATURES), numbers(1, BATCH, HIDDEN), numbers(1, BATCH, 4)
    same_refusal(torchs, ours, x, h)
    same_refusal(torchs, ours, x, (h, c))
    same_refusal(torchs, ours, x, (h[0], h[0]))
    same_refusal(torchs, ours, x.float())


def test_types_that_the_engine_has_not_go_torchs_way() -> None:
    torchs, ours = pair("gru", dtype=torch.bfloat16)
    x = torch.randn(STEPS, BATCH, FEATURES, dtype=torch.bfloat16)
    torch.testing.assert_close(ours(x), torchs(x), rtol=0, atol=0)


class Speaker(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(9, FEATURES)
        self.encoder = nn.ModuleDict({"low": nn.LSTM(FEATURES, HIDDEN, 2, bidirectional=True, batch_first=True)})
        self.upper = nn.Sequential(nn.GRU(2 * HIDDEN, HIDDEN, batch_first=True))
        self.last = nn.RNN(HIDDEN, 4, batch_first=True)

    def forward(self, ids: Tensor) -> Tensor:
        low, _ = self.encoder["low"](self.embed(ids))
        upper, _ = self.upper(low)
        outputs: Tensor = self.last(upper)[0]
        return outputs


def test_accelerate_swaps_what_is_nested_and_keeps_the_parameters() -> None:
    torch.manual_seed(2)
    model = Speaker().double()
    ids = torch.randint(9, (BATCH, STEPS))
    before, parameters = model(ids), dict(model.named_parameters())
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    assert accelerate(model) is model
    assert type(model.encoder["low"]) is unrolled.nn.LSTM
    assert type(model.upper[0]) is unrolled.nn.GRU
    assert type(model.last) is unrolled.nn.RNN
    assert all(p is parameters[name] for name, p in model.named_parameters())
    torch.testing.assert_close(model(ids), before, rtol=1e-12, atol=1e-12)
    model(ids).sum().backward()
    optimiser.step()
    assert not torch.equal(model(ids), before)
    assert accelerate(model) is model


def test_accelerate_works_on_the_module_itself() -> None:
    module = nn.GRU(FEATURES, HIDDEN)
    weight = module.weight_hh_l0
    assert accelerate(module) is module
    assert type(module) is unrolled.nn.GRU
    assert module.weight_hh_l0 is weight
    with torch.no_grad():
        weight.zero_()
    x = torch.randn(STEPS, BATCH, FEATURES)
    plain = nn.GRU(FEATURES, HIDDEN)
    plain.load_state_dict(module.state_dict())
    torch.testing.assert_close(module(x), plain(x))


def test_accelerate_refuses_a_subclass_before_it_changes_anything() -> None:
    class Mine(nn.LSTM):
        pass

    model = nn.ModuleList([nn.GRU(2, 3), Mine(2, 3)])
    with pytest.raises(ArgumentError, match="1 is a Mine, a subclass"):
        accelerate(model)
    assert type(model[0]) is nn.GRU
    with pytest.raises(ArgumentError, match="the module is a Mine"):
        accelerate(Mine(2, 3))


def test_functional_call_uses_the_weights_it_is_given() -> None:
    torchs, ours = pair("lstm")
    other = {name: torch.randn_like(p) for name, p in ours.named_parameters()}
    x = numbers(STEPS, BATCH, FEATURES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = torch.func.functional_call(torchs, other, (x,))
    torch.testing.assert_close(torch.func.functional_call(ours, other, (x,)), wanted, rtol=1e-12, atol=1e-12)


def test_lists_of_sequences_can_be_packed() -> None:
    torchs, ours = pair("gru", bidirectional=True)
    x = pack_sequence([torch.randn(n, FEATURES, dtype=torch.float64) for n in (2, 5, 1)], enforce_sorted=False)
    torch.testing.assert_close(ours(x)[0].data, torchs(x)[0].data, rtol=1e-12, atol=1e-12)
