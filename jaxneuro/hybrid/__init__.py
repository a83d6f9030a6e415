"""The hybrid loop: steps, landmarks, spikes, jumps, and their derivatives."""

from jaxneuro.hybrid.simulate import SpikeSolution as SpikeSolution
from jaxneuro.hybrid.simulate import simulate as simulate
from jaxneuro.results import RESULTS as RESULTS
