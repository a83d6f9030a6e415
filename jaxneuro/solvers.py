"""Solvers and step-size control that run fast batched; both are ordinary diffrax objects and work in `diffeqsolve`."""

from collections.abc import Callable
from typing import Any, ClassVar

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxneuro.types import Array, Float, Scalar


class Unrolled(dfx.AbstractAdaptiveSolver):
    """An explicit Runge-Kutta method of diffrax with its stages written out.

    The same tableau, order and interpolation as `method`, hence the same numbers to rounding; diffrax's own step loops
    over the stages, which costs two to four times as much under `vmap` on a CPU. For a single `diffrax.ODETerm`.

    Example:
        >>> import diffrax, jax.numpy as jnp
        >>> from jaxneuro.solvers import Unrolled
        >>> term = diffrax.ODETerm(lambda t, y, args: -y)
        >>> sol = diffrax.diffeqsolve(term, Unrolled(diffrax.Tsit5()), 0.0, 1.0, 0.01, jnp.array(1.0))
        >>> abs(float(sol.ys[0]) - 0.36787944) < 1e-6
        True
    """

    method: dfx.AbstractERK = dfx.Tsit5()
    term_structure: ClassVar = dfx.AbstractTerm

    @property
    def interpolation_cls(self) -> Callable[..., dfx.AbstractLocalInterpolation]:  # pyright: ignore
        return self.method.interpolation_cls

    def order(self, terms: Any) -> Any:
        return self.method.order(terms)

    def error_order(self, terms: Any) -> Any:
        return self.method.error_order(terms)

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any) -> None:
        return None

    def func(self, terms: Any, t0: Any, y0: Any, args: Any) -> Any:
        return terms.vf(t0, y0, args)

    def step(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any, solver_state: None, made_jump: Any) -> Any:
        del solver_state, made_jump
        tableau: Any = self.method.tableau
        h = terms.contr(t0, t1)

        def combine(weights: np.ndarray, rates: list) -> Any:
            """Return h * sum(weights * rates), leaving out zero weights."""
            used = [(float(w), k) for w, k in zip(weights, rates, strict=False) if w != 0]
            return jax.tree.map(lambda *ks: h * sum(w * k for (w, _), k in zip(used, ks, strict=True)),
                                *[k for _, k in used])  # fmt: skip

        rates, y = [terms.vf(t0, y0, args)], y0
        for row, c in zip(tableau.a_lower, tableau.c, strict=True):
            y = jax.tree.map(jnp.add, y0, combine(row, rates))
            rates.append(terms.vf(t0 + float(c) * (t1 - t0), y, args))
        # The last row of a tableau with ssal is the solution itself: y is y1 already.
        y1 = y if tableau.ssal else jax.tree.map(jnp.add, y0, combine(tableau.b_sol, rates))
        error = combine(tableau.b_error, rates)
        dense = dict(y0=y0, y1=y1, k=jax.tree.map(lambda *ks: jnp.stack([h * k for k in ks]), *rates))
        return y1, error, dense, None, dfx.RESULTS.successful


def rough_power(x: Float[Array, ""], exponent: float) -> Float[Array, ""]:
    """Return x**exponent for x > 0 and |exponent| <= 1/2 to within 9 % (from above), at the cost of a multiplication.

    The bits of a float, read as an integer, are a piecewise linear logarithm; scaling it is a power. Enough for a
    step-size factor, where `x**p` would cost as much as a third of a Runge-Kutta step.
    """
    bits = jnp.int64 if x.dtype == jnp.float64 else jnp.int32
    one = jax.lax.bitcast_convert_type(jnp.ones((), x.dtype), bits).astype(x.dtype)
    log = jax.lax.bitcast_convert_type(x, bits).astype(x.dtype) - one
    return jax.lax.bitcast_convert_type((exponent * log + one).astype(bits), x.dtype)


class PredictiveController(dfx.AbstractAdaptiveStepSizeController):
    """Step-size control that extrapolates the trend of the optimal step.

    With e the error in units of atol + rtol (|y| + time_scale |dy/dt|), root mean square over the state, and k the order
    of the error, the optimal step is h_opt = h e^(-1/k), and the next one is 0.85 h_opt min(1, h_opt / h_opt of the step
    before); a step is rejected where e > 2. The last factor foresees the shrinking steps of a spike's upstroke, where
    control by the last error alone rejects every third. The term with dy/dt says that an error along the flow is a shift in
    time: through the upstroke, where |dy/dt| is a hundred mV/ms, errors that move a spike by rtol * time_scale may pass.
    `time_scale = 0` is the usual norm.

    Source: Gustafsson (1994), ACM Trans. Math. Softw. 20:496, doi:10.1145/198429.198437. Deviation: the trend may only
    shorten the step, and the power is rounded to 7 %.
    """

    rtol: Any
    atol: Any
    time_scale: float = 10.0  # ms
    norm: Callable[[Any], Scalar] = eqx.field(static=True, default=lambda x: jnp.sqrt(_mean_square(x)))

    def wrap(self, direction: Any) -> "PredictiveController":
        return self

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, dt0: Any, args: Any, func: Any, error_order: Any) -> Any:
        if dt0 is None:
            rate = func(terms, t0, y0, args)
            scale = jax.tree.map(lambda y: self.atol + self.rtol * jnp.abs(y), y0)
            size, speed = (_mean_square(jax.tree.map(jnp.divide, x, scale)) for x in (y0, rate))
            small = 1e-3 * (t1 - t0)
            dt0 = jnp.minimum(small, 0.01 * jnp.sqrt(size / jnp.where(speed > 0, speed, 1e-10) + 1e-20))
        return t0 + dt0, jnp.zeros_like(t0 + dt0)

    def adapt_step_size(
        self, t0: Any, t1: Any, y0: Any, y1_candidate: Any, args: Any, y_error: Any, error_order: Any, controller_state: Any
    ) -> Any:  # fmt: skip
        if y_error is None:
            raise ValueError("PredictiveController needs a solver with an error estimate, such as diffrax.Tsit5.")
        h, previous = t1 - t0, controller_state
        tiny = float(jnp.finfo(h.dtype).tiny)  # a step of length zero has error zero

        def scaled(y0: Array, y1: Array, error: Array) -> Array:
            size = self.atol + self.rtol * jnp.maximum(jnp.abs(y0), jnp.abs(y1))
            moved = self.rtol * self.time_scale * jnp.abs(y1 - y0)
            return error * h / (h * size + moved + tiny)  # both sides times h: |dy/dt| is |y1 - y0| / h

        square = _mean_square(jax.tree.map(scaled, y0, y1_candidate, y_error))
        keep = square <= 4.0
        # The clip keeps the bits those of a normal number; NaN and inf count as a huge error.
        square = jnp.where(square < 1e20, jnp.maximum(square, 1e-20), 1e20)
        optimal = h * rough_power(square, -0.5 / float(error_order))
        trend = jnp.where(optimal < previous, optimal / jnp.where(previous > 0, previous, 1.0), 1.0)
        accepted = jnp.clip(0.85 * optimal * trend, 0.2 * h, 10.0 * h)
        rejected = jnp.clip(0.85 * optimal, 0.1 * h, 0.9 * h)
        state = jnp.where(keep, optimal, previous)
        start = jnp.where(keep, t1, t0)
        return keep, start, start + jnp.where(keep, accepted, rejected), False, state, dfx.RESULTS.successful


def _mean_square(tree: Any) -> Scalar:
    leaves = jax.tree.leaves(tree)
    return sum(jnp.mean(jnp.square(leaf)) for leaf in leaves) / len(leaves)  # pyright: ignore


# What the default accuracy costs and gives is measured in experiments/benchmarks and held by tests/test_accuracy.py.
_DEFAULT_TOLERANCE = {"float64": 1e-7, "float32": 3e-6}


def default_controller(dtype: Any) -> PredictiveController:
    """Return the step-size control of `simulate`: rtol = atol = 1e-7 in float64, 3e-6 in float32."""
    tolerance = _DEFAULT_TOLERANCE[jnp.dtype(dtype).name]
    return PredictiveController(rtol=tolerance, atol=tolerance)


def resolve_solver(solver: Any, controller: Any) -> Any:
    """Return `solver` ready for the hybrid loop, or raise a `ValueError` that says why it cannot be used.

    Accepted are diffrax's one-step Runge-Kutta solvers for one `ODETerm`, explicit or diagonally implicit. An explicit one
    is unrolled; an implicit one takes its root finder's tolerances from the controller.
    """
    if isinstance(solver, Unrolled):
        return solver
    if isinstance(solver, dfx.Euler):
        return solver
    if isinstance(solver, dfx.AbstractERK) and isinstance(solver.tableau, dfx.ButcherTableau):
        return Unrolled(solver)
    if isinstance(solver, (dfx.AbstractDIRK, dfx.ImplicitEuler)):
        return _with_tolerances(solver, controller)
    raise ValueError(
        f"simulate cannot use the solver {solver!r}: it needs a one-step method for a single ODETerm. Use an explicit "
        "Runge-Kutta solver (diffrax.Tsit5, Heun, Bosh3, Dopri5, Dopri8, ...) or a diagonally implicit one "
        "(diffrax.ImplicitEuler, Kvaerno3, Kvaerno4, Kvaerno5); multi-step and split-term solvers are not supported."
    )


def _with_tolerances(solver: Any, controller: Any) -> Any:
    finder = solver.root_finder
    unset = [name for name in ("rtol", "atol", "norm") if type(getattr(finder, name)).__name__ == "_UseStepSizeTol"]
    # Without an error estimate nothing says how far to solve: 1e-8 is well below what a fixed step can reach.
    source = controller if isinstance(controller, dfx.AbstractAdaptiveStepSizeController) else _FIXED_STEP_TOLERANCES
    if unset:
        values = tuple(getattr(source, name) for name in unset)
        finder = eqx.tree_at(lambda f: tuple(getattr(f, name) for name in unset), finder, values,
                             is_leaf=lambda x: type(x).__name__ == "_UseStepSizeTol")  # fmt: skip
        solver = eqx.tree_at(lambda s: s.root_finder, solver, finder)
    if isinstance(solver, dfx.AbstractRungeKutta):
        # diffrax's default loop over the stages cannot be differentiated forwards; this one can, both ways.
        solver = eqx.tree_at(lambda s: s.scan_kind, solver, "bounded", is_leaf=lambda x: x is None)
    return solver


_FIXED_STEP_TOLERANCES = PredictiveController(rtol=1e-8, atol=1e-8)
