"""Small networks with chance weights, and sequences for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from unrolled.tasks import TASKS
from unrolled.tasks.classify import ClassifyTask
from unrolled.tasks.language import LanguageTask
from unrolled.tasks.model import Parts
from unrolled.tasks.regress import RegressTask
from unrolled.tasks.sequences import Examples

WORDS = ["red", "green's", "blue,", "grey", "3.5", "Red"]
RNG = np.random.default_rng(7)
TEXTS = [" ".join(RNG.choice(WORDS, 9)) + "\n" for _ in range(8)]
ROWS = [RNG.normal(size=(length, 2)).astype(np.float32) for length in (11, 5, 8, 30)]


def language(**options: Any) -> LanguageTask:
    torch.manual_seed(2)
    settings = TASKS["language"].options(**{"hidden": 8, "embedding": 6, "units": "char", **options})
    return LanguageTask.build(Parts(TEXTS), settings)


def classifier(inputs: Any = TEXTS, **options: Any) -> ClassifyTask:
    torch.manual_seed(3)
    examples = Examples(inputs, [("b", "a", "c")[place % 3] for place in range(len(inputs))])
    settings = {"hidden": 6, "embedding": 5, "bidirectional": False, "units": "char", **options}
    return stirred(ClassifyTask.build(Parts(examples), TASKS["classify"].options(**settings)))


def regressor(inputs: Any = ROWS, **options: Any) -> RegressTask:
    torch.manual_seed(4)
    examples = Examples(inputs, [(float(place), -100.0 * place**2) for place in range(len(inputs))])
    settings = {"hidden": 6, "units": "word", "target": ("x", "y"), **options}
    return stirred(RegressTask.build(Parts(examples), TASKS["regress"].options(**settings)))


def stirred(model: Any) -> Any:
    """With answers that differ, and averages that convolutions have learnt."""
    with torch.no_grad():
        for parameter in model.module.parameters():
            parameter += 0.5 * torch.randn_like(parameter) * (parameter.dim() > 1)
        for name, buffer in model.module.named_buffers():
            if "running" in name:
                buffer.copy_(1 + torch.rand_like(buffer))
    model.module.eval()
    return model
