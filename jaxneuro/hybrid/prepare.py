"""From what a user writes to what the loop takes: checks known while tracing, casts, and the codes of bad values."""

from typing import Any, NamedTuple

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxneuro.hybrid.problem import Config, Inputs, Settings, where
from jaxneuro.model import NeuronModel, valid_params
from jaxneuro.results import RESULTS, RUNNING, code, every
from jaxneuro.solvers import Unrolled, default_controller, resolve_solver
from jaxneuro.stimuli import Stimulus, as_stimulus
from jaxneuro.types import Array, BoolScalar, IntScalar, Params, State, Times


def float_dtype(params: Params) -> Any:
    """Return the one floating dtype of the parameters, or say what is wrong with them."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    if not leaves:
        raise ValueError(f"params has no leaves; it is {params!r}. Build it with MODEL.default_params(...).")
    for path, leaf in leaves:
        name = "params" + jax.tree_util.keystr(path)
        if not isinstance(leaf, (float, int, np.ndarray, np.generic, jax.Array)) or isinstance(leaf, bool):
            raise TypeError(f"{name} must be a number or a scalar array; it is {leaf!r}.")
        if jnp.shape(leaf) != ():
            raise ValueError(
                f"{name} has shape {jnp.shape(leaf)}; simulate runs one neuron with scalar parameters. "
                "For many neurons use jax.vmap, for a grid jn.sweep."
            )
    typed = [x.dtype for _, x in leaves if hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating)]
    dtype = jnp.result_type(*typed) if typed else jnp.result_type(float)
    if dtype not in (jnp.dtype("float32"), jnp.dtype("float64")):
        raise ValueError(f"params has dtype {dtype}; simulate needs float32 or float64.")
    return dtype


def scalar(name: str, value: Any, dtype: Any) -> Array:
    """Cast to a scalar of `dtype`."""
    if isinstance(value, (str, bytes, bool)) or value is None:
        raise TypeError(f"{name} must be a number; it is {value!r}.")
    array = jnp.asarray(value)
    if array.shape != () or not (jnp.issubdtype(array.dtype, jnp.floating) or jnp.issubdtype(array.dtype, jnp.integer)):
        raise ValueError(f"{name} must be a real scalar; it is {array.dtype}{array.shape}. For many, use jax.vmap.")
    return array.astype(dtype)


def stimulus(current: Any, dtype: Any) -> Stimulus:
    """Return `current` as a stimulus whose floating leaves have `dtype`."""
    if not isinstance(current, Stimulus):
        current = as_stimulus(scalar("current", current, dtype))
    floating = lambda x: (
        isinstance(x, float)
        or (isinstance(x, (np.ndarray, np.generic, jax.Array)) and jnp.issubdtype(x.dtype, jnp.floating))
    )
    current = jax.tree.map(lambda x: jnp.asarray(x, dtype) if floating(x) else x, current)
    integer = [x for x in jax.tree.leaves(current) if isinstance(x, (np.ndarray, jax.Array)) and not floating(x)]
    if integer:
        raise TypeError(f"The arrays of a stimulus must be floating; {current!r} holds one of {integer[0].dtype}.")
    return current


def initial_state(model: NeuronModel, params: Params, state0: State | None, dtype: Any) -> State:
    """Return `state0`, or the model's own, with scalars of `dtype`."""
    own = model.init_state(params)
    if state0 is None:
        return own
    if jax.tree.structure(state0) != jax.tree.structure(own):
        raise ValueError(
            f"state0 must be a {type(own).__name__} with fields {own._fields}; it is {state0!r}. "
            f"Take {model.name}.init_state(params) and replace fields of it."
        )
    return type(own)(*[scalar(f"state0.{n}", x, dtype) for n, x in zip(own._fields, state0, strict=True)])


class Save(NamedTuple):
    """What to save: times, and whether every step."""

    ts: Array
    steps: bool


def what_to_save(saveat: Any, t0: Array, t1: Array, dtype: Any) -> Save | None:
    """Return the sample times of `saveat` (an array, or a `diffrax.SaveAt` with ts, t0, t1, steps), None for none."""
    if saveat is None:
        return None
    if not isinstance(saveat, dfx.SaveAt):
        saveat = dfx.SaveAt(ts=saveat)
    sub = saveat.subs
    plain = isinstance(sub, dfx.SubSaveAt) and sub.fn is dfx.SubSaveAt(t1=True).fn
    extras = [n for n in ("dense", "solver_state", "controller_state", "made_jump") if getattr(saveat, n, False)]
    if not plain or extras or sub.steps not in (0, 1, False, True):  # pyright: ignore
        raise ValueError(
            "saveat must be an array of times or a diffrax.SaveAt with ts, t0, t1 and steps=True only; it is "
            f"{saveat!r}. States at many times come from ts, functions of them from the returned states."
        )
    ts = jnp.zeros(0, dtype) if sub.ts is None else jnp.asarray(sub.ts, dtype)  # pyright: ignore
    if ts.ndim != 1:
        raise ValueError(f"saveat.ts must be an array of times (n,); its shape is {ts.shape}.")
    parts = [t0[None]] * bool(sub.t0) + [ts] + [t1[None]] * bool(sub.t1)  # pyright: ignore
    return Save(jnp.concatenate(parts), bool(sub.steps))  # pyright: ignore


def positive(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be a Python integer, known while tracing; it is {value!r}.")
    if value < 1:
        raise ValueError(f"{name} must be at least 1; it is {value}.")
    return int(value)


def split(module: Any) -> tuple[Any, Any]:
    """Split a module into its arrays (traced) and the rest (static, hashable)."""
    return eqx.partition(module, lambda x: isinstance(x, (np.ndarray, jax.Array)))


def solver_and_controller(solver: Any, controller: Any, dt0: Any, dtype: Any) -> tuple[Any, Any]:
    """Return both with defaults filled in, or say why they do not go together."""
    controller = default_controller(dtype) if controller is None else controller
    adaptive = isinstance(controller, dfx.AbstractAdaptiveStepSizeController)
    clipped = isinstance(controller, dfx.ClipStepSizeController)
    if clipped or not (adaptive or isinstance(controller, (dfx.ConstantStepSize, dfx.StepTo))):
        raise ValueError(
            f"simulate cannot use the controller {controller!r}. Use diffrax.PIDController, diffrax.ConstantStepSize, "
            "diffrax.StepTo, or leave it out. Jumps of the input belong into the stimulus, which has breakpoints."
        )
    solver = Unrolled() if solver is None else resolve_solver(solver, controller)
    if adaptive and not isinstance(solver, dfx.AbstractAdaptiveSolver):
        raise ValueError(
            f"{type(solver).__name__} has no error estimate to adapt the step by. "
            "Use stepsize_controller=diffrax.ConstantStepSize() with dt0, or another solver."
        )
    if isinstance(controller, dfx.ConstantStepSize) and dt0 is None:
        raise ValueError("diffrax.ConstantStepSize needs the step: pass dt0 (ms).")
    if isinstance(controller, dfx.StepTo) and dt0 is not None:
        raise ValueError("diffrax.StepTo fixes its steps: leave dt0 out.")
    return solver, controller


def initial_result(
    config: Config, inputs: Inputs, stim: Stimulus, controller: Any, dt0: Array | None, asked: Times
) -> IntScalar:
    """Return RUNNING, or the code of the first thing wrong with the values; `asked` are the user's own sample times."""
    t0, t1 = inputs.t0, inputs.t1
    times = [jnp.isfinite(t0), jnp.isfinite(t1), t0 <= t1, jnp.diff(asked) >= 0, (asked >= t0) & (asked <= t1)]
    if dt0 is not None:
        times.append(dt0 > 0)
    if isinstance(controller, dfx.StepTo):
        steps = controller.ts
        times += [steps[0] == t0, steps[-1] == t1, jnp.diff(steps) > 0]
    good_state = every([*(jnp.isfinite(x) for x in jax.tree.leaves(inputs.state0)), ~jnp.isnan(inputs.refrac_until0)])
    result = jnp.asarray(RUNNING, jnp.int32)
    for good, item in (
        (good_state, RESULTS.bad_state),
        (every(times), RESULTS.bad_times),
        (stim.valid(), RESULTS.bad_stimulus),
        (valid_params(config.model, inputs.params), RESULTS.bad_parameters),
    ):
        result = jnp.where(good, result, code(item))
    return result.astype(jnp.int32)


def settings_of(
    config: Config, inputs: Inputs, stim: Stimulus, arrays: Any, dt0: Any, stop_after: Any, asked: Times
) -> Settings:
    solver, controller = arrays
    whole = eqx.combine(controller, config.controller)
    result0 = initial_result(config, inputs, stim, whole, dt0, asked)
    return jax.lax.stop_gradient(Settings(solver, controller, dt0, stop_after, result0))


def harmless(config: Config, inputs: Inputs, good: BoolScalar) -> Inputs:
    """Return the inputs; for an implicit solver, where not `good`, replaced by ones it does not trip over.

    A lane that takes no turn has its step computed (and masked) under `vmap` all the same, and a linear solver that meets
    a NaN raises for the whole batch. (Not for explicit solvers: what all lanes share would become one array a lane.)
    """
    if not isinstance(config.solver, dfx.AbstractImplicitSolver):
        return inputs
    params = jax.tree.map(lambda x: jnp.asarray(x, config.dtype), config.model.default_params())
    if jax.tree.structure(params) != jax.tree.structure(inputs.params):
        params = inputs.params
    zeros: Inputs = jax.tree.map(jnp.zeros_like, inputs)
    safe = zeros._replace(params=params, state0=config.model.init_state(params))
    return where(good, inputs, safe)
