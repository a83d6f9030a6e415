"""The experiments on networks that learn, at smoke size, and the images they learn from."""

import gzip
import struct
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import written
from sklearn.datasets import load_digits

import jaxneuro as jn
from experiments import digits, images, mnist, xor
from experiments.common import BadInput


@pytest.fixture(scope="module")
def found_xor(tmp_path_factory):
    return xor.main(smoke=True, out=str(tmp_path_factory.mktemp("xor")))


def test_xor(found_xor):
    written(found_xor.folder)
    # About half of all 2-4-1 networks, nearly all 2-16-1: wide bounds for 60 of them.
    named, wide = found_xor.named, found_xor.success[1]
    assert 0.1 < named.low < named.rate < named.high < 0.75
    assert np.max(wide) > 0.9 and np.mean(found_xor.long.learnt) >= named.rate
    assert found_xor.short.loss.shape == (60, 400)


def test_xor_counts_what_numpy_counts(found_xor):
    one, two = found_xor.short.params.layers
    hidden = np.maximum(np.einsum("kij,nj->kni", one.weight, xor.INPUTS) + np.asarray(one.bias)[:, None], 0)
    logits = np.einsum("kni,ki->kn", hidden, np.asarray(two.weight)[:, 0]) + np.asarray(two.bias)
    np.testing.assert_allclose(found_xor.short.logits, logits, rtol=1e-4, atol=1e-5)
    assert np.array_equal(found_xor.short.learnt, np.all((logits > 0) == (xor.LABELS > 0)[None], axis=1))


def test_the_wilson_interval():
    # By hand: n = 100, x = 50, z = 1.96: (0.5 + z^2/200 +- z sqrt(0.25/100 + z^2/40000)) / (1 + z^2/100).
    z2 = 1.959963985**2
    half = np.sqrt(z2 * (0.25 / 100 + z2 / 40000))
    rate = xor.success_rate(np.arange(100) < 50)
    np.testing.assert_allclose(rate, [0.5, *((0.5 + z2 / 200 + s * half) / (1 + z2 / 100) for s in (-1, 1))], rtol=1e-9)


def test_digits(tmp_path):
    found = digits.main(smoke=True, out=str(tmp_path))
    written(found.folder)
    mlp, cnn = found.reports.values()
    assert min(r.accuracy for r in mlp) > 0.9 and min(r.accuracy for r in cnn) > 0.3  # of 30 and 2 epochs
    for report in (*mlp, *cnn):
        right = np.argmax(report.logits, axis=1) == report.labels
        assert report.accuracy == pytest.approx(right.mean()) and np.trace(report.confusion) == right.sum()
        assert report.confusion.sum() == 360


def test_splits_are_stratified_and_share_nothing():
    everything = images.digits()
    source: Any = load_digits()
    np.testing.assert_array_equal(everything.x[..., 0] * 16, source.images)
    train, test = images.split(everything, seed=3)
    assert (len(train.y), len(test.y)) == (1437, 360)
    share = np.bincount(everything.y) * 360 / 1797
    assert np.all(np.abs(np.bincount(test.y) - share) < 1)
    rows = {x.tobytes() for x in train.x} & {x.tobytes() for x in test.x}
    assert len(rows) == 0
    assert not np.array_equal(test.y, images.split(everything, seed=4).test.y)


def test_distortions():
    image = np.zeros((9, 9, 1), np.float32)
    image[4, 2] = 1.0
    still = images.distort(jax.random.key(0), image, shift=0.0, turn=0.0, zoom=0.0)
    np.testing.assert_allclose(still, image, atol=1e-6)
    many = lambda keys, **how: jax.vmap(lambda k: images.distort(k, image, **how))(keys)
    keys = jax.random.split(jax.random.key(1), 200)
    rows, columns = (jnp.arange(9.0)[:, None, None], jnp.arange(9.0)[None, :, None])
    centre = lambda x: (jnp.sum(x * rows[None], (1, 2, 3)) / jnp.sum(x, (1, 2, 3)),
                        jnp.sum(x * columns[None], (1, 2, 3)) / jnp.sum(x, (1, 2, 3)))  # fmt: skip
    # Shifts: the centre of mass moves evenly by up to 1.5 pixels, by exactly the bilinear weights.
    y, x = centre(many(keys, shift=1.5, turn=0.0, zoom=0.0))
    for moved in (y - 4, x - 2):
        assert -1.5 <= moved.min() < -1.3 and 1.3 < moved.max() <= 1.5 + 1e-5 and abs(moved.mean()) < 0.25
    # Turns keep the distance of 2 pixels from the middle (4, 4), zooms change it by their factor.
    y, x = centre(many(keys, shift=0.0, turn=30.0, zoom=0.0))
    np.testing.assert_allclose(np.hypot(y - 4, x - 4), 2, atol=0.2)
    angle = np.rad2deg(np.arctan2(y - 4, 4 - x))
    assert 20 < np.max(np.abs(angle)) < 36 and np.min(angle) < -20
    y, x = centre(many(keys, shift=0.0, turn=0.0, zoom=0.2))
    assert np.allclose(y, 4, atol=1e-5) and 1.55 < np.min(4 - x) < 1.75 and 2.25 < np.max(4 - x) < 2.45
    batch = images.Images(np.stack([image] * 3), np.arange(3))
    out = images.augmentation(1.0, 10.0, 0.1)(jax.random.key(0), batch)
    assert out.x.dtype == np.float32 and not np.allclose(out.x[0], out.x[1]) and np.array_equal(out.y, batch.y)


def write_idx(path, array, code=0x08, compress=False):
    raw = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    raw += array.astype(images.IDX_TYPES[code]).tobytes()
    path.write_bytes(gzip.compress(raw) if compress else raw)
    return raw


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("code, dtype", [(0x08, np.uint8), (0x0B, np.int16), (0x0C, np.int32), (0x0E, np.float64)])
def test_idx_files(tmp_path, code, dtype, compress):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    write_idx(tmp_path / "x", array, code, compress)
    found = images.read_idx(tmp_path / "x")
    assert found.dtype == dtype and np.array_equal(found, array)


def test_cut_or_foreign_idx_files(tmp_path):
    path = tmp_path / "x"
    raw = write_idx(path, np.arange(24).reshape(2, 3, 4))
    for content, message in (
        (raw[:-1], r"is cut: an array \(2, 3, 4\) of uint8 needs 40 bytes, 39 are there"),
        (raw[:10], "is cut: its header needs 16 bytes, 10 are there"),
        (raw + b"x", "is not what its header says"),
        (b"", "is no idx file"),
        (b"\x89PNG\r\n", "is no idx file"),
        (b"\0\0\x07\x01" + raw[4:], "is no idx file"),
        (b"\0\0\x08\x00", "is no idx file"),
        (gzip.compress(raw)[:-9], "cannot be read"),
        (b"\0\0\x08\x01\xff\xff\xff\xff", "is not what its header says"),
    ):
        path.write_bytes(content)
        with pytest.raises(BadInput, match=message):
            images.read_idx(path)
    with pytest.raises(BadInput, match="cannot be read"):
        images.read_idx(tmp_path / "nowhere")


@pytest.fixture
def folder(tmp_path):
    """A small MNIST in the standard files: 40 images to train on, 20 to score."""
    whole = images.mnist_5000()
    for part, index in (("train", slice(0, 5000, 125)), ("t10k", slice(60, 5000, 250))):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", np.round(whole.x[index, ..., 0] * 255), compress=True)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", whole.y[index])
    return tmp_path


def test_a_folder_of_idx_files(folder):
    train, test = images.idx_folder(folder)
    assert train.x.shape == (40, 28, 28, 1) and test.x.shape == (20, 28, 28, 1) and set(train.y) == set(range(10))
    np.testing.assert_array_equal(train.x, images.mnist_5000().x[::125])
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(BadInput, match=r"holds no t10k-labels-idx1-ubyte \(nor"):
        images.idx_folder(folder)


def test_images_and_labels_must_fit(tmp_path):
    x, y = tmp_path / "x", tmp_path / "y"
    good, labels = np.zeros((3, 28, 28)), np.array([1, 2, 3])
    for some, those, message in (
        (np.zeros((3, 8, 8)), labels, r"must hold bytes \(n, 28, 28\), it holds uint8 \(3, 8, 8\)"),
        (good, labels[:2], "one label for each of the 3 images"),
        (good, np.array([1, 2, 10]), "must hold digits 0 to 9, it holds 1 to 10"),
    ):
        write_idx(x, some)
        write_idx(y, those)
        with pytest.raises(BadInput, match=message):
            images.from_idx(x, y)


def test_mnist(folder, tmp_path):
    """Train on a tenth of the 5,000 for two epochs; score on files, and on the own split, with the same network."""
    files: dict[str, Any] = dict(
        test_images=str(folder / "t10k-images-idx3-ubyte.gz"), test_labels=str(folder / "t10k-labels-idx1-ubyte")
    )
    found = mnist.main(smoke=True, out=str(tmp_path / "out"), **files)
    written(found.folder)
    (report,) = found.reports
    assert report.confusion.sum() == 20 and not list((tmp_path / "out").glob("*.checkpoint*"))
    test = images.idx_folder(folder).test
    logits = jax.vmap(lambda x: jn.cnn_apply(found.parameters, x, pool=(2, 2, 2)))(test.x)
    np.testing.assert_allclose(report.logits, logits, rtol=1e-4, atol=1e-5)
    with pytest.raises(BadInput, match="belong together"):
        mnist.main(smoke=True, out=str(tmp_path / "out"), test_images="x")
