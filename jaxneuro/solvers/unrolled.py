"""Explicit Runge-Kutta methods that run fast batched."""

from collections.abc import Callable
from typing import Any, ClassVar

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np


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
