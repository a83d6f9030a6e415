"""Neuron models in JAX with exact spike times and exact derivatives, and networks that learn."""

from jaxneuro import spikes as spikes
from jaxneuro.grids import GridSolution as GridSolution, simulate_grid as simulate_grid
from jaxneuro.hybrid import RESULTS as RESULTS, simulate as simulate, SpikeSolution as SpikeSolution
from jaxneuro.model import check_model as check_model, NeuronModel as NeuronModel, Refractory as Refractory
from jaxneuro.neurons import ALL_MODELS as ALL_MODELS, Izhikevich as Izhikevich, LIF as LIF, QIF as QIF
from jaxneuro.runtime import configure_cpu as configure_cpu
from jaxneuro.stimuli import (
    chirp as chirp,
    constant as constant,
    pulses as pulses,
    ramp as ramp,
    sampled as sampled,
    sine as sine,
    step as step,
    Stimulus as Stimulus,
)
from jaxneuro.sweeps import grid as grid, sweep as sweep
