"""Networks: against NumPy and SciPy written out, their gradients against central differences, their refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.signal import correlate2d

import jaxneuro as jn
from jaxneuro.nets import ACTIVATIONS, Layer, MLPParams
from jaxneuro.nets.layers import dropout

KEY = jax.random.key(3)


def random_like(key, params):
    """Draw all leaves anew, so that biases are not zero."""
    leaves, treedef = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    return treedef.unflatten([jax.random.normal(k, x.shape, x.dtype) for k, x in zip(keys, leaves, strict=True)])


@pytest.mark.parametrize("sizes", [(3, 2), (2, 4, 1), (5, 7, 6, 4, 3)])
def test_mlp_is_w_x_plus_b(sizes):
    params = random_like(KEY, jn.mlp_init(KEY, sizes))
    x = np.linspace(-1.0, 2.0, sizes[0])
    y = x
    for k, (w, b) in enumerate(params.layers):
        y = np.asarray(w) @ y + np.asarray(b)
        y = 1 / (1 + np.exp(-y)) if k + 1 < len(params.layers) else y
    np.testing.assert_allclose(jn.mlp_apply(params, x, jax.nn.sigmoid), y, rtol=1e-13)
    np.testing.assert_allclose(jn.mlp_apply(params, x, "sigmoid"), y, rtol=1e-13)


def conv_by_hand(x, w, b, pool):
    """Convolution with SciPy, ReLU, maximum over windows by a loop."""
    height, width, _ = x.shape
    maps = [sum(correlate2d(x[..., i], w[:, :, i, o], "same") for i in range(x.shape[2])) + b[o] for o in range(len(b))]
    y = np.maximum(np.stack(maps, axis=-1), 0)
    rows = [
        [y[i : i + pool, j : j + pool].max((0, 1)) for j in range(0, width, pool)] for i in range(0, height, pool)
    ]  # fmt: skip
    return np.array(rows)


@pytest.mark.parametrize("shape, pool, kernel", [((8, 6, 2), 2, 3), ((7, 9, 1), (2, 3), 5), ((5, 5, 3), 1, 3)])
def test_cnn_against_scipy(shape, pool, kernel):
    params = random_like(KEY, jn.cnn_init(KEY, shape, (4, 3), (6, 5), kernel_size=kernel, pool=pool))
    x = np.asarray(jax.random.normal(KEY, shape))
    y = x
    for (w, b), step in zip(params.convs, pool if isinstance(pool, tuple) else (pool, pool), strict=True):
        y = conv_by_hand(y, np.asarray(w), np.asarray(b), step)
    (w1, b1), (w2, b2) = (tuple(map(np.asarray, layer)) for layer in params.layers)
    y = w2 @ np.maximum(w1 @ y.ravel() + b1, 0) + b2
    np.testing.assert_allclose(jn.cnn_apply(params, x, pool=pool), y, rtol=1e-11)


@pytest.mark.parametrize("kernel", [(2, 2), (4, 3), (1, 6)])
def test_kernels_of_even_size_pad_as_jax_does(kernel):
    params = random_like(KEY, jn.cnn_init(KEY, (5, 7, 2), (3,), (4,), kernel_size=kernel, pool=1))
    x = jax.random.normal(KEY, (5, 7, 2))
    (weight, bias), (head,) = params.convs[0], params.layers
    y = jax.lax.conv_general_dilated(x[None], weight, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))[0]
    expected = head.weight @ jax.nn.relu(y + bias[None, None]).ravel() + head.bias
    np.testing.assert_allclose(jn.cnn_apply(params, x, pool=1), expected, rtol=1e-12)


def test_pixels_that_share_the_maximum_share_the_gradient():
    image = jnp.ones((5, 5, 1))
    params = jn.cnn_init(KEY, (5, 5, 1), (1,), (1,), kernel_size=1, pool=3, bias_init=jax.nn.initializers.zeros)
    ones = jax.tree.map(jnp.ones_like, params)
    grad = jax.grad(lambda x: jn.cnn_apply(ones, x, pool=3)[0])(image)
    np.testing.assert_allclose([grad[:3, :3].sum(), grad[3:, 3:].sum(), grad.sum()], [1, 1, 4], rtol=1e-12)


@pytest.mark.parametrize("activation", ["tanh", "softplus", jnp.sin])
def test_gradients_against_central_differences(activation):
    x = jax.random.normal(KEY, (4,))
    mlp = random_like(KEY, jn.mlp_init(KEY, (4, 5, 5, 3)))
    check_grads(lambda p, x: jn.mlp_apply(p, x, activation), (mlp, x), order=1, rtol=1e-6, atol=1e-6)
    check_grads(lambda p: jn.mlp_apply(p, x, activation), (mlp,), order=2, rtol=1e-5, atol=1e-5)  # a difference of one
    image = jax.random.normal(KEY, (4, 5, 1))
    cnn = random_like(KEY, jn.cnn_init(KEY, (4, 5, 1), (2,), (3,)))
    check_grads(lambda p, x: jn.cnn_apply(p, x, activation), (cnn, image), order=1, rtol=1e-6, atol=1e-6)


def test_all_named_activations():
    params = random_like(KEY, jn.mlp_init(KEY, (2, 3, 1)))
    for name, sigma in ACTIVATIONS.items():
        assert jn.mlp_apply(params, jnp.ones(2), name) == jn.mlp_apply(params, jnp.ones(2), sigma)


def test_init_draws_what_the_initialiser_says():
    wide = jn.mlp_init(KEY, (2000, 500, 3))
    assert [layer.weight.shape for layer in wide.layers] == [(500, 2000), (3, 500)]
    # He et al.: variance 2 / fan_in, over 10^6 weights; the fan is that of the inputs also for other initialisers.
    np.testing.assert_allclose(np.var(wide.layers[0].weight), 2 / 2000, rtol=0.01)
    lecun = jn.mlp_init(KEY, (2000, 500), weight_init=jax.nn.initializers.lecun_normal())
    np.testing.assert_allclose(np.var(lecun.layers[0].weight), 1 / 2000, rtol=0.01)
    cnn = jn.cnn_init(KEY, (28, 28, 1), (64, 256), (10,), bias_init=jax.nn.initializers.ones)
    np.testing.assert_allclose(np.var(cnn.convs[1].weight), 2 / (9 * 64), rtol=0.02)
    assert cnn.layers[0].weight.shape == (10, 7 * 7 * 256) and np.all(cnn.convs[0].bias == 1)
    same = jn.mlp_init(KEY, (4, 4, 4, 4))
    assert not np.any(same.layers[0].weight == same.layers[1].weight)
    counts = [sum(x.size for x in jax.tree.leaves(p)) for p in (jn.mlp_init(KEY, (2, 4, 1)), same)]
    assert counts == [17, 60]


@pytest.mark.parametrize("key", [KEY, jax.random.PRNGKey(0)], ids=["typed", "raw"])
def test_the_dtype_of_the_parameters_rules(key):
    params = jn.mlp_init(key, (3, 4, 2), dtype=jnp.float32)
    assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    for x in (np.ones(3), np.ones(3, np.uint8), [1, 0, True]):
        assert jn.mlp_apply(params, x, dropout_rate=0.5, key=key).dtype == jnp.float32


def test_transformations():
    params, xs = random_like(KEY, jn.mlp_init(KEY, (3, 5, 2))), jax.random.normal(KEY, (6, 3))
    batch = jax.vmap(jn.mlp_apply, (None, 0))(params, xs)
    np.testing.assert_allclose(batch, jnp.stack([jn.mlp_apply(params, x) for x in xs]), rtol=1e-13)
    np.testing.assert_allclose(jax.jit(jn.mlp_apply)(params, xs[0]), batch[0], rtol=1e-13)
    ensemble = jax.vmap(lambda k: jn.cnn_init(k, (4, 4, 1), (2,), (3,)))(jax.random.split(KEY, 3))
    image = jax.random.normal(KEY, (4, 4, 1))
    outs = jax.vmap(jn.cnn_apply, (0, None))(ensemble, image)
    for k in range(3):
        one = jax.tree.map(lambda x, k=k: x[k], ensemble)
        np.testing.assert_allclose(outs[k], jn.cnn_apply(one, image), rtol=1e-12)


def test_dropout():
    # 20,000 hidden units, each 1, and their mean.
    n = 20_000
    params = MLPParams((Layer(jnp.ones((n, 1)), jnp.zeros(n)), Layer(jnp.ones((1, n)) / n, jnp.zeros(1))))
    hidden = lambda rate, key: jn.mlp_apply(params, jnp.ones(1), dropout_rate=rate, key=key)[0]
    np.testing.assert_allclose([hidden(0.3, None), hidden(0.0, KEY)], 1, rtol=1e-12)
    # Kept units count 1 / (1 - rate) each: the mean is 1, its standard deviation sqrt(rate / (1 - rate) / n).
    values = jax.vmap(lambda k: hidden(0.3, k))(jax.random.split(KEY, 50))
    assert abs(float(jnp.mean(values)) - 1) < 4 * np.sqrt(0.3 / 0.7 / 20_000 / 50)
    np.testing.assert_allclose(np.std(values), np.sqrt(0.3 / 0.7 / 20_000), rtol=0.4)
    rates = jax.vmap(lambda r: hidden(r, KEY))(jnp.array([0.0, 0.5, -0.1, 1.0, jnp.nan]))
    np.testing.assert_allclose(rates[0], 1, rtol=1e-12)
    assert np.isfinite(rates[1]) and np.isnan(rates[2:]).all()
    assert hidden(0.3, KEY) == hidden(0.3, KEY) != hidden(0.3, jax.random.key(4))
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), params.layers[0])
    kept = jax.vmap(lambda k: jnp.mean(dropout(half.bias + 1, 0.05, k) > 0))(jax.random.split(KEY, 50))
    assert abs(float(jnp.mean(kept.astype(float))) - 0.95) < 4 * np.sqrt(0.05 * 0.95 / n / 50) + 2e-3 / 256
    with pytest.raises(ValueError, match=r"dropout_rate must be in \[0, 1\)"):
        hidden(np.float32(1.5), KEY)
    cnn = jn.cnn_init(KEY, (4, 4, 1), (2,), (8, 3), bias_init=jax.nn.initializers.ones)
    outs = [jn.cnn_apply(cnn, jnp.ones((4, 4, 1)), dropout_rate=0.5, key=k) for k in (None, KEY, KEY)]
    assert np.array_equal(outs[1], outs[2]) and not np.array_equal(outs[0], outs[1])


MLP, CNN = jn.mlp_init(KEY, (3, 4, 2)), jn.cnn_init(KEY, (8, 8, 1), (2,), (5, 3))


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: jn.mlp_apply(MLP, jnp.ones(4)),
            r"In dense layer 1 the weight \(4, 3\) wants an input \(3,\), got \(4,\)",
        ),
        (lambda: jn.mlp_apply(MLP, jnp.ones((5, 3))), r"got \(5, 3\). One example at a time; for a batch: jax.vmap"),
        (lambda: jn.mlp_apply(MLPParams((MLP.layers[0], MLP.layers[0])), jnp.ones(3)), "In dense layer 2 the weight"),
        (
            lambda: jn.mlp_apply(MLPParams((Layer(jnp.ones((4, 3)), jnp.ones(1)),)), jnp.ones(3)),
            r"In dense layer 1 .* the bias \(out,\); they are \(4, 3\) and \(1,\)",
        ),
        (
            lambda: jn.cnn_apply(CNN, jnp.ones((8, 8))),
            r"In convolution 1 .* wants an image \(height, width, 1\), got \(8, 8\)",
        ),
        (lambda: jn.cnn_apply(CNN, jnp.ones((8, 8, 3))), r"In convolution 1 .* got \(8, 8, 3\)"),
        (lambda: jn.cnn_apply(CNN, jnp.ones((8, 8, 1)), pool=1), r"In dense layer 1 .* got \(128,\)"),
        (
            lambda: jn.cnn_apply(CNN._replace(convs=(Layer(jnp.ones((3, 3, 2)), jnp.ones(2)),)), jnp.ones((8, 8, 1))),
            r"In convolution 1 the weight must be \(height, width, in, out\)",
        ),
        (
            lambda: jn.mlp_apply(MLP, jnp.ones(3), "rellu"),
            "Unknown activation 'rellu': known by name are relu, sigmoid",
        ),
        (lambda: jn.mlp_apply(MLP, jnp.ones(3), dropout_rate=1.0), r"dropout_rate must be in \[0, 1\); it is 1.0"),
        (lambda: jn.mlp_init(KEY, (3,)), r"sizes needs at least 2 numbers; it is \(3,\)"),
        (lambda: jn.mlp_init(KEY, (3, 0)), "sizes must be >= 1; it holds 0"),
        (lambda: jn.cnn_init(KEY, (8, 8), (2,), (3,)), r"image_shape needs 3 numbers; it is \(8, 8\)"),
        (lambda: jn.cnn_init(KEY, (8, 8, 1), (2, 3), (3,), pool=(2,)), r"pool needs 2 numbers; it is \(2,\)"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_wrong_types_are_refused():
    with pytest.raises(TypeError, match="sizes must be integers; it holds 4.0"):
        jn.mlp_init(KEY, (3, 4.0))
    with pytest.raises(TypeError, match="sizes must be a sequence of integers; it is 5"):
        jn.mlp_init(KEY, 5)
    with pytest.raises(TypeError, match="x must hold numbers"):
        jn.mlp_apply(MLP, np.array(["a", "b", "c"]))
