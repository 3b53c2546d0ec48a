"""Training models: encoder, heads and decoder."""

import importlib.util
import os
import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

import a2v_tf.models
from a2v_tf.models import heads
from a2v_tf.models.audio2vec import build_model
from a2v_tf.models.classifier import build_classifier
from a2v_tf.models.decoder import build_decoder
from a2v_tf.models.encoder import build_encoder
from a2v_tf.specs import ENCODERS, SLICE_DECODERS, EncoderConfig, InputStats

TINY = EncoderConfig(channels=(4, 8), embedding_dim=6)
TINY_VGG = EncoderConfig((4, 4, 8), 6, separable=False, pool_before_growth=True)
STATS = InputStats(-1.0, 4.0)


def decode(config: EncoderConfig, frames: int, bins: int, outputs: int, stats: InputStats):
    return lambda z: heads.reconstruct(z, "decode", config, frames, bins, outputs, stats)


@pytest.mark.parametrize(
    ("encoder", "convolution", "sizes", "weights"),
    [
        (
            "small",
            "add",
            [(6, 4, 64), (12, 8, 32), (24, 16, 16), (48, 32, 8), (96, 64, 1)],
            {"mirror": 512 * 128, "dense": 512 * 3 * 2 * 128},
        ),
        (
            "vgg6",
            "conv",
            [
                *[(12, 8, 512), (12, 8, 256)],
                *[(24, 16, 256), (24, 16, 128), (48, 32, 64), (96, 64, 1)],
            ],
            {"mirror": 512 * 512, "dense": 512 * 12 * 8 * 512},
        ),
    ],
)
@pytest.mark.parametrize("kind", SLICE_DECODERS)
def test_decoder_mirrors_the_encoder(encoder, convolution, sizes, weights, kind):
    config = ENCODERS[encoder]
    decoder = build_decoder(config, 512, 96, 64, 1, InputStats(), dense=kind == "dense")
    layers = [decoder.get_layer(f"deconv{i}_{convolution}") for i in range(len(sizes), 0, -1)]
    assert [layer.output.shape[1:] for layer in layers] == sizes
    assert decoder.output_shape == (None, 1, 96, 64)
    (first,) = (layer for layer in decoder.layers if isinstance(layer, keras.layers.Dense))
    assert first.count_params() == weights[kind]


def layers_of(model: keras.Model) -> list[tuple[str, tuple[int, ...]]]:
    """What a model computes with: kinds of layers with the shapes of kernels, without padding."""
    kinds = (keras.layers.Conv2D, keras.layers.Dense, keras.layers.MaxPooling2D)
    more = (keras.layers.UpSampling2D, keras.layers.GlobalMaxPooling2D)
    return [
        (type(layer).__name__, tuple(layer.kernel.shape) if hasattr(layer, "kernel") else ())
        for layer in model.layers
        if isinstance(layer, (*kinds, *more))
    ]


def test_the_decoder_is_the_encoder_backwards():
    """ICLR section 3: its layers in reverse order, max-pooling replaced by nearest neighbours."""
    config = ENCODERS["small"]
    encoder = layers_of(build_encoder(config, 96, 64, InputStats()))
    decoder = build_decoder(config, 512, 96, 64, 1, InputStats())

    def reversed_layer(kind, kernel):
        if "Pool" in kind:
            return "UpSampling2D", ()
        *size, inputs, outputs = kernel
        return kind, (*size, outputs, inputs)

    want = [reversed_layer(*layer) for layer in reversed(encoder)]
    want[0] = "Dense", (512, 128)  # the embeddings of the 2P slices
    assert sorted(layers_of(decoder)) == sorted(want)
    # The two branches of a separable layer have no order; along each of them it is that of `want`.
    branches = [(kind, kernel) for kind, kernel in want if kernel[:2] != (1, 1)]
    assert [layer for layer in layers_of(decoder) if layer[1][:2] != (1, 1)] == branches
    ups = [layer for layer in decoder.layers if isinstance(layer, keras.layers.UpSampling2D)]
    assert [up.size for up in ups] == [(3, 2), *[(2, 2)] * 5]
    assert {up.interpolation for up in ups} == {"nearest"}


def test_one_vector_stands_at_every_position_of_the_last_map():
    decoder = build_decoder(ENCODERS["small"], 8, 96, 64, 1, InputStats())
    last_map = keras.Model(decoder.input, decoder.get_layer("global_up").output)
    z = np.random.default_rng(0).normal(size=(2, 8)).astype(np.float32)
    (kernel,) = decoder.get_layer("fully_connected").get_weights()
    want = np.broadcast_to((z @ kernel)[:, None, None], (2, 3, 2, 128))
    np.testing.assert_allclose(last_map(z), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("config", [TINY, TINY_VGG])
@pytest.mark.parametrize(("frames", "bins", "slices"), [(96, 64, 4), (40, 29, 2), (9, 5, 3)])
def test_shapes(config, frames, bins, slices):
    head = decode(config, frames, bins, 2, STATS)
    model = build_model(config, slices, frames, bins, STATS, {"a": (range(slices), head)})
    out = model(np.zeros((2, slices, frames, bins)))
    assert {name: value.shape for name, value in out.items()} == {"a": (2, 2, frames, bins)}
    assert model.get_layer("encoder").output_shape == (None, 6)


def test_a_head_takes_the_embeddings_of_its_slices():
    model = build_model(
        TINY, 3, 16, 8, STATS, {"all": (range(3), lambda z: z), "some": ([2, 0], lambda z: z)}
    )
    encoder = model.get_layer("encoder")
    x = np.random.default_rng(0).normal(size=(2, 3, 16, 8)).astype(np.float32)
    z = np.stack([encoder(x[:, i]) for i in range(3)], axis=1)
    np.testing.assert_allclose(model(x)["all"], z, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model(x)["some"], z[:, [2, 0]], rtol=1e-4, atol=1e-5)


def test_noise_is_added_only_in_training_and_scales_with_the_input():
    stats = InputStats(0.0, 25.0)
    model = build_model(TINY, 1, 64, 64, stats, {"z": ([0], lambda z: z)}, noise=0.5)
    x = np.zeros((1, 1, 64, 64), np.float32)
    np.testing.assert_array_equal(model(x)["z"], model.get_layer("encoder")(x[:, 0])[:, None])
    noisy = keras.Model(model.input, model.get_layer("noisy").output)
    assert np.std(noisy(x, training=True)) == pytest.approx(2.5, rel=0.05)
    assert np.std(noisy(x)) == 0


def test_dropout_is_on_the_embeddings_and_in_training_only():
    model = build_model(TINY, 2, 16, 8, STATS, {"z": ([0, 1], lambda z: z)}, dropout=0.5)
    x = np.random.default_rng(0).normal(size=(64, 2, 16, 8)).astype(np.float32)
    z = model.get_layer("encoder")(x.reshape(-1, 16, 8))
    np.testing.assert_allclose(np.reshape(model(x)["z"], (-1, 6)), z, rtol=1e-4, atol=1e-5)
    dropped = np.asarray(model(x, training=True)["z"])
    assert 0.4 < (dropped == 0).mean() < 0.6
    without = build_model(TINY, 2, 16, 8, STATS, {"z": ([0, 1], lambda z: z)})
    assert [layer.name for layer in model.get_layer("encoder").layers] == [
        layer.name for layer in without.get_layer("encoder").layers
    ]
    classifier = build_classifier(build_encoder(TINY, 16, 8, STATS), {"a": 3}, dropout=0.5)
    assert classifier.get_layer("dropout").rate == 0.5


def test_triplet_margin_is_the_triplet_loss():
    """max(0, |a - p|² - |a - n|² + margin) / margin, for unit-length embeddings."""
    z = np.random.default_rng(0).normal(size=(50, 3, 4)).astype(np.float32)
    ours = keras.losses.hinge(np.ones((50, 1)), heads.triplet_margin(z, 0.2))
    a, p, n = (z / np.linalg.norm(z, axis=-1, keepdims=True)).transpose(1, 0, 2)
    to_positive, to_negative = ((a - p) ** 2).sum(-1), ((a - n) ** 2).sum(-1)
    want = np.maximum(0, to_positive - to_negative + 0.2) / 0.2
    assert 0 < (want == 0).sum() < 50
    np.testing.assert_allclose(ours, want, rtol=1e-4, atol=1e-4)


def test_variational_samples_around_the_mean_and_adds_the_divergence():
    layer = heads.Variational(kl_weight=0.5)
    mean = np.full((40_000, 1), 3.0, np.float32)
    log_variance = np.full((40_000, 1), np.log(4.0), np.float32)
    np.testing.assert_array_equal(layer(mean, log_variance), mean)
    # KL(N(3, 4) || N(0, 1)) = (9 + 4 - 1 - log 4) / 2
    np.testing.assert_allclose(layer.losses[0], 0.5 * 0.5 * (12 - np.log(4.0)), rtol=1e-5)
    sample = np.asarray(layer(mean, log_variance, training=True))
    assert sample.mean() == pytest.approx(3.0, abs=0.05)
    assert sample.std() == pytest.approx(2.0, abs=0.05)


def test_reconstruction_is_on_the_log_mel_scale():
    stats = InputStats(mean=-40.0, variance=1e-4)
    model = build_model(TINY, 2, 16, 8, stats, {"a": (range(2), decode(TINY, 16, 8, 1, stats))})
    out = np.asarray(model(np.full((3, 2, 16, 8), -40.0))["a"])
    np.testing.assert_allclose(out, -40.0, atol=0.5)


def test_classifier_has_a_linear_head_for_each_data_set():
    encoder = build_encoder(TINY, 16, 8, STATS)
    x = np.random.default_rng(0).normal(size=(2, 16, 8)).astype(np.float32)
    model = build_classifier(encoder, {"a": 3, "b": 5})
    weights, bias = model.get_layer("b").get_weights()
    np.testing.assert_allclose(model(x)["b"], encoder(x) @ weights + bias, rtol=1e-4, atol=1e-5)
    assert model(x)["a"].shape == (2, 3)
    assert build_classifier(encoder, {"a": 3}, hidden=7).get_layer("a_hidden").units == 7


def test_models_import_no_tensorflow():
    """`a2v_tf/models` must run without TensorFlow; batch_norm uses it where it is the backend."""
    modules = pathlib.Path(a2v_tf.models.__file__).parent.glob("*.py")
    for path in (path for path in modules if path.name != "batch_norm.py"):
        assert not re.search(r"^\s*(import|from) tensorflow", path.read_text(), re.MULTILINE), path


@pytest.mark.slow
@pytest.mark.usefixtures("quick_jax")
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")
def test_trains_a_step_under_jax():
    """Training works under JAX with every kind of head."""
    script = """
import sys, numpy as np, keras
from a2v_tf.models import heads
from a2v_tf.models.audio2vec import build_model
from a2v_tf.specs import EncoderConfig, InputStats
assert keras.backend.backend() == "jax"
assert "tensorflow" not in sys.modules
keras.utils.set_random_seed(0)
small, stats = EncoderConfig((4, 8), 16), InputStats()
def variational(z):
    z = heads.Variational(0.01)(z, keras.layers.Dense(16)(z))
    return heads.reconstruct(z, "decode", small, 32, 64, 1, stats)
model = build_model(small, 3, 32, 64, stats, {
    "decode": ([0, 2], variational),
    "gap": ([0, 1], lambda z: heads.probability(z, "gap")),
    "triplet": (range(3), lambda z: heads.triplet_margin(z, 0.1)),
    "partner": (range(3), lambda z: heads.over_temperature(z, 0.1)),
}, noise=0.1, transposed=[2], mix=0.5, slice_gain_db=6.0)
model.compile(keras.optimizers.Adam(1e-3), {
    "decode": "mean_squared_error", "gap": "binary_crossentropy", "triplet": "hinge",
    "partner": heads.partner_loss})
rng = np.random.default_rng(0)
x = rng.normal(size=(4, 3, 32, 64))
y = {"decode": x[:, 1:2], "gap": rng.uniform(size=(4, 1)), "triplet": np.ones((4, 1)),
     "partner": np.arange(4)[:, None]}
before = [w.copy() for w in model.get_layer("encoder").get_weights()]
losses = [float(model.train_on_batch(x, y, return_dict=True)["loss"]) for _ in range(8)]
after = model.get_layer("encoder").get_weights()
assert losses[-1] < losses[0], losses
assert any((a != b).any() for a, b in zip(after, before))
print("trained under", keras.backend.backend())
"""
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    run = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert "trained under jax" in run.stdout
