"""The log-mel spectrograms of a corpus, computed once and kept on disk: `--cache`.

```python
source = CachedLogMel(open_source("/data/recordings"), "/data/cache")
samples = source.front_end.samples(488)
source.check(samples)
for log_mel, clip in source.crops(samples, seed=1, round_index=0):
    ...
```

Whole clips are kept in half precision, 44 MB an hour, in shards of consecutive clips. A shard
depends on the corpus only, so what a killed run has written stays valid. On disk:

    DIRECTORY/log_mel-CORPUS/00000.npy     float16 [frames, F]: the clips one after another
    DIRECTORY/log_mel-CORPUS/00000.json    clips that could not be used: [[index, reason], ...]

CORPUS is a hash of the front end and of the names, lengths and sizes of the clips.
"""

import concurrent.futures
import functools
import itertools
import json
import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
import tqdm

from a2v_tf.data import sampling
from a2v_tf.data.listing import ListsClips, Span, corpus_key, cpus
from a2v_tf.data.sources import Source
from a2v_tf.errors import A2vError
from a2v_tf.files import whole_file, write_json
from a2v_tf.frontend import FrontEnd, log_mel

FORMAT = 1  # increase it with every change of what the files hold
SHARD_FRAMES = 60_000  # at least, 10 minutes: 8 MB
_FRAMES_AT_ONCE = 6_000  # for log-mel: of a minute
_OPEN_FILES = 256  # memory maps kept, each of which holds a file descriptor


class CachedLogMel:
    """Crops of log-mel instead of PCM, from the cache of a source; see `sources.Source`.

    For a folder they are the crops that the folder itself gives, up to rounding to half precision.
    Other sources draw in another order.

    Attributes:
      silence: the value of every bin in digital silence.
    """

    gives_places = True

    def __init__(self, source: Source, directory: pathlib.Path | str) -> None:
        """Compute what the cache of a source lacks, and open it.

        Args:
          source: of audio.
          directory: of caches of any number of corpora.

        Raises:
          A2vError: the source cannot list its clips, too many are bad, or the directory cannot be
            written.
        """
        if not isinstance(source, ListsClips):
            raise A2vError(
                f"--cache: the clips of {source.describe()} cannot be listed: expected a folder of "
                "recordings, tfds:NAME or demo, or a source with the methods clips and read_spans"
            )
        assert isinstance(source.front_end, FrontEnd)  # as only audio lists its clips
        self.bad, self.front_end = source.bad, source.front_end
        self.silence = float(np.float16(np.log(self.front_end.log_offset)))
        self._source = source
        self._clips = source.clips()
        self._frames = np.array(
            [self.front_end.frames(clip.samples) for clip in self._clips], np.int64
        )
        self._shards = _shards(self._frames)
        key = corpus_key(self._clips, (FORMAT, SHARD_FRAMES, vars(self.front_end)))
        self._directory = pathlib.Path(directory) / f"log_mel-{key}"
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._fill()
        except OSError as error:
            raise A2vError(f"cannot write --cache={str(directory)!r}: {error.strerror}") from error
        self._usable = self._read_usable()
        self._plans: dict[int, np.ndarray] = {}
        self._open = functools.lru_cache(_OPEN_FILES)(
            lambda shard: np.load(self._path(shard), mmap_mode="r", allow_pickle=False)
        )

    def describe(self) -> str:
        """Summarise the source on one line."""
        return f"{self._source.describe()}; log-mel in {self._directory}"

    def check(self, samples: int) -> None:
        """Raise `A2vError` unless crops of `samples` samples can be drawn."""
        self._source.check(samples)
        self._plan(self.front_end.frames(samples))

    def crops(
        self,
        samples: int,
        *,
        seed: int,
        round_index: int | tf.Tensor,
        share: sampling.Share = sampling.EVERYTHING,
        places: bool = False,
    ) -> tf.data.Dataset:
        """Infinite dataset of (float16 `[frames, F]`, clip) of crops of `samples` samples.

        With `places`, see `sources.PlacingSource.crops`.
        """
        frames = self.front_end.frames(samples)
        cumulative = self._plan(frames)

        def at_end(usable: int) -> None:
            if not usable:
                self.bad.fail(f"{self.describe()}: a whole epoch gave no usable crop")

        def read(position: np.ndarray) -> tuple[np.ndarray, np.generic, np.ndarray, np.generic]:
            if position == sampling.END:
                nothing = np.zeros((frames, self.front_end.bins), np.float16)
                return nothing, np.int64(-1), sampling.NO_PLACE, np.False_
            clip, place = sampling.locate(cumulative, int(position))
            values = self.read(clip, int(place[0]), frames)
            return values, np.int64(clip), place, np.bool_(values.max() > self.silence)

        def crop(position: tf.Tensor) -> sampling.Drawn:
            values, clip, place, usable = tf.numpy_function(
                read, [position], [tf.float16, tf.int64, tf.int64, tf.bool], stateful=False
            )
            values = tf.ensure_shape(values, [frames, self.front_end.bins])
            where = tf.ensure_shape(clip, []), tf.ensure_shape(place, [3])
            return (
                (values, *(where if places else where[:1])),
                tf.ensure_shape(usable, []),
                position == sampling.END,
            )

        positions = sampling.marked_positions(
            int(cumulative[-1]), seed=seed, round_index=round_index, share=share
        )
        drawn = positions.map(crop, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return sampling.usable_only(drawn, at_end)

    def clip_frames(self) -> np.ndarray:
        """Frames of each clip, 0 for those that cannot be used, int64 `[clips]`."""
        return np.where(self._usable, self._frames, 0)

    def read(self, clip: int, first: int, frames: int) -> np.ndarray:
        """Frames of a clip, float16 `[frames, F]`."""
        shard = int(np.searchsorted(self._shards, clip, side="right")) - 1
        before = int(self._frames[self._shards[shard] : clip].sum())
        return self._open(shard)[before + first : before + first + frames]

    def _plan(self, frames: int) -> np.ndarray:
        """Number of positions of crops in clips 0..i, int64 `[clips]`."""
        if frames not in self._plans:
            positions = np.maximum(self.clip_frames() - frames + 1, 0)
            if not positions.any():
                self.bad.fail(f"{self.describe()}: no clip is long enough for one crop")
            self._plans[frames] = np.cumsum(positions)
        return self._plans[frames]

    # ---- Filling

    def _path(self, shard: int) -> pathlib.Path:
        return self._directory / f"{shard:05d}.npy"

    def _range(self, shard: int) -> range:
        """The clips of a shard."""
        return range(self._shards[shard], self._shards[shard + 1])

    def _fill(self) -> None:
        """Compute the shards that are missing or damaged."""
        missing = [shard for shard in range(len(self._shards) - 1) if not self._is_there(shard)]
        if not missing:
            return
        seconds = [
            round(self._frames[self._range(shard)].sum() * self.front_end.period)
            for shard in missing
        ]
        bar = tqdm.tqdm(total=sum(seconds), desc="log-mel", unit="s", disable=None)
        with bar, concurrent.futures.ThreadPoolExecutor(cpus()) as pool:
            try:
                for _, done in zip(pool.map(self._compute, missing), seconds, strict=True):
                    bar.update(done)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _is_there(self, shard: int) -> bool:
        expected = (int(self._frames[self._range(shard)].sum()), self.front_end.bins)
        try:
            values = np.load(self._path(shard), mmap_mode="r", allow_pickle=False)
            self._read_bad(shard)
        except (OSError, ValueError, EOFError):
            return False
        return values.shape == expected and values.dtype == np.float16

    def _compute(self, shard: int) -> None:
        clips = self._range(shard)
        values = np.zeros((int(self._frames[clips].sum()), self.front_end.bins), np.float16)
        starts = np.cumsum(self._frames[clips]) - self._frames[clips]
        bad = {}
        for spans in self._spans(clips):
            for span, pcm in zip(spans, self._source.read_spans(spans), strict=True):
                if isinstance(pcm, str):
                    bad[span.clip] = pcm
                    continue
                first = starts[span.clip - clips.start] + span.start // self.front_end.hop_length
                part = log_mel(tf.constant(pcm), self.front_end).numpy()
                values[first : first + len(part)] = part
        write_json(self._path(shard).with_suffix(".json"), sorted(bad.items()))
        with whole_file(self._path(shard)) as partial:
            np.save(partial, values)

    def _spans(self, clips: range) -> Iterator[list[Span]]:
        """The first minute of all clips, the second, and so on."""
        for first in itertools.count(0, _FRAMES_AT_ONCE):
            spans = [
                Span(clip, first * self.front_end.hop_length, self.front_end.samples(int(count)))
                for clip in clips
                if (count := min(_FRAMES_AT_ONCE, self._frames[clip] - first)) > 0
            ]
            if not spans:
                return
            yield spans

    def _read_bad(self, shard: int) -> list[tuple[int, str]]:
        found = json.loads(self._path(shard).with_suffix(".json").read_text())
        return [(int(clip), str(reason)) for clip, reason in found]

    def _read_usable(self) -> np.ndarray:
        """Which clips can be used, bool `[clips]`; the others are counted as bad."""
        usable = np.ones(len(self._clips), bool)
        for shard in range(len(self._shards) - 1):
            for clip, reason in self._read_bad(shard):
                usable[clip] = False
                self._source.skip(clip, reason)
        return usable


def _shards(frames: np.ndarray) -> np.ndarray:
    """Where shards of at least `SHARD_FRAMES` begin, and where the last one ends."""
    starts, filled = [0], 0
    for clip, count in enumerate(frames):
        filled += int(count)
        if filled >= SHARD_FRAMES or clip == len(frames) - 1:
            starts.append(clip + 1)
            filled = 0
    return np.array(starts)
