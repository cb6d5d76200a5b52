"""A run's weights and its trained model; the rest of its folder is in `folder`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from unrolled.data import Vocabulary
from unrolled.tasks.folder import (
    CURVE,
    EVENTS,
    METRICS,
    VOCABULARY,
    WEIGHTS,
    Config,
    blaming_config,
    check_free,
    create_folder,
    damaged_weights,
    options_of,
    plain,
    plain_value,
    plan_of,
    read_config,
    read_json,
    read_vocabulary,
    strange_weight,
    write_bytes,
    write_config,
    write_json,
)
from unrolled.tasks.registry import TASKS
from unrolled.train.weights import named_weights

if TYPE_CHECKING:
    from unrolled.tasks.model import TaskModel

__all__ = [
    "CURVE",
    "EVENTS",
    "METRICS",
    "VOCABULARY",
    "WEIGHTS",
    "Config",
    "assemble",
    "check_free",
    "create_folder",
    "open_run",
    "options_of",
    "plain",
    "plain_value",
    "put_weights",
    "read_config",
    "read_json",
    "read_vocabulary",
    "read_weights",
    "untrained",
    "weight_bytes",
    "write_bytes",
    "write_config",
    "write_json",
    "write_weights",
]


def weight_bytes(module: nn.Module) -> bytes:
    """The weights in safetensors form; a matrix used twice is there once."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in named_weights(module).items()}
    return save(tensors, {"format": "unrolled"})


def write_weights(run: Path, module: nn.Module) -> None:
    """weights.safetensors of a run."""
    write_bytes(run / WEIGHTS, weight_bytes(module))


def read_weights(run: Path) -> dict[str, Tensor]:
    """weights.safetensors of a run; raises RunError where it is missing or cut short."""
    try:
        return load_file(run / WEIGHTS)
    except (SafetensorError, OSError, ValueError) as error:
        raise damaged_weights(run, error) from None


def open_run(path: str | Path) -> TaskModel[Any]:
    """The trained model of a run folder. Executes nothing from it; raises RunError in one sentence."""
    run = Path(path)
    return assemble(read_config(run), read_vocabulary(run), read_weights(run), str(run))


def assemble(
    config: Config, vocabulary: Vocabulary | None, weights: Mapping[str, Tensor], where: str
) -> TaskModel[Any]:
    """The trained model that these describe; raises RunError, naming `where` they are from."""
    model = untrained(config, vocabulary, where, most=sum(tensor.numel() for tensor in weights.values()))
    put_weights(model.module, weights, where)
    model.module.eval()
    return model


def untrained(config: Config, vocabulary: Vocabulary | None, where: str, most: int | None = None) -> TaskModel[Any]:
    """The same with fresh weights; RunError where it would take more than `most` numbers, before memory is taken."""
    with blaming_config(where):
        plan = plan_of(config, vocabulary, most)
        return TASKS[config.task].model.restore(plan, config.schema, vocabulary)


def put_weights(module: nn.Module, weights: Mapping[str, Tensor], where: str) -> None:
    """Copy weights into a module; raises RunError naming the first that does not fit."""
    wanted = named_weights(module)
    for name in sorted(wanted.keys() | weights.keys()):
        have = tuple(weights[name].shape) if name in weights else "missing"
        want = tuple(wanted[name].shape) if name in wanted else "not used"
        if have != want:
            raise strange_weight(where, name, have, want)
        wanted[name].detach().copy_(weights[name])
