"""Convolutions over time in front of recurrent layers: they find shapes, the recurrent layers what follows what."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from unrolled.errors import ArgumentError
from unrolled.layers.lengths import valid


class Convolutions(nn.Module):
    """`layers` times h_t = relu(norm(sum_k W_k x_{st + k - (K - 1) / 2})), s the stride: (B, T, F) -> (B, T', C).

    `front(x, lengths)` gives outputs and their lengths; a layer makes ceil(length / stride) steps of a sequence, and
    what is past a sequence's end is read as zero and stays zero. The norm brings each channel to mean 0 and deviation 1
    over the true steps of a batch, in evaluation by the averages of training (Ioffe and Szegedy 2015), so that padding
    changes nothing. Convolutions in front of recurrent layers: Sainath et al. 2015 (sound), Quang and Xie 2016 (DNA),
    Karim et al. 2018 (series). Raises ArgumentError for an even kernel and sizes below 1.
    """

    def __init__(self, inputs: int, channels: int, layers: int, *, kernel: int = 9, stride: int = 1) -> None:
        super().__init__()
        if min(inputs, channels, layers, kernel, stride) < 1 or kernel % 2 == 0:
            raise ArgumentError(
                f"convolutions={layers} of kernel={kernel} and stride={stride} from {inputs} to {channels} channels "
                "cannot be made; give an odd kernel and sizes of at least 1"
            )
        widths = [inputs] + [channels] * (layers - 1)
        # The norm has an offset of its own.
        self.convolutions = nn.ModuleList(
            nn.Conv1d(width, channels, kernel, stride, kernel // 2, bias=False) for width in widths
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(channels) for _ in widths)
        self.stride = stride
        self.output_size = channels

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        # What lies past a sequence's end may be anything, such as the vector of the unit that fills up a text.
        x = x.where(valid(lengths, x.shape[1])[..., None], 0)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            lengths = (lengths + self.stride - 1) // self.stride
            found = convolution(x.transpose(1, 2)).transpose(1, 2)
            inside = valid(lengths, found.shape[1])
            x = found.new_zeros(found.shape)
            x[inside] = functional.relu(_normalised(norm, found[inside]))
        return x, lengths


def _normalised(norm: nn.Module, steps: Tensor) -> Tensor:
    """`norm` of true steps (N, C); a single one has no deviation, so it is measured by the averages of training."""
    if len(steps) > 1 or not norm.training or not isinstance(norm, nn.BatchNorm1d):
        found: Tensor = norm(steps)
        return found
    return functional.batch_norm(steps, norm.running_mean, norm.running_var, norm.weight, norm.bias, False)
