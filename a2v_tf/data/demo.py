"""The demo corpus: synthesised recordings, so that every command can be tried offline.

Use it for tests and first steps, not to judge quality. The corpus is generated from `SEED` and is
the same on every machine, apart from differences in NumPy's rounding.

    DIRECTORY/train/*.wav        unlabelled scenes of 10 s
    DIRECTORY/labelled/*.wav     clips of 2 s, shared by the tasks
    DIRECTORY/{sound_class,pitch,room}.csv   path,label,split
"""

import csv
import dataclasses
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

import numpy as np
import soundfile
import tqdm
from absl import logging

from a2v_tf.data.demo_sounds import (
    INSTRUMENTS,
    RATE,
    ROOMS,
    SOUNDS,
    STEADY,
    SUSTAINED,
    Rng,
    edges,
    phrase,
    reverberate,
)
from a2v_tf.errors import A2vError
from a2v_tf.files import cache_dir

VERSION = 2  # increase it with every change of the generated sound
SEED = 20_200
TASKS = ("sound_class", "pitch", "room")
STAMP = "VERSION"  # written last: a directory without it is incomplete

SCENES, SCENE_SECONDS = 130, 10
LABELLED_SECONDS = 2
SPLITS = ("train",) * 4 + ("val",) + ("test",) * 2  # of every 7 clips of a class
CLIPS_PER_CLASS = 56  # for notes: 8 pitches times the 7 of SPLITS
PITCHES = tuple(196.0 * 2 ** (i / 3) for i in range(8))  # Hz, major thirds from G3 to B5
PITCH_NAMES = ("G3", "B3", "D#4", "G4", "B4", "D#5", "G5", "B5")


# --- The corpus on disk ---------------------------------------------------------------------------


def ensure(directory: pathlib.Path | str | None = None) -> pathlib.Path:
    """Build the corpus, unless a complete one of this version exists.

    Args:
      directory: where to build it; by default in `$XDG_CACHE_HOME` or `~/.cache`.

    Returns:
      The corpus's directory.

    Raises:
      A2vError: the directory cannot be written or contains other files.
    """
    path = pathlib.Path(directory) if directory else cache_dir() / f"demo-v{VERSION}"
    if _is_current(path):
        return path
    if path.is_dir() and any(path.iterdir()) and not (path / STAMP).exists():
        raise A2vError(f"{path} is neither empty nor a demo corpus: remove it or name another")
    logging.info("writing the demo corpus to %s (once; half a minute)", path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        work = pathlib.Path(tempfile.mkdtemp(prefix=f"{path.name}.", dir=path.parent))
        try:
            _build(work)
            _move_into_place(work, path)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise A2vError(f"cannot write the demo corpus to {path}: {error.strerror}") from error
    return path


def task_csvs(directory: pathlib.Path) -> list[pathlib.Path]:
    """The CSV files of the corpus's downstream tasks."""
    return [directory / f"{task}.csv" for task in TASKS]


def _is_current(path: pathlib.Path) -> bool:
    stamp = path / STAMP
    return stamp.is_file() and stamp.read_text().strip() == str(VERSION)


def _move_into_place(work: pathlib.Path, path: pathlib.Path) -> None:
    """Rename the finished corpus: no other process sees half of it, and one may come first."""
    if _is_current(path):
        return
    if path.exists():  # of an older version, or empty
        shutil.rmtree(path)
    try:
        work.rename(path)
    except OSError:
        if not _is_current(path):
            raise


def _build(directory: pathlib.Path) -> None:
    directory.chmod(0o755)  # mkdtemp's is private
    plan = labelled_plan()
    with tqdm.tqdm(total=SCENES + len(plan), desc="demo", unit="clip", disable=None) as bar:
        (directory / "train").mkdir()
        for i in range(SCENES):
            _write(directory / f"train/scene_{i:03d}.wav", scene(i))
            bar.update()
        (directory / "labelled").mkdir()
        for clip in plan:
            _write(directory / clip.path, labelled(clip))
            bar.update()
    for task, path in zip(TASKS, task_csvs(directory), strict=True):
        with path.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("path", "label", "split"))
            writer.writerows(task_rows(task, plan))
    (directory / STAMP).write_text(f"{VERSION}\n")


def _write(path: pathlib.Path, pcm: np.ndarray) -> None:
    soundfile.write(path, np.round(pcm * 32_767).astype(np.int16), RATE, subtype="PCM_16")


# --- Scenes and labelled clips --------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Labelled:
    """A labelled clip: its sound, pitch (an index into `PITCHES`) and room."""

    index: int
    kind: str
    pitch: int | None
    room: str
    split: str

    @property
    def path(self) -> str:
        """Path of the clip, relative to the corpus."""
        return f"labelled/{self.kind}_{self.index:03d}.wav"


def labelled_plan() -> list[Labelled]:
    """List the labelled clips. Each has its own seed, so splits share no random numbers."""
    plan: list[Labelled] = []
    for kind in SOUNDS:
        for i in range(CLIPS_PER_CLASS):
            pitch = i // len(SPLITS) if kind in INSTRUMENTS else None
            # 5 rooms, groups of 7 clips: every split of every pitch has several rooms.
            room = tuple(ROOMS)[(i + i // len(SPLITS)) % len(ROOMS)]
            plan.append(Labelled(len(plan), kind, pitch, room, SPLITS[i % len(SPLITS)]))
    return plan


def task_rows(task: str, plan: list[Labelled]) -> Iterator[tuple[str, str, str]]:
    """Yield the path, label and split of each clip of a task."""
    for clip in plan:
        if task == "sound_class":
            yield clip.path, clip.kind, clip.split
        elif task == "pitch" and clip.pitch is not None:
            yield clip.path, PITCH_NAMES[clip.pitch], clip.split
        elif task == "room" and clip.kind not in (*STEADY, *SUSTAINED):
            yield clip.path, clip.room, clip.split


def labelled(clip: Labelled) -> np.ndarray:
    """Synthesise a labelled clip, float `[samples]` in (-1, 1)."""
    rng = np.random.default_rng([SEED, 1, clip.index])
    samples = LABELLED_SECONDS * RATE
    if clip.pitch is None:
        dry = SOUNDS[clip.kind](rng, samples)
    else:
        dry = phrase(rng, samples, INSTRUMENTS[clip.kind](rng), PITCHES[clip.pitch])
    return record(rng, reverberate(rng, dry, clip.room))


def scene(index: int) -> np.ndarray:
    """Synthesise an unlabelled scene, float `[samples]` in (-1, 1).

    Two or three sources in one room alternate and overlap for a few seconds each, with or without a
    steady background. The present therefore predicts something about the next second.
    """
    rng = np.random.default_rng([SEED, 0, index])
    samples = SCENE_SECONDS * RATE
    mix = np.zeros(samples)
    if rng.random() < 0.5:
        mix += 10 ** rng.uniform(-1.5, -0.5) * SOUNDS[rng.choice(STEADY)](rng, samples)
    sources = rng.choice(list(SOUNDS), size=rng.integers(2, 4), replace=False)
    start = 0
    while start < samples - RATE:
        length = min(int(rng.uniform(2, 5) * RATE), samples - start)
        event = SOUNDS[rng.choice(sources)](rng, length) * edges(length, 0.02, 0.1)
        mix[start : start + length] += 10 ** rng.uniform(-0.8, 0) * event
        start += int(length * rng.uniform(0.6, 1.1))
    return record(rng, reverberate(rng, mix, str(rng.choice(list(ROOMS)))))


def record(rng: Rng, sound: np.ndarray) -> np.ndarray:
    """Set a random level, -38 to -14 dB RMS relative to full scale, and add microphone noise."""
    level = 10 ** (rng.uniform(-38, -14) / 20)
    noise = 10 ** (rng.uniform(-80, -65) / 20) * rng.standard_normal(len(sound))
    pcm = sound * level / max(np.sqrt(np.mean(sound**2)), 1e-6) + noise
    return pcm * min(1.0, 0.9 / np.abs(pcm).max())  # peaks are scaled down, never clipped
