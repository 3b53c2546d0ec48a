"""The small valid inputs that the cases damage, made once for a run."""

import os
import pathlib
import sys
import time

import numpy as np
import soundfile

from tests.torture import warm

QUICK = (
    *("--frames=32", "--context=1", "--batch_size=4", "--eval_every=2"),
    *("--validation_examples=4", "--seed=3"),
)
TRAINING_S = 10.0  # that the training below takes, about: set by `make`


def make(directory: pathlib.Path, *, heavy: bool) -> None:
    """Write sounds and tables, and, if `heavy`, what commands that need TensorFlow write."""
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
    levels = directory / "levels"
    levels.mkdir(exist_ok=True)
    for name in "ab":
        table = 40 + 10 * rng.standard_normal((400, 8))
        lines = [",".join(["time", *map(str, range(8))])]
        lines += [
            ",".join([f"{0.125 * i}", *(f"{x:.2f}" for x in row)]) for i, row in enumerate(table)
        ]
        (levels / f"{name}.csv").write_text("\n".join(lines) + "\n")
    _checked(directory, "a2v_embed", "--model=pretrained", "--audio=sounds", "--output=sounds.npz")
    if heavy:
        train = ("--data=sounds", "--model_dir=model", "--steps=4", *QUICK)
        start = time.monotonic()
        _checked(directory, "a2v_train", *train)
        global TRAINING_S
        TRAINING_S = time.monotonic() - start
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


def _checked(directory: pathlib.Path, command: str, *options: str) -> None:
    ended = warm.run(command, options, directory, limit_s=600)
    if ended.code:
        sys.exit(f"{command} {' '.join(options)}: {ended.code}\n{ended.err}")
    for name in (".out", ".err"):
        os.unlink(directory / name)
