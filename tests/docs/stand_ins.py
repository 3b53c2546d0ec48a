"""Small stand-ins for what the readers of the documentation have: recordings, labels, sensors."""

import csv
import pathlib

import numpy as np
import soundfile

RATE = 16_000
CLASSES = ("car", "tram")


def write_sound(path: pathlib.Path, seconds: float, seed: int, hz: float | None = None) -> None:
    """Write notes, of one pitch or of any, with some noise."""
    rng = np.random.default_rng(seed)
    notes = max(1, round(2 * seconds))
    pitches = np.full(notes, hz) if hz else rng.uniform(150, 3_000, notes)
    phase = np.cumsum(np.repeat(pitches, round(seconds * RATE / notes))) * 2 * np.pi / RATE
    pcm = 0.3 * np.sin(phase) + 0.02 * rng.normal(size=len(phase))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, pcm, RATE)


def recordings(folder: pathlib.Path) -> None:
    """A folder of recordings, and two files of the reader's own."""
    for i in range(3):
        write_sound(folder / f"path/to/recordings/{i}.wav", 7, seed=i)
    write_sound(folder / "song.wav", 10, seed=10)
    write_sound(folder / "day.wav", 6, seed=11, hz=800)


def several_recordings(folder: pathlib.Path) -> None:
    """A folder of recordings, of which one is held out when teachers are asked."""
    for i, name in enumerate(("street", "song", "speech", "birds", "rain")):
        write_sound(folder / f"path/to/recordings/{name}.wav", 7, seed=i)


def parts(folder: pathlib.Path) -> None:
    """parts.csv: the parts of the recordings that are worth learning from."""
    rows = [f"path/to/recordings/{i}.wav,0.5,6.5" for i in range(3)]
    (folder / "parts.csv").write_text("\n".join(["path,start,end", *rows, ""]))


def labelled(folder: pathlib.Path) -> None:
    """labels.csv, with two clips of each class in each split."""
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        for i, split in enumerate(("train", "train", "val", "val", "test", "test")):
            for j, label in enumerate(CLASSES):
                name = f"street/{i}_{label}.wav"
                write_sound(folder / name, 1.5, seed=10 * i + j, hz=400 + 600 * j)
                writer.writerow([name, label, split])


def examples(folder: pathlib.Path) -> None:
    """sounds/LABEL/*.wav."""
    for j, label in enumerate(("rain", "engine", "bird")):
        for i in range(2):
            write_sound(folder / f"sounds/{label}/{i}.wav", 2, seed=i, hz=400 * (j + 1))


def band_levels(folder: pathlib.Path) -> None:
    """CSV files of 29 third-octave bands, a row every 125 ms, and events.csv, with two labels."""
    rng = np.random.default_rng(0)
    bands = [f"{1000 * 10 ** (i / 10):.3g}" for i in range(-17, 12)]
    events = ["path,start,end,label"]
    for split in ("train", "val", "test"):
        events += [f"{split}/sensor.csv,{8 * i},{8 * i + 8},{CLASSES[i % 2]}" for i in range(10)]
        path = folder / f"path/to/csvs/{split}/sensor.csv"
        path.parent.mkdir(parents=True)
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["time", *bands])
            for i in range(700):
                levels = 50 + 10 * np.sin(i / 20 + np.arange(29)) + rng.normal(size=29)
                writer.writerow([f"{i / 8:.3f}", *(f"{level:.1f}" for level in levels)])
    (folder / "events.csv").write_text("\n".join(events))


def audioset(folder: pathlib.Path) -> None:
    """A folder as a user of AudioSet has it, with three clips a split."""
    root = folder / "path/to/audioset"
    root.mkdir(parents=True)
    mids = [f"/m/{i:05d}" for i in range(527)]
    with (root / "class_labels_indices.csv").open("w", newline="") as file:
        rows = [(i, mid, f"Class {i}") for i, mid in enumerate(mids)]
        csv.writer(file).writerows([("index", "mid", "display_name"), *rows])
    for s, split in enumerate(("balanced_train", "unbalanced_train", "eval")):
        lines = ["# Segments", "# num_ytids=3", "# YTID, start_seconds, end_seconds, labels"]
        for i in range(3):
            ytid = f"clip{s}{i}00000"
            write_sound(root / split / f"{ytid}.wav", 10, seed=3 * s + i)
            lines.append(f'{ytid}, 0.000, 10.000, "{mids[i]},{mids[i + 5]}"')
        (root / f"{split}_segments.csv").write_text("\n".join([*lines, ""]))
