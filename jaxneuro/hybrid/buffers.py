"""Writing rows of a buffer in place, and reading them.

JAX batches `dynamic_update_slice` as a scatter, which XLA turns back into one with masks and bounds checks around it: three
kernels more a row. A buffer here is written at the loop counter, which is the same for all lanes, so a batch of rows is one
slice and needs none of that.
"""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

from jaxneuro.types import IntScalar


@cache
def _writer(axis: int) -> Any:
    """Return (buffer, rows, index) -> buffer with `rows` at `index` of that axis; linear in buffer and rows."""

    @custom_vmap
    def put(buffer: Any, rows: Any, index: IntScalar) -> Any:
        return jax.lax.dynamic_update_slice_in_dim(buffer, rows, index, axis)

    @put.def_vmap
    def batched(size: int, in_batched: Any, buffer: Any, rows: Any, index: IntScalar) -> Any:
        of_buffer, of_rows, of_index = in_batched
        if of_index:
            raise ValueError("A buffer is written at the loop counter, which must not be batched.")
        spread = lambda x, there: x if there else jnp.broadcast_to(x, (size, *x.shape))
        return _writer(axis + 1)(spread(buffer, of_buffer), spread(rows, of_rows), index), True

    # Its derivative is given outside of custom_vmap, whose own rule mixes up lanes that only the tangent has.
    linear = jax.custom_jvp(put)
    linear.defjvp(lambda p, d: (linear(*p), linear(d[0], d[1], p[2])))
    return linear


def write_rows(buffers: Any, rows: Any, index: IntScalar) -> Any:
    """Return the pytree `buffers` with the pytree `rows` written from `index` of the leading axis on."""
    return jax.tree.map(lambda b, x: _writer(0)(b, x, index), buffers, rows)


def write_row(buffers: Any, row: Any, index: IntScalar) -> Any:
    """Return the pytree `buffers` with one row, a pytree without the leading axis, written at `index`."""
    return write_rows(buffers, jax.tree.map(lambda x: jnp.asarray(x)[None], row), index)


def read_row(buffers: Any, index: IntScalar) -> Any:
    """Return the row at `index`, a pytree without the leading axis."""
    return jax.tree.map(lambda b: jax.lax.dynamic_index_in_dim(b, index, 0, keepdims=False), buffers)
