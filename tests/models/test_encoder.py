"""The encoder against Table 1, and what streaming and export rely on."""

import keras
import numpy as np
import pytest

from a2v_tf.models.encoder import build_encoder, build_stream_encoder, fold_batch_norm
from a2v_tf.specs import ENCODERS, EncoderConfig, InputStats

SMALL = ENCODERS["small"]
STATS = InputStats(mean=-1.3, variance=5.0)
VGG = EncoderConfig((4, 4, 8, 8), 7, separable=False, pool_before_growth=True)


def randomise(model: keras.Model, seed: int = 0) -> None:
    """Give batch norm non-trivial statistics, as after training."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 2.0, w.shape) for w in layer.get_weights()])


def test_parameter_count_equals_table_1_apart_from_batch_norm():
    encoder = build_encoder(SMALL, 96, 64, STATS)
    kernels = [int(np.prod(w.shape)) for w in encoder.weights if w.name == "kernel"]
    assert sum(kernels) == 125_408
    rest = encoder.count_params() - sum(kernels)
    assert rest == 4 * sum(SMALL.channels)


def test_the_papers_encoders():
    """ICLR: channels x4, d=256. SPL: pooling wherever the next layer has more channels."""
    small, large, vgg6 = (ENCODERS[name] for name in ("small", "large", "vgg6"))
    assert large.channels == tuple(4 * channels for channels in small.channels)
    assert (small.embedding_dim, large.embedding_dim, vgg6.embedding_dim) == (128, 256, 128)
    assert vgg6.channels == (64, 128, 256, 256, 512, 512)
    assert vgg6.pools == (True, True, False, True, False, False)
    assert small.pools == (True,) * 5
    assert (small.step_frames, large.step_frames, vgg6.step_frames) == (32, 32, 8)


@pytest.mark.parametrize(("frames", "bins"), [(96, 64), (96, 29), (40, 29), (17, 5), (1, 1)])
@pytest.mark.parametrize("config", [SMALL, VGG])
def test_every_slice_shape_works(config, frames, bins):
    encoder = build_encoder(config, frames, bins, STATS)
    assert encoder(np.zeros((2, frames, bins))).shape == (2, config.embedding_dim)


@pytest.mark.parametrize(("config", "last"), [(SMALL, "conv5_pool"), (VGG, "conv4_relu")])
def test_time_is_causal(config, last):
    """A frame does not change the columns that end before it."""
    encoder = build_encoder(config, None, 64, STATS)
    randomise(encoder)
    columns = keras.Model(encoder.input, encoder.get_layer(last).output)
    x = np.random.default_rng(0).normal(size=(1, 128, 64)).astype(np.float32)
    changed = x.copy()
    changed[:, 64:] += 1.0
    before, after = np.asarray(columns(x)), np.asarray(columns(changed))
    same = 64 // config.step_frames
    np.testing.assert_array_equal(before[:, :same], after[:, :same])
    assert (before[:, same:] != after[:, same:]).any()


def test_input_is_standardised():
    encoder = build_encoder(SMALL, 96, 64, STATS)
    plain = build_encoder(SMALL, 96, 64, InputStats())
    plain.set_weights(encoder.get_weights())
    x = np.random.default_rng(0).normal(size=(2, 96, 64)).astype(np.float32)
    np.testing.assert_allclose(encoder(x * np.sqrt(5.0) - 1.3), plain(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", [SMALL, EncoderConfig((3, 5), 7)])
def test_folding_batch_norm_preserves_the_output(config):
    encoder = build_encoder(config, 96, 64, STATS)
    randomise(encoder)
    folded = build_encoder(config, 96, 64, STATS, folded=True)
    fold_batch_norm(encoder, folded)
    x = np.random.default_rng(0).normal(-1, 2, (3, 96, 64)).astype(np.float32)
    np.testing.assert_allclose(folded(x), encoder(x), rtol=1e-4, atol=1e-5)


def test_a_saved_encoder_gives_the_same_embeddings(tmp_path):
    encoder = build_encoder(SMALL, 96, 64, STATS)
    randomise(encoder)
    encoder.save(tmp_path / "encoder.keras")
    loaded = keras.models.load_model(tmp_path / "encoder.keras")
    x = np.random.default_rng(0).normal(size=(2, 96, 64)).astype(np.float32)
    np.testing.assert_array_equal(loaded(x), encoder(x))


@pytest.mark.parametrize("config", [SMALL, VGG])
def test_stream_encoder_first_window_equals_the_encoder(config):
    """At the start of a stream, the convolutions see zeros, as in the padding of a slice."""
    encoder = build_encoder(config, 96, 64, STATS)
    randomise(encoder)
    stream = build_stream_encoder(config, 96, 64, STATS)
    stream.set_weights(encoder.get_weights())
    x = np.random.default_rng(0).normal(-1, 2, (1, 160, 64)).astype(np.float32)
    embeddings = np.asarray(stream(x))
    assert embeddings.shape == (1, 160 // config.step_frames, config.embedding_dim)
    first = 96 // config.step_frames - 1
    np.testing.assert_allclose(embeddings[:, first], encoder(x[:, :96]), rtol=1e-4, atol=1e-5)


def test_stream_embeddings_pool_three_columns():
    """An embedding is computed from the maximum of the last three columns."""
    stream = build_stream_encoder(SMALL, 96, 64, STATS)
    randomise(stream)
    columns = keras.Model(stream.input, stream.get_layer("conv5_pool").output)
    x = np.random.default_rng(0).normal(-1, 2, (1, 192, 64)).astype(np.float32)
    pooled = np.asarray(columns(x)).max(axis=2)[0]
    want = [pooled[max(0, k - 2) : k + 1].max(axis=0) for k in range(6)]
    kernel = stream.get_layer("embedding").get_weights()[0]
    np.testing.assert_allclose(stream(x)[0], np.stack(want) @ kernel, rtol=1e-4, atol=1e-5)
