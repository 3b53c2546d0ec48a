"""The CBoW model and its decoder."""

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
from a2v_tf.models.audio2vec import build_cbow
from a2v_tf.models.decoder import build_decoder
from a2v_tf.models.encoder import ENCODERS, EncoderConfig, InputStats

SMALL = ENCODERS["small"]
TINY = EncoderConfig(channels=(4, 8), embedding_dim=6)


def test_decoder_mirrors_the_encoder():
    decoder = build_decoder(SMALL, 512, 96, 64, 1, InputStats())
    sizes = [decoder.get_layer(f"deconv{i}_add").output.shape[1:] for i in (5, 4, 3, 2, 1)]
    assert sizes == [(6, 4, 64), (12, 8, 32), (24, 16, 16), (48, 32, 8), (96, 64, 1)]
    assert decoder.output_shape == (None, 1, 96, 64)


@pytest.mark.parametrize(("frames", "bins", "context"), [(96, 64, 2), (40, 29, 1), (9, 5, 3)])
def test_cbow_shapes(frames, bins, context):
    model = build_cbow(TINY, frames, bins, context, InputStats())
    assert model(np.zeros((2, 2 * context, frames, bins))).shape == (2, frames, bins)
    assert model.get_layer("encoder").output_shape == (None, 6)


def test_all_slices_share_one_encoder():
    """Two equal slices in swapped places give the decoder swapped halves of the same numbers."""
    model = build_cbow(TINY, 16, 8, 1, InputStats())
    encoder, decoder = model.get_layer("encoder"), model.get_layer("decoder")
    x = np.random.default_rng(0).normal(size=(1, 2, 16, 8)).astype(np.float32)
    z = np.concatenate([encoder(x[:, 0]), encoder(x[:, 1])], axis=1)
    np.testing.assert_allclose(model(x), np.asarray(decoder(z))[:, 0], rtol=1e-4, atol=1e-5)


def test_reconstruction_is_on_the_log_mel_scale():
    model = build_cbow(TINY, 16, 8, 1, InputStats(mean=-40.0, variance=1e-4))
    out = np.asarray(model(np.full((3, 2, 16, 8), -40.0)))
    np.testing.assert_allclose(out, -40.0, atol=0.5)


def test_models_import_no_tensorflow():
    """`a2v_tf/models` must run where TensorFlow is not installed."""
    for path in pathlib.Path(a2v_tf.models.__file__).parent.glob("*.py"):
        assert not re.search(r"^\s*(import|from) tensorflow", path.read_text(), re.MULTILINE), path


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")
def test_trains_a_step_under_jax():
    script = """
import sys, numpy as np, keras
from a2v_tf.models.audio2vec import build_cbow
from a2v_tf.models.encoder import ENCODERS, InputStats
assert keras.backend.backend() == "jax"
assert "tensorflow" not in sys.modules
model = build_cbow(ENCODERS["small"], 96, 64, 2, InputStats())
model.compile(keras.optimizers.Adam(1e-3), "mean_squared_error")
rng = np.random.default_rng(0)
x, y = rng.normal(size=(4, 4, 96, 64)), rng.normal(size=(4, 96, 64))
before = [w.copy() for w in model.get_layer("encoder").get_weights()]
losses = [float(model.train_on_batch(x, y)) for _ in range(5)]
after = model.get_layer("encoder").get_weights()
assert losses[-1] < losses[0], losses
assert any((a != b).any() for a, b in zip(after, before))
print("trained under", keras.backend.backend())
"""
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    run = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert "trained under jax" in run.stdout


def test_survives_saving(tmp_path):
    model = build_cbow(TINY, 16, 8, 1, InputStats(-1.0, 4.0))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(2, 2, 16, 8)).astype(np.float32)
    np.testing.assert_array_equal(loaded(x), model(x))
