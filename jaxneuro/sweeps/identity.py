"""What a stored sweep is of: the program, the axes, the outputs, the versions. Two runs that share these share every bit."""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from jaxneuro.sweeps.grid import Grid, numbers

_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")
_CPU_OPTIONS = "--xla_backend_extra_options="


def digest(jaxpr: ClosedJaxpr, arrays: list[Any]) -> str:
    """Return the SHA-256 of a traced program: its text without addresses in memory, and the bytes of all its constants.

    `arrays` are those that the function carries as a pytree (`jax.tree_util.Partial`, `eqx.Module`).
    """
    summary = hashlib.sha256()
    with np.printoptions(threshold=1000, precision=17, legacy=False):
        summary.update(_ADDRESS.sub("", jaxpr.pretty_print(use_color=False)).encode())
    for array in _constants([jaxpr, arrays], set()):
        summary.update(f"{array.dtype} {array.shape}".encode())
        summary.update(np.ascontiguousarray(array).tobytes())
    return summary.hexdigest()


def axes(grid: Grid) -> list[str]:
    """Return the names of the axes, each with the SHA-256 of its values."""
    return [f"{n} {x.shape} {hashlib.sha256(numbers(x).tobytes()).hexdigest()}" for n, x in grid.items()]


def provenance(fn: Callable, jaxpr: ClosedJaxpr, arrays: list[Any]) -> dict[str, Any]:
    """Return what a store says about its origin; nothing that differs between two equal runs, as a time or a path would."""
    versions = {f"{name}_version": version(name) for name in ("jaxneuro", "jax", "jaxlib", "diffrax")}
    named = getattr(fn, "func", fn)
    name = f"{getattr(named, '__module__', '?')}.{getattr(named, '__qualname__', type(named).__qualname__)}"
    flags = [f for f in os.environ.get("XLA_FLAGS", "").split() if f.startswith(_CPU_OPTIONS)]
    return {
        "function": name,
        "program_sha256": digest(jaxpr, arrays),
        **versions,
        "x64": int(jax.dtypes.canonicalize_dtype("float64") == "float64"),
        "platform": jax.default_backend(),
        "xla_cpu_options": " ".join(sorted(",".join(f.removeprefix(_CPU_OPTIONS) for f in flags).split(","))),
    }


def _constants(value: Any, seen: set[int]) -> Iterator[np.ndarray]:
    """Yield the arrays inside a program, in the order of its text; what occurs twice once."""
    if isinstance(value, ClosedJaxpr):
        yield from _constants(value.consts, seen)
        yield from _constants(value.jaxpr, seen)
    elif isinstance(value, Jaxpr):
        if id(value) in seen:
            return
        seen.add(id(value))
        for equation in value.eqns:
            yield from _constants([x.val for x in equation.invars if isinstance(x, Literal)], seen)
            yield from _constants(equation.params, seen)
        yield from _constants([x.val for x in value.outvars if isinstance(x, Literal)], seen)
    elif isinstance(value, dict):
        for key in sorted(value, key=str):
            yield from _constants(value[key], seen)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _constants(item, seen)
    elif isinstance(value, jax.Array | np.ndarray | np.generic | float):
        yield numbers(value)
