"""The models that choose.py and evaluate.py compare, and their results on the labelled tasks."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from a2v_tf.audio.read import SLICE_SAMPLES
from a2v_tf.data.labelled import LabelledData
from a2v_tf.evaluation import compare, embeddings
from a2v_tf.evaluation.cache import EmbeddingCache, file_key
from a2v_tf.evaluation.embeddings import ClipEmbedder, WindowEmbedder
from a2v_tf.evaluation.metrics import Row
from a2v_tf.evaluation.settings import Settings
from a2v_tf.export.benchmark.models import OPEN_WAKE_WORD, package_version, packaged_model
from a2v_tf.runtime.embedder import Embedder, make_interpreter

PROTOCOLS = ("linear", "knn_clips")
TASKS = ("SPC", "LSP", "MUS", "BSD", "NPI")

# speech_embedding (Google, 2020): windows of 76 mel frames, 8 frames (80 ms) apart.
_FRAMES, _STEP = 76, 8


# Models ------------------------------------------------------------------------------------------


def log_mel_statistics() -> WindowEmbedder:
    """Mean, deviation and deviation of the frame-to-frame change of each mel bin: 192 numbers."""

    def embed(batch: np.ndarray) -> np.ndarray:
        changes = np.diff(batch, axis=1)
        return np.concatenate([batch.mean(1), batch.std(1), changes.std(1)], axis=1)

    return WindowEmbedder(embed, key="log-mel statistics: mean, deviation, deviation of changes")


def streaming_file(path: pathlib.Path) -> ClipEmbedder:
    """A streaming .tflite file, reset before each clip: an embedding about every half slice.

    The first embedding is that of the first whole slice. Denser embeddings would favour one hop or
    another for reasons that lie in the heads.
    """
    model = Embedder(path)
    first = -(-SLICE_SAMPLES // model.hop) - 1
    every = max(1, SLICE_SAMPLES // 2 // model.hop)

    def embed(pcm: np.ndarray) -> np.ndarray:
        model.reset()
        pcm = np.pad(pcm, (0, max(0, (first + 1) * model.hop - len(pcm))))
        return np.stack(model.stream(pcm)[first::every])

    return ClipEmbedder(embed, f"{file_key(path)} from {first} every {every}")


def speech_embedding(*, mean: bool) -> ClipEmbedder:
    """Google's speech_embedding, as openWakeWord uses it: 96 numbers every 80 ms.

    Args:
      mean: whether to return the mean of a clip's embeddings instead of all of them.

    Raises:
      A2vError: its package is not installed.
    """
    mel = make_interpreter(packaged_model(*OPEN_WAKE_WORD, "melspectrogram.tflite"))
    net = make_interpreter(packaged_model(*OPEN_WAKE_WORD, "embedding_model.tflite"))
    version = package_version(OPEN_WAKE_WORD[1])

    def embed(pcm: np.ndarray) -> np.ndarray:
        frames = _run(mel, (np.clip(pcm, -1, 1) * 32767)[np.newaxis])  # the values of int16
        frames = frames.reshape(-1, 32) / 10 + 2  # as openWakeWord scales them
        cut = np.lib.stride_tricks.sliding_window_view(frames, _FRAMES, axis=0)[::_STEP]
        embeddings = _run(net, cut.transpose(0, 2, 1)[..., np.newaxis]).reshape(len(cut), -1)
        return embeddings.mean(0, keepdims=True) if mean else embeddings

    return ClipEmbedder(embed, f"speech_embedding of {version}, mean={mean}")


def _run(interpreter: Any, values: np.ndarray) -> np.ndarray:
    detail = interpreter.get_input_details()[0]
    if tuple(detail["shape"]) != values.shape:
        interpreter.resize_tensor_input(detail["index"], values.shape)
        interpreter.allocate_tensors()
    interpreter.set_tensor(detail["index"], values.astype(np.float32))
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


# Judging -----------------------------------------------------------------------------------------


def judge(
    models: Mapping[str, embeddings.Embedder | Sequence[embeddings.Embedder]],
    datasets: Sequence[LabelledData],
    settings: Settings,
    cache: EmbeddingCache | None = None,
) -> list[Row]:
    """Heads on frozen embeddings of every model: rows of `compare.frozen`, and means over tasks.

    Args:
      models: by name; several of one name are replicas with different seeds.
      datasets: the tasks.
      settings: protocols, and the split that accuracy is measured on.
      cache: keeps embeddings for later evaluations.

    Raises:
      A2vError: a task cannot be used.
    """
    rows = compare.frozen(models, datasets, settings, cache)
    order = list(models)
    rows.sort(key=lambda row: order.index(row["model"]))
    return rows + compare.means(rows)


def csv_spec(corpus: pathlib.Path) -> str:
    """The labelled tasks of a corpus of `cut.py`, as `open_labelled` takes them."""
    return ",".join(f"csv:{corpus / task}.csv" for task in TASKS)
