"""Where to end the next step when one has seen an event. Plain numbers in, plain numbers out.

`g` is the spike condition, `slope` its rate of change along the flow, at both ends (0 and h) of a step.
"""

from typing import NamedTuple

import jax.numpy as jnp

from jaxneuro.types import BoolScalar, Scalar


class Ends(NamedTuple):
    """The spike condition and its slope at the two ends of a step of length h."""

    g0: Scalar
    slope0: Scalar
    g1: Scalar
    slope1: Scalar
    h: Scalar


def may_peak_above(ends: Ends, resolution: Scalar) -> BoolScalar:
    """Return whether a step that starts and ends below threshold may rise above it in between.

    The control polygon of the cubic through g and slope bounds that cubic from above; a quarter of its height is added for
    what the cubic leaves out. So the test errs on the safe side: the step is then cut at the maximum, which settles it.
    A rise below what `resolution` (a time) can change is let pass.
    """
    g0, slope0, g1, slope1, h = ends
    highest = jnp.maximum(g0 + h * slope0 / 3, g1 - h * slope1 / 3)
    rise = highest - jnp.maximum(g0, g1)
    return (slope0 > 0) & (slope1 < 0) & (highest + 0.25 * rise > 0) & (rise > resolution * (slope0 - slope1))


def event_time(ends: Ends, crossed: BoolScalar) -> Scalar:
    """Estimate the time of the crossing in a step with g0 < 0 <= g1 (`crossed`), else of its maximum.

    Crossing: where g rises at both ends, the cubic through time as a function of g (inverse Hermite interpolation), which
    is nearly straight through a spike's upstroke; elsewhere the chord. Maximum: where the chord through the slopes is
    zero. All of it costs one division.
    """
    g0, slope0, g1, slope1, h = ends
    rise = g1 - g0
    rising = (slope0 > 0) & (slope1 > 0)
    slopes = jnp.where(rising, slope0 * slope1, 1.0)
    inverse = 1 / jnp.where(crossed, rise * slopes, jnp.where(slope0 > slope1, slope0 - slope1, 1.0))
    s = -g0 * inverse * slopes  # the chord's crossing, as a fraction of the step
    bend = s * (1 - s) * rise * rise * inverse * ((1 - s) * slope1 - s * slope0)
    cubic = bend + s * s * (3 - 2 * s) * h
    crossing = jnp.where(rising & (cubic > 0) & (cubic < h), cubic, s * h)
    estimate = jnp.where(crossed, crossing, h * slope0 * inverse)
    return jnp.where((estimate > 0) & (estimate < h), estimate, 0.5 * h)
