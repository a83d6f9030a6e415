"""Published fixed-step schemes: `simulate_grid`."""

from jaxneuro.grids.simulate import GridSolution as GridSolution
from jaxneuro.grids.simulate import simulate_grid as simulate_grid
