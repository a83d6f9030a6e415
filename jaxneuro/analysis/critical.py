"""The extended systems of folds and Hopf points: a fixed point at which a matrix made from the Jacobian is singular.

    fold:       f(x, value) = 0,  det J = 0
    Hopf point: f(x, value) = 0,  det 2J (.) I = 0     (bialternate product: its eigenvalues are lambda_i + lambda_j, i < j)
    threshold:  f(x, value) = 0,  spike_condition = 0

`det M` stands for the scalar s of the bordered system [M b; c 0][w; s] = [0; 1], which vanishes with it and is scaled well.

Source: Kuznetsov (2004), Elements of Applied Bifurcation Theory, sections 10.2.1 and 10.2.2, doi:10.1007/978-1-4757-3978-7.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxneuro.analysis.dense import solve
from jaxneuro.analysis.implicit import implicit_root
from jaxneuro.analysis.roots import Units, newton
from jaxneuro.types import Array, BoolScalar, Float, Scalar


class BIFURCATIONS(eqx.Enumeration):
    """How a fixed point loses its stability; compare with `kind == BIFURCATIONS.hopf`."""

    fold = "A real eigenvalue passes zero: the point meets another one and both vanish (saddle-node bifurcation)."
    hopf = "A complex pair passes the imaginary axis: oscillations of that frequency grow (Hopf bifurcation)."
    threshold = "The stable point passes the spike threshold: the neuron resets before it gets there."


def bialternate(matrix: Float[Array, "n n"]) -> Float[Array, "m m"]:
    """Return 2J (.) I, the map X -> J X + X J^T of antisymmetric matrices; m = n(n - 1)/2."""
    n = matrix.shape[0]
    rows, cols = np.tril_indices(n, -1)
    basis = np.zeros((len(rows), n, n))
    basis[np.arange(len(rows)), rows, cols] = 1.0
    basis = jnp.asarray(basis - basis.transpose(0, 2, 1), matrix.dtype)
    images = jnp.einsum("ij,kjl->kil", matrix, basis) + jnp.einsum("kij,lj->kil", basis, matrix)
    return images[:, rows, cols].T


def bordered(matrix: Array, border: tuple[Array, Array]) -> Scalar:
    """Return s of [M b; c 0][w; s] = [0; 1]: zero where M is singular, and smooth there."""
    m = matrix.shape[0]
    left, right = border
    big = jnp.zeros((m + 1, m + 1), matrix.dtype).at[:m, :m].set(matrix).at[:m, m].set(left).at[m, :m].set(right)
    return solve(big, jnp.zeros(m + 1, matrix.dtype).at[m].set(1.0))[m]


def least_singular(matrix: Array) -> tuple[Array, Array]:
    """Return the singular vectors of the least singular value: the border that keeps a matrix near it regular."""
    u, _, vt = jnp.linalg.svd(jnp.where(jnp.isfinite(matrix), matrix, 0.0))
    return u[:, -1], vt[-1]


def critical_point(
    field: Callable[..., Array], guard: Callable[..., Array], theta: Any, kind: Any, guess: Array, units: Units
) -> tuple[Array, BoolScalar]:
    """Return u = (x, value) at the fold, Hopf or threshold point near `guess`, differentiable in `theta`, and success.

    Args:
        field: (x, value, theta) -> dx/dt, of flat x.
        guard: (x, theta) -> spike condition.
        theta: pytree of what the point is differentiable in.
        kind: item of BIFURCATIONS (may be traced).
        guess: (n + 1,), the state and the value of the parameter.
        units: of the guess and of the components of dx/dt.
    """
    size = units.unknowns[:-1]

    is_fold, is_hopf = kind == BIFURCATIONS.fold, kind == BIFURCATIONS.hopf

    def singular(u: Array, theta: Any) -> Array:
        """Return the matrix that is singular at the point, of the Jacobian per unit of every variable."""
        matrix = jax.jacfwd(field)(u[:-1], u[-1], theta) * size[None, :] / size[:, None]
        if size.size == 1:  # one variable cannot oscillate
            return jnp.where(is_hopf, 1.0, matrix)
        both = (matrix, bialternate(matrix))
        m = max(x.shape[0] for x in both)
        regular = jax.lax.stop_gradient(jnp.linalg.norm(matrix)) * jnp.eye(
            m, dtype=matrix.dtype
        )  # fills up the smaller
        fold, hopf = (regular.at[: x.shape[0], : x.shape[0]].set(x) for x in both)
        return jnp.where(is_hopf, hopf, fold)

    frozen, guess = jax.lax.stop_gradient((theta, guess))
    border = jax.lax.stop_gradient(least_singular(singular(guess, frozen)))

    def residual(u: Array, theta: Any) -> Array:
        last = jnp.where(is_fold | is_hopf, bordered(singular(u, theta), border), guard(u[:-1], theta))
        return jnp.append(field(u[:-1], u[-1], theta), last)

    distance = jnp.sum(jnp.abs(jax.grad(guard)(guess[:-1], frozen)) * size)
    last = jnp.where(is_fold | is_hopf, jnp.linalg.norm(units.equations / size), distance)
    u, converged = newton(
        lambda u: residual(u, frozen), guess, Units(units.unknowns, jnp.append(units.equations, last))
    )
    return implicit_root(residual, u, theta), converged
