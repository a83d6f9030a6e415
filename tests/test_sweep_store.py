"""Stored sweeps: labelled, the same as in memory, gone on with to the byte, refused where they are of something else."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from helpers import assert_bitwise, contents

import jaxneuro as jn
from jaxneuro.sweeps.identity import digest
from jaxneuro.sweeps.journal import Journal
from jaxneuro.sweeps.program import program
from jaxneuro.sweeps.store import Store
from jaxneuro.sweeps.tiling import Tiling

GRID = jn.grid(z=[1.0, 2.0, 3.0], a=np.arange(4), m=[10.0, 20.0])
BATCH = 4  # tiles (1, 2, 2): six of them


def outputs(p):
    return {
        "pair": (p["z"] + p["a"], p["m"] > 10),
        "trace": p["z"] * jnp.arange(3.0),
        "zero": -0.0 * p["m"],
        "none": None,
        "empty": jnp.int16(-1),  # what is not written reads as this
        "wave": jnp.exp(1j * p["z"]),
        "small": jnp.uint8(p["a"]),
        "half": p["z"].astype(jnp.float16),
    }


def square(p):
    return p["z"] * p["z"] + p["a"]


@pytest.fixture
def writes(monkeypatch):
    """The tiles written, in order; `stop` ends the run after so many."""
    numbers = []
    real = Store.write

    def write(self, number, values):
        if len(numbers) == write.stop:
            raise KeyboardInterrupt
        real(self, number, values)
        numbers.append(number)

    write.stop = None
    monkeypatch.setattr(Store, "write", write)
    return numbers, lambda stop: setattr(write, "stop", stop)


def test_a_store_holds_what_memory_would(tmp_path):
    store = tmp_path / "deep" / "sweep"
    stored = jn.sweep(outputs, GRID, store=store, batch_size=BATCH)
    assert_bitwise(stored, jn.sweep(outputs, GRID))
    assert stored["zero"].nchunks_initialized == stored["empty"].nchunks_initialized == 6
    assert np.all(np.signbit(stored["zero"][...]))
    assert not (store / ".jaxneuro").exists()
    before = contents(store)
    assert_bitwise(jn.sweep(outputs, GRID, store=str(store)), stored)  # nothing left to do
    assert contents(store) == before


def test_xarray_shows_labels_units_and_origin(tmp_path):
    def run(p):
        params = jn.Izhikevich.default_params(a=p["a"])
        saveat = jnp.array([1.0, 2.0, 50.0])
        return jn.simulate_grid(jn.Izhikevich, params, p["i"], 100.0, dt=0.5, max_spikes=8, saveat=saveat)

    grid = jn.grid(i=jnp.linspace(0.0, 30.0, 5), a=[0.02, 0.1])
    out = jn.sweep(run, grid, store=tmp_path, batch_size=4, units={"i": "1", "spike_times": "ms", "states.v": "mV"})
    data = xr.open_zarr(tmp_path)  # warnings are errors here
    assert dict(data.sizes) == {"i": 5, "a": 2, "spikes": 8, "times": 3}
    np.testing.assert_array_equal(data.i, grid["i"])
    np.testing.assert_array_equal(data["final_state.v"].sel(i=15.0, a=0.1), np.asarray(out.final_state.v)[2, 1])
    assert data.spike_times.dims == ("i", "a", "spikes") and data["states.v"].dims == ("i", "a", "times")
    assert (data.i.units, data.spike_times.units, data["states.v"].units) == ("1", "ms", "mV")
    assert data.spike_times.dtype == "float64" and "units" not in data.num_spikes.attrs
    names = dict(zip(data.result.flag_meanings.split(), data.result.flag_values, strict=True))
    failed = np.asarray(data.result) == names["max_spikes_reached"]
    np.testing.assert_array_equal(failed, out.result == jn.RESULTS.max_spikes_reached)
    assert 0 < failed.sum() < 10
    assert data.attrs["complete"] == 1 and data.attrs["function"].endswith("run")
    assert data.attrs["jax_version"] == jax.__version__ and data.attrs["platform"] == "cpu"


def test_names_of_outputs_and_axes_of_keys(tmp_path):
    keys = jn.grid(key=jax.random.split(jax.random.key(0), 3))
    draw = lambda p: jax.random.normal(p["key"], (2,))
    np.testing.assert_array_equal(
        jn.sweep(draw, keys, store=tmp_path / "a"), jax.vmap(jax.random.normal, (0, None))(keys["key"], (2,))
    )
    data = xr.open_zarr(tmp_path / "a")
    assert data.out.dims == ("key", "out_dim_0") and data.key_data.dims == ("key", "key_word")
    jn.sweep(lambda p: (p["z"], {"x": p["m"]}), GRID, store=tmp_path / "b")
    assert set(xr.open_zarr(tmp_path / "b")) == {"out.0", "out.1.x"}


def test_a_stopped_sweep_goes_on(tmp_path, writes):
    numbers, stop = writes
    unbroken = jn.sweep(outputs, GRID, store=tmp_path / "whole", batch_size=BATCH)
    numbers.clear()
    stop(2)
    with pytest.raises(KeyboardInterrupt):
        jn.sweep(outputs, GRID, store=tmp_path / "s", batch_size=BATCH)
    partly = xr.open_zarr(tmp_path / "s")  # an unfinished store can be looked at, without a warning
    assert partly.attrs["complete"] == 0 and np.isnan(partly["pair.0"]).sum() == 16
    stop(None)
    assert_bitwise(jn.sweep(outputs, GRID, store=tmp_path / "s"), unbroken)  # batch_size: that of the store
    assert numbers == [0, 1, 2, 3, 4, 5]
    assert contents(tmp_path / "s") == contents(tmp_path / "whole")


def test_progress_counts_what_is_there_and_failures_are_remembered(tmp_path, writes, capsys, caplog):
    _, stop = writes
    stop(2)
    params = jn.LIF.default_params()
    fn = lambda p: jn.simulate_grid(jn.LIF, params, p["m"], 100.0, dt=0.5, max_spikes=1)
    with pytest.raises(KeyboardInterrupt):
        jn.sweep(fn, GRID, store=tmp_path, batch_size=BATCH)
    stop(None)
    capsys.readouterr()
    jn.sweep(fn, GRID, store=tmp_path, progress=True)
    bar = capsys.readouterr().err
    assert " 33%" in bar and " 8.00/24.0" in bar and "100%" in bar and "point/s" in bar
    (record,) = caplog.records
    assert (
        "24 of 24 points failed" in record.message and "at z = 1, a = 0, m = 10; z = 1, a = 0, m = 20" in record.message
    )
    import zarr

    failed = jn.failed_points(GRID, zarr.open_group(tmp_path, mode="r")["result"])
    np.testing.assert_array_equal(failed.index, np.argwhere(np.ones(GRID.shape)))


def test_what_a_power_cut_leaves_is_computed_again(tmp_path, writes):
    numbers, stop = writes
    jn.sweep(square, GRID, store=tmp_path / "whole", batch_size=BATCH)
    store = tmp_path / "s"
    numbers.clear()
    stop(5)
    with pytest.raises(KeyboardInterrupt):
        jn.sweep(square, GRID, store=store, batch_size=BATCH)
    (store / "out" / "c.0.0.0").unlink()  # noted, but the chunk is gone
    (store / "out" / "c.1.0.0").write_bytes(b"torn")
    (store / "out" / "c.1.1.0").write_bytes((store / "out" / "c.0.1.0").read_bytes())
    (store / "out" / "c.0.0.1.partial").write_bytes(b"to")
    notes = store / ".jaxneuro" / "done-0"
    notes.write_bytes(notes.read_bytes()[:-3])  # the last note, too, is torn
    numbers.clear()
    stop(None)
    jn.sweep(square, GRID, store=store, batch_size=BATCH)
    assert numbers == [0, 2, 3, 4, 5]
    assert contents(store) == contents(tmp_path / "whole")


def begin(tmp_path):
    """A store that was stopped after its first tile."""
    with pytest.MonkeyPatch.context() as patch:
        real = Store.write

        def write(self, number, values):
            real(self, number, values)
            raise KeyboardInterrupt

        patch.setattr(Store, "write", write)
        with pytest.raises(KeyboardInterrupt):
            jn.sweep(square, GRID, store=tmp_path, batch_size=BATCH, units={"out": "mV"})


OTHER_AXES = [
    (dict(z=[1.0, 2.0, 3.0], m=[10.0, 20.0], a=np.arange(4)), "its axes are z, a, m, here they are z, m, a"),
    (dict(z=[1.0, 2.0], a=np.arange(4), m=[10.0, 20.0]), "its axis 'z' has 3 values, here it has 2"),
    (
        dict(z=[1.0, 2.5, 3.0], a=np.arange(4), m=[10.0, 20.0]),
        r"'z' has other values, the first at \[1\]: .*2.0.*, here .*2.5",
    ),
    (dict(z=[1.0, 2.0, 3.0], a=np.arange(4.0), m=[10.0, 20.0]), "its axis 'a' is int64, here it is float64"),
]


def test_stores_of_other_sweeps_are_refused(tmp_path, monkeypatch):
    begin(tmp_path)
    before = contents(tmp_path)

    def refused(message, fn=square, grid=GRID, **options):
        with pytest.raises(jn.StoreError, match=message):
            jn.sweep(fn, grid, store=tmp_path, **options)

    for axes, message in OTHER_AXES:
        refused(message + ".*Remove it to start anew, or pass another path", grid=jn.grid(**axes))
    refused(r"tiles of 4 points .*batch_size=24 makes \(3, 4, 2\). Pass batch_size=4, or None", batch_size=24)
    refused("its outputs are out, here they are x", lambda p: {"x": square(p)})
    refused(
        r"its output 'out' is float64\[3, 4, 2\], here it is float64\[3, 4, 2, 2\]", lambda p: square(p) * jnp.ones(2)
    )
    refused(r"is float64\[3, 4, 2\], here it is float32", lambda p: square(p).astype(jnp.float32))
    refused("its function test_sweep_store.square is another program than .*<lambda>", lambda p: square(p) + 1e-15)
    refused("the unit of its 'out' is 'mV', here it is 'V'", units={"out": "V"})
    monkeypatch.setattr("jaxneuro.sweeps.identity.version", lambda name: "0")
    refused("its jax_version is '.*', here it is '0'")
    monkeypatch.undo()
    for name, content in before.items():
        if not name.startswith(".jaxneuro"):
            assert (tmp_path / name).read_bytes() == content
    jn.sweep(lambda p: p["z"] * p["z"] + p["a"], GRID, store=tmp_path)  # the same program under another name goes on


def test_programs_differ_in_what_they_close_over(tmp_path):
    table = np.arange(2000.0)
    closing = lambda x, table: lambda p: p["z"] * x + jnp.asarray(table)[p["a"]]
    jn.sweep(closing(1 / 3, table), GRID, store=tmp_path)
    jn.sweep(closing(1 / 3, table.copy()), GRID, store=tmp_path)
    for other in (closing(np.nextafter(1 / 3, 1), table), closing(1 / 3, table + 1e-12 * (np.arange(2000) == 1500))):
        with pytest.raises(jn.StoreError, match="closes over other values"):
            jn.sweep(other, GRID, store=tmp_path)
    carried = lambda x: jax.tree_util.Partial(lambda x, p: p["z"] * x, jnp.asarray(x))
    jn.sweep(carried(2.0), GRID, store=tmp_path / "carried")
    with pytest.raises(jn.StoreError, match="closes over other values"):
        jn.sweep(carried(3.0), GRID, store=tmp_path / "carried")


PARAMS = jn.LIF.default_params()


def spike_times(p):
    sol = jn.simulate(jn.LIF, PARAMS, p["i"], 10.0, max_spikes=4)
    return sol.spike_times, sol.result


def digest_here():
    found = program(spike_times, jn.grid(i=[1.0, 2.0, 3.0]), Tiling((3,), (3,)), [None])
    return digest(found.jaxpr, found.arrays)


@pytest.mark.slow
def test_the_program_is_known_again_in_another_process():
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import conftest, test_sweep_store as t; print(t.digest_here())"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent)]
    digests = set()
    for seed in "1", "2":
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        digests.add(done.stdout.strip())
    assert len(digests) == 1 and len(digests.pop()) == 64


def test_a_store_in_use_is_refused(tmp_path):
    begin(tmp_path)
    for process, name in ((0, "0"), (3, "3")):  # the process that began it, or one that outlived it
        (tmp_path / ".jaxneuro" / f"lock-{name}").touch()
        holder = Journal(tmp_path, process)
        holder.lock()
        with pytest.raises(
            jn.StoreError, match=rf"being written by another sweep \(pid {os.getpid()} on .*\). Wait until"
        ):
            jn.sweep(square, GRID, store=tmp_path)
        holder.close()
    jn.sweep(square, GRID, store=tmp_path)


def test_folders_that_are_no_store_are_left_alone(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("x")
    (tmp_path / "group").mkdir()
    (tmp_path / "group" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    before = contents(tmp_path)
    for name, message in (
        ("file", "is a file"),
        ("other", "holds other files"),
        ("group", "holds no sweep of jaxneuro"),
    ):
        with pytest.raises(jn.StoreError, match=message):
            jn.sweep(square, GRID, store=tmp_path / name)
    with pytest.raises(TypeError, match="must be the path of a folder, or None; it is 3"):
        jn.sweep(square, GRID, store=3)
    assert contents(tmp_path) == before


def test_a_complete_store_is_read_only(tmp_path):
    whole = jn.sweep(square, GRID, store=tmp_path)
    tmp_path.chmod(0o555)
    again = jn.sweep(square, GRID, store=tmp_path)
    tmp_path.chmod(0o755)
    assert_bitwise(again, whole)
    with pytest.raises(Exception, match="read-only|read only"):
        again[0, 0, 0] = 1.0


def noisy(p):
    """Two tiles that compress to nothing, and one that does not."""
    return jnp.where(p["n"] < 2, 0.0, jax.random.normal(jax.random.key(p["n"]), (4000,)))


def test_a_full_disk_keeps_what_is_finished(tmp_path, writes):
    numbers, _ = writes
    grid = jn.grid(n=np.arange(5))
    jn.sweep(noisy, grid, store=tmp_path / "whole", batch_size=1)
    numbers.clear()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_000, hard))
    try:
        with pytest.raises(OSError, match=r"The store .*/s could not be written .*File too large.* finished are kept"):
            jn.sweep(noisy, grid, store=tmp_path / "s", batch_size=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert numbers == [0, 1]
    jn.sweep(noisy, grid, store=tmp_path / "s")
    assert numbers == [0, 1, 2, 3, 4] and contents(tmp_path / "s") == contents(tmp_path / "whole")


def test_what_a_store_cannot_hold_is_refused(tmp_path):
    def refused(kind, message, fn, grid=GRID, **options):
        with pytest.raises(kind, match=message):
            jn.sweep(fn, grid, store=tmp_path, **options)

    refused(
        TypeError,
        "'out' is of the dtype bfloat16, which a Zarr store cannot hold",
        lambda p: p["z"].astype(jnp.bfloat16),
    )
    refused(TypeError, "'z' is of the dtype bfloat16", square, jn.grid(z=jnp.ones(2, jnp.bfloat16), a=[1]))
    refused(ValueError, "'z' is also an axis of the grid: rename it", lambda p: {"z": p["z"]})
    refused(ValueError, "'a/b' is not allowed", lambda p: {"a/b": p["z"]})
    refused(ValueError, "'a.b' is there twice", lambda p: {"a.b": p["z"], "a": {"b": p["z"]}})
    refused(ValueError, "fn returns no array", lambda p: None)
    refused(ValueError, r"units names \['i'\], but there are the axes \['z', 'a', 'm'\]", square, units={"i": "nA"})
    with pytest.raises(ValueError, match="pass store=... too"):
        jn.sweep(square, GRID, units={"z": "nA"})
    assert not [p for p in tmp_path.iterdir() if p.name != ".jaxneuro"]
    jn.sweep(square, GRID, store=tmp_path)


@pytest.mark.parametrize("transform", [jax.jit, jax.grad])
def test_not_inside_a_transformation(tmp_path, transform):
    with pytest.raises(TypeError, match="cannot run inside jit, vmap or grad"):
        transform(lambda x: jn.sweep(lambda p: p["z"] * x, GRID, store=tmp_path).sum())(1.0)


def killed(tmp_path, *arguments):
    script = Path(__file__).with_name("sweep_killed.py")
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache")}
    environment |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    command = [sys.executable, str(script), str(tmp_path / "store"), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.split() for line in done.stdout.splitlines()]


def test_a_killed_sweep_ends_with_the_same_bytes(tmp_path):
    # In a file of the creation, before the root appears, in a chunk, in a note, before the store is marked as complete.
    *runs, (whole, kills, ends) = killed(tmp_path, "0", "0", "put:4", "move:9", "put:14", "note:3", "move:110")
    assert [int(written) for _, written in runs[:-1]] == [-1] * 5
    assert (whole, kills, ends) == ("30", "5", "1")
    assert runs[-1] == ["none", "0"]  # all tiles were there


@pytest.mark.slow
def test_a_sweep_killed_twenty_times_ends_with_the_same_bytes(tmp_path):
    *_, (_, kills, ends) = killed(tmp_path, "20", "1")
    assert int(kills) >= 20 and int(ends) >= 1


def test_metadata_are_plain_json(tmp_path):
    jn.sweep(square, GRID, store=tmp_path, batch_size=BATCH)
    root = json.loads((tmp_path / "zarr.json").read_text())
    assert root["attributes"]["axes"] == ["z", "a", "m"] and root["attributes"]["tile_shape"] == [1, 2, 2]
