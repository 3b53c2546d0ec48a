"""The models that choose.py and evaluate.py compare, and their results on the labelled tasks."""

import pathlib
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from a2v_tf.audio.read import SLICE_SAMPLES
from a2v_tf.data.labelled import LabelledData
from a2v_tf.evaluation import compare, embeddings
from a2v_tf.evaluation.cache import EmbeddingCache, file_key
from a2v_tf.evaluation.embeddings import ClipEmbedder, WindowEmbedder
from a2v_tf.evaluation.metrics import MEAN, Row
from a2v_tf.evaluation.settings import HeadSettings, Settings
from a2v_tf.frontend import FRONT_END
from a2v_tf.runtime.embedder import Embedder
from a2v_tf.teachers import Teacher
from a2v_tf.teachers.speech_embedding import model_files, open_model

LINEAR, NEAREST = PROTOCOLS = ("linear", "knn_clips")
# The cards of all versions are judged in this way, so that their figures can be compared: heads
# learn from all windows of training clips, and 0.01 is added to their probabilities.
PROTOCOL = Settings(PROTOCOLS, train_slices=0, heads=HeadSettings(smoothing=0.01))
TASKS = ("SPC", "LSP", "MUS", "BSD", "NPI")


# Models ------------------------------------------------------------------------------------------


def teacher_embedder(teacher: Teacher) -> WindowEmbedder:
    """A teacher alone: what an encoder that learned from it is compared with."""
    return WindowEmbedder(teacher.embed, "pcm", f"teacher {teacher.name} {teacher.fingerprint}")


def teacher_facts(teacher: Teacher) -> dict[str, Any]:
    """Whose knowledge it is: its licence, its source, and what its module says of both.

    Returns:
      `licence`, `source`; `about`, the paragraph on source, licence and data of the module's
      docstring; `bytes` of its weights, None where there are none.
    """
    module = sys.modules[teacher.compute.__module__]
    paragraphs = (module.__doc__ or "").split("\n\n")
    about = next((part for part in paragraphs if part.startswith("Source:")), paragraphs[-1])
    wheel = getattr(module, "WHEEL", None)
    return {
        "licence": teacher.licence,
        "source": teacher.source,
        "about": " ".join(about.split()),
        "bytes": _size(wheel.path()) if wheel else None,
    }


def _size(path: pathlib.Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def streaming_file(path: pathlib.Path) -> ClipEmbedder:
    """A streaming .tflite file, reset before each clip: an embedding about every half slice.

    The first embedding is that of the first whole slice; a clip that is shorter than the hops up to
    it ends there, after silence. Denser embeddings would favour one hop or another for reasons that
    lie in the heads.
    """
    model = Embedder(path)
    first = -(-SLICE_SAMPLES // model.hop) - 1
    every = max(1, SLICE_SAMPLES // 2 // model.hop)

    def embed(pcm: np.ndarray) -> np.ndarray:
        model.reset()
        pcm = np.pad(pcm, (max(0, (first + 1) * model.hop - len(pcm)), 0))
        return np.stack(model.stream(pcm)[first::every])

    return ClipEmbedder(embed, f"{file_key(path)} from {first} every {every}, silence first")


def speech_embedding(*, mean: bool) -> ClipEmbedder:
    """Google's speech_embedding, as openWakeWord uses it: 96 numbers every 80 ms.

    Args:
      mean: whether to return the mean of a clip's embeddings instead of all of them.

    Raises:
      A2vError: its package is not installed.
    """
    files = model_files()
    open_wake_word = open_model(*files)

    def embed(pcm: np.ndarray) -> np.ndarray:
        embeddings = open_wake_word(pcm)
        return embeddings.mean(0, keepdims=True) if mean else embeddings

    return ClipEmbedder(embed, f"speech_embedding {file_key(files[1])}, mean={mean}")


# Cost --------------------------------------------------------------------------------------------

ROUNDS = 11
LEAST_S = 0.02  # of CPU time a measurement, by repeating what is faster


def cpu_times(calls: Mapping[str, tuple[Callable[[], Any], float]]) -> dict[str, float]:
    """CPU time of models for a second of audio, in milliseconds: medians of rounds in turn.

    Args:
      calls: for each model a call, and the seconds of audio that it embeds.
    """
    repeats = {}
    for name, (call, _) in calls.items():
        call()  # builds graphs
        repeats[name] = max(1, round(LEAST_S / max(_cpu_seconds(call, 1), 1e-6)))
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, (call, seconds) in calls.items():
            used = _cpu_seconds(call, repeats[name]) / repeats[name]
            found[name].append(1_000 * used / seconds)
    return {name: statistics.median(values) for name, values in found.items()}


def _cpu_seconds(call: Callable[[], Any], repeats: int) -> float:
    start = time.process_time()  # of all threads
    for _ in range(repeats):
        call()
    return time.process_time() - start


def window_call(embed: Callable[[np.ndarray], Any]) -> tuple[Callable[[], Any], float]:
    """A call for `cpu_times` that embeds one window of noise, `embed`'s argument `[1, samples]`."""
    pcm = _noise(SLICE_SAMPLES)[np.newaxis]
    return lambda: embed(pcm), SLICE_SAMPLES / FRONT_END.sample_rate


def stream_call(path: pathlib.Path, steps: int = 12) -> tuple[Callable[[], Any], float]:
    """A call for `cpu_times` that goes on with a stream of noise."""
    model = Embedder(path)
    pcm = _noise(steps * model.stream_hop)
    return lambda: model.stream(pcm), len(pcm) / FRONT_END.sample_rate


def _noise(samples: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.1, 0.1, samples).astype(np.float32)


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


def means(rows: Sequence[Row], protocol: str, per_class: int | None = None) -> dict[str, float]:
    """Each model's mean accuracy over the tasks."""
    return {
        row["model"]: row["accuracy"]
        for row in rows
        if (row["task"], row["protocol"], row["examples_per_class"]) == (MEAN, protocol, per_class)
    }
