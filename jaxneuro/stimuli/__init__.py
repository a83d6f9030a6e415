"""Currents as differentiable pytrees with breakpoints."""

from jaxneuro.stimuli.base import Scaled as Scaled
from jaxneuro.stimuli.base import Stimulus as Stimulus
from jaxneuro.stimuli.base import Sum as Sum
from jaxneuro.stimuli.base import as_stimulus as as_stimulus
from jaxneuro.stimuli.noise import ou_noise as ou_noise
from jaxneuro.stimuli.waveforms import chirp as chirp
from jaxneuro.stimuli.waveforms import constant as constant
from jaxneuro.stimuli.waveforms import pulses as pulses
from jaxneuro.stimuli.waveforms import ramp as ramp
from jaxneuro.stimuli.waveforms import sampled as sampled
from jaxneuro.stimuli.waveforms import sine as sine
from jaxneuro.stimuli.waveforms import step as step
