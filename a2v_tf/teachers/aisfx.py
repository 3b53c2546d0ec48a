"""aisfx as a teacher: which sound effect it is.

512 numbers; 32 times the CPU time of `log_mel_statistics`.

Source: PyPI `aisfx` 0.1.2, `aisfx/models/checkpoint.pth` inside the wheel, read without PyTorch.
Licence, in the package's METADATA: "This pre-trained model and paper [1] is made available under a
Creative Commons Attribution 4.0 International License (CC BY 4.0)." The deed of CC BY 4.0 allows to
"remix, transform, and build upon the material for any purpose, even commercially". To be named:
A. B. Ma and A. Lerch, "Representation Learning for the Automatic Indexing of Sound Effects
Libraries", ISMIR 2022.
Data, by the package: libraries of sound effects, whose owners provided them for this research; part
of them follow the Universal Category System.

A CNN of eight 3x3 convolutions on 96 mel bands of 44.1 kHz, mean over bands, maximum over time. The
spectrogram is the package's librosa variant: the slice is scaled to a peak of 1, so that the
outputs do not depend on its level. The package cuts sound into pieces of 100 frames; here the
network sees the slice alone, 42 frames.
"""

import pathlib
from collections.abc import Callable

import numpy as np
import soxr
import tensorflow as tf

from a2v_tf.frontend import FRONT_END
from a2v_tf.teachers.base import Teacher, fingerprint, in_batches
from a2v_tf.teachers.mel import mel_filters, power_spectrogram
from a2v_tf.teachers.torch_file import read_tensors
from a2v_tf.teachers.weights import Wheel

WHEEL = Wheel(
    "aisfx",
    "0.1.2",
    "bfe219950715af179e9a1653e7117cc1852baef267cd6596c42cad74afe1d194",
    "aisfx/models/checkpoint.pth",
)
RATE, FFT_LENGTH, HOP, BANDS = 44_100, 2_048, 1_024, 96
LOUDEST = 9.457798957824707  # of the spectrograms that it was trained on, by the package
BATCH = 32
REVISION = 1  # increase it with every change of the outputs


def load() -> Teacher:
    """The teacher `aisfx`."""
    weights = WHEEL.path()
    network = tf.function(_network(weights), input_signature=[tf.TensorSpec([None, None, BANDS])])

    def embed(pcm: np.ndarray) -> np.ndarray:
        parts = [network(spectrogram(part)).numpy() for part in in_batches(pcm, BATCH)]
        return np.concatenate(parts)

    key = fingerprint("aisfx", REVISION, files=[weights])
    return Teacher("aisfx", 512, embed, "CC-BY-4.0", WHEEL.source, key)


def spectrogram(pcm: np.ndarray) -> np.ndarray:
    """The package's spectrogram of PCM `[n, samples]`: float32 `[n, frames, 96]`."""
    resampled = np.stack([soxr.resample(one, FRONT_END.sample_rate, RATE, "HQ") for one in pcm])
    peak = np.abs(resampled).max(axis=1, keepdims=True)
    power = power_spectrogram(resampled / np.where(peak > 0, peak, 1), FFT_LENGTH, HOP, "constant")
    filters = mel_filters(RATE, FFT_LENGTH, BANDS, RATE / 2, htk=True, norm="sum")
    return (np.log10(power @ filters * 10_000.0 + 1.0) / LOUDEST).astype(np.float32)


def _network(path: pathlib.Path) -> Callable[[tf.Tensor], tf.Tensor]:
    weights, _ = read_tensors(path)
    layers = [
        _folded(weights, f"embedding_net.conv_block{block}", i)
        for block in range(1, 5)
        for i in (1, 2)
    ]

    def forward(x: tf.Tensor) -> tf.Tensor:
        x = x[..., tf.newaxis]
        for i, (kernel, bias) in enumerate(layers):
            x = tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME") + bias)
            if i in (1, 3, 5):
                x = tf.nn.max_pool2d(x, 2, 2, "VALID")
        return tf.reduce_max(tf.reduce_mean(x, 2), 1)

    return forward


def _folded(weights: dict[str, np.ndarray], block: str, i: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Kernel and bias of a convolution with the batch norm after it."""
    norm = {k: weights[f"{block}.bn{i}.{k}"] for k in ("weight", "bias")}
    mean, variance = (weights[f"{block}.bn{i}.running_{k}"] for k in ("mean", "var"))
    scale = norm["weight"] / np.sqrt(variance + 1e-5)
    kernel = weights[f"{block}.conv{i}.weight"].transpose(2, 3, 1, 0) * scale
    return tf.constant(kernel, tf.float32), tf.constant(norm["bias"] - mean * scale, tf.float32)
