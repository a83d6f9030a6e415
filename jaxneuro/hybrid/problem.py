"""What one run is given, what it carries from turn to turn, and what it writes down."""

import dataclasses
from typing import Any, NamedTuple

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp

from jaxneuro.model import NeuronModel
from jaxneuro.solvers import RushLarsen
from jaxneuro.stimuli import Stimulus
from jaxneuro.types import Array, BoolScalar, Float, Int, IntScalar, Params, Scalar, State

# What a turn did. Nothing moved up to PEAKED: the lane had ended, or its step was thrown away, because the controller
# rejected it or because it saw a crossing or a possible maximum that the next step is to land on. From END on the step
# landed on a landmark: the end, the end of refractoriness, or CLOCK + j, the next breakpoint of the stimulus' clock j.
DONE, REJECTED, CROSSED, PEAKED, FREE, SPIKE, OVERFLOW, END, REFRACTORY, CLOCK = range(10)


@dataclasses.dataclass(frozen=True)
class Config:
    """What is known while tracing."""

    model: NeuronModel
    solver: Any  # a diffrax solver, its arrays replaced by None
    controller: Any  # a diffrax controller, its arrays replaced by None
    stim: Any  # a Stimulus, its floating arrays replaced by None
    max_spikes: int
    max_steps: int
    tape_steps: int
    dtype: Any
    adaptive: bool
    throw: bool
    num_fields: int  # of the state

    @property
    def refractory(self) -> bool:
        return self.model.refractory is not None

    @property
    def stiff(self) -> bool:
        """Whether the solver follows what decays faster than its step."""
        return isinstance(self.solver, (dfx.AbstractImplicitSolver, RushLarsen))


class Inputs(NamedTuple):
    """The differentiable arrays of a run."""

    params: Params
    stim: Any  # the floating arrays of the Stimulus
    t0: Scalar
    t1: Scalar
    state0: State
    refrac_until0: Scalar
    ts: Float[Array, " times"]


class Settings(NamedTuple):
    """The arrays that are not differentiated."""

    solver: Any  # the arrays of the solver
    controller: Any  # the arrays of the controller
    dt0: Scalar | None
    stop_after: IntScalar | None
    result0: IntScalar  # RUNNING, or why the run cannot start


class Carry(NamedTuple):
    """One lane between two turns. In float32 time is t + t_low, so that its rounding never limits a spike time."""

    t: Scalar
    t_low: Scalar
    y: State
    refrac_until: Scalar
    refrac_low: Scalar  # in float32 refractoriness ends at refrac_until + refrac_low
    proposal: Scalar  # of the controller: a length if it is adaptive, else the absolute end of the step
    controller_state: Any
    contrast: Any  # 1 / size of a perturbation of the state: 1 at the start, at landmarks and spikes (see shadow.py)
    h_locate: Scalar  # while an event is being located: the step to try next
    h_seen: Scalar  # and the length of the step in which it was seen: > 0 a crossing, < 0 a maximum; 0: no event
    armed: BoolScalar  # below threshold since the last spike
    held: BoolScalar  # refractory
    positions: tuple[Int[Array, ""], ...]  # on the clocks of the stimulus
    num_spikes: IntScalar
    last_spike_row: IntScalar
    num_steps: IntScalar
    num_rejected: IntScalar
    result: IntScalar


class Row(NamedTuple):
    """What the tape keeps of one turn: enough to take it again."""

    t: Scalar
    y: State
    h: Scalar
    kind: Int[Array, ""]
    held: BoolScalar
    positions: tuple[Int[Array, ""], ...]


class SpikeRow(NamedTuple):
    """A spike, and the row of the spike before it (a list linked backwards; other rows hold no meaning)."""

    t: Scalar
    previous: IntScalar


def combine_stim(config: Config, arrays: Any) -> Stimulus:
    return eqx.combine(arrays, config.stim)


def where(condition: Any, x: Any, y: Any) -> Any:
    """`jnp.where` over pytrees."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), x, y)
