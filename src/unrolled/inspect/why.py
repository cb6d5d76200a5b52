"""Why this answer: what each input step contributed, and where the network was surprised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unrolled.errors import ArgumentError
from unrolled.inspect.arrays import Floats, Ints, Shown
from unrolled.inspect.subject import Subject

_FIRST_POINTS = 32
_MOST_POINTS = 1024
_COMPLETE = 0.01
# Largest numbers of features held at once.
_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Attribution(Shown):
    """What each step (T,) added to the score of `output` at the place `answer`, compared with steps that say nothing.

    `change` is score(input) - score(baseline). Of integrated gradients the contributions sum to it; `gap` is how far
    they are from it, as a share. Of occlusion each is the loss of score when that step alone says nothing.
    """

    method: str
    labels: tuple[str, ...]
    contributions: Floats
    answer: str
    output: str
    score: float
    change: float
    gap: float | None = None

    def strongest(self, count: int = 5) -> list[tuple[int, str, float]]:
        """Steps by the size of what they contributed: place, label, contribution."""
        order = np.argsort(-np.abs(self.contributions), kind="stable")[:count]
        return [(int(t), self.labels[t], float(self.contributions[t])) for t in order]


def integrated_gradients(subject: Subject, *, output: int | None = None, place: int | None = None) -> Attribution:
    """Integrated gradients (Sundararajan et al. 2017) of one score, by default that of the likeliest output.

    a_t = sum_f (x_tf - b_f) integral_0^1 dS(b + r (x - b))/dx_tf dr

    The integral is taken by Gauss and Legendre's rule with 32 points, and with twice as many until the contributions
    sum to S(x) - S(b) within 1 % or there are 1,024. Raises ArgumentError for a place or output that is not there.
    """
    x, b, place, output, score = _asked(subject, output, place)
    base = b.expand_as(x)
    change = score - float(_scores(subject, base, place)[0, output])
    points = _FIRST_POINTS
    while True:
        contributions = _integral(subject, x, base, place, output, points)
        error = abs(float(contributions.sum()) - change)
        gap = error / abs(change) if change else error
        if gap <= _COMPLETE or points >= _MOST_POINTS:
            break
        points *= 2
    return _attribution("integrated gradients", subject, contributions, place, output, score, change, gap)


def _integral(subject: Subject, x: Tensor, base: Tensor, place: int, output: int, points: int) -> Floats:
    nodes, weights = np.polynomial.legendre.leggauss(points)
    total = torch.zeros(x.shape[1:], dtype=torch.float64, device=x.device)
    per = max(1, _AT_ONCE // max(1, x.numel()))
    for first in range(0, points, per):
        part = slice(first, first + per)
        # Gauss's nodes are those of [-1, 1].
        share = torch.from_numpy((nodes[part] + 1) / 2).to(x)[:, None, None]
        with torch.enable_grad():
            between = (base + share * (x - base)).detach().requires_grad_()
            (gradient,) = torch.autograd.grad(subject.answer(between, place)[:, output].sum(), between)
        factors = torch.from_numpy(weights[part] / 2).to(total)[:, None, None]
        total += (factors * gradient.double()).sum(0)
    found: Floats = (total * (x - base)[0].double()).sum(1).cpu().numpy()
    return found


def occlusion(subject: Subject, *, output: int | None = None, place: int | None = None, width: int = 1) -> Attribution:
    """What the score loses when `width` steps in a row say nothing (Zeiler and Fergus 2014), shared among them."""
    if width < 1:
        raise ArgumentError(f"width is {width}, but so many steps are left out at once; give 1 or more")
    x, b, place, output, score = _asked(subject, output, place)
    steps = int(x.shape[1])
    change = score - float(_scores(subject, b.expand_as(x), place)[0, output])
    starts = list(range(0, steps, width))
    losses: list[Tensor] = []
    per = max(1, _AT_ONCE // max(1, x.numel()))
    for first in range(0, len(starts), per):
        part = starts[first : first + per]
        changed = x.repeat(len(part), 1, 1)
        for row, start in enumerate(part):
            changed[row, start : start + width] = b
        losses.append(score - _scores(subject, changed, place)[:, output].double())
    sizes = np.diff([*starts, steps])
    contributions = np.repeat(torch.cat(losses).cpu().numpy() / sizes, sizes)
    return _attribution("occlusion", subject, contributions, place, output, score, change, None)


def _asked(subject: Subject, output: int | None, place: int | None) -> tuple[Tensor, Tensor, int, int, float]:
    x, b = subject.known
    place = subject.place if place is None else place
    if not -len(subject.answers) <= place < len(subject.answers):
        raise ArgumentError(f"place is {place}, but there are {len(subject.answers)} answers; choose one of them.")
    scores = _scores(subject, x, place)[0]
    output = int(scores.argmax()) if output is None else output
    if not 0 <= output < len(scores):
        raise ArgumentError(f"output is {output}, but there are {len(scores)} outputs; choose one of them.")
    return x, b, place, output, float(scores[output])


@torch.no_grad()
def _scores(subject: Subject, features: Tensor, place: int) -> Tensor:
    return subject.answer(features, place)


def _attribution(
    method: str, subject: Subject, contributions: Floats, place: int, output: int, score: float, change: float,
    gap: float | None,
) -> Attribution:  # fmt: skip
    return Attribution(
        method, subject.labels, contributions, subject.answers[place], subject.name(output), score, change, gap
    )


@dataclass(frozen=True)
class Surprise(Shown):
    """The distribution of the answer at each of U places, and what the right one cost.

    `likely` (U, k): the likeliest outputs, `probabilities` (U, k) theirs. `entropy` (U,) in nats says how unsure the
    network was; `nats` (U,) = -log p(right), empty where the right answers are not known.
    """

    answers: tuple[str, ...]
    likely: tuple[tuple[str, ...], ...]
    probabilities: Floats
    entropy: Floats
    nats: Floats

    def most(self, count: int = 5) -> list[tuple[int, str, float]]:
        """The most surprising places: place, what came, its probability."""
        order = np.argsort(-self.nats, kind="stable")[:count]
        return [(int(u), self.answers[u], float(np.exp(-self.nats[u]))) for u in order]


@torch.no_grad()
def surprise(subject: Subject, *, most: int = 5) -> Surprise:
    """What came next in the network's opinion, and how surprised it was; ArgumentError where scores are no chances."""
    if not subject.distribution:
        raise ArgumentError(
            f"a run of the task {subject.model.task} answers without probabilities, so nothing can surprise it; "
            "look at the contributions of its steps instead."
        )
    logs = subject.answer(subject.known[0], None)[0].double().log_softmax(1)
    top = logs.topk(min(most, logs.shape[1]), 1)
    entropy = -(logs.exp() * logs.clamp(min=-1e4)).sum(1)
    likely = tuple(tuple(subject.name(int(k)) for k in row) for row in top.indices)
    nats = np.zeros(0)
    if subject.targets is not None and len(subject.targets):
        targets: Ints = np.asarray(subject.targets)
        right = torch.from_numpy(np.maximum(targets, 0)).to(logs.device)
        nats = -logs.gather(1, right[:, None])[:, 0].cpu().numpy()
        # A label that the model never learnt has no probability.
        nats = np.where(targets >= 0, nats, np.nan)
    return Surprise(subject.answers, likely, top.values.exp().cpu().numpy(), entropy.cpu().numpy(), nats)
