"""Resemblyzer as a teacher: who speaks.

256 numbers; 15 times the CPU time of `log_mel_statistics`.

Source: PyPI `Resemblyzer` 0.1.4, `resemblyzer/pretrained.pt` inside the wheel, read without
PyTorch.
Licence: the wheel's LICENSE is the Apache License, Version 2.0: "each Contributor hereby grants to
You a perpetual, worldwide, non-exclusive, no-charge, royalty-free, irrevocable copyright license to
reproduce, prepare Derivative Works of, publicly display, publicly perform, sublicense, and
distribute the Work". METADATA: "License :: OSI Approved :: Apache Software License".
Data: not stated in the package. Its README says that "the pretrained model that comes with
Resemblyzer is interchangeable with models trained in" Real-Time-Voice-Cloning, whose encoder learns
from LibriSpeech (train-other-500), VoxCeleb1 and VoxCeleb2 by its instructions.

Three LSTM layers of 256 on 40 mel bands (power, no logarithm), a layer of 256 with ReLU, length 1
(Wan et al., "Generalized End-To-End Loss for Speaker Verification", 2018). The network sees the
slice alone, 98 frames; in the package 160. A slice below -30 dBFS is raised to that level, as the
package does; pauses are not cut out.
"""

import numpy as np

from a2v_tf.frontend import FRONT_END
from a2v_tf.teachers.base import Teacher, fingerprint, in_batches
from a2v_tf.teachers.mel import mel_filters, power_spectrogram
from a2v_tf.teachers.torch_file import read_tensors
from a2v_tf.teachers.weights import Wheel

WHEEL = Wheel(
    "Resemblyzer",
    "0.1.4",
    "8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f",
    "resemblyzer/pretrained.pt",
)
FFT_LENGTH, HOP, BANDS = 400, 160, 40
LAYERS, WIDTH = 3, 256
LEVEL_DBFS = -30.0
BATCH = 128
REVISION = 1  # increase it with every change of the outputs


def load() -> Teacher:
    """The teacher `resemblyzer`."""
    path = WHEEL.path()
    saved = read_tensors(path)
    weights = {k: np.array(v, np.float32) for k, v in saved["model_state"].items()}

    def embed(pcm: np.ndarray) -> np.ndarray:
        parts = [_network(weights, spectrogram(part)) for part in in_batches(pcm, BATCH)]
        return np.concatenate(parts)

    key = fingerprint("resemblyzer", REVISION, files=[path])
    return Teacher("resemblyzer", WIDTH, embed, "Apache-2.0", WHEEL.source, key)


def spectrogram(pcm: np.ndarray) -> np.ndarray:
    """The package's mel spectrogram of PCM `[n, samples]`: float32 `[n, frames, 40]`."""
    level = 20.0 * np.log10(np.sqrt(np.mean(np.square(pcm), axis=1, keepdims=True)) + 1e-12)
    louder = 10.0 ** (np.maximum(LEVEL_DBFS - level, 0.0) / 20.0)
    louder[level < -200.0] = 1.0  # digital silence stays silent
    power = power_spectrogram(pcm * louder, FFT_LENGTH, HOP, "constant")
    return power @ mel_filters(
        FRONT_END.sample_rate, FFT_LENGTH, BANDS, 8_000.0, htk=False, norm="slaney"
    )


def _network(weights: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    for layer in range(LAYERS):
        x = _lstm(x, *(weights[f"lstm.{name}_l{layer}"] for name in _LSTM))
    raw = np.maximum(x[:, -1] @ weights["linear.weight"].T + weights["linear.bias"], 0.0)
    return raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-5)


_LSTM = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def _lstm(
    x: np.ndarray, w_in: np.ndarray, w_state: np.ndarray, b_in: np.ndarray, b_state: np.ndarray
) -> np.ndarray:
    """All outputs of an LSTM layer from zero state; PyTorch's order of gates: i, f, g, o."""
    driven = x @ w_in.T + (b_in + b_state)
    out = np.zeros((*x.shape[:2], WIDTH), np.float32)
    cell, state = np.zeros((2, len(x), WIDTH), np.float32)
    for t in range(x.shape[1]):
        gates = driven[:, t] + state @ w_state.T
        i, f, g, o = np.split(gates, 4, axis=1)
        cell = _sigmoid(f) * cell + _sigmoid(i) * np.tanh(g)
        state = _sigmoid(o) * np.tanh(cell)
        out[:, t] = state
    return out


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(0.5 * x)
