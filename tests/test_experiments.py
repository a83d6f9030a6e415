"""Every experiment at smoke size: it writes its files, and what it claims holds."""

import json
from pathlib import Path

import numpy as np
import pytest

import jaxneuro as jn
from experiments import (
    common,
    fi_curve,
    izhikevich_two_timescales,
    membrane_charging,
    recorded_cell,
    recording,
    spike_time_gradients,
)

DATA = Path(__file__).parents[1] / "experiments" / "data" / "steps_b6" / "idrest.npz"


def written(folder):
    """Check the files of a run: figures that are not empty, numbers that load, a run.json that says how."""
    pictures = list(Path(folder).glob("*.png"))
    assert pictures and all(p.stat().st_size > 10_000 for p in pictures)
    with np.load(Path(folder) / "numbers.npz") as numbers:
        assert numbers.files
    record = json.loads((Path(folder) / "run.json").read_text())
    assert record["config"]["experiment"] and record["environment"]["jax"]


def test_membrane_charging(tmp_path):
    found = membrane_charging.main(smoke=True, out=str(tmp_path))
    written(found.folder)
    np.testing.assert_allclose(found.v_exact, 30 - 100 * np.exp(-np.asarray(found.ts) / 10))
    assert np.min(found.voltage_error) < 1e-6 and np.min(found.spike_error) < 1e-6


def test_izhikevich_two_timescales(tmp_path):
    found = izhikevich_two_timescales.main(smoke=True, out=str(tmp_path))
    written(found.folder)
    assert np.all(np.isfinite(found.v))


def test_fi_curve(tmp_path):
    found = fi_curve.main(smoke=True, out=str(tmp_path))
    written(found.folder)
    assert found.lif_count_differs == 0 and found.lif.failed == found.izhikevich.failed == 0
    assert np.nanmax(found.lif.error) < 1e-3 and np.nanmax(found.izhikevich.error) < 1e-4


def test_spike_time_gradients(tmp_path):
    found = spike_time_gradients.main(smoke=True, out=str(tmp_path))
    written(found.folder)
    assert np.max(found.lif.closed_difference) < 1e-8
    assert np.max(found.lif.central_difference) < 1e-6 and np.max(found.izhikevich.central_difference) < 1e-6


def test_recorded_cell(tmp_path):
    found = recorded_cell.main(smoke=True, out=str(tmp_path))
    written(tmp_path)
    assert np.asarray(found.recorded_counts).tolist() == [26, 50, 68, 82, 89]
    assert np.isfinite(np.min(found.mismatch)) and np.all(np.isfinite(found.best_gamma))
    assert isinstance(found.best, type(jn.LIF.default_params()))


def test_wrong_recordings_are_refused_in_a_sentence(tmp_path):
    with np.load(DATA) as data:
        good = {name: data[name] for name in recording.ARRAYS}
    wrong = {
        "voltage_mV": {name: x for name, x in good.items() if name != "voltage_mV"},
        "wrong shapes": {**good, "current_nA": good["current_nA"][:, :-1]},
        "NaN": {**good, "voltage_mV": good["voltage_mV"] * np.nan},
    }
    for message, arrays in wrong.items():
        path = tmp_path / "wrong.npz"
        np.savez(path, **arrays)
        with pytest.raises(common.BadInput, match=message):
            recording.load(path)
    for path in (tmp_path / "nowhere.npz", Path(__file__)):
        with pytest.raises(common.BadInput):
            recording.load(path)
