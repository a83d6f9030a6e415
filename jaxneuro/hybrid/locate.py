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


def event_time(ends: Ends, crossed: BoolScalar, per_slope1: Scalar) -> Scalar:
    """Estimate the time of the crossing in a step with g0 < 0 <= g1 (`crossed`), else of its maximum.

    Crossing: the cubic through time as a function of g (inverse Hermite interpolation), which is nearly straight through a
    spike's upstroke. Maximum: where the chord through the slopes is zero. The middle of the step where these do not help,
    as for a crossing on the way down. `per_slope1` is 1/slope1 (inf where that is not positive): it costs one division.
    """
    g0, slope0, g1, slope1, h = ends
    rise = g1 - g0
    below = jnp.where(crossed, rise * slope0, slope0 - slope1)
    inverse = 1 / below
    s = -g0 * slope0 * inverse  # the chord's crossing, as a fraction of the step
    rest = 1 - s
    cubic = s * s * (3 - 2 * s) * h + s * rest * rise * (rest * rise * inverse - s * per_slope1)
    estimate = jnp.where(crossed, cubic, h * slope0 * inverse)
    return jnp.where((below > 0) & (estimate > 0) & (estimate < h), estimate, 0.5 * h)
