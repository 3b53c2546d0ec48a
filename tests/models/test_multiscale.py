"""The multiscale encoder: its size, what its embedding reads, and its forms."""

import keras
import numpy as np
import pytest

from a2v_tf.models.decoder import build_decoder
from a2v_tf.models.encoder import build_encoder, build_stream_encoder
from a2v_tf.models.layer_table import layer_table
from a2v_tf.models.multiscale import LogMelStatistics
from a2v_tf.models.precision import precision
from a2v_tf.specs import ENCODERS, InputStats, Level, MultiscaleConfig
from tests.models.test_encoder import randomise

MULTISCALE = ENCODERS["multiscale"]
STATS = InputStats(mean=-1.3, variance=5.0)
TINY = MultiscaleConfig(
    levels=(
        Level((3,), kernel=(3, 5), pool=(2, 1), reads=("max",)),
        Level((4, 4), kernel=(2, 7), reads=("mean", "max")),
        Level((6,), pool=(1, 2), reads=("mean",)),
    ),
    embedding_dim=5,
)
ONE_READ = MultiscaleConfig((Level((3,), reads=("mean",)),), 4, 1, log_mel_statistics=False)


def slices(count: int = 2, frames: int = 96, bins: int = 64) -> np.ndarray:
    return np.random.default_rng(0).normal(-1, 2, (count, frames, bins)).astype(np.float32)


def made(config: MultiscaleConfig, frames: int | None = 96, bins: int = 64) -> keras.Model:
    encoder = build_encoder(config, frames, bins, STATS)
    randomise(encoder)
    return encoder


def test_it_has_at_most_200_000_weights():
    assert sum(row.parameters for row in layer_table("multiscale")) == 192_008
    assert MULTISCALE.column_frames == (2, 4, 8, 16)
    assert MULTISCALE.step_frames == 16


@pytest.mark.parametrize("config", [MULTISCALE, TINY, ONE_READ])
@pytest.mark.parametrize(("frames", "bins"), [(96, 64), (40, 29), (17, 5), (1, 1)])
def test_every_slice_shape_works(config, frames, bins):
    encoder = build_encoder(config, frames, bins, STATS)
    embeddings = encoder(np.zeros((2, frames, bins)))
    assert embeddings.shape == (2, config.embedding_dim)
    assert np.isfinite(np.asarray(embeddings)).all()
    for dense in (False, True):
        decoder = build_decoder(config, config.embedding_dim, frames, bins, 3, STATS, dense=dense)
        assert decoder(embeddings).shape == (2, 3, frames, bins)


def test_what_the_embedding_reads():
    """Statistics of each bin, and mean and maximum of the columns that are sums over frequency."""
    encoder, x = made(TINY), slices()
    standardised = (x + 1.3) / np.sqrt(5.0)
    deviation = np.sqrt(standardised.var(axis=1) + 1e-4)
    maps = [encoder.get_layer(name).output for name in ("conv1_pool", "conv3_pool", "conv4_pool")]
    features = encoder.get_layer("features").output
    *values, features = map(np.asarray, keras.Model(encoder.input, [*maps, features])(x))
    read = [standardised.mean(axis=1), deviation]
    for i, how in enumerate((["max"], ["mean", "max"], ["mean"])):
        kernel = encoder.get_layer(f"level{i + 1}_columns").get_weights()[0][0, :, :, 0]
        norm = encoder.get_layer(f"level{i + 1}_columns_bn")
        gamma, beta, mean, variance = norm.get_weights()
        columns = (values[i] * kernel).sum(axis=2)
        columns = gamma * (columns - mean) / np.sqrt(variance + norm.epsilon) + beta
        read += [getattr(columns, name)(axis=1) for name in how]
    np.testing.assert_allclose(features, np.concatenate(read, axis=1), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("config", "last"), [(TINY, "conv4_pool"), (MULTISCALE, "conv6_pool")])
def test_time_is_causal(config, last):
    """A frame does not change the columns that end before it."""
    encoder = made(config, None)
    columns = keras.Model(encoder.input, encoder.get_layer(last).output)
    x = slices(1, 64)
    changed = x.copy()
    changed[:, 32:] += 1.0
    before, after = np.asarray(columns(x)), np.asarray(columns(changed))
    same = 32 // config.step_frames
    np.testing.assert_array_equal(before[:, :same], after[:, :same])
    assert (before[:, same:] != after[:, same:]).any()


@pytest.mark.parametrize("config", [MULTISCALE, TINY, ONE_READ])
def test_the_first_window_of_a_stream_is_a_slice(config):
    encoder = made(config)
    stream = build_stream_encoder(config, 96, 64, STATS)
    stream.set_weights(encoder.get_weights())
    x = slices(1, 160)
    embeddings = np.asarray(stream(x))
    assert embeddings.shape == (1, 160 // config.step_frames, config.embedding_dim)
    first = 96 // config.step_frames - 1
    np.testing.assert_allclose(embeddings[:, first], encoder(x[:, :96]), rtol=1e-3, atol=1e-4)


def test_statistics_of_a_stream_are_those_of_the_frames_before_each_step():
    x = slices(1, 24, 3)
    got = LogMelStatistics(window=16, step=4)(x)[0]
    padded = np.concatenate([np.zeros((1, 12, 3), np.float32), x], axis=1)
    windows = np.concatenate([padded[:, i : i + 16] for i in range(0, 24, 4)])
    np.testing.assert_allclose(got, LogMelStatistics()(windows), rtol=1e-4, atol=1e-5)


def test_a_constant_input_has_a_finite_deviation():
    constant = np.full((1, 96, 64), 3.7, np.float32)
    for layer in (LogMelStatistics(), LogMelStatistics(window=96, step=96)):
        deviation = np.asarray(layer(constant)).reshape(-1)[64:]
        np.testing.assert_allclose(deviation, 0.01, atol=2e-3)


def test_a_saved_encoder_gives_the_same_embeddings(tmp_path):
    encoder = made(TINY)
    encoder.save(tmp_path / "encoder.keras")
    loaded = keras.models.load_model(tmp_path / "encoder.keras")
    np.testing.assert_array_equal(loaded(slices()), encoder(slices()))


def test_statistics_stay_in_float32_with_bfloat16():
    with precision("bfloat16"):
        mixed = build_encoder(TINY, 96, 64, STATS)
    exact = build_encoder(TINY, 96, 64, STATS)
    exact.set_weights(mixed.get_weights())
    assert mixed.get_layer("conv2_depthwise").compute_dtype == "bfloat16"
    assert mixed.get_layer("log_mel_statistics").compute_dtype == "float32"
    near, want = (np.asarray(model(slices()), np.float32) for model in (mixed, exact))
    assert 0 < np.abs(near - want).max() < 0.05 * np.abs(want).max()
