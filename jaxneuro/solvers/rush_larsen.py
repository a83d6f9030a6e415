"""The exponential method of Rush & Larsen, for conductance models whose gates are faster than the step."""

from collections.abc import Callable
from typing import Any, ClassVar

import diffrax as dfx
import jax
import jax.numpy as jnp

from jaxneuro.numerics import exprel


class RushLarsen(dfx.AbstractAdaptiveSolver):
    """The exponential method of Rush & Larsen, of second order, with an error estimate.

    Each variable follows the exact flow of its own equation, linearised in itself, with the others held. With f_i its rate
    and a_i = df_i/dy_i, by `jax.jvp` (for a gate dx/dt = alpha (1 - x) - beta x this is -(alpha + beta), and nothing
    is linearised),

        ybar_i    = y_i + h/2 f_i(y) exprel(h/2 a_i(y))                           half a step of first order
        y_i(t+h)  = y_i + h f_i(ybar^i) exprel(h a_i(ybar^i)),   exprel(x) = (exp(x) - 1)/x

    where ybar^i is ybar with y_i in place of ybar_i, at t + h/2. The error estimate is the difference to the whole step
    of first order. A step costs two evaluations of the vector field and its diagonal. A variable that relaxes faster
    than the step goes to where it relaxes to, at any step; what is stiff by coupling of variables is not helped.
    Being of second order it suits tolerances of 1e-3 to 1e-5; that of `simulate`, 1e-7, would cost it a hundred times the
    steps of Tsit5.

    For a single `diffrax.ODETerm` whose state is a pytree of scalars (populations are `jax.vmap`). Works with adaptive
    and constant steps, in `jn.simulate` and `diffrax.diffeqsolve`, where its interpolation is of second order too.

    Raises:
        ValueError: when the state has a leaf that is not a scalar.

    Differentiable: as the vector field, which must have second derivatives for the first of a step.

    Source: Rush & Larsen (1978), IEEE Trans. Biomed. Eng. BME-25:389, doi:10.1109/TBME.1978.326270; second order: Sundnes,
    Artebrant, Skavhaug & Tveito (2009), IEEE Trans. Biomed. Eng. 56:2546, doi:10.1109/TBME.2009.2014739 (also Perego &
    Veneziani (2009), ETNA 35:234). Deviation: the error estimate and the interpolation are ours.

    Example:
        >>> import diffrax, jax.numpy as jnp
        >>> from jaxneuro.solvers import RushLarsen
        >>> term = diffrax.ODETerm(lambda t, y, args: -100 * y)
        >>> sol = diffrax.diffeqsolve(term, RushLarsen(), 0.0, 1.0, 0.02, jnp.array(1.0))
        >>> abs(float(sol.ys[0]) - 3.72e-44) < 1e-46  # exact for one linear equation, at any step
        True
    """

    term_structure: ClassVar = dfx.AbstractTerm

    @property
    def interpolation_cls(self) -> Callable[..., dfx.AbstractLocalInterpolation]:  # pyright: ignore
        return ExponentialInterpolation

    def order(self, terms: Any) -> int:
        return 2

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any) -> None:
        for path, leaf in jax.tree_util.tree_leaves_with_path(y0):
            if jnp.shape(leaf) != ():
                raise ValueError(
                    f"RushLarsen needs a state of scalars, since it takes the derivative of each rate in its own variable; "
                    f"y0{jax.tree_util.keystr(path)} has shape {jnp.shape(leaf)}. For many neurons use jax.vmap."
                )

    def func(self, terms: Any, t0: Any, y0: Any, args: Any) -> Any:
        return terms.vf(t0, y0, args)

    def step(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any, solver_state: None, made_jump: Any) -> Any:
        del solver_state, made_jump
        h, each = terms.contr(t0, t1), jax.tree.map
        rate0, slope0 = _diagonal(terms, t0, y0, y0, args)
        flow = each(lambda a: exprel(0.5 * h * a), slope0)
        middle = each(lambda y, f, e: y + 0.5 * h * f * e, y0, rate0, flow)
        rate, slope = _diagonal(terms, t0 + 0.5 * (t1 - t0), middle, y0, args)
        y1 = each(lambda y, f, a: y + h * f * exprel(h * a), y0, rate, slope)
        # exprel(x) = exprel(x/2) (1 + x/4 exprel(x/2)): a whole step of first order without another exp.
        error = each(
            lambda y0, y1, f, a, e: y1 - (y0 + h * f * e * (1 + 0.25 * h * a * e)), y0, y1, rate0, slope0, flow
        )
        times_h = lambda tree: each(lambda x: h * x, tree)
        dense = dict(y0=y0, rate=times_h(rate), slope=times_h(slope))
        return y1, error, dense, None, dfx.RESULTS.successful


def _diagonal(terms: Any, t: Any, others: Any, own: Any, args: Any) -> tuple[Any, Any]:
    """Return f_i and df_i/dy_i for each i, at `others` with y_i from `own`.

    One jvp for each variable, of whose tangents only the i-th is used: the compiler drops the rest, and computes what
    several of them share once.
    """
    leaves, tree = jax.tree.flatten(others)
    pairs = []
    for i, y in enumerate(jax.tree.leaves(own)):
        at = lambda y, i=i: tree.unflatten([*leaves[:i], y, *leaves[i + 1 :]])
        field = lambda y, i=i, at=at: jax.tree.leaves(terms.vf(t, at(y), args))[i]
        pairs.append(jax.jvp(field, (y,), (jnp.ones_like(y),)))
    rates, slopes = zip(*pairs, strict=True)
    return tree.unflatten(rates), tree.unflatten(slopes)


class ExponentialInterpolation(dfx.AbstractLocalInterpolation):
    """Between the ends of a step, at a fraction s: y0 + s rate exprel(s slope), rate and slope times h.

    At s = 1 the step itself, and without the overshoot that a polynomial would have where a
    variable relaxes within the step.
    """

    t0: Any
    t1: Any
    y0: Any
    rate: Any
    slope: Any

    def evaluate(self, t0: Any, t1: Any = None, left: bool = True) -> Any:
        if t1 is not None:
            return jax.tree.map(jnp.subtract, self.evaluate(t1), self.evaluate(t0))
        length = self.t1 - self.t0
        s = (t0 - self.t0) / jnp.where(length == 0, 1.0, length)
        return jax.tree.map(lambda y, f, a: y + s * f * exprel(s * a), self.y0, self.rate, self.slope)
