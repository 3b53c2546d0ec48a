"""The small valid inputs that the cases damage, made once for a run."""

import importlib.util
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Iterator, Sequence

import numpy as np
import soundfile

from tests.audio.formats import KINDS
from tests.torture import warm

QUICK = (
    *("--frames=32", "--context=1", "--batch_size=4", "--eval_every=2"),
    *("--validation_examples=4", "--seed=3"),
)
_EMBED = ("--model=pretrained", "--audio=inputs/sounds")
_BEAM = "runner=FnApiRunner,direct_running_mode=multi_processing,direct_num_workers=2"
# The runs that are killed, by their outputs: command and options.
WHOLE_RUNS: dict[str, tuple[str, Sequence[str]]] = {
    "model": (
        "a2v_train",
        ("--data=inputs/sounds", "--model_dir=model", "--steps=4", *QUICK),
    ),
    "embeddings.npz": ("a2v_embed", (*_EMBED, "--output=embeddings.npz")),
    "embeddings.parquet": ("a2v_embed", (*_EMBED, "--output=embeddings.parquet")),
    "shards": ("a2v_embed", (*_EMBED, "--output=shards/")),
    "data": (
        "a2v_tf.data.builders",
        ("--name=audioset", "--manual_dir=inputs/audioset", "--data_dir=data"),
    ),
}
if importlib.util.find_spec("apache_beam"):
    WHOLE_RUNS["beam_shards"] = (
        "a2v_embed",
        (*_EMBED, "--output=beam_shards/", f"--beam_pipeline_options={_BEAM}"),
    )
TAKES_S: dict[str, float] = {}  # how long they take, about: set by `make`


def make(directory: pathlib.Path, *, models: bool, killed: Sequence[str] = ()) -> None:
    """Write sounds and tables, models and what is made of them, and whole runs.

    Args:
      directory: where to.
      models: whether there are cases that need a model directory.
      killed: some of `WHOLE_RUNS`, made without a kill, to compare with.
    """
    sounds = directory / "sounds"
    rng = np.random.default_rng(0)
    for i, label in enumerate(["low", "high", "low", "high"]):
        (sounds / label).mkdir(parents=True, exist_ok=True)
        t = np.arange(16_000 * 2) / 16_000
        tone = 0.3 * np.sin(2 * np.pi * 200 * (i + 1) * t) * (1 + np.sin(4 * np.pi * t))
        pcm = tone + 0.01 * rng.standard_normal(len(t))
        suffix = ("wav", "flac", "ogg", "mp3")[i]
        soundfile.write(sounds / label / f"{i}.{suffix}", pcm, 16_000)
    rows = [
        f"sounds/{label}/{i}.{suffix},{label},{split}"
        for i, (label, suffix, split) in enumerate(
            [
                ("low", "wav", "train"),
                ("high", "flac", "train"),
                ("low", "ogg", "test"),
                ("high", "mp3", "test"),
            ]
        )
    ]
    (directory / "labels.csv").write_text("path,label,split\n" + "\n".join(rows) + "\n")
    formats = directory / "formats"
    formats.mkdir()
    warm.in_child(lambda: [make(formats / name, 1) for name, (make, _) in KINDS.items()])
    _audioset(directory / "audioset")
    _levels(directory, rng)
    _checked(directory, "a2v_embed", "--model=pretrained", "--audio=sounds", "--output=sounds.npz")
    whole = directory / "whole"
    whole.mkdir()
    (whole / "inputs").symlink_to(directory)
    for name in dict.fromkeys([*["model"] * models, *killed]):
        command, options = WHOLE_RUNS[name]
        start = time.monotonic()
        _checked(whole, command, *options)
        TAKES_S[name] = time.monotonic() - start
    if models:
        shutil.copytree(whole / "model", directory / "model")
        warm.in_child(lambda: _tfds(directory / "tfds"))
        _checked(
            directory,
            "a2v_train",
            *("--data=spectrogram:levels", "--model_dir=levels_model", "--task=temporal_gap"),
            *("--steps=2", *QUICK),
        )
        _checked(
            directory,
            "a2v_evaluate",
            *("--model_dir=model", "--downstream=csv:labels.csv", "--output=results.json"),
        )
        _checked(
            directory,
            "export_tflite",
            *("--model_dir=model", "--output=model.tflite", "--summary=summary.json"),
        )


def _levels(directory: pathlib.Path, rng: np.random.Generator) -> None:
    """Band levels in the folders of their splits, and a table of labelled stretches of them."""
    stretches = ["path,start,end,label"]
    for name in ("train/a.csv", "train/b.csv", "val/c.csv", "test/d.csv"):
        table = 40 + 10 * rng.standard_normal((400, 8))
        lines = [",".join(["time", *map(str, range(8))])]
        lines += [
            ",".join([f"{0.125 * i}", *(f"{x:.2f}" for x in row)]) for i, row in enumerate(table)
        ]
        path = directory / "levels" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
        stretches += [f"{name},{t},{t + 9},{'odd' if t % 20 else 'even'}" for t in (0, 10, 20, 30)]
    (directory / "stretches.csv").write_text("\n".join(stretches) + "\n")


def _tfds(directory: pathlib.Path) -> None:
    """A labelled data set as TFDS stores it; in a process of its own, as TensorFlow computes."""
    import tensorflow_datasets as tfds

    def examples() -> Iterator[tuple[int, dict[str, object]]]:
        for i in range(4):
            wave = np.sin(np.arange(24_000) * (1 + i % 2) / 20) * (1 + i / 4)
            yield i, {"audio": np.int16(9_000 * wave), "label": i % 2}

    directory.mkdir()
    tfds.dataset_builders.store_as_tfds_dataset(
        name="clips",
        version="1.0.0",
        features=tfds.features.FeaturesDict(
            {
                "audio": tfds.features.Tensor(shape=(None,), dtype=np.int16, encoding="bytes"),
                "label": tfds.features.ClassLabel(num_classes=2),
            }
        ),
        split_datasets={split: list(examples()) for split in ("train", "test")},
        data_dir=directory,
    )


def _audioset(directory: pathlib.Path) -> None:
    """Clips and tables in the layout of AudioSet's downloads."""
    directory.mkdir(exist_ok=True)
    classes = [f"{i},/m/{i:05d},Sound {i}" for i in range(527)]
    lines = ["index,mid,display_name", *classes]
    (directory / "class_labels_indices.csv").write_text("\n".join(lines) + "\n")
    for split, count in (("balanced_train", 7), ("eval", 4)):
        names = [f"{split[:7]:x<7}{i:04d}" for i in range(count)]
        rows = [f'{name}, 0.000, 1.000, "/m/{i:05d}"' for i, name in enumerate(names)]
        (directory / f"{split}_segments.csv").write_text("\n".join(rows) + "\n")
        for i, name in enumerate(names[1:]):  # the first is missing
            pcm = np.sin(np.arange(16_000) * (i + 1) / 50) / 3
            soundfile.write(directory / f"{name}.flac", pcm, 16_000)


def _checked(directory: pathlib.Path, command: str, *options: str) -> None:
    ended = warm.run(command, options, directory, limit_s=600)
    if ended.code:
        sys.exit(f"{command} {' '.join(options)}: {ended.code}\n{ended.err}")
    for name in (".out", ".err"):
        os.unlink(directory / name)
