"""musicnn as a teacher: the kind of music.

1,506 numbers; 27 times the CPU time of `log_mel_statistics`.

Source: PyPI `musicnn` 0.1.0, the TensorFlow checkpoint `MSD_musicnn` inside the wheel.
Licence, in the wheel's METADATA: "License: ISC"; its LICENSE.md: "Permission to use, copy, modify,
and/or distribute this software for any purpose with or without fee is hereby granted".
Data, by the package: "MSD models are trained with the Million Song Dataset". Paper: Pons and Serra,
"musicnn: pre-trained convolutional neural networks for music audio tagging", 2019.

What the package calls `max_pool` and `mean_pool`, one after the other: maximum and mean over time
of what its dense layers read. The network sees the slice alone, 61 frames; in the package 3 s.
"""

import pathlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from a2v_tf.frontend import FRONT_END
from a2v_tf.teachers.base import Teacher, fingerprint, in_batches
from a2v_tf.teachers.mel import mel_filters, power_spectrogram
from a2v_tf.teachers.weights import Wheel

WHEEL = Wheel(
    "musicnn",
    "0.1.0",
    "f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa",
    "musicnn/MSD_musicnn/",
)
FFT_LENGTH, HOP, BANDS = 512, 256, 96
EPSILON = 1e-3  # of its batch norms
BATCH = 16
REVISION = 1  # increase it with every change of the outputs


def load() -> Teacher:
    """The teacher `musicnn`."""
    checkpoint = WHEEL.path()
    network = tf.function(
        _network(checkpoint), input_signature=[tf.TensorSpec([None, None, BANDS])]
    )

    def embed(pcm: np.ndarray) -> np.ndarray:
        parts = [network(spectrogram(part)).numpy() for part in in_batches(pcm, BATCH)]
        return np.concatenate(parts)

    key = fingerprint("musicnn", REVISION, files=[checkpoint / ".data-00000-of-00001"])
    return Teacher("musicnn", 1_506, embed, "ISC", WHEEL.source, key)


def spectrogram(pcm: np.ndarray) -> np.ndarray:
    """The package's spectrogram of PCM `[n, samples]`: float32 `[n, frames, 96]`."""
    power = power_spectrogram(pcm, FFT_LENGTH, HOP, "constant")
    mel = power @ mel_filters(
        FRONT_END.sample_rate, FFT_LENGTH, BANDS, 8_000.0, htk=False, norm="slaney"
    )
    return np.log10(10_000.0 * mel + 1.0).astype(np.float32)


def _network(checkpoint: pathlib.Path) -> Callable[[tf.Tensor], tf.Tensor]:
    reader = tf.compat.v1.train.NewCheckpointReader(f"{checkpoint}/")

    def name(kind: str, i: int) -> str:
        return f"{kind}_{i}" if i else kind

    def norm(x: tf.Tensor, i: int) -> tf.Tensor:
        gamma, beta, mean, variance = (
            reader.get_tensor(f"{name('batch_normalization', i)}/{part}")
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        scale = gamma / np.sqrt(variance + EPSILON)
        return x * scale + (beta - mean * scale)

    def layer(x: tf.Tensor, i: int, pad: tuple[int, int]) -> tf.Tensor:
        """Convolution, ReLU, batch norm (number i + 1)."""
        kernel, bias = (reader.get_tensor(f"{name('conv2d', i)}/{k}") for k in ("kernel", "bias"))
        x = tf.pad(x, [[0, 0], pad, [0, 0], [0, 0]])
        return norm(tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "VALID") + bias), i + 1)

    # As if "same": half of the kernel before, the other half after.
    pads = [(3, 3), (3, 3), (63, 64), (31, 32), (15, 16)]

    def forward(x: tf.Tensor) -> tf.Tensor:
        x = norm(x[..., tf.newaxis], 0)
        front = [tf.reduce_max(layer(x, i, pad), 2) for i, pad in enumerate(pads)]
        maps = [tf.concat(front, 2)]
        for i in (5, 6, 7):
            new = layer(maps[-1][..., tf.newaxis], i, (3, 3))[:, :, 0]
            maps.append(new if i == 5 else new + maps[-1])
        joined = tf.concat(maps, 2)
        # The order of the package: maximum first.
        return tf.concat([tf.reduce_max(joined, 1), tf.reduce_mean(joined, 1)], 1)

    return forward
