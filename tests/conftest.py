"""Strict by default: float64, no silent broadcasting, warnings are errors (pyproject), annotations executed (pyproject).

The suite runs with the library's CPU settings; JAXNEURO_PLAIN_CPU=1 runs it with XLA's own.
"""

import os

import jax
import pytest

import jaxneuro as jn

# Two processes share two cores here, so one thread each is as fast; and no two LAPACK calls over a batch of lanes can wait for
# each other's threads (jaxneuro/analysis/dense.py).
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
if os.environ.get("JAXNEURO_PLAIN_CPU") != "1":
    jn.configure_cpu()
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")

# What takes longest to compile and has a sibling that runs in CI: run with `-m slow` before an issue is closed.
SLOW = (
    "test_bifurcations.py::test_hodgkin_huxley",
    *(
        f"test_contract.py::test_derivatives_are_central_differences[{model}]"
        for model in (
            "ConnorStevens",
            "FitzHughNagumo",
            "MihalasNiebur",
            "MorrisLecar",
            "Pospischil",
            "TraubMiles",
            "WangBuzsaki",
        )
    ),
    "test_experiments.py::test_chaos_in_adex",
    "test_experiments.py::test_hodgkin_huxley",
    "test_experiments.py::test_morris_lecar_bifurcations",
    "test_experiments.py::test_spike_time_gradients",
    *(
        f"test_failures.py::test_lanes_with_impossible_parameters_under_every_kind_of_solver[{solver}]"
        for solver in ("ImplicitEuler", "Kvaerno3")
    ),
    "test_gradients.py::test_hessians_against_closed_form[QIF]",
    "test_gradients.py::test_hessians_against_closed_form[Theta]",
    "test_gradients.py::test_spike_times_in_every_parameter_against_closed_form[Theta]",
    "test_learning.py::test_digits",
    "test_models_conductance.py::test_spike_times_against_scipy[ConnorStevens]",
    "test_models_conductance.py::test_spike_times_against_scipy[TraubMiles]",
    "test_phase_response.py::test_the_gradient_is_the_limit_of_kicks",
    "test_rush_larsen.py::test_adaptive_spike_times_and_their_derivatives",
    "test_solvers.py::test_constant_steps_have_the_derivative_of_their_own_discretisation[Heun]",
    "test_solvers.py::test_constant_steps_have_the_derivative_of_their_own_discretisation[ImplicitEuler]",
    *(
        f"test_solvers.py::test_value_and_both_modes[{solver}]"
        for solver in ("Dopri8-PID", "Kvaerno3-constant", "Kvaerno5-constant", "Kvaerno5-PID", "RushLarsen-constant")
    ),
    "test_stiff.py::test_derivatives_through_rest_and_spikes",
    "test_thresholds.py::test_pulse_threshold_of_qif_is_where_the_pulse_ends_at_the_saddle",
    "test_thresholds.py::test_pulses_for_hodgkin_huxley",
    "test_thresholds.py::test_rheobase_against_scipy[HodgkinHuxley]",
    "test_thresholds.py::test_rheobase_against_scipy[Izhikevich]",
    "test_thresholds.py::test_rheobase_in_closed_form[EIF]",
    "test_thresholds.py::test_rheobase_in_closed_form[QIF]",
    "test_thresholds.py::test_what_has_no_threshold",
    "test_tiles.py::test_forward_mode_and_hessians_of_many_lanes",
    "test_tiles.py::test_two_axes_and_shared_parameters",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if item.nodeid.endswith(SLOW):
            item.add_marker(pytest.mark.slow)
