"""Products in sixteen bits where the device has them, and the loss scaled so that float16 loses no gradient."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.optim import Optimizer

from unrolled.errors import ArgumentError
from unrolled.train.settings import PrecisionName

# Below it a gradient that overflows does so because it is too large, and not because it was scaled.
_LEAST_SCALE = 1.0


class Precision:
    """Mixed precision (Micikevicius et al. 2018): weights and sums in float32, products in `name`.

    float16 has the exponents of small gradients below its range, so there the loss is multiplied by a factor that falls
    when a gradient overflows and rises again when none has for a while. Raises ArgumentError for a type that the device
    does not multiply.
    """

    def __init__(self, name: PrecisionName, device: torch.device) -> None:
        if not supported(name, device):
            raise ArgumentError(
                f"precision is {name}, but this {device.type} device has no such products; give float32 or another"
            )
        self.dtype: torch.dtype = getattr(torch, name)
        self.device = device
        self.scaler = torch.amp.GradScaler(device.type) if name == "float16" else None

    def context(self) -> AbstractContextManager[object]:
        """Inside it torch chooses the type of each operation."""
        return nullcontext() if self.dtype == torch.float32 else torch.autocast(self.device.type, self.dtype)

    def scaled(self, loss: Tensor) -> Tensor:
        """What `backward` is to be called on."""
        return loss if self.scaler is None else self.scaler.scale(loss)

    def unscale(self, optimiser: Optimizer) -> None:
        """Gradients as they are."""
        if self.scaler is not None:
            self.scaler.unscale_(optimiser)

    def step(self, optimiser: Optimizer) -> None:
        """Move the weights by unscaled gradients that are finite."""
        if self.scaler is None:
            optimiser.step()
            return
        self.scaler.step(optimiser)
        self.scaler.update()

    def overflowed(self, optimiser: Optimizer) -> bool:
        """Whether gradients that are not finite may be due to the factor, which is then lowered."""
        if self.scaler is None or self.scaler.get_scale() <= _LEAST_SCALE:
            return False
        self.scaler.step(optimiser)  # leaves the weights alone
        self.scaler.update()
        return True

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint needs to go on with the same factor."""
        if self.scaler is None:
            return {}
        state = self.scaler.state_dict()
        return {
            "scale": torch.tensor(state["scale"], dtype=torch.float64),
            "since": torch.tensor(state["_growth_tracker"], dtype=torch.int64),
        }

    def load(self, saved: Mapping[str, Tensor]) -> None:
        """Inverse of `tensors`; raises KeyError where the factor is missing, ArgumentError where it is none."""
        if self.scaler is not None:
            if any(saved[name].numel() != 1 for name in ("scale", "since")):
                raise ArgumentError("the factor of the loss is not one number")
            state = self.scaler.state_dict()
            self.scaler.load_state_dict(
                {**state, "scale": float(saved["scale"]), "_growth_tracker": int(saved["since"])}
            )


def supported(name: PrecisionName, device: torch.device) -> bool:
    """Whether a device multiplies numbers of this type itself."""
    if name == "float32":
        return True
    if device.type == "cuda":
        return name == "float16" or torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    # oneDNN's own word; torch has no public name for it
    asked = "_is_mkldnn_bf16_supported" if name == "bfloat16" else "_is_mkldnn_fp16_supported"
    return bool(getattr(torch.ops.mkldnn, asked)())
