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
    x, y = program(lambda p: (p["x"], p["y"]), huge, tiling, None).run([last])
    assert (x[0].tolist(), y[0].tolist()) == ([65535] * 5, [65535] * 5)
    assert tiling.box(last) == (slice(65535, 65536), slice(65535, 65536)) and tiling.points([last, last - 1]) == 6


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
