"""All that is found inside one run: how far back it learns and remembers, and what it does on one input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unrolled.cell import Program
from unrolled.errors import ArgumentError, RunError
from unrolled.inspect.arrays import Shown, plain
from unrolled.inspect.condition import Health, health
from unrolled.inspect.gradient import TimeGradient, gradient_through_time, spaced
from unrolled.inspect.horizon import Horizon, memory_horizon
from unrolled.inspect.jacobian import Spectrum, spectrum
from unrolled.inspect.patterns import Following, best_followers, rank, text_patterns
from unrolled.inspect.states import Path, States, last_values, path
from unrolled.inspect.subject import AttentionMap, Subject, subject_of
from unrolled.inspect.why import Attribution, Surprise, integrated_gradients, occlusion, surprise
from unrolled.layers import IGNORED
from unrolled.layers.lengths import as_lengths
from unrolled.layers.probe import Passage, Visit, watching
from unrolled.tasks.model import TaskModel
from unrolled.tasks.options import Common, NetworkOptions
from unrolled.tasks.registry import TASKS
from unrolled.tasks.run import open_run, options_of, read_config
from unrolled.tasks.tag import TagBatch

_ROWS = 32
_STRETCH = 256
# Steps that a question about a single answer goes back; leaving each of them out is a run of the network.
_WHY_STEPS = 200
_MOST_STEPS = 512
# So many inputs are put together to look at units, where one has fewer steps than this.
_POOLED, _POOLED_STEPS = 64, 500
# Units of one layer for which a backward pass each is affordable.
_UNITS_BY_GRADIENT = 160


@dataclass(frozen=True)
class Depth(Shown):
    """How far back a run learns and remembers, on `data`; what could not be measured is said in `remarks`."""

    data: str
    gradients: tuple[TimeGradient, ...]
    spectra: tuple[Spectrum, ...]
    horizons: tuple[Horizon, ...]
    remarks: tuple[str, ...] = ()

    @property
    def horizon(self) -> Horizon | None:
        """The horizon of the last layer of the first network, forwards, by perturbation."""
        found = [h for h in self.horizons if h.by == "perturbation" and not h.place.backward]
        first = [h for h in found if h.place.network == found[0].place.network]
        return first[-1] if first else None


@dataclass(frozen=True)
class Reading(Shown):
    """What a run does on one input; `text` is that input as it is shown.

    `states`, one for each recurrent network, with `health` and, for the last layer, the `paths` of its first state.
    `followers`: for each pattern of a text, the unit that follows it best.
    """

    text: str
    states: tuple[States, ...]
    health: tuple[Health, ...]
    paths: tuple[Path, ...]
    followers: Mapping[str, Following]
    why: tuple[Attribution, ...]
    surprise: Surprise | None
    attention: AttentionMap | None
    remarks: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As the other records, but the states by name and shape alone: their values are too many for a line."""
        shapes = [
            {"network": s.network, "steps": len(s), "traces": {str(t): list(t.values.shape) for t in s.traces}}
            for s in self.states
        ]
        paths = [{"place": p.place, "name": p.name, "explained": p.explained} for p in self.paths]
        kept = {f: plain(getattr(self, f)) for f in ("text", "health", "followers", "why", "surprise", "attention")}
        return {**kept, "states": plain(shapes), "paths": plain(paths), "remarks": list(self.remarks)}


@dataclass(frozen=True)
class Inspection(Shown):
    """One run, looked at from inside."""

    run: str
    task: str
    cell: str
    layers: int
    hidden: int
    parameters: int
    depth: Depth
    reading: Reading | None


@dataclass(frozen=True)
class Opened:
    """A run with what is needed to look inside: its model, its options, its own data as the training read it."""

    run: FilePath
    model: TaskModel[Any]
    options: NetworkOptions
    common: Common

    def own_data(self) -> tuple[Any, str]:
        """The part that was held out, else the training part, and its name; raises RunError, DataError."""
        data = self.common.data
        if data is None or not data.exists():
            raise RunError(
                f"the data that {self.run} was trained on ({data}) is not there; give an INPUT to look at instead"
            )
        parts = type(self.model).read(data, self.options, self.common)
        for name, part in (("held-out part", parts.valid), ("test part", parts.test)):
            if part is not None:
                return part, name
        return parts.train, "training part"


def open_inside(run: FilePath | str) -> Opened:
    """Open a run folder; executes nothing from it. Raises RunError."""
    run = FilePath(run)
    model, config = open_run(run), read_config(run)
    options = options_of(TASKS[config.task].options, config.options, str(run))
    options.cell = Program.from_json(config.network["program"])  # type: ignore[assignment]  # what load_cell takes too
    common = options_of(Common, config.common, str(run))
    return Opened(run, model, options, replace(common, device="cpu"))


def look_inside(
    run: FilePath | str | Opened,
    *,
    examples: Any = None,
    item: Any = None,
    target: Any = None,
    name: str = "the input",
) -> Inspection:
    """Look inside a run folder: its depth on `examples`, and one input `item` in detail.

    `examples` are of the task's kind, by default the part of the run's own data that training did not see. `item` is a
    text, an array, a list of words, whatever the task reads, and `target` its right answer where it is known; by
    default the first of the examples. Raises RunError, DataError and ArgumentError.
    """
    opened = run if isinstance(run, Opened) else open_inside(run)
    model = opened.model
    if examples is None:
        examples, part = opened.own_data()
        name = f"the {part}"
    depth = depth_of(model, examples, opened.options, name)
    if item is None:
        item, target = first_item(model, examples)
    reading = read_one(model, item, target)
    if model.task in ("classify", "regress", "tag"):
        reading = pooled(model, examples, reading)
    plan = model.plan
    return Inspection(
        str(opened.run), model.task, plan.program.name, plan.layers, plan.hidden, model.parameters, depth, reading
    )


def depth_of(model: TaskModel[Any], examples: Any, options: NetworkOptions, name: str = "the input") -> Depth:
    """Gradient through time, spectrum of the step's Jacobian and memory horizons of a model on some examples."""
    model.module.eval()
    loss, said = _loss(model, examples, options)
    gradients = gradient_through_time(model.module, loss, marks=spaced)
    firsts = {g.place: g for g in reversed(gradients) if len(g.distances) > 1}
    remarks = []
    if not firsts:
        remarks.append("the recurrent layers read one step at a time, so their gradient through time is not measured")
    with watching(model.module, marks=_none) as watch, torch.no_grad():
        loss()
    spectra = [_spectrum(p) for p in {p.place: p for p in reversed(watch.passages) if p.steps > 1}.values()]
    horizons = []
    for visit in {v.network: v for v in reversed(watch.visits)}.values():
        found, remark = _horizons(visit)
        horizons += found
        remarks += remark
    order = {place: i for i, place in enumerate(dict.fromkeys(p.place for p in watch.passages))}
    return Depth(
        f"{said} of {name}",
        tuple(sorted(firsts.values(), key=lambda g: order[g.place])),
        tuple(sorted(spectra, key=lambda s: order[s.place])),
        tuple(sorted(horizons, key=lambda h: order.get(h.place, 0))),
        tuple(remarks),
    )


def _none(steps: int, reverse: bool) -> Sequence[int]:
    """Keep no state but the last."""
    return ()


def _spectrum(passage: Passage) -> Spectrum:
    """Along the longest row, as far as a stretch."""
    lengths = None if passage.lengths is None else passage.lengths.clamp(max=_STRETCH)
    return spectrum(replace(passage, xs=passage.xs[:, :_STRETCH], lengths=lengths), int(passage.ends.argmax()))


def _loss(model: Any, examples: Any, options: NetworkOptions) -> tuple[Callable[[], Tensor], str]:
    """The loss of the last answers of a few examples, and what they are."""
    if model.task == "language":
        return _language_loss(model, examples)
    changes: dict[str, Any] = {"batch_size": _ROWS, "augment": 0.0}
    options = replace(options, **{k: v for k, v in changes.items() if hasattr(options, k)})
    state = torch.random.get_rng_state()
    batch: Any = next(model.source(examples, options, 0).epoch(0))
    torch.random.set_rng_state(state)
    if model.task == "tag" and model.reader.kind != "frames":
        # Its own batches hold few sequences where the data is small.
        batch = _tag_batch(model, examples)
    if model.task == "tag" and not model.schema()["crf"]:
        last = torch.arange(batch.labels.shape[1]) == batch.lengths[:, None] - 1
        batch = batch._replace(labels=batch.labels.where(last, IGNORED))
    count = len(batch[1])
    return lambda: model.loss(batch, None).loss, f"{count} {'sequence' if count == 1 else 'sequences'}"


def _tag_batch(model: Any, examples: Any) -> TagBatch:
    """The first sequences, as far as a stretch."""
    inputs = [row[:_MOST_STEPS] for row in model.reader.prepare_all(examples.inputs[:_ROWS])]
    labels = [torch.from_numpy(model.numbers(row[:_MOST_STEPS])) for row in examples.targets[:_ROWS]]
    lengths = torch.tensor([len(row) for row in labels])
    padded = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=IGNORED)
    return TagBatch(model.reader.collate(inputs), lengths, padded)


def _language_loss(model: Any, texts: Sequence[str]) -> tuple[Callable[[], Tensor], str]:
    """What the last unit costs in stretches of the texts, taken at even distances."""
    documents = [ids for ids in map(model.encode, texts) if len(ids) > 2]
    if not documents:
        raise ArgumentError("there is no text of two units to look at; give a longer one")
    size = min(_STRETCH, max(2, max(len(ids) for ids in documents) - 1))
    if len(documents) == 1:
        size = min(size, max(2, len(documents[0]) // 4))
    starts = [(k, s) for k, ids in enumerate(documents) for s in range(0, max(1, len(ids) - size), size)]
    chosen = [starts[int(i)] for i in np.linspace(0, len(starts) - 1, min(_ROWS, len(starts)))]
    pieces = [documents[k][s : s + size + 1] for k, s in chosen]
    lengths = torch.tensor([len(piece) - 1 for piece in pieces])
    ids = torch.zeros(len(pieces), size + 1, dtype=torch.int64)
    for row, piece in enumerate(pieces):
        ids[row, : len(piece)] = torch.from_numpy(piece)
    last = torch.arange(size) == lengths[:, None] - 1
    targets = ids[:, 1:].where(last, IGNORED)

    def loss() -> Tensor:
        cost: Tensor = model.module.loss(ids[:, :-1], targets, None, lengths)[0]
        return cost

    units = {"char": "characters"}.get(model.vocabulary.units, f"{model.vocabulary.units}s")
    return loss, f"{len(pieces)} stretches of {size} {units}"


def _horizons(visit: Visit) -> tuple[list[Horizon], list[str]]:
    """Both kinds of horizon of one network from what it read."""
    x = visit.x
    if x is None or x.shape[1] < 2:
        name = visit.network or "the network"
        return [], [f"{name} reads one step at a time, so its memory horizon is not measured"]
    lengths = as_lengths(visit.lengths, x.shape[0], x.shape[1], x.device)
    long = lengths > 1
    x, lengths = x[long][:_ROWS], lengths[long][:_ROWS]
    if len(x) < 4 and int(lengths.sum()) >= 64:
        x, lengths = _pieces(x, lengths)
    x, lengths = x[:, :_MOST_STEPS].detach(), lengths.clamp(max=_MOST_STEPS)
    if len(x) < 2:
        return [], ["a memory horizon needs more than one sequence, or one of 64 steps or more; give a longer input"]
    found = memory_horizon(visit.layer, x, lengths, network=visit.network)
    remarks: list[str] = []
    if sum(visit.layer.hidden_sizes) * (1 + visit.layer.bidirectional) <= _UNITS_BY_GRADIENT:
        found += memory_horizon(visit.layer, x[:8], lengths[:8], network=visit.network, by="gradient")
    return found, remarks


def _pieces(x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Few long rows cut into at least eight of equal length."""
    size = max(8, int(lengths.sum()) // 16)
    parts = [
        row[s : s + size] for row, n in zip(x, lengths.tolist(), strict=True) for s in range(0, n - size + 1, size)
    ]
    return (torch.stack(parts), torch.full((len(parts),), size)) if len(parts) > 1 else (x, lengths)


def first_item(model: TaskModel[Any], examples: Any) -> tuple[Any, Any]:
    """The input and the right answer of the first example; None where the task's examples hold no single one."""
    task = model.task
    if task == "language":
        return max(examples[:8], key=len), None
    if task == "forecast":
        options = TASKS[task].options(batch_size=1)
        return next(model.source(examples, options, 0).epoch(0)), None
    if task == "translate":
        return examples.sources[0], None
    if task == "caption":
        return examples.images[:1], None
    return examples.inputs[0], examples.targets[0] if len(examples.targets) else None


def read_one(model: TaskModel[Any], item: Any, target: Any = None, *, most: int = 5000) -> Reading:
    """Everything about one input; of a text at most the first `most` units, and the last 200 for the why."""
    remarks: list[str] = []
    text = item if isinstance(item, str) else ""
    if model.task == "language":
        item = item[:most]
    subject = subject_of(model, item, target)
    states = tuple(s for s in subject.states() if len(s) > 1)
    followers = _followers(subject, states)
    short = _for_why(model, item, target, subject)
    why: list[Attribution] = []
    if short.features is not None:
        why = [integrated_gradients(short), occlusion(short, width=max(1, len(short.labels) // _WHY_STEPS))]
    known = surprise(subject) if subject.distribution and subject.features is not None else None
    tops = [s.trace(s.traces[0].name) for s in states]
    return Reading(
        text[:most] or " ".join(subject.labels[:200]),
        states,
        tuple(health(s) for s in states),
        tuple(path(top) for top in tops),
        followers,
        tuple(why),
        known,
        subject.attention,
        tuple(remarks),
    )


def _followers(subject: Subject, states: Sequence[States]) -> dict[str, Following]:
    """Patterns of a text; where the answers at each step are classes, each of those too."""
    if not states or states[0].labels != subject.labels or subject.features is None:
        return {}
    found = best_followers(states[0]) if subject.model.vocabulary is not None else {}
    if subject.model.task == "tag" and subject.targets is not None:
        classes = [subject.name(int(k)) if k >= 0 else "?" for k in subject.targets]
        marks = {f"label {name}": np.array([c == name for c in classes], float) for name in sorted(set(classes))}
        found |= best_followers(states[0], {n: m for n, m in marks.items() if 0 < m.sum() < len(m)})
    return found


def pooled(model: TaskModel[Any], examples: Any, reading: Reading) -> Reading:
    """The same with the condition of the units, and what they follow, over many short inputs instead of one."""
    if sum(map(len, reading.states)) >= _POOLED_STEPS or len(examples) < 2:
        return reading
    # Held-out rows may lie sorted by class.
    chosen = [int(i) for i in np.linspace(0, len(examples) - 1, min(_POOLED, len(examples)))]
    subjects = [subject_of(model, examples.inputs[i], examples.targets[i]) for i in chosen if len(examples.inputs[i])]
    several = [(subject, next(s for s in subject.states() if s.network == "recurrent")) for subject in subjects]
    whole = _joined([states for _, states in several])
    found = {"recurrent": health(whole)}
    values, units = whole.stacked()
    followers = {}
    for name, pattern in _patterns(several).items():
        followers[name] = rank(values, units, pattern)[0]
    if model.task == "classify" and len({str(subject.targets) for subject in subjects}) > 1:
        ends = np.stack([np.concatenate([last_values(t) for t in s.traces if t.kind == "state"]) for _, s in several])
        classes = [str(examples.targets[i]) for i in chosen if len(examples.inputs[i])]
        followers["class"] = rank(ends, units, classes)[0]
    said = f"units were looked at over {len(several)} inputs, {len(whole):,} steps in all"
    conditions = tuple(found.get(s.network, h) for s, h in zip(reading.states, reading.health, strict=True))
    return replace(reading, health=conditions, followers=followers, remarks=(*reading.remarks, said))


def _joined(parts: Sequence[States]) -> States:
    """Several inputs of one network, one after the other."""
    traces = tuple(
        replace(same[0], values=np.concatenate([t.values for t in same]))
        for same in zip(*(part.traces for part in parts), strict=True)
    )
    return States(parts[0].network, tuple(label for part in parts for label in part.labels), traces)


def _patterns(several: Sequence[tuple[Subject, States]]) -> dict[str, Any]:
    """Patterns of texts, each begun anew, or the labels of a tagger; those that never change are left out."""
    if not all(states.labels == subject.labels for subject, states in several):
        return {}
    found: dict[str, Any] = {}
    if several[0][0].model.vocabulary is not None:
        parts = [text_patterns(states.labels, every=True) for _, states in several]
        found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if several[0][0].model.task == "tag":
        names = [subject.name(max(0, int(k))) for subject, _ in several for k in np.asarray(subject.targets)]
        found |= {f"label {name}": np.array([n == name for n in names], float) for name in sorted(set(names))}
    return {name: pattern for name, pattern in found.items() if pattern.std() > 0}


def _for_why(model: TaskModel[Any], item: Any, target: Any, subject: Subject) -> Subject:
    """Of a long text the last units alone, for which leaving each out is affordable."""
    if model.task != "language" or len(subject.labels) <= _WHY_STEPS:
        return subject
    return subject_of(model, item[-round(len(item) * _WHY_STEPS / len(subject.labels)) :], target)
