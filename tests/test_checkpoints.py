"""Checkpoints: a killed run goes on bit for bit; what is damaged or of another run is refused."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import assert_bitwise, read_events

import jaxneuro as jn
from jaxneuro.train import checkpoint

KEY = jax.random.key(2)
DATA = np.asarray(jax.random.normal(KEY, (50, 4))), np.arange(50) % 3
LOSS = jn.losses.classification(lambda p, x, key: jn.mlp_apply(p, x, dropout_rate=0.2, key=key))


def train(path, num_epochs=6, **options):
    params = jn.mlp_init(KEY, (4, 8, 3))
    settings: dict[str, Any] = dict(
        key=KEY, optimizer=optax.adam(0.03), num_epochs=num_epochs, batch_size=16, validation=DATA, l2=1e-4
    )
    return jn.fit(LOSS, params, DATA, checkpoint=path, **(settings | options))


@pytest.mark.parametrize("every", [1, 4, 100])
def test_a_run_goes_on_bit_for_bit(tmp_path, every):
    unbroken = train(None)
    path = tmp_path / "deep" / "run.ckpt"
    train(path, num_epochs=3, checkpoint_every=every)
    assert_bitwise(train(path, checkpoint_every=every), unbroken)
    before = path.read_bytes()
    assert_bitwise(train(path), unbroken)  # nothing left to do
    assert path.read_bytes() == before


def test_early_stopping_goes_on_and_stays_stopped(tmp_path):
    options: dict[str, Any] = dict(patience=2, optimizer=optax.sgd(3.0), num_epochs=40)
    unbroken = train(None, **options)
    assert 2 < unbroken[1].num_epochs < 40
    path = tmp_path / "run.ckpt"
    train(path, **(options | dict(num_epochs=int(unbroken[1].num_epochs) - 1)))
    assert_bitwise(train(path, **options), unbroken)
    assert_bitwise(train(path, **options), unbroken)


def test_a_failure_is_kept(tmp_path):
    path = tmp_path / "run.ckpt"
    runs = []
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match="Training stopped at step"):
            runs.append(train(path, optimizer=optax.sgd(1e200)))
    assert_bitwise(*runs)


def test_logs_go_on_without_holes_or_doubled_rows(tmp_path, monkeypatch):
    files = dict(csv_file=tmp_path / "run.csv", tensorboard=tmp_path / "events")
    _, history = train(None)
    train(tmp_path / "run.ckpt", num_epochs=2, **files)

    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoint, "save", killed)  # after the logs of the third epoch
        train(tmp_path / "run.ckpt", **files)
    train(tmp_path / "run.ckpt", **files)
    table = np.genfromtxt(tmp_path / "run.csv", delimiter=",", names=True)
    assert table["epoch"].tolist() == [0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(table["validation_accuracy"], history.validation["accuracy"])
    # Event files are only appended to; a later value of a step replaces an earlier one.
    events = {step: value for step, tag, value in read_events(tmp_path / "events") if tag == "validation/loss"}
    np.testing.assert_allclose([events[k] for k in range(6)], history.validation["loss"], rtol=1e-6)


def test_half_precision_goes_on_too(tmp_path):
    params = {"w": jnp.ones(3, jnp.bfloat16), "act": jnp.tanh, "name": "net"}
    loss = lambda p, batch, key: jnp.mean(p["act"](batch.astype(jnp.bfloat16) @ p["w"]))
    options: dict[str, Any] = dict(key=KEY, optimizer=optax.adam(0.1), batch_size=7)
    run = lambda path, n: jn.fit(loss, params, DATA[0][:, :3], num_epochs=n, checkpoint=path, **options)
    run(tmp_path / "run.ckpt", 2)
    assert_bitwise(run(tmp_path / "run.ckpt", 4)[0]["w"], run(None, 4)[0]["w"])


# The script that is killed: at the n-th checkpoint, at a point of `save`.
SCRIPT = """
import os, signal, sys
import jax
import numpy as np
jax.config.update("jax_enable_x64", True)
sys.path.insert(0, sys.argv[1])
from test_checkpoints import train
from jaxneuro import files

path, out, point, number = sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5])
calls = 0
real = {"fsync": os.fsync, "replace": os.replace}

def killing(name, before):
    def call(*args):
        global calls
        calls += 1
        if calls == number and before:
            os.kill(os.getpid(), signal.SIGKILL)
        real[name](*args)
        if calls == number:
            os.kill(os.getpid(), signal.SIGKILL)
    return call

class Half:  # a file whose second write stops in the middle
    def __init__(self, file): self.file, self.writes = file, 0
    def __enter__(self): self.file.__enter__(); return self
    def __exit__(self, *args): return self.file.__exit__(*args)
    def __getattr__(self, name): return getattr(self.file, name)
    def write(self, content):
        global calls
        self.writes += 1
        if self.writes == 2:
            calls += 1
            if calls == number:
                self.file.write(content[: len(content) // 2]); self.file.flush()
                os.kill(os.getpid(), signal.SIGKILL)
        return self.file.write(content)

if point == "half":
    files.open = lambda *args: Half(open(*args))
elif point in ("before", "after"):
    os.replace = killing("replace", point == "before")
params, _ = train(path)
np.savez(out, *jax.tree.leaves(params))
"""


def run_script(path, out, point="none", number=0):
    tests = str(Path(__file__).parent)
    environment = {**os.environ, "XLA_FLAGS": os.environ.get("XLA_FLAGS", "")}
    command = [sys.executable, "-c", SCRIPT, tests, str(path), str(out), point, str(number)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def epochs_in(path):
    return json.loads(json.loads(path.read_bytes().partition(b"\n")[0])["fields"])["epochs"]


def test_a_run_killed_while_it_writes_goes_on_bit_for_bit(tmp_path):
    path, out = tmp_path / "run.ckpt", tmp_path / "end.npz"
    reached = []
    for point, number in (("half", 1), ("half", 2), ("before", 1), ("after", 1)):
        done = run_script(path, out, point, number)
        assert done.returncode == -signal.SIGKILL, done.stderr
        reached.append(epochs_in(path) if path.exists() else 0)
        assert (tmp_path / "run.ckpt.part").exists() == (point != "after")
    # Killed in the first write, in the second one, before a move, after a move.
    assert reached == [0, 1, 1, 2]
    done = run_script(path, out)
    assert done.returncode == 0, done.stderr
    with np.load(out) as found:
        assert_bitwise([found[name] for name in found.files], jax.tree.leaves(train(None)[0]))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("written") / "run.ckpt"
    train(path, num_epochs=2)
    return path.read_bytes()


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda raw: b"", "is no 'jaxneuro training checkpoint 1'"),
        (lambda raw: b"PK\x03\x04 some other file", "is no 'jaxneuro training checkpoint 1'"),
        (lambda raw: b"[1, 2]\n", "is no 'jaxneuro training checkpoint 1'"),
        (lambda raw: raw[:-1], r"is damaged: \d+ bytes were written, \d+ are there"),
        (lambda raw: raw[: len(raw) // 2], "is damaged"),
        (lambda raw: raw[:-9] + bytes([raw[-9] ^ 1]) + raw[-8:], "is damaged"),
        (lambda raw: raw + b"x", "is damaged"),
        (lambda raw: raw[:40], "is no 'jaxneuro training checkpoint 1'"),
    ],
)
def test_damaged_checkpoints_are_refused(tmp_path, written, damage, message):
    path = tmp_path / "run.ckpt"
    path.write_bytes(damage(written))
    with pytest.raises(jn.CheckpointError, match=message + ".*Remove it to start anew, or pass another path"):
        train(path)
    assert path.read_bytes() == damage(written)  # left as it was found


@pytest.mark.parametrize(
    "change",
    [
        lambda about, fields: about.pop("length"),
        lambda about, fields: about.pop("fields"),
        lambda about, fields: about.update(fields=[1]),
        lambda about, fields: fields.update(epochs=10**15),
        lambda about, fields: fields.update(columns={}),
        lambda about, fields: fields.update(run=[]),
    ],
)
def test_damaged_headers_are_refused(tmp_path, written, change):
    first, _, content = written.partition(b"\n")
    about = json.loads(first)
    fields = json.loads(about["fields"])
    change(about, fields)
    if isinstance(about.get("fields"), str):
        about["fields"] = json.dumps(fields)
    (tmp_path / "run.ckpt").write_bytes(json.dumps(about).encode() + b"\n" + content)
    with pytest.raises(jn.CheckpointError, match="is damaged|is no 'jaxneuro"):
        train(tmp_path / "run.ckpt")
    with pytest.raises(jn.CheckpointError, match="is no file"):
        train(tmp_path)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(batch_size=10), "its batch_size was 16, here it is 10"),
        (dict(key=jax.random.key(3)), "its key was "),
        (dict(validation=None), "its validation was"),
        (dict(validation=(DATA[0] + 1, DATA[1])), "its validation was .*checksum"),
        (dict(l2=1e-3), "its l2 was"),
        (dict(optimizer=optax.sgd(0.1)), "its state of the optimizer was"),
        (dict(patience=3), "its patience was None, here it is 3"),
    ],
)
def test_checkpoints_of_other_runs_are_refused(tmp_path, written, options, message):
    path = tmp_path / "run.ckpt"
    path.write_bytes(written)
    with pytest.raises(jn.CheckpointError, match="is of another run: " + message):
        train(path, **options)


def test_other_networks_and_fewer_epochs_are_refused(tmp_path, written):
    path = tmp_path / "run.ckpt"
    path.write_bytes(written)
    settings: dict[str, Any] = dict(
        key=KEY, optimizer=optax.adam(0.03), num_epochs=6, batch_size=16, validation=DATA, l2=1e-4
    )
    for params in (jn.mlp_init(KEY, (4, 9, 3)), jn.mlp_init(jax.random.key(8), (4, 8, 3))):
        with pytest.raises(jn.CheckpointError, match="its parameters at the start was .* here it is"):
            jn.fit(LOSS, params, DATA, checkpoint=path, **settings)
    with pytest.raises(ValueError, match="holds 2 epochs, more than num_epochs=1"):
        train(path, num_epochs=1)


def test_random_keys_inside_an_optimizer_are_stored(tmp_path):
    optimizer = optax.chain(optax.add_noise(0.01, 0.5, jax.random.key(0)), optax.sgd(0.1))
    train(tmp_path / "run.ckpt", num_epochs=2, optimizer=optimizer)
    assert_bitwise(train(tmp_path / "run.ckpt", optimizer=optimizer)[0], train(None, optimizer=optimizer)[0])
