"""Solvers and step-size control for neurons; all are ordinary diffrax objects and work in `diffeqsolve`."""

from jaxneuro.solvers.accept import resolve_solver as resolve_solver
from jaxneuro.solvers.control import PredictiveController as PredictiveController
from jaxneuro.solvers.control import default_controller as default_controller
from jaxneuro.solvers.control import rough_power as rough_power
from jaxneuro.solvers.rush_larsen import RushLarsen as RushLarsen
from jaxneuro.solvers.unrolled import Unrolled as Unrolled
