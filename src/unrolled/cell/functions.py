"""The functions an `update` may call; they work alike on symbols, tensors, arrays and plain numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from unrolled.cell.symbol import FOREIGN, Symbol

NUMBERS: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda a: -a,
    "abs": abs,
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "sin": math.sin,
    "cos": math.cos,
    "erf": math.erf,
    "tanh": math.tanh,
    "sigmoid": lambda a: 0.5 * (1.0 + math.tanh(0.5 * a)),
    "relu": lambda a: max(a, 0.0),
    "softplus": lambda a: max(a, 0.0) + math.log1p(math.exp(-abs(a))),
    "maximum": max,
    "minimum": min,
    "greater": lambda a, b: float(a > b),
    "where": lambda c, a, b: a if c else b,
    "mean": lambda a: a,
}

_EVALUATORS: dict[type, Mapping[str, Callable[..., Any]]] = {}


def register_evaluator(kind: type, table: Mapping[str, Callable[..., Any]]) -> None:
    """Say how an engine computes the operations on its own kind of value (a tensor, an array)."""
    _EVALUATORS[kind] = table


def evaluator(arguments: tuple[Any, ...]) -> Mapping[str, Callable[..., Any]]:
    """The table for the first argument that an engine has registered; plain numbers otherwise."""
    for argument in arguments:
        for kind in type(argument).__mro__:
            if kind in _EVALUATORS:
                return _EVALUATORS[kind]
    return NUMBERS


def apply(operation: str, *arguments: Any) -> Any:
    """Record the operation on symbols, or compute it on values."""
    for argument in arguments:
        if isinstance(argument, Symbol):
            return argument.builder.apply(operation, arguments)
    return evaluator(arguments)[operation](*arguments)


def exp(a: Any) -> Any:
    """e^a."""
    return apply("exp", a)


def log(a: Any) -> Any:
    """Natural logarithm."""
    return apply("log", a)


def sqrt(a: Any) -> Any:
    """Square root."""
    return apply("sqrt", a)


def sin(a: Any) -> Any:
    """Sine of an angle in radians."""
    return apply("sin", a)


def cos(a: Any) -> Any:
    """Cosine of an angle in radians."""
    return apply("cos", a)


def erf(a: Any) -> Any:
    """Gauss error function."""
    return apply("erf", a)


def absolute(a: Any) -> Any:
    """|a|."""
    return apply("abs", a)


def tanh(a: Any) -> Any:
    """Hyperbolic tangent."""
    return apply("tanh", a)


def sigmoid(a: Any) -> Any:
    """1 / (1 + e^-a)."""
    return apply("sigmoid", a)


def relu(a: Any) -> Any:
    """max(a, 0)."""
    return apply("relu", a)


def softplus(a: Any) -> Any:
    """log(1 + e^a)."""
    return apply("softplus", a)


def maximum(a: Any, b: Any) -> Any:
    """The larger of two values; where they are equal the gradient is shared, as in torch."""
    return apply("maximum", a, b)


def minimum(a: Any, b: Any) -> Any:
    """The smaller of two values; where they are equal the gradient is shared, as in torch."""
    return apply("minimum", a, b)


def greater(a: Any, b: Any) -> Any:
    """1 where a > b, else 0; it has no gradient."""
    return apply("greater", a, b)


def where(condition: Any, a: Any, b: Any) -> Any:
    """Return a where the condition is not zero, else b."""
    return apply("where", condition, a, b)


def mean(a: Any) -> Any:
    """Mean over the units of a row, for every unit of that row."""
    return apply("mean", a)


def identity(a: Any) -> Any:
    """Return a itself: a linear unit."""
    return a


def square(a: Any) -> Any:
    """The product a a."""
    return a * a


def silu(a: Any) -> Any:
    """The product a sigmoid(a) (Elfwing et al. 2018)."""
    return a * sigmoid(a)


def elu(a: Any, alpha: float = 1.0) -> Any:
    """Return a where a > 0, else alpha (e^a - 1) (Clevert et al. 2016)."""
    return where(greater(a, 0.0), a, alpha * (exp(minimum(a, 0.0)) - 1.0))


def leaky_relu(a: Any, negative_slope: float = 0.01) -> Any:
    """Return a where a > 0, else negative_slope a."""
    return where(greater(a, 0.0), a, negative_slope * a)


def softsign(a: Any) -> Any:
    """The quotient a / (1 + |a|)."""
    return a / (1.0 + absolute(a))


def clamp(a: Any, low: float, high: float) -> Any:
    """Keep a between low and high."""
    return minimum(maximum(a, low), high)


def _torch_clamp(a: Any, low: float | None = None, high: float | None = None, **bounds: float) -> Any:
    """Torch's clamp, whose bounds are called min and max and may be left out."""
    low, high = bounds.pop("min", low), bounds.pop("max", high)
    if bounds:
        raise TypeError(f"unexpected {', '.join(bounds)}")
    a = a if low is None else maximum(a, low)
    return a if high is None else minimum(a, high)


def hard_tanh(a: Any) -> Any:
    """Keep a between -1 and 1."""
    return clamp(a, -1.0, 1.0)


def hard_sigmoid(a: Any) -> Any:
    """Keep a / 6 + 1/2 between 0 and 1, torch's and Keras 3's slope."""
    return clamp(a / 6.0 + 0.5, 0.0, 1.0)


def gelu(a: Any) -> Any:
    """The product a Phi(a), with the exact error function (Hendrycks & Gimpel 2016)."""
    return 0.5 * a * (1.0 + erf(a * math.sqrt(0.5)))


def layer_norm(*values: Any, epsilon: float = 1e-5) -> Any:
    """(v - mean) / sqrt(variance + epsilon) over the units of all values together (Ba et al. 2016).

    Returns one value for one, a tuple for several.
    """

    def over_all(parts: list[Any]) -> Any:
        total = sum((mean(part) for part in parts[1:]), mean(parts[0]))
        return total if len(parts) == 1 else total / float(len(parts))

    middle = over_all(list(values))
    centred = [v - middle for v in values]
    scale = sqrt(over_all([c * c for c in centred]) + epsilon)
    normalised = tuple(c / scale for c in centred)
    return normalised[0] if len(values) == 1 else normalised


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    f.__name__: f
    for f in (tanh, sigmoid, relu, softplus, sin, cos, erf, identity, silu, elu, leaky_relu, softsign, hard_tanh)
} | {"hard_sigmoid": hard_sigmoid, "gelu": gelu}

FOREIGN.update(
    exp=exp, log=log, sqrt=sqrt, sin=sin, cos=cos, erf=erf, abs=absolute, absolute=absolute, tanh=tanh, sigmoid=sigmoid,
    relu=relu, softplus=softplus, maximum=maximum, minimum=minimum, where=where, square=square, silu=silu, elu=elu,
    leaky_relu=leaky_relu, softsign=softsign, clamp=_torch_clamp, hardtanh=hard_tanh, hardsigmoid=hard_sigmoid,
    gelu=gelu, greater=greater, gt=greater, lt=lambda a, b: greater(b, a), less=lambda a, b: greater(b, a),
    add=lambda a, b: a + b, sub=lambda a, b: a - b, subtract=lambda a, b: a - b, mul=lambda a, b: a * b,
    multiply=lambda a, b: a * b, div=lambda a, b: a / b, true_divide=lambda a, b: a / b, divide=lambda a, b: a / b,
    neg=lambda a: -a, negative=lambda a: -a, pow=lambda a, b: a**b, power=lambda a, b: a**b,
    rsub=lambda a, b: b - a, reciprocal=lambda a: 1.0 / a,
)  # fmt: skip
