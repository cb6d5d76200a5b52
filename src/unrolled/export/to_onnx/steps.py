"""What both ways to write a recurrent layer share: the program of evaluation, weights as arrays, steps that count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.cell import Program, without_noise
from unrolled.export.to_onnx.graph import Value, library
from unrolled.export.weights.kinds import without_dropout

Numbers = npt.NDArray[np.float32]


def evaluated(program: Program) -> Program:
    """The program of evaluation, without the factors that are 1 on average."""
    plain = without_dropout(program)
    return without_noise(plain, plain.noise)


def array(tensor: Any) -> Numbers:
    """A tensor's numbers as float32."""
    found: Numbers = tensor.detach().float().cpu().numpy()
    return found


@dataclass(frozen=True)
class Rows:
    """The steps that count: how many there are of each row, (B,) int64, and where they lie, (T, B, 1) bool."""

    lengths: Value
    inside: Value

    @classmethod
    def of(cls, lengths: Value, steps: Value) -> Rows:
        """Of lengths (B,) in a batch of `steps` (1,)."""
        g = lengths.graph
        return cls(lengths, g.add("Less", count(steps).unsqueeze(1), lengths).unsqueeze(2))

    def only(self, x: Value) -> Value:
        """What lies inside, (T, B, F), and zeros elsewhere."""
        return x.graph.add("Where", self.inside, x, 0.0)


def count(steps: Value) -> Value:
    """0, 1, 2, ..., as many as `steps` (1,) says."""
    # Not Range, whose shape ONNX Runtime refuses to infer where the number of steps is fixed.
    g = steps.graph
    one = library().helper.make_tensor("one", library().TensorProto.INT64, [1], [1])
    return g.add("CumSum", g.add("ConstantOfShape", steps, value=one), g.constant(np.array(0)), exclusive=1)
