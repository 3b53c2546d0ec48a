"""Whiten an encoder's embedding in part, in its last layer.

A few directions of an embedding have most of its variance, so that they alone decide which
neighbours are nearest. With e' = e C^(-p), C being the covariance of the embedding, they count
less: with p = 0 nothing changes, with p = 0.5 all directions have the same variance, noise
included. The last layer of the encoders is linear, so that this costs nothing at inference.
"""

import pathlib

import keras
import numpy as np
import tensorflow as tf

from a2v_tf.errors import A2vError
from a2v_tf.files import write_json
from a2v_tf.training.checkpoints import save_model
from a2v_tf.training.model_dir import CONFIG, ENCODER, load_model, read_config

EMBEDDING = "embedding"  # the last layer
LEAST = 1e-6  # of the largest variance: directions with less are noise of rounding


def check_can_whiten(encoder: keras.Model) -> None:
    """Raise `A2vError` if an encoder does not end in a linear layer named "embedding"."""
    last = encoder.layers[-1]
    linear = isinstance(last, keras.layers.Dense) and last.activation is keras.activations.linear
    if not linear or last.name != EMBEDDING:
        raise A2vError(
            f"--whiten: the encoder ends in {type(last).__name__} {last.name!r}; expected a Dense "
            f"layer {EMBEDDING!r} without activation"
        )


def whiten(model_dir: pathlib.Path, power: float, batches: tf.data.Dataset) -> None:
    """Write `encoder.keras` again, with its embedding whitened, and say so in `config.json`.

    The encoder is that of `model.keras`, so that a second call changes nothing.

    Args:
      model_dir: of a finished run.
      power: p, 0 to 0.5.
      batches: of its examples, on which the covariance is measured.
    """
    encoder = load_model(model_dir).get_layer("encoder")
    embeddings = [_embed(encoder, slices) for slices, *_ in batches.as_numpy_iterator()]
    matrix = whitening(np.concatenate(embeddings), power)
    last = encoder.get_layer(EMBEDDING)
    # The product of the kernel, and of the bias if there is one.
    last.set_weights([weights @ matrix for weights in last.get_weights()])
    save_model(encoder, model_dir / ENCODER)
    write_json(model_dir / CONFIG, {**read_config(model_dir), "whiten": power})


def whitening(embeddings: np.ndarray, power: float) -> np.ndarray:
    """C^(-p), scaled so that the total variance stays as it is: float64 `[d, d]`.

    Args:
      embeddings: `[n, d]`.
      power: p.
    """
    values, vectors = np.linalg.eigh(np.cov(embeddings.astype(np.float64), rowvar=False))
    values = np.maximum(values, LEAST * values.max())
    powers = values**-power
    scale = np.sqrt(values.sum() / (values * powers**2).sum())
    return (vectors * (scale * powers)) @ vectors.T


def _embed(encoder: keras.Model, slices: np.ndarray) -> np.ndarray:
    frames, bins = encoder.input_shape[1:]
    slices = slices[:, :, -frames:]  # without those before it, of --lead_frames
    return np.asarray(encoder(slices.reshape(-1, frames, bins), training=False))
