"""The two galleries against the reference values: counts and spike times of every pattern."""

import numpy as np
import pytest
from helpers import written

from experiments import adex_gallery, izhikevich_gallery
from experiments.izhikevich_panels import PANELS, Trace

# Izhikevich (2004), spikes and first spike: his program; then the exact solution: spikes, some spike times by their index.
# Solved with SciPy (DOP853, rtol 1e-12) apart from this project.
PUBLISHED = {
    "A": (5, 13.0), "B": (1, 43.75), "C": (28, 25.0), "D": (6, 39.0), "E": (6, 20.0), "F": (6, 10.25), "G": (10, 84.5),
    "H": (14, 105.75), "I": (1, 26.6),
}  # fmt: skip
EXACT = {
    "A": (5, {0: 12.630524, 1: 16.117146, -1: 82.664650}),
    "B": (1, {0: 42.746376}),
    "C": (29, {0: 24.493590, 1: 25.635949, -1: 187.914841}),
    "D": (8, {0: 38.239657, 1: 41.418330, -1: 68.833952}),
    "E": (7, {0: 19.451625, 1: 21.577507, -1: 155.877673}),
    "F": (6, {0: 9.991406, 1: 11.622299, -1: 68.249672}),
    "G": (10, {0: 83.941615, -1: 290.492895}),
    "H": (18, {0: 104.337874, -1: 299.977476}),
    "I": (1, {0: 16.592594}),
    "J": (1, {0: 25.632358}),
    "K": (1, {0: 336.733467}),
    "L": (1, {0: 19.476682}),
    "M": (1, {0: 57.633919}),
    "N": (14, {0: 57.633919, 1: 59.939789, -1: 102.893551}),
    "O": (1, {0: 91.888902}),
    "P": (7, {0: 44.159982, -1: 263.314166}),
    "Q": (8, {0: 11.096424, -1: 48.848779}),
    "R": (1, {0: 310.504027}),
    "S": (4, {0: 93.217872, -1: 254.577053}),
}  # fmt: skip
# Naud et al. (2008), SciPy (LSODA, rtol 1e-11).
NAUD = {
    "tonic spiking": (51, {0: 14.222934, 1: 23.151826, 2: 32.242119, -1: 490.939374}),
    "adaptation": (10, {0: 14.904044, 1: 26.171812, 2: 40.547918, -1: 431.516445}),
    "initial burst": (10, {0: 5.463509, 1: 8.882600, 2: 16.201581, 3: 70.948513, -1: 454.826115}),
}


def same_train(train, expected):
    count, times = expected
    train = np.asarray(train)[np.isfinite(train)]
    assert len(train) == count
    for index, time in times.items():
        assert train[index] == pytest.approx(time, abs=1e-5)


@pytest.fixture(scope="module")
def panels(tmp_path_factory):
    return izhikevich_gallery.main(smoke=True, out=str(tmp_path_factory.mktemp("izhikevich_gallery")))


def test_izhikevich_gallery_meets_the_reference_values(panels):
    written(panels.folder)
    for name, (count, first) in PUBLISHED.items():
        spikes = panels.published[name].spikes
        assert len(spikes) == count and spikes[0] == pytest.approx(first, abs=1e-9), name
    for name, expected in EXACT.items():
        same_train(panels.exact[name].spikes, expected)
    differ = [k for k in PANELS if len(panels.published[k].spikes) != len(panels.exact[k].spikes)]
    assert len(PANELS) == 20 and "".join(differ) == "CDEHNPQST"


def test_three_behaviours_exist_in_the_published_program_only(panels):
    assert all(panels.published_shown.values())
    assert [k for k, shown in panels.exact_shown.items() if not shown] == ["P", "Q", "T"]
    assert panels.retuned_shown == {"P": True, "Q": True, "T": True}
    failed = {k: trace for k, trace in panels.exact.items() if trace.failure}
    assert list(failed) == ["T"] and failed["T"].failure.startswith("More spikes than max_spikes")
    assert failed["T"].end < 350 and not any(trace.failure for trace in panels.retuned.values())


def test_the_tests_of_behaviour_tell_behaviours_apart():
    """Trains made by hand, with a voltage that falls all the time, pass those tests whose words describe them."""
    trains = {
        "": [],
        "BILM": [30],  # one spike: no oscillation, no hump, no burst
        "AHO": range(100, 400, 20),  # regular, from 50 Hz on, all of it late
        "HPST": [60, 63, 66, 200, 203, 206],  # two bursts: not tonic, not one burst
        "DHLN": [30, 33, 36],  # one burst
        "EFH": [20, 24, 29, 60, 92, 130],  # a burst, then single spikes, each interval longer
    }
    ts = np.linspace(0.0, 400.0, 401)
    for names, spikes in trains.items():
        trace = Trace(np.array(spikes, float), ts, -70.0 - 0.01 * ts, 400.0, "")
        assert "".join(k for k, panel in PANELS.items() if panel.shown(trace)) == names


def test_adex_gallery(tmp_path, capsys):
    found = adex_gallery.main(smoke=True, out=str(tmp_path))
    written(found.folder)
    for name, expected in NAUD.items():
        same_train(found.spike_times[found.names.index(name)], expected)
    assert len(found.names) == 8 and np.all(found.counts >= 1) and np.all(np.isfinite(found.v))
    assert "tonic spiking" in capsys.readouterr().out
