"""Google's speech_embedding as a teacher, for comparison: which word is said.

96 numbers; 9 times the CPU time of `log_mel_statistics`.

Source: PyPI `pyopen-wakeword`, whose wheels bring it and its front end as TFLite files.
Licence, in the package's METADATA: "License: Apache-2.0", under which Google published it.
Data: not stated in the package. Paper: Lin et al., "Training Keyword Spotters with Limited and
Synthesized Speech Data", ICASSP 2020.

An embedding describes 76 frames of 32 mel bands, and there is one every 8 frames (80 ms). The
output is the mean of the three that fit into a slice.
"""

import importlib.metadata
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from a2v_tf.audio.decode import to_int16
from a2v_tf.errors import require
from a2v_tf.runtime.embedder import make_interpreter
from a2v_tf.teachers.base import Teacher, fingerprint, in_each_thread

PACKAGE = "pyopen-wakeword"
MODULE = "pyopen_wakeword"
BANDS, FRAMES, STEP, WIDTH = 32, 76, 8, 96
REVISION = 1  # increase it with every change of the outputs


def load() -> Teacher:
    """The teacher `speech_embedding`.

    Raises:
      A2vError: the package is not installed.
    """
    files = model_files()
    embeddings = in_each_thread(lambda: open_model(*files))

    def compute(pcm: np.ndarray) -> np.ndarray:
        return np.stack([embeddings()(one).mean(0) for one in pcm])

    key = fingerprint("speech_embedding", REVISION, files=files)
    source = f"PyPI {PACKAGE} {importlib.metadata.version(PACKAGE)}"
    return Teacher("speech_embedding", WIDTH, compute, "Apache-2.0", source, key)


def model_files() -> tuple[pathlib.Path, pathlib.Path]:
    """The package's front end and network.

    Raises:
      A2vError: the package is not installed.
    """
    require(MODULE, "teacher speech_embedding")
    models = importlib.metadata.distribution(PACKAGE).locate_file(f"{MODULE}/models")
    folder = pathlib.Path(str(models))
    return folder / "melspectrogram.tflite", folder / "embedding_model.tflite"


def open_model(mel: pathlib.Path, network: pathlib.Path) -> Callable[[np.ndarray], np.ndarray]:
    """A function from PCM `[samples]` in [-1, 1] to float32 `[n, 96]`, an embedding each 80 ms."""
    first, second = make_interpreter(mel, allocate=False), make_interpreter(network)

    def embeddings(pcm: np.ndarray) -> np.ndarray:
        scaled = to_int16(pcm)[np.newaxis]
        frames = _run(first, scaled).reshape(-1, BANDS) / 10 + 2  # as openWakeWord scales them
        cut = np.lib.stride_tricks.sliding_window_view(frames, FRAMES, axis=0)[::STEP]
        return _run(second, cut.transpose(0, 2, 1)[..., np.newaxis]).reshape(len(cut), WIDTH)

    return embeddings


def _run(interpreter: Any, values: np.ndarray) -> np.ndarray:
    detail = interpreter.get_input_details()[0]
    if tuple(detail["shape"]) != values.shape:
        interpreter.resize_tensor_input(detail["index"], values.shape)
        interpreter.allocate_tensors()
    interpreter.set_tensor(detail["index"], values.astype(np.float32))
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
