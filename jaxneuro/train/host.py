"""Training from the host: a few epochs per call of one compiled program; between calls logs and checkpoints."""

import functools
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxneuro.train import checkpoint
from jaxneuro.train.epoch import Row, TrainState, batch_at, count_epochs, start
from jaxneuro.train.logs import open_logs
from jaxneuro.train.recipe import Given, Recipe
from jaxneuro.train.step import whole

_ROWS = 64  # epochs per call at most
_CALL = 0.2  # seconds that a call should take: the bar moves and a keyboard interrupt is heard


class Host(NamedTuple):
    """What the host is asked for."""

    progress: bool
    csv_file: Any
    tensorboard: Any
    checkpoint: Path | None
    checkpoint_every: int


def train_on_host(recipe: Recipe, given: Given, trained: Any, num_epochs: int, host: Host) -> tuple[TrainState, Row]:
    # Unchecked steps are faster; where one fails its call is repeated with checks, from the state before.
    fast = recipe._replace(gated=False)
    state = _programs(fast)[0](trained)
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
            write(new)  # before the checkpoint: a resumed run writes again what the checkpoint does not hold
            if host.checkpoint and (ended or epoch >= saved + host.checkpoint_every):
                checkpoint.save(host.checkpoint, identity, state, columns)
                saved = epoch
    if int(state.failed_step) >= 0:
        _report_failure(recipe, given, state)
    return state, _rows(columns, num_epochs)


def _advance(fast: Recipe, given: Given, state: TrainState, limit: int) -> tuple[TrainState, dict[str, np.ndarray]]:
    """Run up to `limit` epochs and return their metrics as columns."""
    after, rows = _programs(fast)[1](given, state, limit)
    if isinstance(rows.good, Tracer):
        raise TypeError(
            "loss_fn, augment or optimizer hold a traced value inside a jitted function or an object, where fit does not find "
            "it. Pass it in params or data, or close over it in a plain function."
        )
    if not bool(jnp.all(rows.good[: int(after.epoch) - int(state.epoch)])):
        after, rows = _programs(fast._replace(gated=True))[1](given, state, limit)
    count = int(after.epoch) - int(state.epoch)
    column = lambda x: np.asarray(x, np.float32 if x.dtype.itemsize < 4 else None)[:count]  # NumPy's own dtypes
    train = {f"train/{name}": column(x) for name, x in rows.train.items()}
    return after, train | {f"validation/{name}": column(x) for name, x in rows.validation.items()}


@functools.lru_cache(maxsize=16)  # programs hold their functions, and what these close over: the last few only
def _programs(recipe: Recipe) -> tuple[Any, Any]:
    """Return the compiled start and the compiled epochs."""
    count = lambda given, state, limit: count_epochs(recipe, given, state, limit, _ROWS)
    return jax.jit(functools.partial(start, recipe)), jax.jit(count)


def _identity(recipe: Recipe, given: Given, state: TrainState) -> dict[str, str]:
    """Return what a checkpoint must agree with; the functions of the run are code, and cannot be compared."""
    named = {"parameters at the start": state.params, "state of the optimizer": state.opt_state}
    arrays = {name: getattr(given, name) for name in ("constants", "data", "validation", "key", "l1", "l2")}
    settings = [x for x in jax.tree.leaves(recipe.constants.tree) if isinstance(x, str | int | float)]
    options = {name: getattr(recipe, name) for name in ("batch_size", "monitor", "patience")}
    return checkpoint.fingerprint(**named, **arrays, **options, settings=settings)


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
    """Warn that training stopped; raise what the loss itself says of a batch of the first epoch, such as wrong labels."""
    failed, n = int(state.failed_step), jax.tree.leaves(given.data)[0].shape[0]
    epoch, step = divmod(failed, -(-n // recipe.batch_size))
    said = ""
    try:
        recipe.loss_fn.value(whole(recipe, given, state.params), batch_at(recipe, given, epoch, step), None)
    except Exception as error:  # whatever it is, training is done and has something to return
        if epoch == 0 and isinstance(error, ValueError):
            raise
        said = f" Of that batch the loss says: {error}"
    returned = "The parameters before it" if recipe.patience is None else "The best parameters before it"
    warnings.warn(
        f"Training stopped at step {failed} (step {step} of epoch {epoch}, counted from 0): the loss or a parameter became "
        f"NaN or infinite. {returned} are returned. Try a smaller learning rate, or clip gradients "
        f"(optax.clip_by_global_norm).{said}",
        RuntimeWarning,
        stacklevel=4,
    )
