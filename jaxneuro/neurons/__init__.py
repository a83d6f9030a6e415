"""One file per neuron model. A new model is its file, one line here, and one row in `tests/cases.py`."""

from jaxneuro.neurons.izhikevich import Izhikevich as Izhikevich
from jaxneuro.neurons.lif import LIF as LIF
from jaxneuro.neurons.qif import QIF as QIF

ALL_MODELS = (LIF, QIF, Izhikevich)
