"""The record of pure functions that is a neuron model, and the check of its contract.

A model is an ODE, a threshold and a reset, written for one neuron as plain functions. The record closes them into one
value that passes through `jit`, `vmap` and `grad` as an ordinary (static) argument.
"""

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from jaxneuro.results import every
from jaxneuro.types import Array, BoolScalar, Params, Scalar, State


class Refractory(NamedTuple):
    """How long a neuron is refractory after a spike, and which state fields keep their reset value meanwhile."""

    duration: Scalar
    held: tuple[str, ...]


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True, eq=False)
class NeuronModel:
    """A neuron: `d(state)/dt = vector_field`, a spike at the upward zero of `spike_condition`, then `reset`.

    Compared and hashed by identity, so define a model once, at the top level of a module, under its own `name`
    (it pickles by that name).

    Attributes:
        name: the name of the module-level variable that holds the record.
        default_params: `(**overrides) -> params`, a NamedTuple of scalars of one dtype.
        init_state: `params -> state`, where a run starts unless told otherwise.
        vector_field: `(t, state, params, current) -> d(state)/dt`, per ms, same type as the state.
        spike_condition: `(state, params) -> scalar`; a spike is its upward zero crossing.
        reset: `(state, params) -> state` just after the spike (the identity for models without a reset).
        refractory: optional, `params -> Refractory(duration, held)`; the `held` fields do not flow for `duration` ms
            after a spike, the others do, and no spike is counted meanwhile.
        constraints: optional, `params -> {"tau_m > 0": bool, ...}`; a false entry makes the run end at once with
            `RESULTS.bad_parameters`, and an eager call names it.
    """

    name: str
    default_params: Callable[..., Params]
    init_state: Callable[[Params], State]
    vector_field: Callable[[Scalar, State, Params, Any], State]
    spike_condition: Callable[[State, Params], Scalar]
    reset: Callable[[State, Params], State]
    refractory: Callable[[Params], Refractory] | None = None
    constraints: Callable[[Params], Mapping[str, BoolScalar]] | None = None

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Callable, tuple[str, str]]:
        return _model_by_name, (self.vector_field.__module__, self.name)


def _model_by_name(module: str, name: str) -> NeuronModel:
    return getattr(importlib.import_module(module), name)


def constraints_of(model: NeuronModel, params: Params) -> Mapping[str, BoolScalar]:
    """Return what the model asks of its parameters, by name, and whether each holds."""
    return {} if model.constraints is None else model.constraints(params)


def valid_params(model: NeuronModel, params: Params) -> BoolScalar:
    """Return whether no parameter is NaN and every constraint of the model holds."""
    return every([*(~jnp.isnan(x) for x in jax.tree.leaves(params)), *constraints_of(model, params).values()])


_P = TypeVar("_P", bound=tuple)


def make_params(kind: type[_P], defaults: Mapping[str, float], overrides: Mapping[str, Any]) -> _P:
    """Return a `kind` (a NamedTuple) of `defaults` with `overrides`, as arrays of one floating dtype.

    The dtype is that of the floating arrays among the overrides (so `tau_m=jnp.float32(10)` gives a float32 neuron also
    while x64 is on), else JAX's default float.

    Raises:
        ValueError: for a name that is not a parameter.
    """
    unknown = sorted(set(overrides) - set(defaults))
    if unknown:
        raise ValueError(
            f"{kind.__name__} has no parameter {', '.join(map(repr, unknown))}; "
            f"its parameters are {', '.join(defaults)}."
        )
    typed = [x for x in overrides.values() if hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating)]
    dtype = jnp.result_type(*typed) if typed else jnp.result_type(float)
    values = {**defaults, **overrides}
    return kind(**{name: jnp.asarray(value, dtype) for name, value in values.items()})


def check_model(model: NeuronModel) -> list[str]:
    """Run the model contract on a record and say in sentences what is wrong.

    Evaluates every function at the default parameters and state, in float64 (where enabled) and float32, and traces it.

    Args:
        model: the record to check, your own or one of `jn.ALL_MODELS`.

    Returns:
        A list of sentences, empty when the model keeps the contract.

    Example:
        >>> import jaxneuro as jn
        >>> jn.check_model(jn.LIF)
        []
    """
    problems: list[str] = []
    for dtype in dict.fromkeys((jnp.result_type(float), jnp.dtype("float32"))):
        try:
            params = jax.tree.map(lambda x, dtype=dtype: jnp.asarray(x, dtype), model.default_params())
            problems += _check_at(model, params, dtype)
        except Exception as error:  # a user's own function may raise anything: it is reported, not raised
            problems.append(f"{model.name} in {dtype}: {type(error).__name__}: {error}")
    return list(dict.fromkeys(problems + _check_overrides(model) + _check_name(model)))


def _check_traceable(model: NeuronModel, params: Params, state: State, t: Scalar, current: Scalar) -> list[str]:
    calls = {
        "init_state": (model.init_state, params),
        "vector_field": (model.vector_field, t, state, params, current),
        "spike_condition": (model.spike_condition, state, params),
        "reset": (model.reset, state, params),
        "refractory": (lambda p: model.refractory and model.refractory(p).duration, params),
        "constraints": (lambda p: dict(constraints_of(model, p)), params),
    }
    problems = []
    for name, (fn, *args) in calls.items():
        try:
            jax.eval_shape(fn, *args)
        except jax.errors.JAXTypeError as error:
            problems.append(
                f"{name} cannot be traced, so it fails under jit, vmap and grad ({type(error).__name__}): it turns a value into "
                "a Python or NumPy one, as `if`, `float`, `math` and `np` do. Use jnp.where and functions of jnp."
            )
    return problems


def _check_at(model: NeuronModel, params: Params, dtype: Any) -> list[str]:
    t, current = jnp.zeros((), dtype), jnp.zeros((), dtype)
    state = model.init_state(params)
    untraceable = _check_traceable(model, params, state, t, current)
    if untraceable:
        return untraceable
    problems = _check_scalars("default_params()", params, dtype) + _check_scalars("init_state(params)", state, dtype)
    like_state = {
        "vector_field(t, state, params, current)": model.vector_field(t, state, params, current),
        "reset(state, params)": model.reset(state, params),
    }
    for call, value in like_state.items():
        if jax.tree.structure(value) != jax.tree.structure(state):
            problems.append(f"{call} must return a {type(state).__name__} like init_state; it returned {value!r}.")
        else:
            problems += _check_scalars(call, value, dtype)
    problems += _check_scalars("spike_condition(state, params)", (model.spike_condition(state, params),), dtype)
    if not bool(model.spike_condition(state, params) < 0):
        problems.append("init_state must lie below threshold: spike_condition(init_state(params), params) < 0.")
    if model.refractory is not None:
        duration, held = model.refractory(params)
        problems += _check_scalars("the duration of refractory(params)", (duration,), dtype)
        problems += [
            f"refractory holds {name!r}, which is no field of {type(state).__name__}."
            for name in held
            if name not in getattr(type(state), "_fields", ())
        ]
    broken = [name for name, ok in constraints_of(model, params).items() if not bool(ok)]
    problems += [f"the default parameters break the model's own constraint {name!r}." for name in broken]
    return problems


def _check_scalars(what: str, tree: Any, dtype: Any) -> list[str]:
    if not (isinstance(tree, tuple) and jax.tree.leaves(tree)):
        return [f"{what} must be a NamedTuple of scalars; it is {tree!r}."]
    problems = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = what + jax.tree_util.keystr(path)
        if not isinstance(leaf, Array):
            problems.append(f"{name} must be a JAX array (a Python number gets no gradient); it is {leaf!r}.")
        elif leaf.shape != () or leaf.dtype != dtype:
            problems.append(f"{name} must be a scalar of {dtype}, the dtype of params; it is {leaf.dtype}{leaf.shape}.")
    return problems


def _check_overrides(model: NeuronModel) -> list[str]:
    try:
        model.default_params(no_such_parameter=0.0)
    except (TypeError, ValueError):
        return []
    return ["default_params must refuse an unknown name with a ValueError (use jaxneuro.model.make_params)."]


def _check_name(model: NeuronModel) -> list[str]:
    module = model.vector_field.__module__
    if getattr(importlib.import_module(module), model.name, None) is model:
        return []
    return [f"the record must stand in module {module} under its own name {model.name!r}, so that it pickles."]
