"""Measures of spike trains: rates, intervals and their variability, latency, distances between two trains.

A train is an array of ascending spike times (spikes,) in ms, padded at its end with inf, as `simulate`
returns it; many trains are a `jax.vmap`. Every measure is safe under jit, vmap and grad: padding takes no
part, and gradients are finite for 0, 1, 2 or more spikes. Values that an empty train does not have are
stated with each function.
"""

from jaxneuro.spikes.distances import Coincidence as Coincidence
from jaxneuro.spikes.distances import coincidence_factor as coincidence_factor
from jaxneuro.spikes.distances import van_rossum_distance as van_rossum_distance
from jaxneuro.spikes.distances import victor_purpura_distance as victor_purpura_distance
from jaxneuro.spikes.irregularity import IntervalHistogram as IntervalHistogram
from jaxneuro.spikes.irregularity import cv as cv
from jaxneuro.spikes.irregularity import cv2 as cv2
from jaxneuro.spikes.irregularity import fano_factor as fano_factor
from jaxneuro.spikes.irregularity import intervals as intervals
from jaxneuro.spikes.irregularity import isi_histogram as isi_histogram
from jaxneuro.spikes.irregularity import local_variation as local_variation
from jaxneuro.spikes.rates import count as count
from jaxneuro.spikes.rates import count_rate as count_rate
from jaxneuro.spikes.rates import latency as latency
from jaxneuro.spikes.rates import rate as rate
