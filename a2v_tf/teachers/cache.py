"""Outputs of teachers over a corpus, computed once and kept on disk.

```python
source = open_source("/data/recordings")
cache = fill(source, [find_teacher("whisper_tiny")], "/data/cache")
log_mel = cache.log_mel()[rows]  # float16 [n, 96, 64]
targets = cache.outputs("whisper_tiny")[rows]  # float16 [n, 768]
```

Each clip is cut into slices side by side; those that are nearly silent are left out. 512 slices
make a shard. A shard depends on the corpus only, so shards are computed in any order and by several
threads, and what a killed run has written stays valid. On disk:

    DIRECTORY/CORPUS/slices/00000.npz         clip, start; bad clips and reasons
    DIRECTORY/CORPUS/log_mel/00000.npy        float16 [n, 96, 64]
    DIRECTORY/CORPUS/TEACHER-KEY/00000.npy    float16 [n, D]

CORPUS is a hash of the names, lengths, sizes and channels of the clips, so that the same files
elsewhere are the same corpus. KEY is the beginning of the teacher's fingerprint. Nothing is ever
removed.
"""

import concurrent.futures
import dataclasses
import functools
import hashlib
import pathlib
import re
import sys
import threading
import zipfile
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import tensorflow as tf
import tqdm
from absl import logging
from threadpoolctl import threadpool_limits

from a2v_tf.audio.read import SLICE_SAMPLES
from a2v_tf.data.listing import ListsClips, Span, corpus_key, cpus, slice_frames
from a2v_tf.errors import A2vError
from a2v_tf.files import whole_file, write_json
from a2v_tf.frontend import FRONT_END, log_mel
from a2v_tf.teachers.base import Teacher, in_batches

FORMAT = 1  # increase it with every change of what the files hold
SHARD = 512  # slices of a shard, before silent ones are left out
LOUD = 10 ** (-40 / 20)  # least peak of a slice: -40 dBFS
HELD = 16  # of as many clips about one is held out

_FRAMES = FRONT_END.frames(SLICE_SAMPLES)
_LOG_MEL_AT_ONCE = 64
_OPEN_FILES = 128  # memory maps kept, each of which holds a file descriptor
_IN_LOGS = 60.0  # seconds between lines of progress where no terminal shows a bar

_NO_SLICE = "no slice of 975 ms has a peak above -40 dBFS: expected louder or longer clips"
_ABOUT = "corpus.json"
_DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


def fill(
    source: ListsClips,
    teachers: Sequence[Teacher],
    directory: pathlib.Path | str,
    *,
    workers: int | None = None,
) -> "TeacherCache":
    """Compute what the cache of a corpus lacks, and open it.

    Args:
      source: the corpus, from `open_source`.
      teachers: from `find_teacher`; none for the log-mel spectrograms alone.
      directory: of caches of any number of corpora and teachers.
      workers: threads that read and compute; the default is the number of CPUs.

    Returns:
      The cache.

    Raises:
      A2vError: the source cannot list its clips, too many of them are bad, no slice is loud
        enough, the directory cannot be written, or a teacher gives something else than it should.
    """
    if not isinstance(source, ListsClips):
        raise A2vError(
            f"{source.describe()}: its clips cannot be listed: expected a folder of recordings, "
            "tfds:NAME, demo, or a source that has the methods clips, read_spans and skip"
        )
    names = [teacher.name for teacher in teachers]
    if len(set(names)) < len(names):
        raise A2vError(f"teachers {', '.join(names)}: expected each of them once")
    corpus = _Corpus(source, pathlib.Path(directory))
    try:
        corpus.directory.mkdir(parents=True, exist_ok=True)
        _compute(corpus, teachers, workers or cpus())
    except OSError as error:
        raise A2vError(f"cannot write the cache {str(directory)!r}: {error.strerror}") from error
    return TeacherCache(corpus, teachers)


class TeacherCache:
    """Slices of a corpus with their log-mel spectrograms and teachers' outputs.

    Attributes:
      clip: index of each slice's clip, int32 `[n]`.
      start: first frame of each slice in its clip, int32 `[n]`; frames are 10 ms apart.
      clips: names of the clips.
      held: for each clip whether it is held out, to measure explained variance on clips that the
        encoder does not learn from; bool `[clips]`.
      teachers: numbers of an output, by the teacher's name.
    """

    def __init__(self, corpus: "_Corpus", teachers: Sequence[Teacher]) -> None:
        """Open a cache that `fill` has completed."""
        slices = [corpus.read_slices(shard) for shard in range(corpus.shards)]
        self.clip = np.concatenate([part.clip for part in slices])
        self.start = np.concatenate([part.start for part in slices])
        self.clips = tuple(clip.name for clip in corpus.clips)
        self.held = held_out(self.clips)
        self.teachers = {teacher.name: teacher.dim for teacher in teachers}
        self._counts = tuple(len(part.clip) for part in slices)
        self._corpus = corpus
        self._folders = {teacher.name: _folder(teacher) for teacher in teachers}
        if not len(self):
            raise A2vError(f"{corpus.source.describe()}: {_NO_SLICE}")

    def __len__(self) -> int:
        return len(self.clip)

    def log_mel(self) -> "Rows":
        """The log-mel spectrogram of each slice by `FRONT_END`, float16 `[n, 96, 64]`."""
        return self._rows("log_mel", (_FRAMES, FRONT_END.bins))

    def outputs(self, teacher: str) -> "Rows":
        """The outputs of a teacher, float16 `[n, D]`."""
        return self._rows(self._folders[teacher], (self.teachers[teacher],))

    def _rows(self, folder: str, shape: tuple[int, ...]) -> "Rows":
        paths = [self._corpus.path(folder, shard) for shard in range(self._corpus.shards)]
        return Rows(tuple(paths), self._counts, shape)


class Rows:
    """An array in several files, of which rows are read when they are asked for.

    `rows[i]`, `rows[10:20]` and `rows[[5, 2, 7]]` give arrays, `np.asarray(rows)` all of it.

    Attributes:
      shape: `[n, ...]`.
      dtype: float16.
    """

    dtype = np.dtype(np.float16)

    def __init__(
        self, paths: tuple[pathlib.Path, ...], counts: Sequence[int], shape: tuple[int, ...]
    ) -> None:
        """Join the .npy files `paths`, each with `counts` rows of a shape."""
        self._paths = paths
        self._ends = np.cumsum(counts)
        self._counts = counts
        self.shape = (int(self._ends[-1]), *shape)
        self._open = functools.lru_cache(_OPEN_FILES)(
            lambda shard: np.load(self._paths[shard], mmap_mode="r", allow_pickle=False)
        )

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int | slice | Sequence[int] | np.ndarray) -> np.ndarray:
        wanted = np.arange(len(self))[index]
        rows = wanted.reshape(-1)
        values = np.empty((len(rows), *self.shape[1:]), self.dtype)
        shards = np.searchsorted(self._ends, rows, side="right")
        for shard in np.unique(shards):
            here = shards == shard
            first = self._ends[shard] - self._counts[shard]
            values[here] = self._open(int(shard))[rows[here] - first]
        return values.reshape(*wanted.shape, *self.shape[1:])

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("the rows are in several files: an array of them is a copy")
        values = np.empty(self.shape, dtype or self.dtype)
        for path, end, count in zip(self._paths, self._ends, self._counts, strict=True):
            if count:
                values[end - count : end] = np.load(path, allow_pickle=False)
        return values


def held_out(names: Sequence[str]) -> np.ndarray:
    """Which clips are held out, bool `[clips]`: about one of sixteen, at least one of several.

    A hash of the name without the number that it ends with decides, so that clips of one source
    stay together, and that a clip has the same part in every corpus. Where the numbers alone tell
    clips apart, so that too few or too many would be held out, the whole name decides.
    """
    by_source = _hashes([_without_number(name) for name in names]) % HELD == 0
    if 1 / (4 * HELD) <= by_source.mean() <= 4 / HELD:
        return by_source
    hashes = _hashes(names)
    held = hashes % HELD == 0
    if len(names) > 1 and not held.any():
        held[np.argmin(hashes)] = True
    return held


def _hashes(names: Sequence[str]) -> np.ndarray:
    digests = (hashlib.sha256(name.encode(errors="surrogateescape")).digest() for name in names)
    return np.array([int.from_bytes(digest[:8], "big") for digest in digests], np.uint64)


def _without_number(name: str) -> str:
    """A clip's name without its suffix and without the number before that."""
    return re.sub(r"[\W_]*\d+$", "", re.sub(r"\.\w+$", "", name))


# --- What a shard holds ---------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Slices:
    """The slices of a shard.

    Attributes:
      clip: index of each slice's clip, int32 `[n]`.
      start: first frame of each slice, int32 `[n]`.
      bad: indices of clips that could not be used, int32.
      reasons: why not.
    """

    clip: np.ndarray
    start: np.ndarray
    bad: np.ndarray
    reasons: np.ndarray


class _Corpus:
    """The clips of a source, their division into shards, and the files of these."""

    def __init__(self, source: ListsClips, root: pathlib.Path) -> None:
        self.source = source
        self.clips = source.clips()
        settings = (FORMAT, SHARD, LOUD, SLICE_SAMPLES, dataclasses.astuple(FRONT_END))
        self.key = corpus_key(self.clips, settings)
        self.directory = root / self.key
        # Clip and frame of every slice, silent or not. A shard is a range of these.
        frames = [slice_frames(clip.samples) for clip in self.clips]
        self._clip = np.repeat(np.arange(len(frames), dtype=np.int32), [len(f) for f in frames])
        self._start = np.concatenate([np.zeros(0, np.int32), *frames])
        if not len(self._start):
            raise A2vError(f"{source.describe()}: {_NO_SLICE}")
        self.shards = -(-len(self._clip) // SHARD)

    def planned(self, shard: int) -> int:
        """Slices of a shard, silent ones included."""
        return min(SHARD, len(self._clip) - shard * SHARD)

    def write_description(self) -> None:
        """Say for whoever looks into the cache what the corpus is."""
        seconds = sum(clip.samples for clip in self.clips) / FRONT_END.sample_rate
        content = {
            "corpus": self.source.describe(),
            "clips": len(self.clips),
            "hours": round(seconds / 3600, 3),
            "shards": self.shards,
            "format": FORMAT,
        }
        write_json(self.directory / _ABOUT, content)

    def path(self, folder: str, shard: int) -> pathlib.Path:
        """The file of a shard."""
        return self.directory / folder / f"{shard:05d}.npy"

    def _slices_path(self, shard: int) -> pathlib.Path:
        return self.path("slices", shard).with_suffix(".npz")

    def read_slices(self, shard: int) -> _Slices:
        """The slices of a shard that was written; raises one of `_DAMAGED` if it was not."""
        with np.load(self._slices_path(shard), allow_pickle=False) as file:
            return _Slices(file["clip"], file["start"], file["bad"], file["reasons"])

    def write_slices(self, shard: int, slices: _Slices) -> None:
        """Write the slices of a shard."""
        path = self._slices_path(shard)
        path.parent.mkdir(exist_ok=True)
        with whole_file(path) as partial, partial.open("wb") as file:
            np.savez(file, **vars(slices))

    def write(self, folder: str, shard: int, values: np.ndarray) -> None:
        """Write values of a shard in half precision."""
        path = self.path(folder, shard)
        path.parent.mkdir(exist_ok=True)
        with whole_file(path) as partial, partial.open("wb") as file:
            np.save(file, values.astype(np.float16))

    def read_pcm(self, shard: int) -> tuple[np.ndarray, _Slices]:
        """Read the slices of a shard that are loud enough: float32 `[n, 15600]`."""
        here = slice(shard * SHARD, shard * SHARD + self.planned(shard))
        clip, start = self._clip[here], self._start[here]
        spans = [self._span(int(index), start[clip == index]) for index in np.unique(clip)]
        pcm: list[np.ndarray] = []
        kept: list[int] = []
        bad: list[tuple[int, str]] = []
        for span, audio in zip(spans, self._read(spans), strict=True):
            if isinstance(audio, str):
                bad.append((span.clip, audio))
                continue
            for i in np.flatnonzero(clip == span.clip):
                begin = start[i] * FRONT_END.hop_length - span.start
                one = audio[begin : begin + SLICE_SAMPLES]
                if np.abs(one).max(initial=0.0) >= LOUD:
                    pcm.append(np.pad(one, (0, SLICE_SAMPLES - len(one))))
                    kept.append(int(i))
        slices = _Slices(
            clip[kept],
            start[kept],
            np.array([index for index, _ in bad], np.int32),
            np.array([reason for _, reason in bad], str),
        )
        self.report(slices)
        return np.stack(pcm) if pcm else np.zeros((0, SLICE_SAMPLES), np.float32), slices

    def report(self, slices: _Slices) -> None:
        """Count the bad clips of a shard; raises `A2vError` if there are too many by now."""
        for index, reason in zip(slices.bad, slices.reasons, strict=True):
            self.source.skip(int(index), str(reason))

    def _read(self, spans: Sequence[Span]) -> Iterator[np.ndarray | str]:
        try:
            yield from self.source.read_spans(spans)
        except tf.errors.OpError as error:  # a damaged file of a TFDS data set
            reason = str(error).splitlines()[0]
            raise A2vError(f"{self.source.describe()}: cannot be read: {reason}") from error

    def _span(self, clip: int, starts: np.ndarray) -> Span:
        first, last = (int(frame) * FRONT_END.hop_length for frame in (starts[0], starts[-1]))
        end = min(last + SLICE_SAMPLES, self.clips[clip].samples)
        return Span(clip, first, end - first)


def _folder(teacher: Teacher) -> str:
    name = re.sub(r"\W+", "_", teacher.name).strip("_")[-60:]
    return f"{name}-{teacher.fingerprint[:12]}"


# --- Computing ------------------------------------------------------------------------------------


def _compute(corpus: _Corpus, teachers: Sequence[Teacher], workers: int) -> None:
    """Compute the shards that are missing or damaged."""
    missing = {
        shard: lacking
        for shard in range(corpus.shards)
        if (lacking := _missing(corpus, teachers, shard))
    }
    if not missing:
        return
    others = [path for path in corpus.directory.parent.iterdir() if (path / _ABOUT).is_file()]
    if not (corpus.directory / _ABOUT).is_file() and others:
        logging.warning(
            "%s holds caches of %d other corpora, not of these clips: computed now",
            corpus.directory.parent,
            len(others),
        )
    corpus.write_description()
    stop = threading.Event()
    total = sum(corpus.planned(shard) for shard in range(corpus.shards))
    done = total - sum(map(corpus.planned, missing))
    interval = 0.1 if sys.stderr.isatty() else _IN_LOGS
    # A thread for each shard is enough: the libraries' own would only compete with these.
    with (
        threadpool_limits(1, user_api="blas"),
        tqdm.tqdm(
            total=total,
            initial=done,
            desc="teachers",
            unit="slice",
            mininterval=interval,
            delay=interval,
        ) as bar,
        concurrent.futures.ThreadPoolExecutor(workers) as pool,
    ):
        work = {
            pool.submit(_compute_shard, corpus, shard, lacking, stop): shard
            for shard, lacking in missing.items()
        }
        try:
            for future in concurrent.futures.as_completed(work):
                future.result()
                bar.update(corpus.planned(work[future]))
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _missing(corpus: _Corpus, teachers: Sequence[Teacher], shard: int) -> list[Teacher | None]:
    """What a shard lacks: teachers, and None for its slices; in that case everything."""
    try:
        slices = corpus.read_slices(shard)
        count = len(slices.clip)
        _check(corpus.path("log_mel", shard), (count, _FRAMES, FRONT_END.bins))
    except FileNotFoundError:
        return [None, *teachers]
    except _DAMAGED as error:
        _say_damaged(corpus.path("log_mel", shard), error)
        return [None, *teachers]
    corpus.report(slices)
    lacking: list[Teacher | None] = []
    for teacher in teachers:
        path = corpus.path(_folder(teacher), shard)
        try:
            _check(path, (count, teacher.dim), finite=True)
        except FileNotFoundError:
            lacking.append(teacher)
        except _DAMAGED as error:
            _say_damaged(path, error)
            lacking.append(teacher)
    return lacking


def _check(path: pathlib.Path, shape: tuple[int, ...], *, finite: bool = False) -> None:
    """Raise one of `_DAMAGED` unless a file holds half precision numbers of a shape."""
    mode: Literal["r"] | None = "r" if shape[0] and not finite else None
    values = np.load(path, mmap_mode=mode, allow_pickle=False)
    if values.shape != shape or values.dtype != np.float16:
        raise ValueError(f"holds {values.dtype} of shape {values.shape}, expected float16 {shape}")
    if finite and not np.isfinite(values).all():
        raise ValueError("holds numbers that are not finite")


def _say_damaged(path: pathlib.Path, error: Exception) -> None:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    logging.warning("%s is damaged, computed again: %s", path, reason)


def _compute_shard(
    corpus: _Corpus, shard: int, lacking: Sequence[Teacher | None], stop: threading.Event
) -> None:
    """Compute a shard: outputs of teachers and, for None, its slices and their log-mel."""
    pcm, slices = corpus.read_pcm(shard)
    if None in lacking:
        parts = [log_mel(tf.constant(part)).numpy() for part in in_batches(pcm, _LOG_MEL_AT_ONCE)]
        empty = np.zeros((0, _FRAMES, FRONT_END.bins))
        corpus.write("log_mel", shard, np.concatenate([empty, *parts]))
        corpus.write_slices(shard, slices)
    elif len(pcm) != len(corpus.read_slices(shard).clip):
        bad = ", ".join(slices.reasons)
        raise A2vError(
            f"{corpus.source.describe()}: a clip that could be read before cannot any more: {bad}"
        )
    for teacher in lacking:
        if teacher and not stop.is_set():
            corpus.write(_folder(teacher), shard, teacher.embed(pcm))
