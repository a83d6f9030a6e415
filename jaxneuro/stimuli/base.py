"""Currents as pytrees: a sequence of smooth pieces between breakpoints, differentiable in amplitude and in timing.

A stimulus owns *clocks*, sorted arrays of the times at which it changes its formula, and is evaluated at a time *and* a
position on each clock (how many of its times have passed). The solver carries the positions and lands on every breakpoint,
so a stage evaluated exactly at a breakpoint takes the limit from its own side, and the derivative in a breakpoint's time is
the one of a step whose length changes with it. Two breakpoints may coincide or swap their order in some lanes of a `vmap`:
each has a clock of its own, or lies on one that is sorted.

Time in ms; the unit of the current is the model's own. Stimuli add, subtract and scale: `2 * jn.step(1.0, 10.0, 50.0) - 0.1`.
"""

import dataclasses
from functools import reduce
from itertools import accumulate, pairwise
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp

from jaxneuro.results import every
from jaxneuro.types import Array, BoolScalar, Float, Int, Scalar, ScalarLike

Clocks: TypeAlias = tuple[Float[Array, " breakpoints"], ...]
Positions: TypeAlias = tuple[Int[Array, ""], ...]


class Stimulus(eqx.Module):
    """Base of all currents. A stimulus of your own needs `value`, and `clocks` where its formula changes.

    Define it as an `equinox.Module` (a dataclass that is a pytree): every array in it can be vmapped and differentiated.
    """

    def clocks(self) -> Clocks:
        """Return the breakpoints, as a tuple of sorted arrays (none by default)."""
        return ()

    def value(self, t: Scalar, positions: Positions) -> Any:
        """Return the current at `t`, where `positions[j]` breakpoints of `clocks()[j]` have passed."""
        raise TypeError(f"{type(self).__name__} must define value(self, t, positions).")

    def piece(self, positions: Positions) -> "Stimulus":
        """Return the smooth piece at `positions` as a stimulus without clocks, equal to this one until the next breakpoint.

        The solver takes it once a step. Worth its own definition where `value` looks something up: then that is done, and
        differentiated, once a step instead of once a stage.
        """
        return Piece(self, positions)

    def valid(self) -> BoolScalar:
        """Return whether all numbers are finite (times t_on, t_off may be infinite), and those of the parts."""
        checks = []
        for field in dataclasses.fields(self):
            whole = lambda x: isinstance(x, Stimulus)
            for x in jax.tree.leaves(getattr(self, field.name), is_leaf=whole):
                if isinstance(x, Stimulus):
                    checks.append(x.valid())
                elif eqx.is_inexact_array(x):
                    checks.append(~jnp.isnan(x) if field.name in ("t_on", "t_off") else jnp.isfinite(x))
        return every(checks)

    def breakpoints(self) -> Float[Array, " all_breakpoints"]:
        """Return all breakpoints, sorted."""
        return jnp.sort(jnp.concatenate([jnp.zeros(0), *self.clocks()]))

    def __call__(self, t: ScalarLike) -> Any:
        """Evaluate at a time (the limit from the right at a breakpoint); broadcast over times with `jax.vmap`."""
        t = jnp.asarray(t, float)
        return self.value(t, tuple(jnp.sum(clock <= t) for clock in self.clocks()))

    def __add__(self, other: "Stimulus | ScalarLike") -> "Stimulus":
        return Sum((self, as_stimulus(other)))

    def __radd__(self, other: ScalarLike) -> "Stimulus":
        return Sum((as_stimulus(other), self))

    def __sub__(self, other: "Stimulus | ScalarLike") -> "Stimulus":
        return Sum((self, -1.0 * as_stimulus(other)))

    def __rsub__(self, other: ScalarLike) -> "Stimulus":
        return Sum((as_stimulus(other), -1.0 * self))

    def __neg__(self) -> "Stimulus":
        return -1.0 * self

    def __mul__(self, factor: Any) -> "Stimulus":
        if isinstance(factor, Stimulus):
            raise TypeError("A stimulus is scaled by a number; the product of two stimuli is not defined.")
        return Scaled(scalars(factor=factor)["factor"], self)

    __rmul__ = __mul__


class Piece(Stimulus):
    """A stimulus held at its positions."""

    part: Stimulus
    at: Positions

    def value(self, t: Scalar, positions: Positions) -> Any:
        return self.part.value(t, self.at)


class Sum(Stimulus):
    """The sum of several stimuli; each keeps its own clocks."""

    parts: tuple[Stimulus, ...]

    def clocks(self) -> Clocks:
        return tuple(clock for part in self.parts for clock in part.clocks())

    def value(self, t: Scalar, positions: Positions) -> Any:
        values = [part.value(t, at) for part, at in zip(self.parts, self._split(positions), strict=True)]
        return reduce(lambda a, b: jax.tree.map(jnp.add, a, b), values)

    def piece(self, positions: Positions) -> Stimulus:
        return Sum(tuple(part.piece(at) for part, at in zip(self.parts, self._split(positions), strict=True)))

    def _split(self, positions: Positions) -> list[Positions]:
        ends = list(accumulate((len(part.clocks()) for part in self.parts), initial=0))
        return [positions[a:b] for a, b in pairwise(ends)]


class Scaled(Stimulus):
    """A stimulus times a number."""

    factor: Array
    part: Stimulus

    def clocks(self) -> Clocks:
        return self.part.clocks()

    def value(self, t: Scalar, positions: Positions) -> Any:
        return jax.tree.map(lambda x: self.factor * x, self.part.value(t, positions))

    def piece(self, positions: Positions) -> Stimulus:
        return Scaled(self.factor, self.part.piece(positions))


class Constant(Stimulus):
    amplitude: Array

    def value(self, t: Scalar, positions: Positions) -> Scalar:
        return self.amplitude


def as_stimulus(current: Stimulus | ScalarLike) -> Stimulus:
    """Return `current` as a stimulus: a number is a constant current."""
    return current if isinstance(current, Stimulus) else Constant(**scalars(amplitude=current))


def scalars(**values: ScalarLike) -> dict[str, Array]:
    """Cast to arrays of one floating dtype and check that each is a scalar."""
    dtypes = [getattr(value, "dtype", jnp.int32) for value in values.values()]
    floating = [dtype for dtype in dtypes if jnp.issubdtype(dtype, jnp.floating)]
    dtype = jnp.result_type(*floating) if floating else jnp.result_type(float)
    arrays = {name: jnp.asarray(value, dtype) for name, value in values.items()}
    for name, array in arrays.items():
        if array.shape != ():
            raise ValueError(
                f"{name} must be a scalar; it has shape {array.shape}. For many stimuli use jax.vmap over this "
                f"function, for many pulses jn.pulses, for a recorded current jn.sampled."
            )
    return arrays
