"""Evaluate models of precomputed spectrograms: their own losses, labels of times, the matrix X.

The splits are those of training, `data.spectrogram.split_files`: test files are never trained on.
"""

import csv
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from a2v_tf.data.sources import one_line_errors, open_source
from a2v_tf.data.spectrogram import SPLITS, SpectrogramSource, split_files
from a2v_tf.data.spectrogram_csv import read_times, times_of
from a2v_tf.errors import A2vError
from a2v_tf.evaluation.compare import HEADS
from a2v_tf.evaluation.settings import HeadSettings
from a2v_tf.evaluation.windows import Windows
from a2v_tf.files import output_file
from a2v_tf.runtime.tables import Table
from a2v_tf.specs import MAX_BAD_FRACTION, SOURCE_OPTIONS, SPECTROGRAM, BandLevels
from a2v_tf.tasks import multi_head, task_names
from a2v_tf.tasks.task import find_tasks
from a2v_tf.text import align, printable
from a2v_tf.training.batches import VALIDATION_ROUND, task_batches
from a2v_tf.training.model_dir import front_end_of, load_encoder, load_model, read_config
from a2v_tf.training.trained_task import slicing_of

EXAMPLES = 1_024  # of each split that losses are the mean of
_BATCH = 64
_LABELS = ("path", "start", "end", "label")  # the columns of a CSV of labels


@dataclasses.dataclass(frozen=True)
class Corpus:
    """The splits of a corpus of band levels, as a trained model takes them.

    Attributes:
      directory: of the CSV files.
      split: the one that was named, if any.
      sources: of the splits that have files.
      config: of the model.
    """

    directory: pathlib.Path
    split: str | None
    sources: Mapping[str, SpectrogramSource]
    config: Mapping[str, Any]

    @property
    def frames(self) -> int:
        """N, frames of a slice."""
        return self.config["frames"]

    @property
    def judged(self) -> str:
        """The split to judge on: test unless another is named.

        Raises:
          A2vError: it has no files.
        """
        split = self.split or "test"
        if split not in self.sources:
            raise A2vError(f"{self.directory}: no CSV file is in the split {split}")
        return split


def open_corpus(model_dir: str, data: str, max_bad_fraction: float = MAX_BAD_FRACTION) -> Corpus:
    """Open all splits of the corpus that `data` names.

    Args:
      model_dir: of a model of band levels.
      data: "spectrogram:DIR[:SPLIT]".
      max_bad_fraction: of the files of a split that may be unusable.

    Raises:
      A2vError: the model takes audio, or the corpus cannot be used or has other bands.
    """
    config, front_end = read_config(model_dir), front_end_of(model_dir)
    if not isinstance(front_end, BandLevels):
        raise A2vError(
            f"data={data}: {model_dir!r} takes audio; expected a model that was trained on "
            f"{SPECTROGRAM}DIR"
        )
    spec = data.removeprefix(SPECTROGRAM)
    by_split, named = split_files(spec)
    directory = spec.removesuffix(f":{named}")
    split = named if directory != spec else None
    if split and not by_split[split]:
        raise A2vError(f"data={data}: no CSV file is in the split {split}")
    options = {name: config[name] for name in SOURCE_OPTIONS if name in config}
    options |= {"spectrogram_columns": front_end.columns, "max_bad_fraction": max_bad_fraction}
    sources = {}
    for name in SPLITS:
        if by_split[name]:
            source = open_source(f"{SPECTROGRAM}{directory}:{name}", **options)
            assert isinstance(source, SpectrogramSource)
            sources[name] = source
    return Corpus(pathlib.Path(directory).expanduser(), split, sources, config)


# ---- The losses of the model's own tasks ----


def losses(model_dir: str, corpus: Corpus, examples: int = EXAMPLES) -> list[dict[str, Any]]:
    """The losses of the model's tasks on random examples of each split, always the same ones.

    Returns:
      For each split its name, its number of files and of examples, and the loss of each task.

    Raises:
      A2vError: a split has no stretch that is long enough.
    """
    config = corpus.config
    tasks = find_tasks(task_names(config["task"], config.get("heads", ())))
    slicing = slicing_of(config)
    model = load_model(model_dir, for_audio=False)
    model.compile(**multi_head.losses(tasks))
    rows = []
    for split, source in corpus.sources.items():
        source.check(multi_head.crop_frames(tasks, slicing))
        batches = task_batches(
            source, tasks, slicing, batch_size=_BATCH, seed=config.get("seed", 0)
        )
        count = -(-examples // _BATCH)
        with one_line_errors(source):
            found = model.evaluate(
                batches(VALIDATION_ROUND), steps=count, return_dict=True, verbose=0
            )
        of_tasks = {
            task.name: float(found["loss"] if len(tasks) == 1 else found[f"{task.name}_loss"])
            for task in tasks
        }
        files = len(source.paths)
        rows.append({"split": split, "files": files, "examples": _BATCH * count, **of_tasks})
    return rows


# ---- Labels ----


def labelled_windows(model_dir: str, corpus: Corpus, labels: pathlib.Path) -> Windows:
    """Embed the slices of labelled stretches of time.

    Args:
      model_dir: of the model.
      corpus: with the files that are labelled.
      labels: CSV file with the columns path, below the corpus, start and end, times as in that
        file, and label. The slices of a row lie between start and end, side by side; rows with
        no room for one are left out.

    Raises:
      A2vError: the labels cannot be used.
    """
    encoder = load_encoder(model_dir, for_audio=False)
    places = {
        path.relative_to(corpus.directory).as_posix(): (split, source, index)
        for split, source in corpus.sources.items()
        for index, path in enumerate(source.paths)
    }
    names: list[str] = []
    splits: list[str] = []
    clip: list[int] = []
    slices: list[np.ndarray] = []
    times: dict[str, np.ndarray] = {}
    for row in _read_labels(labels):
        if row["path"] not in places:
            raise A2vError(f"{labels}: {row['path']!r} is no CSV file of {corpus.directory}")
        split, source, index = places[row["path"]]
        if row["path"] not in times:
            times[row["path"]] = read_times(
                source.paths[index], corpus.config.get("spectrogram_time"), source.front_end
            )
        seconds = times[row["path"]]
        start, end = times_of(labels, row["start"], row["end"])
        rows = np.flatnonzero((seconds >= start) & (seconds < end))
        found = _slices_within(source, index, rows, corpus.frames)
        if found:
            clip += [len(names)] * len(found)
            slices += found
            names.append(row["label"])
            splits.append(split)
    classes = tuple(sorted(set(names)))
    _check_labels(labels, names, np.array(splits), corpus)
    return Windows(
        classes=classes,
        labels=np.array([classes.index(name) for name in names]),
        splits=np.array(splits),
        clip=np.array(clip),
        values=encoder.predict(np.array(slices), batch_size=256, verbose=0),
    )


def _read_labels(path: pathlib.Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            lacks = [name for name in _LABELS if name not in (reader.fieldnames or ())]
            if lacks:
                raise A2vError(
                    f"--labels={path}: has no column {lacks[0]!r}; expected {','.join(_LABELS)}"
                )
            rows = []
            for row in reader:
                if empty := [name for name in _LABELS if not row[name]]:
                    raise A2vError(
                        f"--labels={path} line {reader.line_num}: has no {empty[0]}; expected "
                        f"{','.join(_LABELS)}"
                    )
                rows.append(row)
            return rows
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise A2vError(f"--labels={path}: cannot be read as CSV: {error}") from error


def _slices_within(
    source: SpectrogramSource, index: int, rows: np.ndarray, frames: int
) -> list[np.ndarray]:
    """The slices of a file's continuous stretches that lie within some rows, side by side."""
    if not len(rows):
        return []
    found = []
    for first, count in source.stretches(index):
        begin, end = max(first, rows[0]), min(first + count, rows[-1] + 1)
        found += [source.read(index, at, frames) for at in range(begin, end - frames + 1, frames)]
    return found


def _check_labels(
    path: pathlib.Path, names: Sequence[str], splits: np.ndarray, corpus: Corpus
) -> None:
    for split in ("train", corpus.judged):
        count = int((splits == split).sum())
        if not count:
            raise A2vError(
                f"--labels={path}: no row of a {split} file has room for a slice of "
                f"{corpus.frames} frames"
            )
    if len({name for name, split in zip(names, splits, strict=True) if split == "train"}) < 2:
        raise A2vError(f"--labels={path}: expected train files with at least two labels")


def accuracies(
    windows: Windows, protocols: Sequence[str], split: str, seed: int, heads: HeadSettings
) -> list[dict[str, Any]]:
    """The accuracy of each protocol on labelled stretches of a split."""
    judged = windows.judged_on(split)
    return [
        {"protocol": name, "classes": len(windows.classes), **_score(name, judged, seed, heads)}
        for name in protocols
    ]


def _score(protocol: str, windows: Windows, seed: int, heads: HeadSettings) -> dict[str, Any]:
    score = HEADS[protocol](windows, seed, heads)
    return {"accuracy": score.accuracy, "n_test": score.n_test}


# ---- Embeddings ----


def embed(model_dir: str, corpus: Corpus, hop_ms: float | None = None) -> Table:
    """Embed the slices of the named split, or of all files.

    Args:
      model_dir: of the model.
      corpus: with the files.
      hop_ms: milliseconds from one slice to the next, in each continuous stretch; None for slices
        side by side.

    Returns:
      A row for each slice; times count from the first row of its file.

    Raises:
      A2vError: the hop is no whole number of frames, or no stretch has room for a slice.
    """
    encoder = load_encoder(model_dir, for_audio=False)
    splits = [corpus.split] if corpus.split else list(corpus.sources)
    paths, starts, ends, embeddings = [], [], [], []
    for source in (corpus.sources[split] for split in splits):
        period = source.front_end.period
        hop = corpus.frames if hop_ms is None else round(hop_ms / 1000 / period)
        if hop < 1 or (hop_ms is not None and abs(hop * period - hop_ms / 1000) > 1e-6):
            raise A2vError(
                f"--hop_ms={hop_ms:g}: expected a multiple of the {1000 * period:g} ms of a frame"
            )
        for index, path in enumerate(source.paths):
            rows = _rows(source, index, corpus.frames, hop)
            if not rows:
                continue
            slices = np.stack([source.read(index, row, corpus.frames) for row in rows])
            time = corpus.config.get("spectrogram_time")
            seconds = read_times(path, time, source.front_end)
            since = seconds[rows] - seconds[np.isfinite(seconds)][0]
            paths += [printable(path)] * len(rows)
            starts.append(since)
            ends.append(since + corpus.frames * period)
            embeddings.append(encoder.predict(slices, batch_size=256, verbose=0))
    if not paths:
        raise A2vError(
            f"{corpus.directory}: no file has {corpus.frames} continuous frames, one slice"
        )
    return Table(
        np.array(paths), np.concatenate(starts), np.concatenate(ends), np.concatenate(embeddings)
    )


def _rows(source: SpectrogramSource, index: int, frames: int, hop: int) -> list[int]:
    """The rows of a file at which slices begin, `hop` apart in each continuous stretch."""
    return [
        row
        for first, count in source.stretches(index)
        for row in range(first, first + count - frames + 1, hop)
    ]


# ---- The matrix ----


def write_matrix(corpus: Corpus, output: pathlib.Path) -> dict[str, tuple[int, int]]:
    """Write the slices of each split as the columns of a matrix.

    Slices stand side by side from the start of each continuous stretch, so none crosses a jump in
    time. A column holds the N frames of a slice one after another, F values each: N·F rows. The
    file has for each split SPLIT, float32 `[N·F, n]`; SPLIT_path, str `[n]`; and SPLIT_row, int64
    `[n]`, the first row of each slice in its file; and `bands`, the names of the F columns.

    Returns:
      The shape of each split's matrix.

    Raises:
      A2vError: it cannot be written.
    """
    arrays: dict[str, Any] = {}
    for split, source in corpus.sources.items():
        arrays["bands"] = np.array(source.front_end.columns)
        places = [
            (index, row)
            for index in range(len(source.paths))
            for row in _rows(source, index, corpus.frames, corpus.frames)
        ]
        size = corpus.frames * source.front_end.bins
        columns = np.empty((size, len(places)), np.float32)
        for i, (index, row) in enumerate(places):
            columns[:, i] = source.read(index, row, corpus.frames).ravel()
        arrays[split] = columns
        paths = [str(path.relative_to(corpus.directory)) for path in source.paths]
        arrays[f"{split}_path"] = np.array([paths[index] for index, _ in places], str)
        arrays[f"{split}_row"] = np.array([row for _, row in places], np.int64)
    with output_file(output) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)
    return {split: arrays[split].shape for split in corpus.sources}


# ---- Text ----


def table(split: str, own: Sequence[Mapping], labelled: Sequence[Mapping]) -> str:
    """Format losses and accuracies for a terminal."""
    header = list(own[0])
    cells = [
        [f"{value:.4f}" if isinstance(value, float) else str(value) for value in row.values()]
        for row in own
    ]
    parts = ["losses, each the mean of random examples of the split", align([header, *cells])]
    if labelled:
        lines = [["protocol", "classes", "test", "accuracy"]]
        lines += [
            [
                row["protocol"],
                str(row["classes"]),
                str(row["n_test"]),
                f"{100 * row['accuracy']:.1f}",
            ]
            for row in labelled
        ]
        parts += [f"accuracy in % of labelled stretches of {split}", align(lines)]
    return "\n".join(parts)
