"""Which solvers the hybrid loop takes, and how they are made ready for it."""

from typing import Any

import diffrax as dfx
import equinox as eqx

from jaxneuro.solvers.control import PredictiveController
from jaxneuro.solvers.rush_larsen import RushLarsen
from jaxneuro.solvers.unrolled import Unrolled


def resolve_solver(solver: Any, controller: Any) -> Any:
    """Return `solver` ready for the hybrid loop, or raise a `ValueError` that says why it cannot be used.

    Accepted are diffrax's one-step Runge-Kutta solvers for one `ODETerm`, explicit or diagonally implicit, and `RushLarsen`.
    An explicit one is unrolled; an implicit one takes its root finder's tolerances from the controller.
    """
    if isinstance(solver, (Unrolled, RushLarsen, dfx.Euler)):
        return solver
    if isinstance(solver, dfx.AbstractERK) and isinstance(solver.tableau, dfx.ButcherTableau):
        return Unrolled(solver)
    if isinstance(solver, (dfx.AbstractDIRK, dfx.ImplicitEuler)):
        return _with_tolerances(solver, controller)
    raise ValueError(
        f"simulate cannot use the solver {solver!r}: it needs a one-step method for a single ODETerm. Use an explicit "
        "Runge-Kutta solver (diffrax.Tsit5, Heun, Bosh3, Dopri5, Dopri8, ...), a diagonally implicit one "
        "(diffrax.ImplicitEuler, Kvaerno3, Kvaerno4, Kvaerno5) or jn.solvers.RushLarsen; multi-step and split-term solvers "
        "are not supported."
    )


def _with_tolerances(solver: Any, controller: Any) -> Any:
    finder = solver.root_finder
    unset = [name for name in ("rtol", "atol", "norm") if type(getattr(finder, name)).__name__ == "_UseStepSizeTol"]
    # Without an error estimate nothing says how far to solve: 1e-8 is well below what a fixed step can reach.
    source = controller if isinstance(controller, dfx.AbstractAdaptiveStepSizeController) else _FIXED_STEP_TOLERANCES
    if unset:
        values = tuple(getattr(source, name) for name in unset)
        finder = eqx.tree_at(lambda f: tuple(getattr(f, name) for name in unset), finder, values,
                             is_leaf=lambda x: type(x).__name__ == "_UseStepSizeTol")  # fmt: skip
        solver = eqx.tree_at(lambda s: s.root_finder, solver, finder)
    if isinstance(solver, dfx.AbstractRungeKutta):
        # diffrax's default loop over the stages cannot be differentiated forwards; this one can, both ways.
        solver = eqx.tree_at(lambda s: s.scan_kind, solver, "bounded", is_leaf=lambda x: x is None)
    return solver


_FIXED_STEP_TOLERANCES = PredictiveController(rtol=1e-8, atol=1e-8)
