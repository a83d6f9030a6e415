"""Sweeps over a product grid of parameters: tiles of one compiled program, in bounded memory, on many devices, into a store.

grid = jn.grid(i=jnp.linspace(0.0, 5.0, 1_000), tau_m=jnp.linspace(5.0, 20.0, 1_000))
counts = jn.sweep(lambda p: jn.simulate(jn.LIF, params(p), p["i"], 1000.0).num_spikes, grid)   # (1000, 1000)
"""

from jaxneuro.sweeps.failures import FailedPoints as FailedPoints
from jaxneuro.sweeps.failures import failed_points as failed_points
from jaxneuro.sweeps.grid import Grid as Grid
from jaxneuro.sweeps.grid import grid as grid
from jaxneuro.sweeps.journal import StoreError as StoreError
from jaxneuro.sweeps.sweep import sweep as sweep
