"""An existing PyTorch model, accelerated: the same parameters, the same numbers, our engines underneath."""

from __future__ import annotations

import torch
from torch import nn

import unrolled as ur


class Tagger(nn.Module):
    """An ordinary PyTorch model that knows nothing of Unrolled."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(100, 32)
        self.recurrent = nn.GRU(32, 64, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(128, 5)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.recurrent(self.embedding(ids))[0])


def main() -> float:
    """Swap the layer, compare every output and gradient, and say which engine runs."""
    torch.manual_seed(0)
    model = Tagger()
    ids = torch.randint(0, 100, (8, 40))
    before = model(ids)
    gradients = torch.autograd.grad(before.square().mean(), list(model.parameters()))
    parameters = list(model.parameters())

    ur.accelerate(model)
    after = model(ids)
    same = torch.autograd.grad(after.square().mean(), list(model.parameters()))

    print(type(model.recurrent), "is still a torch.nn.GRU:", isinstance(model.recurrent, nn.GRU))
    print("the same Parameter objects:", all(a is b for a, b in zip(parameters, model.parameters(), strict=True)))
    pairs = zip((before, *gradients), (after, *same), strict=True)
    difference = max(float((a - b).detach().abs().max()) for a, b in pairs)
    print(f"largest difference in outputs and gradients: {difference:.1e}")
    return difference


if __name__ == "__main__":
    main()
