"""Drawings of results: each function takes what an analysis returned and a matplotlib Axes, and returns the Axes.

    from jaxneuro import plotting
    plotting.raster(sol, ax)

The only module that imports matplotlib (`pip install jaxneuro[experiments]`); `import jaxneuro` does not load it. Times in ms,
rates in Hz; the units of voltages and currents are the model's own (ms, mV, nA by default) and can be passed.
"""

from jaxneuro.plotting.analyses import bifurcation_diagram as bifurcation_diagram
from jaxneuro.plotting.analyses import fi_curve as fi_curve
from jaxneuro.plotting.analyses import phase_plane as phase_plane
from jaxneuro.plotting.analyses import phase_response as phase_response
from jaxneuro.plotting.runs import line_with_spikes as line_with_spikes
from jaxneuro.plotting.runs import raster as raster
from jaxneuro.plotting.runs import sweep_map as sweep_map
from jaxneuro.plotting.runs import voltage as voltage
