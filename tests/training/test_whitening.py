"""The embedding is whitened in the last layer."""

import dataclasses

import keras
import numpy as np
import pytest
import soundfile

from a2v_tf.errors import A2vError
from a2v_tf.models.encoder import build_encoder
from a2v_tf.specs import ENCODERS, InputStats
from a2v_tf.training import loop
from a2v_tf.training.model_dir import load_encoder, load_model, read_config
from a2v_tf.training.settings import TrainSettings
from a2v_tf.training.whitening import check_can_whiten, whitening


@pytest.fixture
def embeddings():
    rng = np.random.default_rng(0)
    return rng.standard_normal((4_000, 5)) * [5, 2, 1, 0.5, 0.1] @ rng.standard_normal((5, 5))


@pytest.mark.parametrize("power", [0.0, 0.1, 0.25, 0.5])
def test_variances_are_raised_to_a_power(embeddings, power):
    whitened = embeddings @ whitening(embeddings, power)
    before, after = (np.linalg.eigvalsh(np.cov(x.T)) for x in (embeddings, whitened))
    assert after.sum() == pytest.approx(before.sum())
    np.testing.assert_allclose(after / after[-1], (before / before[-1]) ** (1 - 2 * power))


def test_constant_directions_are_not_blown_up(embeddings):
    flat = np.pad(embeddings, ((0, 0), (0, 3)))
    assert np.abs(flat @ whitening(flat, 0.5)).max() < 100


def test_a_run_that_has_ended_is_whitened_once(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CLEAN_SLICES", 64)
    noise = np.random.default_rng(0).normal(0, 0.1, 48_000)
    soundfile.write(tmp_path / "noise.wav", noise, 16_000)
    run = TrainSettings(
        task="skip_gram",
        context=1,
        data=str(tmp_path),
        model_dir=str(tmp_path / "model"),
        steps=2,
        batch_size=4,
        validation_examples=4,
    )
    loop.train(run)
    x = np.random.default_rng(2).normal(-3, 1, (2, 96, 64)).astype(np.float32)
    before = np.asarray(load_encoder(tmp_path / "model")(x))
    twice = []
    for _ in range(2):
        loop.train(dataclasses.replace(run, whiten=0.5))
        twice.append(np.asarray(load_encoder(tmp_path / "model")(x)))
    np.testing.assert_allclose(twice[0], twice[1], rtol=1e-5)
    assert np.abs(twice[0] - before).max() > 0.01 * np.abs(before).max()
    assert read_config(tmp_path / "model")["whiten"] == 0.5
    saved = load_model(tmp_path / "model").get_layer("encoder")
    np.testing.assert_allclose(np.asarray(saved(x)), before, rtol=1e-5, atol=1e-6)


def test_an_encoder_must_end_in_a_linear_layer():
    for name in ("small", "multiscale"):
        check_can_whiten(build_encoder(ENCODERS[name], 96, 64, InputStats()))
    inputs = keras.Input((96, 64))
    x = keras.layers.Dense(4, "relu", name="embedding")(keras.layers.Flatten()(inputs))
    with pytest.raises(A2vError, match="--whiten: the encoder ends in Dense 'embedding'"):
        check_can_whiten(keras.Model(inputs, x))
