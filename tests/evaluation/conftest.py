"""A downstream task that is easy: low tones and high tones, some seconds of each."""

import pathlib
from collections.abc import Iterator

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf

from a2v_tf.audio.bad_files import BadFiles
from a2v_tf.data.labelled import Clip
from a2v_tf.evaluation.windows import Windows
from a2v_tf.models.encoder import build_encoder
from a2v_tf.specs import EncoderConfig, InputStats

TINY = EncoderConfig(channels=(2, 3, 4), embedding_dim=5)


def tone(rng: np.random.Generator, label: str, seconds: float = 1.5) -> np.ndarray:
    """A low or a high tone of about the same pitch as others of its label, with a little noise."""
    t = np.arange(int(seconds * 16_000)) / 16_000
    hz = {"low": 300, "high": 3_000}[label] * rng.uniform(0.9, 1.1)
    sound = 0.3 * np.sin(2 * np.pi * hz * t) + 0.003 * rng.standard_normal(len(t))
    return sound.astype(np.float32)


def write_task(folder: pathlib.Path, name: str = "tones", clips: int = 7) -> pathlib.Path:
    """Write clips of two classes and their CSV, splits train, val and test; return the CSV."""
    rng = np.random.default_rng(0)
    rows = ["path,label,split"]
    (folder / "clips").mkdir(exist_ok=True)
    for label in ("low", "high"):
        for i in range(clips):
            path = f"clips/{name}_{label}{i}.wav"
            soundfile.write(folder / path, tone(rng, label), 16_000)
            rows.append(f"{path},{label},{'train' if i < 4 else 'val' if i < 5 else 'test'}")
    csv_path = folder / f"{name}.csv"
    csv_path.write_text("\n".join(rows) + "\n")
    return csv_path


class Tones:
    """Labelled data in memory; it counts how often its clips are read."""

    classes = ("high", "low")
    multi_label = False

    def __init__(self, name: str = "tones", val: bool = True) -> None:
        rng = np.random.default_rng(0)
        splits = ("train",) * 4 + ("val",) + ("test",) * 2
        self.name = name
        self.version = "1"
        self.reads = 0
        self.bad = BadFiles(0.1)
        self._clips = [
            (Clip(f"{label}{i}", label, split), tone(rng, label))
            for label in ("low", "high")
            for i, split in enumerate(splits)
        ]
        if not val:
            self._clips = [(clip, pcm) for clip, pcm in self._clips if clip.split != "val"]

    def clips(self, max_bad_fraction: float = 0.1) -> Iterator[tuple[Clip, np.ndarray]]:
        self.reads += 1
        yield from self._clips

    def fingerprint(self) -> str:
        return f"{self.name}{self.version}"

    def crops(
        self, samples: int, *, seed: int, round_index, per_class=None, total=None, share=None
    ) -> tf.data.Dataset:
        pcm = np.stack([pcm for clip, pcm in self._clips if clip.split == "train"])
        labels = [self.classes.index(c.label) for c, _ in self._clips if c.split == "train"]
        key = tf.stack([tf.cast(seed, tf.int64), tf.cast(round_index, tf.int64)])

        def crop(i: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            draw = tf.random.stateless_uniform([2], key + i, 0, 1)
            clip = tf.cast(draw[0] * len(pcm), tf.int32)
            start = tf.cast(draw[1] * (pcm.shape[1] - samples), tf.int32)
            crop = tf.constant(pcm)[clip, start : start + samples]
            return tf.ensure_shape(crop, [samples]), tf.constant(labels)[clip]

        return tf.data.Dataset.range(1 << 40).map(crop)


def blobs(
    *, separation: float = 8.0, classes: int = 3, clips: int = 12, windows: int = 4, dims: int = 6
) -> Windows:
    """Embeddings around a centre for each class, of `windows` windows for each of `clips` clips."""
    rng = np.random.default_rng(0)
    labels = np.arange(clips * classes) % classes
    splits = np.array(["train", "train", "val", "test"])[np.arange(len(labels)) // classes % 4]
    clip = np.repeat(np.arange(len(labels)), windows)
    centres = separation * rng.standard_normal((classes, dims))
    values = centres[labels[clip]] + rng.standard_normal((len(clip), dims))
    names = tuple(f"class{i}" for i in range(classes))
    return Windows(names, labels, splits, clip, values.astype(np.float32))


def tiny_encoder(seed: int = 0, frames: int = 96) -> keras.Model:
    """An encoder small enough to train in a second."""
    keras.utils.set_random_seed(seed)
    return build_encoder(TINY, frames, 64, InputStats(-2.0, 4.0))


@pytest.fixture(scope="session")
def task_csv(tmp_path_factory) -> pathlib.Path:
    return write_task(tmp_path_factory.mktemp("task"))
