"""The twenty panels of Izhikevich (2004): parameters, inputs, and the behaviour that names each, in words and as a test.

Source: Izhikevich (2004), IEEE Trans. Neural Netw. 15:1063, Fig. 1 and its program, doi:10.1109/TNN.2004.832719.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxneuro as jn
from jaxneuro.neurons import izhikevich
from jaxneuro.neurons.izhikevich import IzhikevichParams, IzhikevichState
from jaxneuro.stimuli import Stimulus, Sum


def accommodation_field(t: Any, state: Any, params: Any, current: Any) -> IzhikevichState:
    """Return the vector field of panel R: the recovery is u' = a b (v + 65)."""
    field = izhikevich.vector_field(t, state, params, current)
    return field._replace(u=params.a * params.b * (state.v + 65.0))


Accommodation = jn.NeuronModel(
    "Accommodation", izhikevich.default_params, izhikevich.init_state, accommodation_field,
    izhikevich.spike_condition, izhikevich.reset, constraints=izhikevich.constraints,
)  # fmt: skip


class Window(Stimulus):
    """start + slope (t - t_on) between t_on and t_off, else 0: every input of the paper is a sum of these."""

    start: jax.Array
    slope: jax.Array
    t_on: jax.Array
    t_off: jax.Array

    def clocks(self) -> Any:
        return (self.t_on[None], self.t_off[None])

    def value(self, t: Any, positions: Any) -> Any:
        on, off = positions
        return jnp.where((on > 0) & (off == 0), self.start + self.slope * (t - self.t_on), jnp.zeros_like(self.start))


Windows = list[tuple[float, float, float, float]]  # start, slope, t_on, t_off


def pulses(amplitude: float, width: float, *onsets: float) -> Windows:
    return [(amplitude, 0.0, t, t + width) for t in onsets]


def step(amplitude: float, t_on: float) -> Windows:
    return [(amplitude, 0.0, t_on, np.inf)]


def ramp(slope: float, t_on: float) -> Windows:
    return [(0.0, slope, t_on, np.inf)]


class Trace(NamedTuple):
    """One run of one panel."""

    spikes: Any  # (n,), ms
    ts: Any  # (samples,), ms; inf where the run did not get there
    v: Any  # (samples,), mV
    end: float  # where the run ended, ms
    failure: str  # the reason if it failed, else ""


class Panel(NamedTuple):
    """One panel of the figure."""

    name: str
    abcd: tuple[float, float, float, float]
    start: tuple[float, float]  # V(0), mV, and u(0)
    dt: float  # step of the published scheme, ms
    t1: float  # end, ms
    base: float  # constant part of the input
    windows: Windows  # the rest of it, four at most
    behaviour: str  # what the name means
    shown: Callable[[Trace], Any]  # the same as a test
    parabola: tuple[float, float] = (5.0, 140.0)  # k1, k0
    model: jn.NeuronModel = jn.Izhikevich

    @property
    def params(self) -> IzhikevichParams:
        values = (*self.abcd, *self.parabola)
        return jn.Izhikevich.default_params(**dict(zip(("a", "b", "c", "d", "k1", "k0"), values, strict=True)))

    @property
    def state0(self) -> IzhikevichState:
        return IzhikevichState(*map(jnp.asarray, self.start))

    @property
    def current(self) -> Stimulus:
        """Return the input, in one form for all panels: so they are lanes of one program."""
        windows = [*self.windows, *[(0.0, 0.0, 0.0, 0.0)] * (4 - len(self.windows))]
        arrays = [Window(*(jnp.asarray(float(x)) for x in window)) for window in windows]
        return Sum((jn.constant(self.base), *arrays))


def bursts(spikes: Any, gap: float = 12.0) -> list[Any]:
    """Return the spikes in groups, parted where none falls for more than `gap` ms."""
    return np.split(spikes, np.flatnonzero(np.diff(spikes) > gap) + 1) if len(spikes) else []


def only(trace: Trace, after: float, before: float = np.inf, at_least: int = 1) -> bool:
    """Return whether there are spikes, and all of them in this time."""
    s = trace.spikes
    return len(s) >= at_least and bool(np.all((s > after) & (s < before)))


def maxima_after(trace: Trace) -> Any:
    """Return the local maxima of the voltage, mV, after the last spike."""
    v = trace.v[trace.ts > trace.spikes[-1]]
    return v[1:-1][(v[1:-1] > v[:-2]) & (v[1:-1] >= v[2:])]


def tonic(trace: Trace) -> Any:
    last = np.diff(trace.spikes)[-2:]
    return len(last) == 2 and np.ptp(last) < 0.1 * last[-1] and trace.end - trace.spikes[-1] < 1.1 * last[-1]


def mixed(trace: Trace) -> Any:
    sizes = [len(burst) for burst in bursts(trace.spikes)]
    return len(sizes) > 2 and sizes[0] > 1 and set(sizes[1:]) == {1}


def rates(trace: Trace) -> Any:
    """Return 1/interval, Hz; NaN where there is none."""
    return 1e3 / np.diff(trace.spikes) if len(trace.spikes) > 1 else np.array([np.nan])


def after_potential(trace: Trace) -> Any:
    return len(trace.spikes) == 1 and np.any(maxima_after(trace) > -58.0) and trace.v[-1] < -69.0


def panel(
    name: str, abcd: tuple[float, float, float, float], v0: float, dt: float, t1: float, windows: Windows,
    behaviour: str, shown: Callable[[Trace], Any], base: float = 0.0, **fields: Any,
) -> Panel:  # fmt: skip
    start = fields.pop("start", (v0, abcd[1] * v0))  # u(0) = b V(0)
    return Panel(name, abcd, start, dt, t1, base, windows, behaviour, shown, **fields)


INHIBITION = [(5.0, 0.0, -1.0, 50.0), (5.0, 0.0, 250.0, np.inf)]  # on top of 75, which holds at both ends, as printed
INTEGRATOR = (4.1, 108.0)

PANELS = {
    "A": panel("tonic spiking", (0.02, 0.2, -65, 6), -70, 0.25, 100, step(14, 10),
               "fires regularly while the current lasts", tonic),
    "B": panel("phasic spiking", (0.02, 0.25, -65, 6), -64, 0.25, 200, step(0.5, 20),
               "one spike at the onset", lambda r: only(r, 20) and len(r.spikes) == 1),
    "C": panel("tonic bursting", (0.02, 0.2, -50, 2), -70, 0.25, 220, step(15, 22),
               "bursts recur while the current lasts", lambda r: [len(b) > 2 for b in bursts(r.spikes)[:3]] == [True] * 3),
    "D": panel("phasic bursting", (0.02, 0.25, -55, 0.05), -64, 0.2, 200, step(0.6, 20),
               "one burst at the onset", lambda r: only(r, 20, 100, 3) and len(bursts(r.spikes)) == 1),
    "E": panel("mixed mode", (0.02, 0.2, -55, 4), -70, 0.25, 160, step(10, 16),
               "a burst at the onset, then single spikes", mixed),
    "F": panel("spike frequency adaptation", (0.01, 0.2, -65, 8), -70, 0.25, 85, step(30, 8.5),
               "every interval is longer than the one before", lambda r: len(r.spikes) > 2 and np.all(np.diff(r.spikes, 2) > 0)),
    "G": panel("class 1 excitability", (0.02, -0.1, -55, 6), -60, 0.25, 300, ramp(0.075, 30),
               "the rate rises from below 30 Hz, twofold or more", lambda r: rates(r)[0] < min(30, rates(r)[-1] / 2),
               parabola=INTEGRATOR),
    "H": panel("class 2 excitability", (0.2, 0.26, -65, 0), -64, 0.25, 300, ramp(0.015, 30),
               "the rate begins above 40 Hz", lambda r: rates(r)[0] > 40, base=-0.5),
    "I": panel("spike latency", (0.02, 0.2, -65, 6), -70, 0.2, 100, pulses(7.04, 3, 10),
               "one spike, after the pulse has ended", lambda r: only(r, 13) and len(r.spikes) == 1),
    "J": panel("subthreshold oscillations", (0.05, 0.26, -60, 0), -62, 0.25, 200, pulses(2, 5, 20),
               "one spike, then three smaller and smaller maxima of V",
               lambda r: len(r.spikes) == 1 and np.all(np.diff(maxima_after(r)[:3]) < 0) and len(maxima_after(r)) > 2),
    "K": panel("resonator", (0.1, 0.26, -60, -1), -62, 0.25, 400, pulses(0.65, 4, 40, 60, 280, 320),
               "answers the pair of pulses 40 ms apart, not that 20 ms apart", lambda r: only(r, 320)),
    "L": panel("integrator", (0.02, -0.1, -55, 6), -60, 0.25, 100, pulses(9, 2, 100 / 11, 100 / 11 + 5, 70, 80),
               "answers the pair of pulses 5 ms apart, not that 10 ms apart", lambda r: only(r, 100 / 11 + 5, 70),
               parabola=INTEGRATOR),
    "M": panel("rebound spike", (0.03, 0.25, -60, 4), -64, 0.2, 200, pulses(-15, 5, 20),
               "one spike after inhibition", lambda r: only(r, 25) and len(r.spikes) == 1),
    "N": panel("rebound burst", (0.03, 0.25, -52, 0), -64, 0.2, 200, pulses(-15, 5, 20),
               "one burst after inhibition", lambda r: only(r, 25, at_least=3) and len(bursts(r.spikes)) == 1),
    "O": panel("threshold variability", (0.03, 0.25, -60, 4), -64, 0.25, 100, pulses(1, 5, 10, 80) + pulses(-6, 5, 70),
               "a pulse makes a spike only if inhibition went before", lambda r: only(r, 80)),
    "P": panel("bistability", (0.1, 0.26, -60, 0), -61, 0.25, 300, pulses(1, 5, 37.5, 216),
               "one pulse starts the firing, the second stops it", lambda r: only(r, 37.5, 216, 3), base=0.24),
    "Q": panel("depolarising after-potential", (1, 0.2, -60, -21), -70, 0.1, 50, pulses(20, 2, 9),
               "one spike, then a hump of V above -58 mV that decays", after_potential),
    "R": panel("accommodation", (0.02, 1, -55, 4), -65, 0.5, 400, [(0, 1 / 25, 0, 200), (0, 4 / 12.5, 300, 312.5)],
               "answers the steep ramp, not the slow one to twice its height", lambda r: only(r, 300),
               start=(-65, -16), model=Accommodation),
    "S": panel("inhibition-induced spiking", (-0.02, -1, -60, 8), -63.8, 0.5, 350, INHIBITION,
               "spikes while inhibited; silent 10 ms after the end of it", lambda r: only(r, 50, 260, 2), base=75),
    "T": panel("inhibition-induced bursting", (-0.026, -1, -45, -2), -63.8, 0.5, 350, INHIBITION,
               "bursts while inhibited; silent 10 ms after the end of it",
               lambda r: only(r, 50, 260) and [len(b) > 2 for b in bursts(r.spikes)[:2]] == [True] * 2, base=75),
}  # fmt: skip

RETUNED = {
    "P": ("second pulse at 207.5 ms in place of 216 ms", PANELS["P"]._replace(windows=pulses(1, 5, 37.5, 207.5))),
    "Q": ("d = -18.5 in place of -21", PANELS["Q"]._replace(abcd=(1, 0.2, -60, -18.5))),
    "T": ("d = -0.25 in place of -2", PANELS["T"]._replace(abcd=(-0.026, -1, -45, -0.25))),
}
