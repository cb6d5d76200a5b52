"""One input of a trained model, as its network reads it: what all questions about a single answer start from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unrolled.data import Vocabulary
from unrolled.errors import ArgumentError
from unrolled.inspect.arrays import Floats, Ints, Shown
from unrolled.inspect.states import States, record
from unrolled.tasks.model import TaskModel


@dataclass(frozen=True)
class AttentionMap(Shown):
    """Where each answer looked: weights (U, T), rows summing to 1, with what stands at both sides."""

    answers: tuple[str, ...]
    steps: tuple[str, ...]
    weights: Floats


@dataclass(frozen=True)
class Subject:
    """An input of T steps and the U places at which the network answers.

    - `labels` (T,): the steps as they are shown; `answers` (U,) likewise the places of the answers.
    - `features` (1, T, F): what is fed to the network behind its embedding; `baseline` (F,): a step that says nothing.
    - `answer(features (B, T, F), place)`: scores (B, K) at one place, or (B, U, K) for None.
    - `name(k)`: what output k stands for. `targets` (U,): the outputs that would be right, where that is known.
    - `distribution`: whether softmax of the scores is a distribution over the outputs.
    - `place`: the answer that is asked about first. `named`: the labels by the path of a recurrent network.
    """

    model: TaskModel[Any]
    labels: tuple[str, ...]
    answers: tuple[str, ...]
    features: Tensor | None
    baseline: Tensor | None
    answer: Callable[[Tensor, int | None], Tensor]
    name: Callable[[int], str]
    targets: Ints | None = None
    distribution: bool = True
    place: int = -1
    named: Mapping[str, Sequence[str]] = field(default_factory=dict)
    run: Callable[[], object] | None = None
    attention: AttentionMap | None = None

    def states(self) -> list[States]:
        """Every unit, state and gate of every recurrent network over this input."""
        run = self.run or (lambda: self.answer(self.known[0], None))
        return record(self.model.module, run, self.named)

    @property
    def known(self) -> tuple[Tensor, Tensor]:
        """Features and baseline; ArgumentError where the input is no sequence of steps."""
        if self.features is None or self.baseline is None:
            raise ArgumentError(
                f"a run of the task {self.model.task} does not read a sequence of steps, so none of them can be left "
                "out; look at its attention instead."
            )
        return self.features, self.baseline


@contextmanager
def instead(module: nn.Module, features: Tensor) -> Iterator[None]:
    """The next call of `module` returns these features, whatever it is given."""

    def replace(_: nn.Module, __: Any, ___: Any) -> Tensor:
        handle.remove()
        return features

    handle = module.register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()


def subject_of(model: TaskModel[Any], item: Any, target: Any = None) -> Subject:
    """One input of a run: a text, an array (T, F), a list of words, whatever its task reads.

    `target` is the right answer where it is known: a class, a list of labels. Raises ArgumentError for an input that
    the model does not read.
    """
    model.module.eval()
    return _BUILDERS[model.task](model, item, target)


def _language(model: Any, text: Any, _: Any) -> Subject:
    if not isinstance(text, str) or not len(model.vocabulary.encode(text)):
        raise ArgumentError("a language model reads a text that is not empty; give str")
    ids = model.encode(text)
    units = torch.from_numpy(ids[:-1])[None].to(model.device)
    network = model.module

    def answer(features: Tensor, place: int | None) -> Tensor:
        with instead(network.embedding, features):
            hidden, _ = network.features(units.expand(len(features), -1))
        scores: Tensor = network.output(hidden if place is None else hidden[:, place])
        return scores

    labels = _labels(model.vocabulary, ids)
    weight = network.embedding.weight.detach()
    return Subject(
        model, labels[:-1], labels[1:], network.embedding(units).detach(), weight.mean(0), answer,
        lambda k: _labels(model.vocabulary, [k])[0], ids[1:], named={"recurrent": labels[:-1]},
    )  # fmt: skip


def _sequence(model: Any, item: Any, target: Any) -> Subject:
    """Classification and regression."""
    encoded = model.encode([item])[0]
    if not len(encoded):
        raise ArgumentError("the sequence is empty; give one with a step or more")
    x = torch.from_numpy(np.ascontiguousarray(encoded))[None].to(model.device)
    network = model.module
    if network.embed is None:
        labels, features, baseline = _steps(x.shape[1]), x, x.new_zeros(x.shape[2])
    else:
        labels, features = _labels(model.vocabulary, encoded), network.embed(x).detach()
        baseline = network.embed.weight.detach().mean(0)

    def answer(given: Tensor, place: int | None) -> Tensor:
        if network.embed is None:
            scores: Tensor = network(given)
        else:
            with instead(network.embed, given):
                scores = network(x.expand(len(given), -1))
        return scores[:, None] if place is None else scores

    classify = model.task == "classify"
    names = [str(name) for name in (model.classes if classify else model.names)]
    looked = None
    if network.pooling.kind == "attention":
        weights = network.attention(x)[0].detach().double().cpu().numpy()
        places = labels if len(weights) == len(labels) else _steps(len(weights))
        looked = AttentionMap(("the answer",), places, weights[None])
    known = classify and not model.several and target is not None
    return Subject(
        model, labels, ("the answer",), features, baseline, answer, lambda k: names[k],
        model.targets([target]) if known else None, distribution=classify and not model.several,
        named={"recurrent": labels}, attention=looked,
    )  # fmt: skip


def _tag(model: Any, item: Any, target: Any) -> Subject:
    prepared = model.reader.prepare_all([item])[0]
    network = model.module
    features = network.encode(_on(model.reader.collate([prepared]), model.device)).detach()
    words = model.layout.kind == "words"
    labels = tuple(map(str, item)) if words else _steps(features.shape[1])

    def answer(given: Tensor, place: int | None) -> Tensor:
        scores: Tensor = network.read(given, None)
        return scores if place is None else scores[:, place]

    baseline = features.new_zeros(features.shape[2])
    return Subject(
        model, labels, labels, features, baseline, answer, lambda k: str(model.classes[k]),
        None if target is None else model.numbers(target), distribution=network.crf is None,
        named={"recurrent": labels},
    )  # fmt: skip


def _forecast(model: Any, item: Any, _: Any) -> Subject:
    """`item` is a window of one row."""
    if model.shape.recursive:
        raise ArgumentError("a recursive forecast reads its own outputs, so no single answer can be taken apart.")
    network = model.module
    window = type(item)(*(part[:1].to(model.device) for part in item))
    level, scale = network.normal(window)
    features = ((window.context - level) / scale)[..., None]

    def answer(given: Tensor, place: int | None) -> Tensor:
        rows = type(window)(*(part.expand(len(given), *part.shape[1:]) for part in window))
        centre: Tensor = network.head.centre(network.direct(given[..., 0], rows))[..., None]
        return centre if place is None else centre[:, place]

    count, horizon = model.shape.context, model.shape.horizon
    return Subject(
        model, tuple(str(t - count) for t in range(count)), tuple(f"+{h + 1}" for h in range(horizon)), features,
        features.new_zeros(1), answer, lambda k: "value", distribution=False, place=0,
    )  # fmt: skip


def _transcribe(model: Any, item: Any, _: Any) -> Subject:
    rows = model.scaler.transform(model.signal.features(item))
    features = torch.from_numpy(np.ascontiguousarray(rows))[None].to(model.device)

    def answer(given: Tensor, place: int | None) -> Tensor:
        logits: Tensor = model.without_unknown(model.module(given)[0])
        return logits if place is None else logits[:, place]

    with torch.no_grad():
        logs = answer(features, None)[0].log_softmax(1)
    logs[:, model.blank] = -torch.inf
    times = tuple(f"{model.time_of(u):.2f}" for u in range(len(logs)))
    return Subject(
        model, _steps(features.shape[1]), times, features, features.new_zeros(features.shape[2]), answer,
        lambda k: "blank" if k == model.blank else model.vocabulary.token(k), place=int(logs.amax(1).argmax()),
    )  # fmt: skip


def _translate(model: Any, text: Any, _: Any) -> Subject:
    network, translator = model.module, model.translator
    if not isinstance(text, str) or not text.strip():
        raise ArgumentError("a translation starts from a text that is not empty; give str")
    found = model.translate([text])[0][0]
    ids = torch.from_numpy(translator.read([text])[0])[None].to(model.device)
    target = model.vocabulary.target
    border = np.array([translator.border])
    written = np.concatenate([border, target.encode(found.text)]).astype(np.int64)
    inputs, lengths = torch.from_numpy(written)[None].to(model.device), torch.tensor([ids.shape[1]])

    def answer(given: Tensor, place: int | None) -> Tensor:
        rows = len(given)
        with instead(network.source, given):
            vectors = network.vectors((ids.expand(rows, -1), lengths.expand(rows)), inputs.expand(rows, -1))
        scores: Tensor = network.output(vectors if place is None else vectors[:, place])
        return scores

    after = np.concatenate([written[1:], border])
    labels, answers = found.source, (*(target.token(int(k)) for k in after[:-1]), "</s>")
    return Subject(
        model, labels, answers, network.source(ids).detach(), network.source.weight.detach().mean(0), answer,
        lambda k: "</s>" if k == translator.border else target.token(k), after, place=0,
        named={"encoder": labels, "decoder": ("<s>", *answers[:-1])},
        attention=AttentionMap(found.pieces, found.source, found.attention.astype(np.float64)),
    )  # fmt: skip


def _caption(model: Any, images: Any, _: Any) -> Subject:
    """`images` are pictures (N, S, S, 3) or regions (N, R, F), of which the first is looked at."""
    from unrolled.tasks.pictures import as_tensor

    network, found = model.module, model.describe(images[:1])[0][0]
    ids = torch.from_numpy(model.encode(found.text)[:-1])[None].to(model.device)
    pictures = as_tensor(images[:1]).to(model.device)

    def refuse(_: Tensor, __: int | None) -> Tensor:
        raise ArgumentError("a picture has no steps")

    words = tuple(model.vocabulary.token(int(k)) for k in ids[0, 1:])
    regions = _steps(found.attention.shape[1]) if found.attention.ndim == 2 else ()
    looked = AttentionMap((*words, "</s>")[: len(found.attention)], regions, found.attention.astype(np.float64))
    return Subject(
        model, regions, (*words, "</s>"), None, None, refuse, model.vocabulary.token,
        named={"recurrent": ("<s>", *words)}, run=lambda: network(network.look(pictures), ids), attention=looked,
    )  # fmt: skip


_BUILDERS: dict[str, Callable[[Any, Any, Any], Subject]] = {
    "language": _language,
    "classify": _sequence,
    "regress": _sequence,
    "tag": _tag,
    "forecast": _forecast,
    "transcribe": _transcribe,
    "translate": _translate,
    "caption": _caption,
}


def _labels(vocabulary: Vocabulary, ids: Sequence[int] | Ints) -> tuple[str, ...]:
    """Each unit as it stands in a text; reserved ones and parts of letters by their name."""
    found = []
    for k in map(int, ids):
        plain = "" if vocabulary.reserved(k) is not None else vocabulary.decode([k])
        found.append(plain if plain and "\ufffd" not in plain else vocabulary.token(k))
    return tuple(found)


def _steps(count: int) -> tuple[str, ...]:
    return tuple(str(t + 1) for t in range(count))


def _on(inputs: Any, device: torch.device) -> Any:
    return inputs.to(device) if isinstance(inputs, Tensor) else type(inputs)(*(part.to(device) for part in inputs))
