"""The encoder against Table 1, and what streaming and export rely on."""

import keras
import numpy as np
import pytest

from a2v_tf.models.encoder import (
    ENCODERS,
    EncoderConfig,
    InputStats,
    build_encoder,
    build_stream_encoder,
    fold_batch_norm,
)

SMALL = ENCODERS["small"]
STATS = InputStats(mean=-1.3, variance=5.0)
# ICLR Table 1, "Num. params", to the unit: weights of the convolutions of each layer, and the FC.
TABLE_1 = {"conv1": 224, "conv2": 1_280, "conv3": 5_120, "conv4": 20_480, "conv5": 81_920}


def randomise(model: keras.Model, seed: int = 0) -> None:
    """Give batch norm the statistics of a trained model, so that folding it shows."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 2.0, w.shape) for w in layer.get_weights()])


def test_weights_per_layer_equal_table_1():
    encoder = build_encoder(SMALL, 96, 64, STATS)
    kernels = {w.path: int(np.prod(w.shape)) for w in encoder.weights if w.name == "kernel"}
    for name, weights in TABLE_1.items():
        assert sum(n for path, n in kernels.items() if path.startswith(f"{name}_")) == weights
    assert encoder.get_layer("embedding").count_params() == 16_384
    assert sum(kernels.values()) == 125_408


def test_activation_sizes_equal_table_1():
    encoder = build_encoder(SMALL, 96, 64, STATS)
    sizes = [encoder.get_layer(f"conv{i}_pool").output.shape[1:] for i in range(1, 6)]
    assert sizes == [(48, 32, 8), (24, 16, 16), (12, 8, 32), (6, 4, 64), (3, 2, 128)]
    assert encoder.output_shape == (None, 128)


@pytest.mark.parametrize(("frames", "bins"), [(96, 64), (96, 29), (40, 29), (17, 5), (1, 1)])
def test_any_slice_shape(frames, bins):
    encoder = build_encoder(SMALL, frames, bins, STATS)
    assert encoder(np.zeros((2, frames, bins))).shape == (2, 128)


def test_time_is_causal():
    """A frame changes nothing in the columns that end before it: 32 frames make a column."""
    encoder = build_encoder(SMALL, None, 64, STATS)
    randomise(encoder)
    columns = keras.Model(encoder.input, encoder.get_layer("conv5_pool").output)
    x = np.random.default_rng(0).normal(size=(1, 128, 64)).astype(np.float32)
    changed = x.copy()
    changed[:, 64:] += 1.0
    before, after = np.asarray(columns(x)), np.asarray(columns(changed))
    np.testing.assert_array_equal(before[:, :2], after[:, :2])
    assert (before[:, 2:] != after[:, 2:]).any()


def test_input_is_standardised():
    encoder = build_encoder(SMALL, 96, 64, STATS)
    plain = build_encoder(SMALL, 96, 64, InputStats())
    plain.set_weights(encoder.get_weights())
    x = np.random.default_rng(0).normal(size=(2, 96, 64)).astype(np.float32)
    np.testing.assert_allclose(encoder(x * np.sqrt(5.0) - 1.3), plain(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", [SMALL, EncoderConfig((3, 5), 7)])
def test_folding_batch_norm_changes_nothing(config):
    encoder = build_encoder(config, 96, 64, STATS)
    randomise(encoder)
    folded = build_encoder(config, 96, 64, STATS, folded=True)
    fold_batch_norm(encoder, folded)
    x = np.random.default_rng(0).normal(-1, 2, (3, 96, 64)).astype(np.float32)
    np.testing.assert_allclose(folded(x), encoder(x), rtol=1e-4, atol=1e-5)


def test_survives_saving(tmp_path):
    encoder = build_encoder(SMALL, 96, 64, STATS)
    randomise(encoder)
    encoder.save(tmp_path / "encoder.keras")
    loaded = keras.models.load_model(tmp_path / "encoder.keras")
    x = np.random.default_rng(0).normal(size=(2, 96, 64)).astype(np.float32)
    np.testing.assert_array_equal(loaded(x), encoder(x))


def test_stream_encoder_first_window_equals_the_encoder():
    """Before a stream begins the convolutions hear the zeros that a slice's padding has."""
    encoder = build_encoder(SMALL, 96, 64, STATS)
    randomise(encoder)
    stream = build_stream_encoder(SMALL, 96, 64, STATS)
    stream.set_weights(encoder.get_weights())
    x = np.random.default_rng(0).normal(-1, 2, (1, 160, 64)).astype(np.float32)
    embeddings = np.asarray(stream(x))
    assert embeddings.shape == (1, 5, 128)
    np.testing.assert_allclose(embeddings[:, 2], encoder(x[:, :96]), rtol=1e-4, atol=1e-5)


def test_stream_encoder_hears_three_columns():
    """An embedding is the maximum of its window's three columns, whatever came before."""
    stream = build_stream_encoder(SMALL, 96, 64, STATS)
    randomise(stream)
    columns = keras.Model(stream.input, stream.get_layer("conv5_pool").output)
    x = np.random.default_rng(0).normal(-1, 2, (1, 192, 64)).astype(np.float32)
    pooled = np.asarray(columns(x)).max(axis=2)[0]
    want = [pooled[max(0, k - 2) : k + 1].max(axis=0) for k in range(6)]
    kernel = stream.get_layer("embedding").get_weights()[0]
    np.testing.assert_allclose(stream(x)[0], np.stack(want) @ kernel, rtol=1e-4, atol=1e-5)
