"""Checkpoints of training: one file, written beside and moved into place, checked before it is read.

The file is a line of JSON (what run it is of, the length and the SHA-256 of the rest) and then the arrays, by equinox.
"""

import hashlib
import io
import json
import zlib
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxneuro.files import write_whole
from jaxneuro.types import is_key

_FORMAT = "jaxneuro training checkpoint 1"


class CheckpointError(ValueError):
    """A checkpoint that is damaged, or of another run; the message says what to do."""


def save(path: Path, fingerprint: dict[str, str], state: Any, columns: dict[str, np.ndarray]) -> None:
    """Write state and metrics (epochs,) to `path`: at any moment the file there is the old one or the new one, whole."""
    body = io.BytesIO()
    eqx.tree_serialise_leaves(body, (_storable(state), columns))
    content = body.getvalue()
    header = dict(epochs=int(state.epoch), columns={name: str(x.dtype) for name, x in columns.items()}, run=fingerprint)
    fields = json.dumps(header)
    about = dict(format=_FORMAT, length=len(content), sha256=_digest(fields, content), fields=fields)
    write_whole(path, (json.dumps(about).encode() + b"\n", content), path.with_name(path.name + ".part"))


def load(path: Path, fingerprint: dict[str, str], state: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """Return the state, of the structure of `state`, and the columns; raise if the file is no checkpoint of this run."""
    header, content = _read(path, fingerprint)
    columns = {name: np.zeros(header["epochs"], dtype) for name, dtype in header["columns"].items()}
    try:
        stored, columns = eqx.tree_deserialise_leaves(io.BytesIO(content), (_storable(state), columns))
    except (RuntimeError, ValueError, EOFError, OSError) as error:
        raise CheckpointError(_advice(path, f"does not hold what this run needs ({error})")) from error
    return jax.tree.map(_restored, stored, state), columns


def fingerprint(**parts: Any) -> dict[str, str]:
    """Return what tells runs apart: structures and shapes, and a checksum of all values."""
    return {name: _summary(value) for name, value in parts.items()}


def _read(path: Path, fingerprint: dict[str, str]) -> tuple[dict[str, Any], bytes]:
    if not path.is_file():
        raise CheckpointError(_advice(path, "is no file"))
    first, _, content = path.read_bytes().partition(b"\n")
    try:
        about = json.loads(first)
        known = about["format"] == _FORMAT
        whole = (about["length"], about["sha256"]) == (len(content), _digest(about["fields"], content))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise CheckpointError(_advice(path, f"is no {_FORMAT!r}")) from None
    if not known:
        raise CheckpointError(_advice(path, f"is no {_FORMAT!r}"))
    if not whole:
        raise CheckpointError(
            _advice(path, f"is damaged: {about['length']} bytes were written, {len(content)} are there")
        )
    header = json.loads(about["fields"])
    for name in sorted(fingerprint.keys() | header["run"].keys()):
        there, here = header["run"].get(name), fingerprint.get(name)
        if there != here:
            raise CheckpointError(_advice(path, f"is of another run: its {name} was {there}, here it is {here}"))
    return header, content


def _digest(fields: str, content: bytes) -> str:
    return hashlib.sha256(fields.encode() + content).hexdigest()


def _advice(path: Path, what: str) -> str:
    return f"The checkpoint {path} {what}. Remove it to start anew, or pass another path."


def _summary(value: Any) -> str:
    leaves, structure = jax.tree.flatten(value)
    if not leaves or not any(eqx.is_array(x) or isinstance(x, np.ndarray) for x in leaves):
        return repr(value)
    arrays = [np.asarray(x) for x in jax.tree.leaves(_storable(eqx.filter(value, eqx.is_array_like)))]
    crc = 0
    for x in arrays:
        crc = zlib.crc32(np.ascontiguousarray(x).view(np.uint8).data if x.size else b"", crc)
    shapes = " ".join(f"{x.dtype}{list(x.shape)}" for x in arrays)
    return f"{structure.num_leaves} leaves, {shapes}, checksum {crc:08x}"


def _storable(tree: Any) -> Any:
    """Return the tree with random keys, and dtypes that NumPy does not know, as the integers they are made of."""

    def bits(x: Any) -> Any:
        if is_key(x):
            return jax.random.key_data(x)
        return np.asarray(x).view(f"u{x.dtype.itemsize}") if _is_foreign(x) else x

    return jax.tree.map(bits, tree)


def _restored(x: Any, like: Any) -> Any:
    if is_key(like):
        return jax.random.wrap_key_data(x, impl=jax.random.key_impl(like))
    return jnp.asarray(np.asarray(x).view(like.dtype)) if _is_foreign(like) else x


def _is_foreign(x: Any) -> bool:
    return eqx.is_array(x) and not is_key(x) and np.dtype(x.dtype).kind == "V"
