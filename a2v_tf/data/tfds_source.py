"""A TFDS data set with an `audio` feature as a source of crops."""

import contextlib
import itertools
import math
import os
import re
import threading
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
import tqdm
from absl import logging

from a2v_tf.audio import decode
from a2v_tf.audio.bad_files import BadFiles
from a2v_tf.data import sampling
from a2v_tf.data.listing import ListedClip, Span
from a2v_tf.errors import A2vError, reason_of
from a2v_tf.frontend import FRONT_END, FrontEnd, log_mel, pcm_to_float

# NAME[/CONFIG][:VERSION][:SPLIT]; a split such as train[:50%] has a colon of its own.
_SPEC = re.compile(r"(?P<name>[^:]+(:\d+\.\d+\.\d+)?)(:(?P<split>.+))?")

_SHARDS_AT_ONCE = 16
_SHUFFLE_CROPS = 1024  # 160 MB of 16-bit CBoW crops
_PROBED_CLIPS = 64
_SEEN_BEFORE_JUDGING = 100
_COUNTED_AT_ONCE = 32  # clips: each call from the graph into Python waits for its lock

# Records `skip` to `skip + take` of a file named `filename`.
Shard: TypeAlias = tfds.core.utils.shard_utils.FileInstruction


class TfdsSource:
    """Crops of all the clips in a split of a prepared TFDS data set; see `sources.Source`."""

    gives_places = True

    def __init__(self, spec: str, bad: BadFiles, front_end: FrontEnd = FRONT_END):
        """Open `spec`, "NAME[/CONFIG][:VERSION][:SPLIT]"; the split is train by default.

        Raises:
          A2vError: the data set does not exist, is not prepared or has no usable audio, or stores
            less of it than the front end needs.
        """
        self.bad, self.front_end = bad, front_end
        self._spec = f"tfds:{spec}"
        name, split = _parse(self._spec)
        builder = prepared_builder(self._spec, name)
        self._audio, self._rate = audio_feature(self._spec, builder.info, front_end)
        self._features = builder.info.features
        self._shards = split_shards(self._spec, builder.info, split)
        self._clips = sum(shard.take for shard in self._shards)
        self._lengths = self._probe()
        self._lock = threading.Lock()
        self._visits = 0

    def describe(self) -> str:
        """Summarise the source on one line; the hours are an estimate."""
        hours = self._clips * self._lengths.mean() / self._rate / 3600
        return (
            f"{self._spec}: {self._clips} clips, about {hours:.2f} hours, {len(self.bad)} skipped"
        )

    def check(self, samples: int) -> None:
        """Raise `A2vError` unless crops of `samples` samples can be drawn."""
        if self._mean_positions(samples) == 0:
            longest = self._lengths.max() / self._rate
            self.bad.fail(
                f"data={self._spec}: the first {len(self._lengths)} clips last at most "
                f"{longest:.2f} s, a crop needs {samples / self.front_end.sample_rate:.2f} s"
            )

    def crops(
        self,
        samples: int,
        *,
        seed: int,
        round_index: int | tf.Tensor,
        share: sampling.Share = sampling.EVERYTHING,
        places: bool = False,
        crops_per_clip: int = 1,
        as_log_mel: bool = False,
    ) -> tf.data.Dataset:
        """Infinite dataset of (float32 `[samples]`, clip); see `sources.PlacingSource.crops`.

        Args:
          samples: see `sources.Source.crops`.
          seed: see `sources.Source.crops`.
          round_index: see `sources.Source.crops`.
          share: see `sources.Source.crops`.
          places: see `sources.PlacingSource.crops`.
          crops_per_clip: multiplies the number of strata in a clip, and so the crops of an epoch.
          as_log_mel: give crops float32 `[frames, F]` of the log-mel spectrogram, which is computed
            once for a whole clip; only if `gives_log_mel`.
        """
        self.check(samples)
        # An epoch draws positions / stratum crops of a clip. With the stratum of long recordings,
        # most short clips would be read but not used.
        stratum = float(np.clip(self._mean_positions(samples), 1, sampling.STRATUM))
        stratum /= crops_per_clip

        def at_end(usable: int) -> None:
            self._judge(everything_seen=True)
            if not usable:
                self.bad.fail(f"data={self._spec}: a whole epoch gave no usable crop")

        def epoch(index: tf.Tensor) -> tf.data.Dataset:
            epoch_key = sampling.key(seed, round_index, index)
            order_key, clip_key, buffer_key = tf.unstack(sampling.split(epoch_key, 3))

            def crops_of_clip(ordinal: tf.Tensor, clip: tuple) -> tuple:
                shard, record, example = clip
                key = sampling.fold_in(clip_key, ordinal)
                return self._crops_of_clip(
                    shard, record, example, ordinal, samples, stratum, as_log_mel, key
                )

            blocks = (
                shuffled_records(self._shards, order_key)
                .enumerate()
                .map(crops_of_clip, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
                .rebatch(_SHUFFLE_CROPS)
                .prefetch(1)
            )
            rows = sampling.shuffled_rows(blocks, buffer_key)
            # Zipping with a constant dataset is faster than calling a function for each crop.
            marked = tf.data.Dataset.zip((rows, tf.data.Dataset.from_tensors(False).repeat()))
            nothing = tf.nest.map_structure(
                lambda spec: tf.zeros([1, *spec.shape[1:]], spec.dtype), blocks.element_spec
            )
            return marked.concatenate(tf.data.Dataset.from_tensors(((nothing, 0), True)))

        def finish(drawn: tuple, is_end: tf.Tensor) -> sampling.Drawn:
            block, row = drawn
            crop, shard, record, place = (x[row] for x in block)
            if as_log_mel:
                finished, usable = self._finish_log_mel(crop, shard, record, is_end)
            else:
                finished, usable = self._finish(crop, shard, record, is_end, samples)
            return ((*finished, place) if places else finished), usable, is_end

        # The number of crops in an epoch is known only after reading it, so every worker reads all.
        crops = share.of(sampling.forever(epoch), lambda drawn: drawn[1])
        finished = crops.map(finish, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return sampling.usable_only(finished, at_end)

    @property
    def _is_native(self) -> bool:
        return self._rate == self.front_end.sample_rate

    def _samples(self, length: Any) -> Any:
        """Samples at the front end's rate of a clip of `length` stored samples."""
        return length * self.front_end.sample_rate // self._rate

    def _positions(self, length: Any, samples: int) -> Any:
        """Positions of crops of `samples` samples in a clip of `length` stored samples."""
        return sampling.positions_in(self._samples(length), samples, self.front_end.hop_length)

    @property
    def gives_log_mel(self) -> bool:
        """Whether `as_log_mel` is possible: the clips are 16-bit mono at the front end's rate."""
        is_mono = len(self._audio.shape) == 1
        return is_mono and self._audio.tf_dtype == tf.int16 and self._is_native

    def records(self) -> tf.data.Dataset:
        """Infinite dataset of serialized examples in stored order, to measure the read speed."""
        files = tf.data.Dataset.from_tensor_slices([str(x.filename) for x in self._shards])
        return files.repeat().interleave(
            tf.data.TFRecordDataset,
            cycle_length=_SHARDS_AT_ONCE,
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    def clips(self) -> list[ListedClip]:
        """The clips in stored order, all of which are read for their lengths; see `listing`.

        They are named by the feature `id`, as in this package's data sets, else as TFDS does.
        """

        def measure(example: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            length = tf.shape(self.decode(example), tf.int64)[0]
            return self._identity(example), length, tf.strings.length(example)

        listed = []
        with tqdm.tqdm(total=self._clips, desc="reading lengths", unit="clip", delay=2) as bar:
            for shard in self._shards:
                stored = _stored(shard, shard.skip, shard.take)
                measured = stored.map(measure, num_parallel_calls=tf.data.AUTOTUNE)
                records = itertools.count(shard.skip)
                for record, (name, length, size) in zip(
                    records, measured.as_numpy_iterator(), strict=False
                ):
                    name = name.decode(errors="replace") or tfds_id(shard, record)
                    listed.append(ListedClip(name, int(self._samples(length)), int(size)))
                    bar.update()
        return listed

    def read_spans(self, spans: Sequence[Span]) -> Iterator[np.ndarray | str]:
        """Read parts of clips; see `listing.ListsClips.read_spans`."""
        for index, of_shard in itertools.groupby(spans, lambda span: self._place(span.clip)[0]):
            shard = self._shards[index]
            wanted = {self._place(span.clip)[1]: span for span in of_shard}
            first, last = min(wanted), max(wanted)
            stored = _stored(shard, first, last - first + 1).map(self.decode)
            for record, audio in enumerate(stored.as_numpy_iterator(), first):
                if record in wanted:
                    _, start, samples = wanted[record]
                    rate = self.front_end.sample_rate
                    part = decode.native_span(self._rate, len(audio), start, samples, rate)
                    pcm = part.cut(to_mono(audio[part.begin : part.end]))
                    yield sampling.usable(pcm)

    def skip(self, clip: int, reason: str) -> None:
        """Count a clip as bad; see `listing.ListsClips.skip`."""
        shard, record = self._place(clip)
        self.bad.add(tfds_id(self._shards[shard], record), reason)
        self.bad.check(self._clips, "clips")

    def _place(self, clip: int) -> tuple[int, int]:
        """The shard and the record of a clip, given its number in the stored order."""
        ends = np.cumsum([shard.take for shard in self._shards])
        index = int(np.searchsorted(ends, clip, side="right"))
        shard = self._shards[index]
        return index, shard.skip + clip - int(ends[index]) + shard.take

    def _identity(self, example: tf.Tensor) -> tf.Tensor:
        """The feature `id` of a serialized example; empty if there is no such text."""
        if "id" not in self._features or not isinstance(self._features["id"], tfds.features.Text):
            return tf.constant("")
        features = tfds.features.FeaturesDict({"id": self._features["id"]})
        return features.deserialize_example(example)["id"]

    def _crops_of_clip(
        self,
        shard: tf.Tensor,
        record: tf.Tensor,
        example: tf.Tensor,
        ordinal: tf.Tensor,
        samples: int,
        stratum: float,
        as_log_mel: bool,
        key: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Draw positions / stratum crops of a clip on average: (crops, shards, records, places).

        The crops are `[count, samples]` or `[count, samples, channels]` in the stored dtype if
        stored at the front end's sample rate, else float32 `[count, samples]`; or log-mel
        `[count, frames, F]`.
        """
        audio = self.decode(example)
        length = tf.shape(audio, tf.int64)[0]
        positions = self._positions(length, samples)
        tf.cond(
            (ordinal % _COUNTED_AT_ONCE == 0) | (positions == 0),
            lambda: sampling.call(
                self._visit, [shard, record, ordinal, length, samples], tf.bool, []
            ),
            lambda: tf.constant(False),
        )
        drawn = sampling.clip_positions(positions, stratum, key)
        starts = drawn * self.front_end.hop_length
        same = tf.ones_like(drawn)
        places = tf.stack([drawn, positions * same, 0 * same], axis=1)
        if as_log_mel:
            frames = starts[:, None] // self.front_end.hop_length + tf.range(
                self.front_end.frames(samples), dtype=tf.int64
            )
            crops = tf.gather(log_mel(pcm_to_float(audio), self.front_end), frames)
        elif self._is_native:
            crops = _cut(audio, starts, samples, self.front_end.hop_length)
        else:
            crops = tf.numpy_function(self._resampled_crops, [audio, starts, samples], tf.float32)
            crops = tf.ensure_shape(crops, [None, samples])
        count = tf.shape(starts)
        return crops, tf.fill(count, shard), tf.fill(count, record), places

    def decode(self, example: tf.Tensor) -> tf.Tensor:
        """Parse only the audio of a serialized example, `[length]` or `[length, channels]`."""
        features = tfds.features.FeaturesDict({"audio": self._audio})
        return features.deserialize_example(example)["audio"]

    def _resampled_crops(self, audio: np.ndarray, starts: np.ndarray, samples: int) -> np.ndarray:
        crops = np.empty([len(starts), samples], np.float32)
        for crop, start in zip(crops, starts, strict=True):
            span = decode.native_span(
                self._rate, len(audio), int(start), int(samples), self.front_end.sample_rate
            )
            crop[:] = span.cut(to_mono(audio[span.begin : span.end]))
        return crops

    def _finish(
        self,
        crop: tf.Tensor,
        shard: tf.Tensor,
        record: tf.Tensor,
        is_end: tf.Tensor,
        samples: int,
    ) -> tuple[tuple[tf.Tensor, tf.Tensor], tf.Tensor]:
        """Convert a crop: ((float32 `[samples]`, clip), usable)."""
        pcm = crop if crop.dtype == tf.float32 else tf.cast(crop, tf.float32) / _scale(crop.dtype)
        if pcm.shape.rank == 2:
            pcm = tf.reduce_mean(pcm, axis=1)
        if crop.dtype == tf.int16:  # always finite and in [-1, 1]; unusable only if all zeros
            is_usable = tf.nn.l2_loss(pcm) > 0
        else:
            is_usable, pcm = sampling.is_usable(pcm), tf.clip_by_value(pcm, -1.0, 1.0)
        usable = self._usable(is_usable, is_end, shard, record, pcm)
        return (tf.ensure_shape(pcm, [samples]), _clip_number(shard, record)), usable

    def _finish_log_mel(
        self, crop: tf.Tensor, shard: tf.Tensor, record: tf.Tensor, is_end: tf.Tensor
    ) -> tuple[tuple[tf.Tensor, tf.Tensor], tf.Tensor]:
        """Return ((log-mel `[frames, F]`, clip), usable); silence is unusable."""
        is_usable = tf.reduce_max(crop) > np.log(self.front_end.log_offset) + 1e-6
        usable = self._usable(is_usable, is_end, shard, record, tf.zeros([1]))
        return (crop, _clip_number(shard, record)), usable

    def _usable(
        self,
        is_usable: tf.Tensor,
        is_end: tf.Tensor,
        shard: tf.Tensor,
        record: tf.Tensor,
        pcm: tf.Tensor,
    ) -> tf.Tensor:
        """Return whether a crop is usable and log why not; false for an end-of-epoch marker."""
        return tf.cond(
            is_end | is_usable,
            lambda: ~is_end,
            lambda: sampling.call(self._reject, [shard, record, pcm], tf.bool, []),
        )

    def _visit(
        self, shard: int, record: int, ordinal: int, length: int, samples: int
    ) -> np.generic:
        """Count the clips read so far, and log a clip that is too short."""
        if ordinal % _COUNTED_AT_ONCE == 0:
            with self._lock:
                self._visits += _COUNTED_AT_ONCE
        if self._positions(length, samples) == 0:
            needed = samples / self.front_end.sample_rate
            self._skip(shard, record, sampling.too_short(length / self._rate, needed))
        return np.True_

    def _reject(self, shard: int, record: int, pcm: np.ndarray) -> np.generic:
        """Log why a crop is unusable."""
        flaw = sampling.flaw(pcm)
        if flaw == sampling.SILENT:
            self.bad.note_once(tfds_id(self._shards[shard], record), flaw)
        elif flaw:
            self._skip(shard, record, flaw)
        return np.False_

    def _skip(self, shard: int, record: int, reason: str) -> None:
        self.bad.add(tfds_id(self._shards[shard], record), reason)
        self._judge()

    def _judge(self, everything_seen: bool = False) -> None:
        """Raise `A2vError` if too many of the clips read so far are bad."""
        if everything_seen or self._visits >= _SEEN_BEFORE_JUDGING:
            self.bad.check(min(self._visits, self._clips), "clips seen")

    def _probe(self) -> np.ndarray:
        """Lengths of the first clips in stored samples, int64 `[clips]`."""
        shard = self._shards[0]
        records = tf.data.TFRecordDataset(str(shard.filename)).skip(shard.skip)
        lengths = records.take(min(shard.take, _PROBED_CLIPS)).map(
            lambda example: tf.shape(self.decode(example), tf.int64)[0]
        )
        with one_line_errors(self._spec):
            return np.array(list(lengths.as_numpy_iterator()), np.int64)

    def _mean_positions(self, samples: int) -> float:
        return float(self._positions(self._lengths, samples).mean())


def _stored(shard: Shard, first: int, count: int) -> tf.data.Dataset:
    """Serialized examples of a shard in stored order."""
    return tf.data.TFRecordDataset(str(shard.filename)).skip(first).take(count)


def shuffled_records(shards: Sequence[Shard], order_key: tf.Tensor) -> tf.data.Dataset:
    """One epoch of (shard index, record index, serialized example), the shards shuffled."""
    files = tf.constant([str(shard.filename) for shard in shards])
    skips = tf.constant([shard.skip for shard in shards], tf.int64)
    takes = tf.constant([shard.take for shard in shards], tf.int64)

    def read(shard: tf.Tensor) -> tf.data.Dataset:
        first, end = skips[shard], skips[shard] + takes[shard]
        # Read each shard from a random record to its end, then from its start to that record.
        # A round shorter than an epoch would otherwise never reach the ends of the shards.
        turn = first + sampling.uniform_int(sampling.fold_in(order_key, shard), takes[shard])
        records = tf.data.TFRecordDataset(files[shard])

        def part(begin: tf.Tensor, end: tf.Tensor) -> tf.data.Dataset:
            indices = tf.data.Dataset.range(begin, end)
            return tf.data.Dataset.zip((indices, records.skip(begin)))

        both = part(turn, end).concatenate(part(first, turn))
        return both.map(lambda record, example: (shard, record, example))

    return sampling.shuffled(len(shards), order_key).interleave(
        read,
        cycle_length=min(_SHARDS_AT_ONCE, len(shards)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def _clip_number(shard: tf.Tensor, record: tf.Tensor) -> tf.Tensor:
    """A unique int64 for each clip."""
    return tf.cast(shard, tf.int64) * 2**32 + tf.cast(record, tf.int64)


def _cut(audio: tf.Tensor, starts: tf.Tensor, samples: int, hop_length: int) -> tf.Tensor:
    """Cut crops `[count, samples, ...]` from audio `[length, ...]`; they start at whole hops."""
    # Gathering whole pieces is faster than gathering samples, and than a loop over the crops.
    piece = math.gcd(hop_length, samples)
    pieces = audio[: tf.shape(audio)[0] // piece * piece]
    pieces = tf.reshape(pieces, [-1, piece, *audio.shape[1:]])
    crops = tf.gather(pieces, starts[:, None] // piece + tf.range(samples // piece, dtype=tf.int64))
    return tf.reshape(crops, [-1, samples, *audio.shape[1:]])


def tfds_id(shard: Shard, record: int) -> str:
    """The name that `tfds.ReadConfig(add_tfds_id=True)` gives a clip."""
    return f"{os.path.basename(shard.filename)}__{record}"


def _parse(spec: str) -> tuple[str, str]:
    """Split "tfds:NAME[/CONFIG][:VERSION][:SPLIT]" into name and split."""
    match = _SPEC.fullmatch(spec.removeprefix("tfds:"))
    if not match:
        raise A2vError(f"data={spec}: expected tfds:NAME[/CONFIG][:SPLIT]")
    return match["name"], match["split"] or "train"


def prepared_builder(spec: str, name: str) -> tfds.core.DatasetBuilder:
    """Open the prepared data set `name`, of this package or of TFDS.

    Raises:
      A2vError: it is unknown, not prepared or not stored as TFRecord. The message begins with
        `data=SPEC`, as in the functions below.
    """
    from a2v_tf.data import builders  # registers this package's builders with TFDS

    try:
        builder = tfds.builder(name)
        is_prepared = builder.is_prepared()
    except tfds.core.DatasetNotFoundError:
        raise A2vError(f"data={spec}: TFDS knows no data set {name!r}") from None
    except Exception as error:  # TFDS raises many kinds for damaged files of metadata
        raise A2vError(f"data={spec}: {_one_line(error)}") from error
    if not is_prepared:
        own = [key for key, cls in builders.BUILDERS.items() if cls is type(builder)]
        how = (
            f"`python -m {builders.__name__} --name={own[0]} --manual_dir=DIR`"
            if own
            else f"`tfds build {name}` (which needs apache-beam)"
        )
        raise A2vError(
            f"data={spec}: nothing prepared in {builder.data_path}; run {how}, or set "
            "TFDS_DATA_DIR to where it is"
        )
    if builder.info.file_format != tfds.core.FileFormat.TFRECORD:
        raise A2vError(
            f"data={spec}: is stored as {builder.info.file_format.value}, expected tfrecord"
        )
    return builder


@contextlib.contextmanager
def one_line_errors(spec: str) -> Iterator[None]:
    """Within the block, turn what TensorFlow raises for damaged files into `A2vError`."""
    try:
        yield
    except tf.errors.OpError as error:
        reason = reason_of(error)
        raise A2vError(f"data={spec}: cannot be read: {reason}: is a file damaged?") from error


def split_shards(spec: str, info: tfds.core.DatasetInfo, split: str) -> list[Shard]:
    """The files and records of a split.

    Raises:
      A2vError: there is no such split, or it is empty.
    """
    try:
        shards = [shard for shard in info.splits[split].file_instructions if shard.take > 0]
    except (ValueError, KeyError, AssertionError) as error:
        known = ", ".join(info.splits)
        raise A2vError(f"data={spec}: no split {split!r}; there are {known}") from error
    if not shards:
        raise A2vError(f"data={spec}: the split {split!r} is empty")
    return shards


def audio_feature(
    spec: str, info: tfds.core.DatasetInfo, front_end: FrontEnd = FRONT_END
) -> tuple[tfds.features.FeatureConnector, int]:
    """The feature named `audio` and its sample rate in Hz.

    Raises:
      A2vError: there is no such feature, it is not PCM, or its sample rate is too low for the
        front end.
    """
    features = info.features
    if not isinstance(features, tfds.features.FeaturesDict) or "audio" not in features:
        raise A2vError(f"data={spec}: has no feature named audio; it has {', '.join(features)}")
    audio = features["audio"]
    is_tensor = isinstance(audio, tfds.features.Tensor)  # Audio is a Tensor too
    number = is_tensor and (audio.tf_dtype.is_floating or audio.tf_dtype.is_integer)
    if not number or len(audio.shape) not in (1, 2):
        raise A2vError(
            f"data={spec}: its audio is {audio}, expected numbers, [samples] or [samples, channels]"
        )
    rate = getattr(audio, "sample_rate", None) or (info.metadata or {}).get("sample_rate")
    if not rate:
        rate = FRONT_END.sample_rate
        logging.warning("%s does not say its sample rate: %d Hz assumed", spec, rate)
    if front_end.sample_rate > max(rate, FRONT_END.sample_rate):
        raise A2vError(
            f"data={spec}: is stored at {rate} Hz, which holds nothing above {rate / 2:g} Hz: "
            f"expected --sample_rate={rate} at most, not {front_end.sample_rate}"
        )
    return audio, int(rate)


def to_mono(audio: np.ndarray) -> np.ndarray:
    """Convert `[length]` or `[length, channels]` of any dtype to float32 `[length]`."""
    audio = audio.astype(np.float32) / np.float32(_scale(tf.as_dtype(audio.dtype)))
    return audio if audio.ndim == 1 else audio.mean(axis=1)


def _scale(dtype: tf.DType) -> float:
    """Full scale of a dtype: TFDS stores 16-bit PCM as any integer type, int64 by default."""
    return 32_768.0 if dtype.is_integer else 1.0


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
