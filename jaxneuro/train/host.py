"""Training from the host: a few epochs per call of one compiled program; between calls logs and checkpoints."""

import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxneuro.train import checkpoint
from jaxneuro.train.epoch import Row, TrainState, batch_at, count_epochs, start
from jaxneuro.train.logs import open_logs
from jaxneuro.train.recipe import Given, Recipe

_ROWS = 64  # epochs per call at most
_CALL = 0.2  # seconds that a call should take: the bar moves and a keyboard interrupt is heard


class Host(NamedTuple):
    """What the host is asked for."""

    progress: bool
    csv_file: Any
    tensorboard: Any
    checkpoint: Path | None
    checkpoint_every: int


def train_on_host(
    recipe: Recipe, given: Given, trained: Any, num_epochs: int, host: Host
) -> tuple[TrainState, Row]:  # fmt: skip
    # Unchecked steps are faster; where one fails its call is repeated with checks, from the state before.
    fast = recipe._replace(gated=False)
    state = _start(fast, trained)
    identity = _identity(recipe, given, state) if host.checkpoint else {}
    state, columns = _resume(host.checkpoint, identity, state, num_epochs)
    files = dict(csv_file=host.csv_file, tensorboard=host.tensorboard)
    epoch, limit, saved = int(state.epoch), 1, int(state.epoch)
    with open_logs(num_epochs, columns, progress=host.progress, **files) as write:
        while epoch < num_epochs and not bool(state.stopped):
            upto = min(num_epochs, epoch + limit)
            if host.checkpoint:
                upto = min(upto, saved + host.checkpoint_every)
            began = time.perf_counter()
            state, new = _advance(fast, given, state, upto - epoch)
            seconds = max(time.perf_counter() - began, 1e-6)
            limit = int(np.clip(_CALL / seconds * (upto - epoch), 1, min(2 * limit, _ROWS)))
            epoch = int(state.epoch)
            columns = {name: np.concatenate([columns.get(name, x[:0]), x]) for name, x in new.items()}
            ended = epoch == num_epochs or bool(state.stopped)
            if host.checkpoint and (ended or epoch >= saved + host.checkpoint_every):
                checkpoint.save(host.checkpoint, identity, state, columns)
                saved = epoch
            write(new)
    if int(state.failed_step) >= 0:
        _report_failure(recipe, given, state)
    return state, _rows(columns, num_epochs)


def _advance(fast: Recipe, given: Given, state: TrainState, limit: int) -> tuple[TrainState, dict[str, np.ndarray]]:
    """Run up to `limit` epochs and return their metrics as columns."""
    after, rows = _count(fast, given, state, jnp.asarray(limit, jnp.int32), _ROWS)
    if not bool(jnp.all(rows.good)):
        after, rows = _count(fast._replace(gated=True), given, state, jnp.asarray(limit, jnp.int32), _ROWS)
    count = int(after.epoch) - int(state.epoch)
    train = {f"train/{name}": np.asarray(x)[:count] for name, x in rows.train.items()}
    return after, train | {f"validation/{name}": np.asarray(x)[:count] for name, x in rows.validation.items()}


_start = eqx.filter_jit(start)
_count = eqx.filter_jit(count_epochs)


def _identity(recipe: Recipe, given: Given, state: TrainState) -> dict[str, str]:
    """Return what a checkpoint must agree with; the functions of the run are code, and cannot be compared."""
    named = {"parameters at the start": state.params, "state of the optimizer": state.opt_state}
    arrays = {name: getattr(given, name) for name in ("constants", "data", "validation", "key", "l1", "l2")}
    options = {name: getattr(recipe, name) for name in ("batch_size", "monitor", "patience")}
    return checkpoint.fingerprint(**named, **arrays, **options)


def _resume(
    path: Path | None, identity: dict[str, str], state: TrainState, num_epochs: int
) -> tuple[TrainState, dict[str, np.ndarray]]:
    if path is None:
        return state, {}
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        return state, {}
    state, columns = checkpoint.load(path, identity, state)
    if int(state.epoch) > num_epochs:
        raise ValueError(f"The checkpoint {path} holds {int(state.epoch)} epochs, more than num_epochs={num_epochs}.")
    return state, columns


def _rows(columns: dict[str, np.ndarray], num_epochs: int) -> Row:
    """Return the columns as arrays of `num_epochs`, the epochs that were not run as NaN."""
    full = {name: np.full(num_epochs, np.nan, x.dtype) for name, x in columns.items()}
    for name, x in columns.items():
        full[name][: len(x)] = x[:num_epochs]
    part = lambda kind: {
        name.removeprefix(f"{kind}/"): jnp.asarray(x) for name, x in full.items() if name.startswith(f"{kind}/")
    }
    return Row(part("train"), part("validation"), jnp.asarray(True))


def _report_failure(recipe: Recipe, given: Given, state: TrainState) -> None:
    """Warn that training stopped; raise what the loss itself says of that batch, such as labels out of range."""
    failed, n = int(state.failed_step), jax.tree.leaves(given.data)[0].shape[0]
    epoch, step = divmod(failed, -(-n // recipe.batch_size))
    recipe.loss_fn.value(eqx.combine(state.params, given.constants), batch_at(recipe, given, epoch, step), None)
    returned = "The parameters before it" if recipe.patience is None else "The best parameters before it"
    warnings.warn(
        f"Training stopped at step {failed} (step {step} of epoch {epoch}, counted from 0): the loss or a parameter became "
        f"NaN or infinite. {returned} are returned. Try a smaller learning rate, or clip gradients "
        "(optax.clip_by_global_norm).",
        RuntimeWarning,
        stacklevel=4,
    )
