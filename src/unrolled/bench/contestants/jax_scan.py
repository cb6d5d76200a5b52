"""JAX: the same program inside `lax.scan`, compiled by XLA, with the input products outside the loop."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from unrolled.bench.contestants.library import Contestant, Library, Stepper
from unrolled.bench.problem import Problem
from unrolled.cell import Leaves, Products, register_evaluator
from unrolled.cell import run as run_program

ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


def _refuse(problem: Problem) -> str | None:
    if importlib.util.find_spec("jax") is None:
        return "not installed (pip install 'unrolled[peers]')"
    if problem.program.heads > 1:
        return "products with several heads are not written for it here"
    if problem.lengths is not None:
        return "rows of different lengths are not written for it here"
    if problem.program.noise:
        return "noise is not written for it here"
    return None


@lru_cache(maxsize=1)
def start() -> tuple[Any, Any]:
    """`jax` and `jax.numpy` on as many threads as torch has, which can be said only before they are first loaded."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ.setdefault("NPROC", str(torch.get_num_threads()))
    if torch.get_num_threads() == 1:
        os.environ.setdefault("XLA_FLAGS", ONE_THREAD)
    import jax
    import jax.numpy as jnp

    register_evaluator(jax.core.Tracer, table(jax, jnp))
    return jax, jnp


def table(jax: Any, jnp: Any) -> dict[str, Callable[..., Any]]:
    """The operations of a program in JAX's functions."""
    plain = ("abs", "exp", "log", "sqrt", "sin", "cos", "tanh", "maximum", "minimum")
    return {name: getattr(jnp, name) for name in plain} | {
        "add": jnp.add,
        "sub": jnp.subtract,
        "mul": jnp.multiply,
        "div": jnp.divide,
        "neg": jnp.negative,
        "erf": jax.scipy.special.erf,
        "sigmoid": jax.nn.sigmoid,
        "relu": jax.nn.relu,
        "softplus": jax.nn.softplus,
        "greater": lambda a, b: jnp.greater(a, b).astype(jnp.float32),
        "where": lambda condition, a, b: jnp.where(condition != 0, a, b),
        "mean": lambda a: jnp.broadcast_to(a.mean(-1, keepdims=True), a.shape),
    }


def _build(problem: Problem) -> Contestant:
    jax, jnp = start()
    incoming = jnp.asarray(problem.incoming.transpose(1, 0, 2))
    operands = jnp.asarray(problem.xs), {k: jnp.asarray(v) for k, v in problem.values.items()}

    def outputs(xs: Any, values: dict[str, Any]) -> Any:
        gates = jnp.einsum("btf,gf->tbg", xs, values["W"]) + values.get("b", 0.0)
        return jax.lax.scan(lambda state, x: _step(problem, values, state, x), _zeros(problem), gates)[1]

    def loss(xs: Any, values: dict[str, Any]) -> Any:
        found = outputs(xs, values)
        return (found * incoming).sum(), found

    forward = jax.jit(outputs)
    backward = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))

    def read(answer: Any) -> tuple[np.ndarray, ...]:
        if not isinstance(answer, tuple):
            return (np.asarray(answer).transpose(1, 0, 2),)
        (_, found), (xs, values) = answer
        return tuple(np.asarray(v) for v in (found.transpose(1, 0, 2), xs, *(values[k] for k in problem.values)))

    return Contestant(
        lambda: jax.block_until_ready(forward(*operands)), lambda: jax.block_until_ready(backward(*operands)), read
    )


def _stepper(problem: Problem) -> Stepper:
    jax, jnp = start()
    x, values = jnp.asarray(problem.xs[:1, 0]), {k: jnp.asarray(v) for k, v in problem.values.items()}

    def one(state: Any, x: Any, values: dict[str, Any]) -> Any:
        return _step(problem, values, state, x @ values["W"].T + values.get("b", 0.0))

    compiled = jax.jit(one)

    def steps(count: int) -> Any:
        output, state = None, _zeros(problem, rows=1)
        for _ in range(count):
            state, output = compiled(state, x, values)
        return jax.block_until_ready(output)

    return steps


def _zeros(problem: Problem, rows: int | None = None) -> tuple[Any, ...]:
    _, jnp = start()
    rows = problem.shape.batch if rows is None else rows
    return tuple(jnp.zeros((rows, problem.shape.hidden), jnp.float32) for _ in problem.program.state)


def _step(problem: Problem, values: dict[str, Any], state: tuple[Any, ...], gates: Any) -> tuple[Any, Any]:
    """One step of the program on JAX's values: the next state and the output."""
    _, jnp = start()
    program, hidden = problem.program, problem.shape.hidden
    x = dict(zip(program.gates, jnp.split(gates, len(program.gates), -1), strict=True))
    vectors = {name: values[f"vectors.{name}"] for name in program.vectors}
    multiply = _products(problem, values, state[0])
    results = run_program(
        program,
        Leaves(program.name, "x", x),
        Products(program.name, (*program.gates, *program.products), state[0], multiply),
        program.state_type(*state),
        Leaves(program.name, "p", vectors),
    )
    full = tuple(jnp.broadcast_to(results[i], (len(state[0]), hidden)) for i in program.next)
    return full, jnp.broadcast_to(results[program.output], full[0].shape)


def _products(problem: Problem, values: dict[str, Any], first: Any) -> Callable[[str, Any], Any]:
    """u.k: one product for all gates that read the first state, as whoever writes a layer by hand would have it."""
    _, jnp = start()
    program = problem.program
    matrices = _blocks(program.recurrent, values.get("U"))
    biases = _blocks(program.recurrent_biased, values.get("c"))
    joined: dict[str, Any] = {}
    if program.direct:
        product = first @ jnp.concatenate([matrices[gate] for gate in program.direct]).T
        joined = dict(zip(program.direct, jnp.split(product, len(program.direct), -1), strict=True))

    def multiply(name: str, operand: Any) -> Any:
        if name in program.products:
            return operand @ values[f"products.{name}"].T
        value = joined[name] if operand is first and name in joined else operand @ matrices[name].T
        return value + biases[name] if name in biases else value

    return multiply


def _blocks(gates: Iterable[str], stacked: Any) -> dict[str, Any]:
    """The block of each gate in a matrix or bias of all of them."""
    _, jnp = start()
    names = tuple(gates)
    return dict(zip(names, jnp.split(stacked, len(names)), strict=True)) if names else {}


LIBRARY = Library(_refuse, _build, _stepper, compiles=True)
