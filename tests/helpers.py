"""What several tests need: tight settings, comparison of pytrees, central differences."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np

TIGHT: dict[str, Any] = dict(stepsize_controller=dfx.PIDController(rtol=1e-12, atol=1e-12))
"""The tolerance at which the closed forms are met."""


def assert_close(actual: Any, expected: Any, rtol: float, atol: float = 0.0) -> None:
    """Compare two pytrees of equal structure, leaf by leaf."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for (path, a), (_, e) in zip(
        jax.tree_util.tree_leaves_with_path(actual),
        jax.tree_util.tree_leaves_with_path(expected),
        strict=True,
    ):
        np.testing.assert_allclose(a, e, rtol=rtol, atol=atol, err_msg=jax.tree_util.keystr(path))


def assert_bitwise(one: Any, two: Any) -> None:
    """Check that two pytrees of arrays are the same, bit for bit."""
    assert jax.tree.structure(one) == jax.tree.structure(two)
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype) and np.asarray(x).tobytes() == np.asarray(y).tobytes()


def contents(folder: Any) -> dict[str, bytes]:
    """Return all files under a folder, by name."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


def written(folder: Any) -> None:
    """Check the files of a run: figures that are not empty, numbers that load, a run.json that says how."""
    pictures = list(Path(folder).glob("*.png"))
    assert pictures and all(p.stat().st_size > 10_000 for p in pictures)
    with np.load(Path(folder) / "numbers.npz") as numbers:
        assert numbers.files
    record = json.loads((Path(folder) / "run.json").read_text())
    assert record["config"]["experiment"] and record["config"]["smoke"] is True
    assert {"python", "jax", "jaxlib", "diffrax", "jaxneuro", "platform"} <= set(record["environment"])


def read_events(folder: Path) -> Iterator[tuple[int, str, float]]:
    """Return (step, tag, value) from the event files of a folder: records of length, checksum, message, checksum."""
    from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]

    for path in sorted(folder.iterdir()):
        raw, at = path.read_bytes(), 0
        while at < len(raw):
            length = int.from_bytes(raw[at : at + 8], "little")
            event = Event.FromString(raw[at + 12 : at + 12 + length])
            at += 16 + length
            yield from ((event.step, value.tag, value.simple_value) for value in event.summary.value)


def central_difference(fn: Callable, x: Any, scale: float = 1.0) -> Any:
    """Return d fn / d leaf for every scalar leaf of x, by central differences of order 2 extrapolated to 4.

    Steps of 1e-3 |x| (1e-3 at 0), and half of it.
    """
    assert jax.config.read("jax_enable_x64")
    leaves, treedef = jax.tree.flatten(x)

    def moved(i: int, by: float) -> Any:
        return treedef.unflatten([leaf + by if i == j else leaf for j, leaf in enumerate(leaves)])

    steps = [scale * 1e-3 * (abs(float(leaf)) or 1.0) for leaf in leaves]
    points = [moved(i, s * h) for i, h in enumerate(steps) for s in (1.0, -1.0, 0.5, -0.5)]
    values = jax.vmap(fn)(jax.tree.map(lambda *p: jnp.stack(p), *points))
    values = values.reshape(len(leaves), 4, *values.shape[1:])
    rates = []
    for h, v in zip(steps, values, strict=True):
        wide, narrow = (v[0] - v[1]) / (2 * h), (v[2] - v[3]) / h
        rates.append((4 * narrow - wide) / 3)
    return treedef.unflatten(rates)
