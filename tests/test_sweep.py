"""Sweeps: every point once, in order, by one compiled tile."""

import builtins

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxneuro as jn
from jaxneuro import RESULTS

# The names are not in alphabetical order, so that sorting them anywhere would show.
GRID = jn.grid(z=[1.0, 2.0, 3.0], a=np.arange(4), m=[10.0, 20.0])
EXPECTED = np.array([[[100 * z + a + 1000 * m for m in (10, 20)] for a in range(4)] for z in (1, 2, 3)])


def combine(p):
    return 100 * p["z"] + p["a"] + 1000 * p["m"]


def chaos(p):
    x = p["z"] / 4.7 + p["a"] * 0.01
    return jax.lax.fori_loop(0, 100, lambda _, x: 3.9 * x * (1 - x) + 1e-3 * jnp.sin(p["m"]), x % 1)


@pytest.mark.parametrize("batch_size", [None, 1, 5, 7, 23, 24, 1000])
def test_every_point_in_argument_order(batch_size):
    assert GRID.shape == (3, 4, 2) and GRID.size == 24 and list(GRID) == ["z", "a", "m"]
    out = jn.sweep(combine, GRID, batch_size=batch_size)
    np.testing.assert_array_equal(out, EXPECTED)


def test_axes_keep_their_dtype():
    grid = jn.grid(i=np.array([1, 2], np.float32), n=[1, 2, 3], key=jax.random.split(jax.random.key(0), 2))
    out = jn.sweep(lambda p: (p["i"], p["n"], jax.random.normal(p["key"])), grid, batch_size=5)
    assert [x.dtype for x in out] == ["float32", "int64", "float64"]
    np.testing.assert_array_equal(out[2][1, 2], jax.vmap(jax.random.normal)(grid["key"]))


@pytest.mark.parametrize("batch_size", [1, 2, 5, 6, 24])
def test_tiles_do_not_change_a_bit(batch_size):
    whole = jax.vmap(
        jax.vmap(jax.vmap(lambda z, a, m: chaos(dict(z=z, a=a, m=m)), (None, None, 0)), (None, 0, None)),
        (0, None, None),
    )
    expected = jax.jit(whole)(*GRID.values())
    assert np.unique(expected).size == 24
    np.testing.assert_array_equal(jn.sweep(chaos, GRID, batch_size=batch_size), expected)


def test_one_compile_for_all_tiles_and_for_the_next_sweep():
    traces = []

    def fn(p):
        traces.append(1)
        return p["z"] * p["m"]

    jn.sweep(fn, GRID, batch_size=5)
    assert len(traces) == 1
    jn.sweep(fn, GRID, batch_size=5)
    jn.sweep(fn, jn.grid(z=[4.0, 5.0, 6.0], a=np.arange(4), m=[1.0, 2.0]), batch_size=5)
    assert len(traces) == 1


def test_pytrees_with_nothing_in_places():
    out = jn.sweep(lambda p: {"v": p["z"] * jnp.arange(2), "none": None, "three": 3.0}, GRID, batch_size=7)
    assert out["none"] is None
    assert (out["v"].shape, out["three"].shape) == ((3, 4, 2, 2), (3, 4, 2))
    np.testing.assert_array_equal(out["v"][2, 0, 0], [0, 3])
    assert np.unique(out["three"]) == 3


def test_solutions_keep_their_type_and_result():
    def run(p):
        params = jn.Izhikevich.default_params(a=p["a"])
        return jn.simulate_grid(jn.Izhikevich, params, p["i"], 100.0, dt=0.1, max_spikes=8)

    grid = jn.grid(i=jnp.linspace(0.0, 30.0, 5), a=[0.02, 0.1])
    out = jn.sweep(run, grid, batch_size=4)
    assert out.states is None and out.spike_times.shape == (5, 2, 8)
    failed = out.result == RESULTS.max_spikes_reached
    assert 0 < failed.sum() < 10
    np.testing.assert_array_equal(failed | (out.result == RESULTS.successful), True)
    single = run({"i": grid["i"][3], "a": grid["a"][1]})
    np.testing.assert_array_equal(out.spike_times[3, 1], single.spike_times)


def test_grid_larger_than_an_int32_needs_no_memory():
    axis = np.arange(2000)
    huge = jn.grid(x=axis, y=axis, z=axis)
    assert huge.size == 8_000_000_000 and sum(a.size for a in huge.values()) == 6000


def test_indices_beyond_an_int32():
    # 2^16 x 2^16 points, too many to sweep here: the last tile, by the program that sweep runs.
    from jaxneuro.sweeps.program import program
    from jaxneuro.sweeps.tiling import Tiling, tile_shape

    huge = jn.grid(x=np.arange(2**16), y=np.arange(2**16))
    tiling = Tiling(huge.shape, tile_shape(huge.shape, 5))
    assert tiling.tile == (1, 5) and tiling.num_tiles == 2**16 * 13108
    last = tiling.num_tiles - 1
    x, y = program(lambda p: (p["x"], p["y"]), huge, tiling, [None]).run([last])[0]
    assert (x.tolist(), y.tolist()) == ([65535] * 5, [65535] * 5)
    assert tiling.box(last) == (slice(65535, 65536), slice(65535, 65536)) and tiling.points([last, last - 1]) == 6


def spikes_to(model, t1, max_spikes):
    params = model.default_params()
    return lambda p: jn.simulate_grid(model, params, p["i"], t1, dt=0.1, max_spikes=max_spikes)


FIRING = spikes_to(jn.LIF, 100.0, 4)


def test_failed_points_are_reported_and_listed(caplog):
    grid = jn.grid(key=jax.random.split(jax.random.key(0), 2), i=np.array([0.0, 2.5, 3.0, 4.0, np.inf]))
    sol = jn.sweep(lambda p: FIRING(p), grid, batch_size=3)
    (record,) = caplog.records
    assert record.name == "jaxneuro" and record.levelname == "WARNING"
    title, *reasons = record.message.splitlines()
    assert title == "sweep: 8 of 10 points failed; jn.failed_points(grid, out) lists them."
    assert reasons[0].startswith(
        "  max_spikes_reached (6) at key = 0, i = 2.5; key = 0, i = 3; key = 0, i = 4; and 3 more. More spikes than max_spikes"
    )
    assert reasons[1].startswith("  bad_stimulus (2) at key = 0, i = inf; key = 1, i = inf. The stimulus is not finite")
    failed = jn.failed_points(grid, sol)
    np.testing.assert_array_equal(failed.coordinates["i"], [2.5, 3.0, 4.0, np.inf] * 2)
    np.testing.assert_array_equal(failed.index, [[k, j] for k in range(2) for j in range(1, 5)])
    assert failed.reason.tolist() == [*["max_spikes_reached"] * 3, "bad_stimulus"] * 2
    np.testing.assert_array_equal(jn.failed_points(grid, sol.result).index, failed.index)
    with pytest.raises(ValueError, match="must hold one jn.RESULTS, e.g. sol.result; it holds 2"):
        jn.failed_points(grid, (sol, sol))
    with pytest.raises(ValueError, match=r"have the shape \(2, 5\), but the grid \(5, 2\)"):
        jn.failed_points(jn.grid(i=np.arange(5), key=np.arange(2)), sol)


def test_success_is_silent(caplog):
    grid = jn.grid(i=[0.0, 1.0])
    sol = jn.sweep(FIRING, grid)
    failed = jn.failed_points(grid, sol)
    assert not caplog.records and failed.index.shape == (0, 1) and failed.coordinates["i"].shape == (0,)


def test_a_function_defined_anew_for_each_call_is_noticed_once(caplog):
    for k in range(5):
        jn.sweep(lambda p: p["z"] + 1, GRID)
        assert len(caplog.records) == (k >= 2)
    assert "test_sweep.py, line" in caplog.text and "Define it once" in caplog.text
    for _ in range(5):  # the same function on other grids is compiled anew, but is no habit
        jn.sweep(combine, jn.grid(z=np.arange(1.0, 2.0 + _), a=[1], m=[1.0]))
    assert len(caplog.records) == 1


def test_a_tile_of_one_point_is_computed_as_others_are():
    lanes = []
    run = jax.custom_batching.custom_vmap(lambda x: x)
    run.def_vmap(lambda size, batched, x: (lanes.append(size), (x, True))[1])
    assert jn.sweep(lambda p: run(p["x"]), jn.grid(x=[1.0, 2.0, 3.0]), batch_size=1).tolist() == [1.0, 2.0, 3.0]
    assert lanes == [2]


@pytest.mark.parametrize("lanes", range(1, 10))
def test_the_number_of_lanes_does_not_change_a_bit(lanes):
    def fn(p):
        x = p["x"]
        return jnp.exp(x) + jnp.sin(x) * jnp.log1p(x) + x**0.3 / (1.1 + jnp.tanh(x)), jnp.cumsum(x * jnp.arange(3.0))

    grid = jn.grid(x=np.random.default_rng(0).uniform(0.1, 3.0, 40))
    for x, y in zip(jn.sweep(fn, grid), jn.sweep(fn, grid, batch_size=lanes), strict=True):
        np.testing.assert_array_equal(x, y)


def test_progress(capsys):
    np.testing.assert_array_equal(jn.sweep(combine, GRID, batch_size=5, progress=True), EXPECTED)
    assert "100%" in capsys.readouterr().err


def test_progress_without_tqdm(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("tqdm"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"needs tqdm: `pip install 'jaxneuro\[experiments\]'`"):
        jn.sweep(combine, GRID, progress=True)


@pytest.mark.parametrize(
    "axes, message",
    [
        ({}, "needs at least one axis"),
        ({"i": []}, r"axis 'i' must be an array \(n,\), n >= 1; its shape is \(0,\)"),
        ({"i": 1.0}, r"axis 'i' .* its shape is \(\)"),
        ({"j": [1.0], "i": np.ones((2, 2))}, r"axis 'i' .* its shape is \(2, 2\)"),
        ({"i": [1.0, np.nan]}, "axis 'i' holds NaN"),
    ],
)
def test_bad_axes(axes, message):
    with pytest.raises(ValueError, match=message):
        jn.grid(**axes)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"batch_size": 0}, "batch_size must be an integer >= 1, or None; it is 0"),
        ({"devices": 0}, "devices must be a number >= 1, .*; it is 0"),
        ({"devices": 99}, r"devices=99, but there .* \d of the platform .cpu. .*configure_cpu\(num_devices=99\)"),
        ({"devices": []}, r"devices=\[\] holds no device"),
        ({"devices": 2 * jax.local_devices()[:1]}, "holds a device twice"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        jn.sweep(combine, GRID, **options)


def test_wrong_use_is_explained():
    with pytest.raises(TypeError, match=r"output\['name'\] is a str: 'a'"):
        jn.sweep(lambda p: {"x": p["z"], "name": "a"}, GRID)
    with pytest.raises(KeyError, match="unknown"):
        jn.sweep(lambda p: p["unknown"], GRID)
    with pytest.raises(TypeError):
        jn.sweep(combine, {"z": [1.0]})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("transform", [jax.jit, jax.grad, jax.vmap])
def test_not_inside_a_transformation(transform):
    x = jnp.ones(3) if transform is jax.vmap else 1.0
    with pytest.raises(TypeError, match="the axis 'i' is traced.*use jax.vmap in place of sweep"):
        transform(lambda x: jn.sweep(lambda p: p["i"], jn.grid(i=jnp.stack([x, x]))).sum())(x)
    with pytest.raises(TypeError, match="loop on the host and cannot run inside jit, vmap or grad: the values"):
        transform(lambda x: jn.sweep(lambda p: p["z"] * x, GRID).sum())(x)
