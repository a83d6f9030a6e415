"""Neuron models in JAX with exact spike times and exact derivatives, and networks that learn."""

from jaxneuro import analysis as analysis
from jaxneuro import losses as losses
from jaxneuro import metrics as metrics
from jaxneuro import neurons as neurons
from jaxneuro import solvers as solvers
from jaxneuro import spikes as spikes
from jaxneuro.grids import GridSolution as GridSolution
from jaxneuro.grids import simulate_grid as simulate_grid
from jaxneuro.grids import simulate_white_noise as simulate_white_noise
from jaxneuro.hybrid import SpikeSolution as SpikeSolution
from jaxneuro.hybrid import simulate as simulate
from jaxneuro.model import NeuronModel as NeuronModel
from jaxneuro.model import Refractory as Refractory
from jaxneuro.model import check_model as check_model
from jaxneuro.nets import cnn_apply as cnn_apply
from jaxneuro.nets import cnn_init as cnn_init
from jaxneuro.nets import mlp_apply as mlp_apply
from jaxneuro.nets import mlp_init as mlp_init
from jaxneuro.neurons import ALL_MODELS as ALL_MODELS
from jaxneuro.neurons import EIF as EIF
from jaxneuro.neurons import LIF as LIF
from jaxneuro.neurons import QIF as QIF
from jaxneuro.neurons import AdEx as AdEx
from jaxneuro.neurons import ConnorStevens as ConnorStevens
from jaxneuro.neurons import FitzHughNagumo as FitzHughNagumo
from jaxneuro.neurons import HindmarshRose as HindmarshRose
from jaxneuro.neurons import HodgkinHuxley as HodgkinHuxley
from jaxneuro.neurons import Izhikevich as Izhikevich
from jaxneuro.neurons import Izhikevich2007 as Izhikevich2007
from jaxneuro.neurons import MihalasNiebur as MihalasNiebur
from jaxneuro.neurons import MorrisLecar as MorrisLecar
from jaxneuro.neurons import Pospischil as Pospischil
from jaxneuro.neurons import Theta as Theta
from jaxneuro.neurons import TraubMiles as TraubMiles
from jaxneuro.neurons import WangBuzsaki as WangBuzsaki
from jaxneuro.neurons import morris_lecar_homoclinic as morris_lecar_homoclinic
from jaxneuro.neurons import morris_lecar_hopf as morris_lecar_hopf
from jaxneuro.neurons import morris_lecar_snlc as morris_lecar_snlc
from jaxneuro.neurons import pospischil_fast_spiking as pospischil_fast_spiking
from jaxneuro.neurons import pospischil_regular_spiking as pospischil_regular_spiking
from jaxneuro.results import RESULTS as RESULTS
from jaxneuro.runtime import configure_cpu as configure_cpu
from jaxneuro.stimuli import (
    Stimulus as Stimulus,
)
from jaxneuro.stimuli import (
    chirp as chirp,
)
from jaxneuro.stimuli import (
    constant as constant,
)
from jaxneuro.stimuli import (
    ou_noise as ou_noise,
)
from jaxneuro.stimuli import (
    pulses as pulses,
)
from jaxneuro.stimuli import (
    ramp as ramp,
)
from jaxneuro.stimuli import (
    sampled as sampled,
)
from jaxneuro.stimuli import (
    sine as sine,
)
from jaxneuro.stimuli import (
    step as step,
)
from jaxneuro.sweeps import StoreError as StoreError
from jaxneuro.sweeps import failed_points as failed_points
from jaxneuro.sweeps import grid as grid
from jaxneuro.sweeps import sweep as sweep
from jaxneuro.train import CheckpointError as CheckpointError
from jaxneuro.train import History as History
from jaxneuro.train import fit as fit
