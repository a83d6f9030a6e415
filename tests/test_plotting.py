"""Each drawing shows what it was given: the data of its lines, its labels; and returns the Axes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

import jaxneuro as jn
from jaxneuro import analysis, plotting
from jaxneuro.analysis.arclength import Branch
from jaxneuro.analysis.bifurcations import Bifurcation
from jaxneuro.neurons.izhikevich import IzhikevichState
from jaxneuro.neurons.lif import LIFState
from jaxneuro.neurons.morris_lecar import MorrisLecarState
from jaxneuro.results import code, from_code


@pytest.fixture
def ax():
    return Figure().subplots()


@pytest.fixture(scope="module")
def sol():
    """Two LIF neurons under 3 and 6 nA: spikes every 12.986 and 6.055 ms, from -70 mV up to -50."""
    ts = jnp.linspace(0.0, 30.0, 61)
    run = lambda i: jn.simulate(jn.LIF, jn.LIF.default_params(), i, 30.0, saveat=ts, max_spikes=8)
    return jax.jit(jax.vmap(run))(jnp.array([3.0, 6.0]))


def lane(sol, k):
    return jax.tree.map(lambda x: x[k], sol)


def labels(ax):
    return ax.get_xlabel(), ax.get_ylabel()


def test_raster(ax, sol):
    assert plotting.raster(sol, ax, color="tab:green") is ax
    assert labels(ax) == ("time (ms)", "neuron")
    (marks,) = ax.lines
    spikes = np.asarray(sol.spike_times)
    np.testing.assert_array_equal(marks.get_xdata(), spikes[np.isfinite(spikes)])
    np.testing.assert_array_equal(marks.get_ydata(), [0] * 2 + [1] * 5)
    assert marks.get_color() == "tab:green" and ax.get_ylim() == (-0.5, 1.5)
    one = plotting.raster(sol.spike_times[0], Figure().subplots())  # an array, of one neuron
    np.testing.assert_array_equal(one.lines[0].get_ydata(), [0, 0])


def test_voltage(ax, sol):
    one = lane(sol, 0)
    assert plotting.voltage(one, ax, peak=20.0, reset=-70.0, color="k") is ax
    assert labels(ax) == ("time (ms)", "v (mV)")
    ts, v = ax.lines[0].get_data()
    first = float(one.spike_times[0])
    assert first == pytest.approx(10 * np.log(3))
    at = np.flatnonzero(ts == first)
    np.testing.assert_array_equal(v[at], [20.0, np.nan, -70.0])
    np.testing.assert_array_equal(np.delete(v, np.flatnonzero(np.isin(ts, one.spike_times))), one.states.v)
    marks, line = plotting.voltage(one, Figure().subplots()).lines  # no peak: ticks, and the samples as they are
    np.testing.assert_array_equal(marks.get_xdata(), one.spike_times[:2])
    np.testing.assert_array_equal(line.get_ydata(), one.states.v)


def test_voltage_refuses_what_it_cannot_draw(ax, sol):
    with pytest.raises(ValueError, match="draws one run; this one has \\(2,\\) lanes"):
        plotting.voltage(sol, ax)
    with pytest.raises(ValueError, match="kept no samples"):
        plotting.voltage(lane(sol, 0)._replace(states=None), ax)


def test_voltage_stops_where_the_run_stopped(ax, sol):
    one = lane(sol, 0)
    cut = one._replace(ts=jnp.where(one.ts < 20, one.ts, jnp.inf))
    line = plotting.voltage(cut, ax).lines[-1]
    assert np.max(line.get_xdata()) == 19.5


def test_sweep_map(ax):
    grid = jn.grid(i=[1.0, 2.0, 3.0], tau_m=[10.0, 20.0])
    values = np.arange(6.0).reshape(3, 2)
    assert plotting.sweep_map(values, grid, ax, label="rate (Hz)", units={"i": "nA"}) is ax
    assert labels(ax) == ("i (nA)", "tau_m")
    (mesh,) = ax.collections
    np.testing.assert_array_equal(mesh.get_array(), values.T)  # rows upwards: the second axis
    assert ax.get_xlim() == (0.5, 3.5) and ax.get_ylim() == (5.0, 25.0)
    assert [other.get_ylabel() for other in ax.figure.axes if other is not ax] == ["rate (Hz)"]
    with pytest.raises(ValueError, match="two axes"):
        plotting.sweep_map(values.T, grid, ax, label="rate (Hz)")


def test_fi_curve(ax):
    currents, rate = jnp.array([1.0, 3.0, 4.0, 6.0]), jnp.array([0.0, 77.0, jnp.nan, 165.0])
    result = jax.vmap(from_code)(jnp.where(jnp.isnan(rate), code(jn.RESULTS.max_spikes_reached), 0))
    found = analysis.FICurve(currents, rate, jnp.zeros(4, int), result)
    assert plotting.fi_curve(found, ax) is ax
    assert labels(ax) == ("current (nA)", "rate (Hz)")
    curve, failed = ax.lines
    np.testing.assert_array_equal(curve.get_data(), [currents, rate])
    np.testing.assert_array_equal(failed.get_data(), [[4.0], [0.0]])
    fine = jax.tree.map(lambda x: x[:2], found)
    assert len(plotting.fi_curve(fine, Figure().subplots(), unit="").lines) == 1


def test_phase_response(ax):
    phases = jnp.array([0.0, 0.25, 0.5])
    response = analysis.PhaseResponse(phases, 4 * phases, jnp.array(4.0), LIFState(v=phases**2), jn.RESULTS.successful)
    assert plotting.phase_response(response, ax, unit="mV") is ax
    zero, curve = ax.lines
    np.testing.assert_array_equal(curve.get_data(), [phases, phases**2])
    assert labels(ax) == ("phase", "advance (ms/mV)") and ax.get_xlim() == (0, 1)
    assert plotting.phase_response(response, Figure().subplots(), unit="").get_ylabel() == "advance (ms)"


@pytest.fixture(scope="module")
def plane(sol):
    """Izhikevich's cell at rest (fixed points at -70 and -50 mV), and a run with spikes at 10.986 and 23.972 ms."""
    lines = analysis.nullclines(jn.Izhikevich, jn.Izhikevich.default_params(), 0.0, jnp.linspace(-80.0, 0.0, 5))
    points = analysis.FixedPoints(
        states=IzhikevichState(v=jnp.array([-70.0, -50.0, jnp.nan]), u=jnp.array([-14.0, -10.0, jnp.nan])),
        num_points=jnp.array(2), eigenvalues=None, kind=None, stable=jnp.array([True, False, False]),
        result=jn.RESULTS.successful,
    )  # fmt: skip
    one = lane(sol, 0)
    return lines, points, one._replace(states=IzhikevichState(v=one.states.v, u=one.ts / 10))


def test_phase_plane(ax, plane):
    lines, points, sol = plane
    assert plotting.phase_plane(lines, ax, points=points, sol=sol, peak=30.0, units=("mV", "mV/ms")) is ax
    assert labels(ax) == ("v (mV)", "u (mV/ms)")
    drawn = {line.get_label(): line for line in ax.lines}
    v = np.linspace(-80.0, 0.0, 5)
    np.testing.assert_allclose(drawn["v' = 0"].get_data(), [v, 0.04 * v**2 + 5 * v + 140])
    np.testing.assert_allclose(drawn["u' = 0"].get_data(), [v, 0.2 * v])
    np.testing.assert_allclose(np.ravel(drawn["stable"].get_data()), [-70.0, -14.0])
    np.testing.assert_allclose(np.ravel(drawn["unstable"].get_data()), [-50.0, -10.0])
    x, y = drawn["trajectory"].get_data()
    assert np.sum(x == 30.0) == 2 and np.sum(np.isnan(x)) == 4
    samples = ~np.isnan(x) & (x != 30.0)
    np.testing.assert_array_equal([x[samples], y[samples]], list(sol.states))
    assert ax.get_ylim()[1] < 40  # not as high as the parabola


def test_phase_plane_without_a_run(ax, plane):
    assert plotting.phase_plane(plane[0], ax) is ax
    assert [line.get_label() for line in ax.lines] == ["v' = 0", "u' = 0"]


def test_bifurcation_diagram(ax):
    """A branch with a fold between its second and third point, and no Hopf point."""
    nan = jnp.nan
    at = lambda value, v: Bifurcation(value, MorrisLecarState(v=v, w=v), 0 * v, 0 * v, None)
    values, v = jnp.array([0.0, 1.0, 1.0, 0.5, nan]), jnp.array([-60.0, -50.0, -40.0, -30.0, nan])
    branch = Branch(
        values=values, states=MorrisLecarState(v=v, w=0.1 * v), eigenvalues=None,
        stable=jnp.array([True, True, False, False, False]), num_points=jnp.array(4),
        folds=at(jnp.array([1.1, nan]), jnp.array([-45.0, nan])), hopfs=at(jnp.array([nan, nan]), jnp.array([nan, nan])),
        num_folds=jnp.array(1), num_hopfs=jnp.array(0), result=jn.RESULTS.successful,
    )  # fmt: skip
    assert plotting.bifurcation_diagram(branch, ax, units=("uA/cm²", "mV")) is ax
    assert labels(ax) == ("current (uA/cm²)", "v (mV)")
    stable, unstable, fold = ax.lines
    np.testing.assert_array_equal(stable.get_ydata(), [-60, -50, nan, nan, nan])
    np.testing.assert_array_equal(unstable.get_ydata(), [nan, -50, -40, -30, nan])
    np.testing.assert_array_equal(fold.get_data(), [[1.1], [-45.0]])
    assert (stable.get_linestyle(), unstable.get_linestyle()) == ("-", "--")
    assert [line.get_label() for line in ax.lines] == ["stable", "unstable", "fold"]
    other = plotting.bifurcation_diagram(
        branch._replace(hopfs=branch.folds, num_hopfs=jnp.array(1)), Figure().subplots(), field="w"
    )
    assert other.lines[-1].get_label() == "Hopf" and other.get_ylabel() == "w (mV)"
