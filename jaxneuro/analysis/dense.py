"""Linear algebra of the few variables of a neuron, written out: for many lanes of small matrices.

jaxlib's LAPACK calls share their batch out among the threads that run the program itself (0.10.2): two of them at once, over the
lanes of a vmap, can wait for each other for ever, and XLA's multi-output fusion aborts on batches of 1 x 1 systems. Written
out, they are arithmetic that fuses with what is around it.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxneuro.types import Array, Float

_WRITTEN_OUT = 8  # unknowns; beyond, LAPACK


def solve(matrix: Float[Array, "n n"], right: Float[Array, " n"]) -> Float[Array, " n"]:
    """Return matrix^-1 right, by Gauss-Jordan elimination with the largest pivot of each column; inf or NaN if singular.

    Example:
        >>> print(solve(jnp.array([[0.0, 2.0], [1.0, 1.0]]), jnp.array([2.0, 3.0])))
        [2. 1.]
    """
    n = right.shape[0]
    if n > _WRITTEN_OUT:
        return jnp.linalg.solve(matrix, right)
    index = jnp.arange(n)
    for k in range(n):
        size = jnp.where(index >= k, jnp.abs(matrix[:, k]), -1.0)
        best = index == jnp.argmax(size)  # a mask, not an index: under vmap that would be a gather
        row, entry = jnp.sum(jnp.where(best[:, None], matrix, 0.0), axis=0), jnp.sum(jnp.where(best, right, 0.0))
        matrix, right = jnp.where(best[:, None], matrix[k][None], matrix), jnp.where(best, right[k], right)
        # The two sides apart: `right` alone may be what a derivative is linear in.
        row, entry = row / row[k], entry / row[k]
        column, here = matrix[:, k], index == k
        matrix = jnp.where(here[:, None], row[None], matrix - column[:, None] * row[None])
        right = jnp.where(here, entry, right - column * entry)
    return right


def eigenvalues(matrix: Float[Array, "n n"]) -> Any:
    """Return the eigenvalues, complex, the largest real part first, of a pair the one with the positive imaginary part.

    Example:
        >>> print(eigenvalues(jnp.array([[-1.0, -2.0], [2.0, -1.0]])))
        [-1.+2.j -1.-2.j]
    """
    if matrix.shape[0] == 1:
        return matrix[0] + 0j
    if matrix.shape[0] > 2:
        values = jnp.linalg.eigvals(matrix)
        return values[jax.lax.stop_gradient(jnp.lexsort((-values.imag, -values.real)))]
    (a, b), (c, d) = matrix
    half, apart = 0.5 * (a + d), 0.5 * (a - d)
    square = apart * apart + b * c
    root = jnp.sqrt(
        jnp.where(square == 0, 1.0, jnp.abs(square))
    )  # its derivative at a double eigenvalue is none: 0 here
    root = jnp.where(square == 0, 0.0, root)
    real, turning = jnp.where(square > 0, root, 0.0), jnp.where(square > 0, 0.0, root)
    # The smaller of two real ones from the product, which does not cancel.
    first = half + real
    second = half - real
    product = a * d - b * c
    first = jnp.where((square > 0) & (half < 0), product / jnp.where(second == 0, 1.0, second), first)
    second = jnp.where((square > 0) & (half > 0), product / jnp.where(first == 0, 1.0, first), second)
    return jnp.stack([first + 1j * turning, second - 1j * turning])
