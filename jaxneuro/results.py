"""How a run can end, one sentence per code."""

from collections.abc import Iterable
from typing import Any

import equinox as eqx
import jax.numpy as jnp

from jaxneuro.types import BoolScalar, IntScalar


class RESULTS(eqx.Enumeration):
    """The result of one lane; compare with `sol.result == jn.RESULTS.successful`."""

    successful = ""
    max_spikes_reached = (
        "More spikes than max_spikes: the run ended at the first that did not fit; those before it are recorded. "
        "Pass a larger max_spikes, or stop_after=n to end there on purpose."
    )
    max_steps_reached = (
        "max_steps solver steps were taken before t1. Pass a larger max_steps, looser tolerances or an implicit solver."
    )
    step_too_small = (
        "The step size fell below the resolution of time: the state runs away, or the tolerance asked for is below what "
        "the dtype can hold. Check the parameters, loosen rtol and atol, or use float64."
    )
    nonfinite_state = (
        "The state became NaN or infinite. Check parameters and current, or take smaller steps (a smaller dt or dt0, or an "
        "adaptive controller)."
    )
    solver_failed = (
        "The implicit solver's root finder did not converge at a fixed step. "
        "Take a smaller dt0 or an adaptive controller."
    )
    bad_parameters = "A parameter is NaN, or outside its valid range."
    bad_stimulus = (
        "The stimulus is not finite, or its times are out of order: sample times must not decrease, "
        "pulse widths must be >= 0."
    )
    bad_times = (
        "The times are not valid: t0 <= t1, both finite; saveat.ts not decreasing and inside [t0, t1]; dt0 > 0; the times of "
        "diffrax.StepTo increasing from t0 to t1."
    )
    bad_state = "The initial state (or refrac_until0) is not finite."
    nonfinite_loss = (
        "Training stopped: the loss or a parameter became NaN or infinite. Try a smaller learning rate, "
        "or clip gradients."
    )
    no_spikes = (
        "The neuron does not fire, or stops firing, at this current: there is no period. Take a current above "
        "its rheobase (jn.analysis.rheobase), a longer run, or an initial state on the periodic orbit."
    )
    not_converged = "Newton's method did not converge. Start nearer to the solution, or check that there is one."
    no_fixed_point = "There is no fixed point in the box. Widen the box, or take another current."
    too_many_points = "More points were found than there are slots: those that fit are kept. Pass a larger max_points."
    left_box = "The branch left its box: what lies inside is kept. Widen the box to follow it further."
    stalled = (
        "The continuation stalled: its step fell below the smallest allowed. Is there a kink, a singular point or a "
        "non-finite value of the vector field here?"
    )
    not_bracketed = (
        "The bracket holds no threshold: the neuron spikes at its lower end already, or not even at its upper end. "
        "Pass a wider bracket, or a longer run."
    )


# Inside the loop a result is an integer: a position in this tuple, or RUNNING.
CODES = (
    RESULTS.successful,
    RESULTS.max_spikes_reached,
    RESULTS.max_steps_reached,
    RESULTS.step_too_small,
    RESULTS.nonfinite_state,
    RESULTS.solver_failed,
    RESULTS.bad_parameters,
    RESULTS.bad_stimulus,
    RESULTS.bad_times,
    RESULTS.bad_state,
    RESULTS.nonfinite_loss,
    RESULTS.no_spikes,
    RESULTS.not_converged,
    RESULTS.no_fixed_point,
    RESULTS.too_many_points,
    RESULTS.left_box,
    RESULTS.stalled,
    RESULTS.not_bracketed,
)
RUNNING = -1


def code(result: Any) -> int:
    """Return the integer of a result."""
    return next(i for i, item in enumerate(CODES) if item is result)


def from_code(number: IntScalar) -> Any:
    """Return the enumeration item of an integer (traced or not)."""
    result = RESULTS.successful
    for i, item in enumerate(CODES[1:], start=1):
        result = RESULTS.where(number == i, item, result)
    return result


def every(checks: Iterable[Any]) -> BoolScalar:
    """Return whether all entries of all checks hold (True where there are none)."""
    return jnp.all(jnp.stack([jnp.asarray(True), *(jnp.all(x) for x in checks)]))
