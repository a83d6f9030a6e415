"""Every experiment at smoke size: it writes its files, and what it claims holds."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import written

import jaxneuro as jn
from experiments import (
    chaos_in_adex,
    common,
    fi_curve,
    hodgkin_huxley,
    izhikevich_two_timescales,
    membrane_charging,
    morris_lecar_bifurcations,
    noisy_rates,
    phase_response,
    recorded_cell,
    recording,
    spike_time_gradients,
    work_precision,
)

DATA = Path(__file__).parents[1] / "experiments" / "data" / "steps_b6" / "idrest.npz"


def test_membrane_charging(tmp_path):
    found = membrane_charging.main(smoke=True, out=str(tmp_path))
    written(found.folder)
    np.testing.assert_allclose(found.v_exact, 30 - 100 * np.exp(-np.asarray(found.ts) / 10))
    tolerances = np.array([1e-6, 1e-9, 1e-12])
    assert np.all(found.voltage_error < 10 * tolerances) and np.all(found.spike_error < 10 * tolerances[:, None])
    # T = 10 ln(100/80) = 2.2314 ms: 13 spikes in 30 ms, with 2 ms of refractoriness 7.
    assert np.isfinite(found.spike_times[-1]).sum(axis=1).tolist() == [13, 7]


def test_izhikevich_two_timescales(tmp_path):
    found = izhikevich_two_timescales.main(smoke=True, out=str(tmp_path))
    written(found.folder)
    assert np.all(np.isfinite(found.v))
    assert np.array_equal(found.burst[0], found.predicted_burst)
    assert not np.isfinite(found.spike_times[0, 0]).any()  # no input, at a fixed point of V
    known = np.isfinite(found.predicted_interval)
    assert known.sum() == 3
    slow, fast = found.steady_interval[:, known]
    np.testing.assert_allclose(slow, found.predicted_interval[known], rtol=0.02)
    assert np.all(slow > 100 * fast)


def test_fi_curve(tmp_path):
    found = fi_curve.main(smoke=True, out=str(tmp_path))
    written(found.folder)
    assert found.lif_count_differs == 0 and found.lif.failed == found.izhikevich.failed == 0
    assert np.nanmax(found.lif.error) < 1e-3 and np.nanmax(found.izhikevich.error) < 1e-4
    # Written out again: tau_m 10, v_rest = v_reset = -70, v_thresh -50, r_m 10, tau_refrac 2.
    firing = found.lif.current > 2
    drive = 10 * found.lif.current[firing]
    np.testing.assert_allclose(found.lif.rate[firing], 1e3 / (2 + 10 * np.log(drive / (drive - 20))), rtol=1e-4)


def test_hodgkin_huxley(tmp_path):
    found = hodgkin_huxley.main(smoke=True, out=str(tmp_path))
    written(found.folder)
    cycles, v = found.cycles, found.orbits[..., 0]
    assert abs(found.hopf - 9.77544) < 1e-4 and found.steps is None
    # The stable cycle ends near 6.3 (references); the axon was seen to fire at 6.5 and to stop at 6.2.
    assert 6.2 < np.min(cycles.folds) < 6.3 and len(cycles.folds) == 3
    assert np.all(np.isfinite(v)) and np.ptp(v[0]) < 5 and np.ptp(v[-1]) > 95
    stable = cycles.multiplier < 1
    assert np.array_equal(stable, np.arange(stable.size) > np.argmin(cycles.current))
    # Rates of stable cycles between those of references at 6.5, 10 and 20 (Hz).
    rate = np.interp([6.5, 10.0, 20.0], cycles.current[stable], 1e3 / cycles.period[stable])
    np.testing.assert_allclose(rate, [55.057, 68.3237, 86.4701], rtol=3e-3)


def test_spike_time_gradients(tmp_path):
    found = spike_time_gradients.main(smoke=True, out=str(tmp_path))
    written(found.folder)
    assert found.lif.spike_times.shape == (12,)
    # By hand: tau_m = 10 and v_rest + r_m I - v_thresh = 10, so that the threshold costs 1 ms per mV and interval.
    threshold = found.lif.autodiff[found.lif.names.index("v_thresh")]
    np.testing.assert_allclose(threshold, 1 + np.arange(12), rtol=1e-8)
    assert np.max(found.lif.closed_difference) < 1e-8
    assert np.max(found.lif.central_difference) < 1e-6 and np.max(found.izhikevich.central_difference) < 1e-6


def test_work_precision(tmp_path):
    found = work_precision.main(smoke=True, out=str(tmp_path))
    written(found.folder)
    assert len(found.rows) == 6 and all(r.wrong == 0 and r.seconds > 0 for r in found.rows)
    loose, tight, coarse, fine, euler, half = (r.median for r in found.rows)
    assert tight < loose < 5e-3 and tight < 1e-3
    assert 3.0 < coarse / fine < 5.0 and 1.6 < euler / half < 2.4  # of second order, and of first


def test_noisy_rates(tmp_path):
    found = noisy_rates.main(smoke=True, out=str(tmp_path))
    written(found.folder)
    assert found.failed == 0
    for rates in (found.lif_current, found.lif_dt, found.eif_current, found.eif_dt):
        assert np.all(np.abs(rates.rate[0] - rates.reference) < 2.5 * rates.half_width[0] + 0.3)
    coarse = found.lif_dt.rate[:, -1] / found.lif_dt.reference[-1]
    assert abs(coarse[0] - 1) < 0.05 and coarse[1] < 0.95  # at dt = 1 ms, with the bridge and without


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    return recorded_cell.main(smoke=True, out=str(tmp_path_factory.mktemp("recorded")))


def test_recorded_cell(recorded):
    written(recorded.folder)
    assert np.asarray(recorded.recorded_counts).tolist() == [26, 50, 68, 82, 89]
    assert np.isfinite(np.min(recorded.mismatch)) and np.all(np.isfinite(recorded.best_gamma))
    assert isinstance(recorded.best, type(jn.LIF.default_params()))
    assert recorded.held_out == 4 and np.all(recorded.count[:, 4] == -1) and np.isnan(recorded.gamma[:, 4]).all()
    best = np.argmin(recorded.mismatch)
    assert np.array_equal(recorded.best_count[:4], recorded.count[best, :4])
    error = np.abs(recorded.count[best, :4] / recorded.recorded_counts[:4] - 1)
    np.testing.assert_allclose(recorded.mismatch[best], np.mean(error + 1 - recorded.gamma[best, :4]), rtol=1e-12)


def test_the_ranking_does_not_see_the_sweep_held_out(recorded, tmp_path, capsys):
    data = dict(np.load(DATA))
    data["voltage_mV"][4] = data["voltage_mV"][0] + 1
    np.savez(tmp_path / "other.npz", **data)
    other = recorded_cell.main(recording=str(tmp_path / "other.npz"), smoke=True, out=str(tmp_path / "out"))
    assert other.recorded_counts.tolist() == [26, 50, 68, 82, 26]
    assert np.array_equal(other.mismatch, recorded.mismatch) and other.best == recorded.best
    assert other.failed > 0 and f"{other.failed} lanes failed: More spikes than max_spikes" in capsys.readouterr().out


def test_coincidence():
    cell = jnp.array([10.0, 20.0, 30.0, jnp.inf])
    gamma = lambda *model: float(recording.coincidence(cell, jnp.array([*model, jnp.inf]), 1000.0, 2.0))
    assert gamma(10.0, 20.0, 30.0) == pytest.approx(1.0)
    # By hand: two of three agree, 2 nu delta = 4 ms * 3 / 1000 ms = 0.012, of three spikes 0.036 by chance.
    assert gamma(11.0, 18.5, 40.0) == pytest.approx((2 - 0.036) / 3 / 0.988)
    assert gamma() == 0.0
    assert float(recording.coincidence(cell[3:], cell[3:], 1000.0, 2.0)) == 1.0


def test_wrong_recordings_are_refused_in_a_sentence(tmp_path):
    with np.load(DATA) as data:
        good = {name: data[name] for name in recording.ARRAYS}
    wrong = {
        "voltage_mV": {name: x for name, x in good.items() if name != "voltage_mV"},
        "wrong shapes": {**good, "current_nA": good["current_nA"][:, :-1]},
        "NaN": {**good, "voltage_mV": good["voltage_mV"] * np.nan},
        "time_ms must increase": {**good, "time_ms": good["time_ms"][::-1]},
        "no spikes": {**good, "voltage_mV": good["voltage_mV"] / 1e3 - 1},
        "changes in no sweep": {**good, "current_nA": 0 * good["current_nA"]},
    }
    for message, arrays in wrong.items():
        path = tmp_path / "wrong.npz"
        np.savez(path, **arrays)
        with pytest.raises(common.BadInput, match=message):
            recording.load(path)
    for path in (tmp_path / "nowhere.npz", Path(__file__)):
        with pytest.raises(common.BadInput):
            recording.load(path)
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(common.BadInput, match="is not an npz file"):
        recording.load(tmp_path / "one.npy")
    with pytest.raises(common.BadInput, match="half the shortest"):
        recorded_cell.main(delta=6.0, smoke=True, out=str(tmp_path / "out"))
    with pytest.raises(common.BadInput, match="has 5 sweeps"):
        recorded_cell.main(held_out=5, smoke=True, out=str(tmp_path / "out"))


def test_a_line_rises_to_the_peak_and_begins_anew_at_the_reset():
    ts, v = common.line_with_spikes([0.0, 1.0, 2.0], [5.0, 6.0, 1.0], [1.5, np.inf], 30.0, 0.0)
    np.testing.assert_array_equal(ts, [0.0, 1.0, 1.5, 1.5, 1.5, 2.0])
    np.testing.assert_array_equal(v, [5.0, 6.0, 30.0, np.nan, 0.0, 1.0])


def test_phase_response(tmp_path):
    found = phase_response.main(smoke=True, out=str(tmp_path))
    written(found.folder)
    lif = found.cells["LIF"]
    assert lif.kick_error < 1e-6 and lif.closed_error < 1e-7
    np.testing.assert_allclose(lif.period, 2 + 10 * np.log(3), rtol=1e-9)


def test_chaos_in_adex(tmp_path):
    found = chaos_in_adex.main(smoke=True, out=str(tmp_path))
    written(found.folder)
    assert found.w.shape == (32, 40) and np.all(np.isfinite(found.exponent))
    # One spike in a period before the first doubling, where the exponent is zero, two after it; then chaos.
    before = found.v_reset < found.doubling - 0.05
    after = (found.v_reset > found.doubling + 0.1) & (found.v_reset < -48.3)
    assert -48.76 < found.doubling < -48.73 and abs(found.exponent_there) < 0.05
    assert np.all(found.spikes_per_period[before] == 1) and np.all(found.spikes_per_period[after] == 2)
    assert np.all(found.exponent[before | after] < 0) and np.max(found.exponent) > 0.3


def test_morris_lecar_bifurcations(tmp_path):
    found = morris_lecar_bifurcations.main(smoke=True, out=str(tmp_path))
    written(found.folder)
    assert found.failed == 0 and (found.branches.result == jn.RESULTS.successful).all()
    np.testing.assert_allclose(found.rates, [10.06966, 17.05860], atol=1e-5)  # SciPy, DOP853
    # Both stable rest and a stable cycle, an unstable one between, at the currents of the first and the last phase plane.
    for k, current in ((0, 90.0), (2, 37.0)):
        cycles = found.cycles[k]
        assert sorted(cycles.stable[cycles.current == current].tolist()) == [False, True]
