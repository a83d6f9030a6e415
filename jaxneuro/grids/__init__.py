"""Published fixed-step schemes: `simulate_grid`."""

from jaxneuro.grids.simulate import GridSolution as GridSolution
from jaxneuro.grids.simulate import simulate_grid as simulate_grid
from jaxneuro.grids.white_noise import simulate_white_noise as simulate_white_noise
