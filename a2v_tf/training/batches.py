"""From a source of crops to batches of slices, and the statistics of their values."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from a2v_tf.data import sampling
from a2v_tf.data.labelled import front_end_for
from a2v_tf.data.log_mel_cache import CachedLogMel
from a2v_tf.data.sampling import EVERYTHING, Share
from a2v_tf.data.sources import ManyCropsSource, PlacingSource, ReadsFrames, Source
from a2v_tf.frontend import FrontEnd, float_to_pcm, log_mel
from a2v_tf.slicing import pair_starts
from a2v_tf.specs import InputStats, Slicing
from a2v_tf.tasks import multi_head
from a2v_tf.tasks.crops import Crops
from a2v_tf.tasks.task import Task

if TYPE_CHECKING:
    from a2v_tf.data.labelled import LabelledData

VALIDATION_ROUND = -1  # a stream of crops that no training round reads

# From the number of a round to its endless batches.
Round = Callable[[tf.Tensor], tf.data.Dataset]
# From the number of a round and a worker's share to endless batches of crops.
Draw = Callable[[int | tf.Tensor, Share], tf.data.Dataset]


def log_mel_crops(
    source: Source,
    frames: int,
    *,
    batch_size: int,
    seed: int,
    round_index: int | tf.Tensor,
    gain_db: float = 0.0,
    share: Share = EVERYTHING,
    crops_per_clip: int = 1,
    raw: bool = False,
    places: bool = False,
) -> tf.data.Dataset:
    """Endless batches of random log-mel crops `[batch, frames, F]`, and their clips `[batch]`.

    Only the samples that the frames need are read; everything is in-graph. Crops of band levels
    and of `CachedLogMel` are frames already. Each crop gets a random gain of up to `gain_db`,
    uniform in decibels, the unit of band levels. With a `share`, only the worker's rows of each
    batch are read, `[batch / workers, ...]`. `crops_per_clip` is for sources that support it. With
    `raw`, log-mel is replaced by the inputs from which a device computes it: a dict of "pcm", int16
    `[batch, samples]`, and, if there is a `gain_db`, "gain", `[batch, 1]`. With `places`, there is
    a third element, int64 `[batch, 3]`: where in their clips the crops are, see `PlacingSource`.
    A source that cannot say it gives crops of which each counts as a clip.
    """
    is_cached = isinstance(source, CachedLogMel)
    front_end = source.front_end
    is_pcm = isinstance(front_end, FrontEnd) and not is_cached
    samples = front_end.samples(frames)
    part = share.part(batch_size)
    options: dict[str, Any] = {"share": dataclasses.replace(share, block=part)}
    once_a_clip = False
    if crops_per_clip > 1:
        assert isinstance(source, ManyCropsSource)  # checked by TrainSettings
        once_a_clip = source.gives_log_mel and not gain_db and not raw
        options |= {"crops_per_clip": crops_per_clip, "as_log_mel": once_a_clip}
    gives_places = isinstance(source, PlacingSource)
    if places and gives_places:
        options |= {"places": True}
    crops = source.crops(samples, seed=seed, round_index=round_index, **options)
    if places and not gives_places:
        crops = crops.map(lambda values, clip: (values, clip, sampling.NO_PLACE))
    key = sampling.key(seed, round_index)

    def gain_of(index: tf.Tensor) -> tf.Tensor:
        step, row = index // part, index % part
        gains = tf.random.stateless_uniform(
            [batch_size, 1], sampling.fold_in(key, step), -gain_db, gain_db
        )
        return share.rows(gains)[row]

    def frames_of(index: tf.Tensor, crop: tuple[tf.Tensor, ...]) -> tuple:
        values, *where = crop
        if raw:
            level = {"gain": 10 ** (gain_of(index) / 20)} if gain_db else {}
            return {"pcm": float_to_pcm(values), **level}, *where
        if is_cached:
            values = tf.cast(values, tf.float32)
        if gain_db and is_cached:  # the offset of the logarithm is not part of the sound
            assert isinstance(front_end, FrontEnd)
            offset = front_end.log_offset
            modulus = tf.maximum(tf.exp(values) - offset, 0.0)
            values = tf.math.log(modulus * 10 ** (gain_of(index) / 20) + offset)
        elif gain_db and is_pcm:
            values = values * 10 ** (gain_of(index) / 20)
        elif gain_db:
            values = values + gain_of(index)
        if is_pcm:
            assert isinstance(front_end, FrontEnd)
            values = log_mel(values, front_end)
        return values, *where

    if (is_pcm or is_cached or gain_db) and not once_a_clip:
        # Crop by crop, so that what is computed on the way stays in the cache of a core.
        crops = crops.enumerate().map(frames_of, num_parallel_calls=tf.data.AUTOTUNE)
    return crops.batch(part, drop_remainder=True, num_parallel_calls=tf.data.AUTOTUNE)


def task_batches(
    source: Source,
    tasks: Sequence[Task],
    slicing: Slicing,
    *,
    batch_size: int,
    seed: int,
    gain_db: float = 0.0,
    share: Share = EVERYTHING,
    crops_per_clip: int = 1,
    raw: bool = False,
) -> Round:
    """The tasks' batches: `(slices, targets, weights)` of `multi_head.examples`.

    With `raw`, for a device that computes log-mel itself, `(inputs, targets, weights)` of
    `OnDevice`: the same slices, as the numbers of their frames.

    With a `share`, a worker reads only its rows of each batch of `batch_size`; if a task compares
    the crops of a batch, it reads all rows and selects its own afterwards.

    Returns:
      A function from a round's number to its endless batches, which depend on the seed and that
      number alone.
    """

    frames = multi_head.crop_frames(tasks, slicing)
    places = multi_head.needs_places(tasks, slicing)

    def draw(index: int | tf.Tensor, share: Share) -> tf.data.Dataset:
        crops = log_mel_crops(
            source,
            frames,
            batch_size=batch_size,
            seed=seed,
            round_index=index,
            gain_db=gain_db,
            share=share,
            crops_per_clip=crops_per_clip,
            raw=raw,
            places=places,
        )
        if places:
            return crops.map(lambda values, clip, place: (values, clip, {"place": place}))
        return crops.map(lambda values, clip: (values, clip, {}))

    given = None
    if slicing.whole_clips:
        assert isinstance(source, ReadsFrames)  # checked by `open_objective`
        given = ClipPairs(source, frames, slicing.frames)
    return cut_batches(draw, tasks, slicing, seed=seed, share=share, raw=raw, given=given)


def cut_batches(
    draw: Draw,
    tasks: Sequence[Task],
    slicing: Slicing,
    *,
    seed: int,
    share: Share = EVERYTHING,
    raw: bool = False,
    given: "ClipPairs | None" = None,
) -> Round:
    """Batches of crops, cut for the tasks; see `task_batches`.

    Args:
      draw: makes the endless batches of crops of a round: log-mel `[batch, T, F]`, clips `[batch]`
        and a dict of more fields of `Crops`: "place", or "taught" for distill.
      tasks: that learn from them.
      slicing: N, P, G and N_max.
      seed: of everything random in the cutting.
      share: the part of each batch that this worker trains on.
      raw: whether the crops are PCM for a device that computes log-mel itself.
      given: reads pairs from the whole clips of the crops, instead of cutting them from the crops.
    """
    around = multi_head.around_frames(tasks, slicing)
    count, across = multi_head.crop_frames(tasks, slicing), multi_head.cuts_across(tasks)
    early, late = share, EVERYTHING
    if multi_head.needs_whole_batch(tasks):
        early, late = late, early

    def one_round(index: int | tf.Tensor) -> tf.data.Dataset:
        crops = draw(index, early)
        key = sampling.split(sampling.key(seed, index), 2)[1]

        def cut(step: tf.Tensor, crop: tuple) -> tuple:
            values, clip, more = crop
            frames = _frame_numbers(values["pcm"], count, across) if raw else values
            of_step = sampling.fold_in(key, step)
            if given:
                more = {**more, "given": given.draw(clip, more["place"], of_step, early)}
            cut_from = Crops(frames, clip, slicing, of_step, early, around=around, **more)
            examples = multi_head.examples(tasks, cut_from)
            if raw:
                examples = _numbered(values, *examples)
            return tf.nest.map_structure(late.rows, examples)

        return crops.enumerate().map(cut, num_parallel_calls=tf.data.AUTOTUNE)

    return one_round


@dataclasses.dataclass(frozen=True)
class ClipPairs:
    """Two slices of a whole clip, for which N_max is the length of the clip.

    Attributes:
      source: of the clips.
      crop_frames: frames of the crops that choose the clips.
      frames: N, of a slice.
    """

    source: ReadsFrames
    crop_frames: int
    frames: int

    def draw(
        self, clip: tf.Tensor, place: tf.Tensor, key: tf.Tensor, share: Share
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Draw a pair of slices from the clip of each crop, as `slicing.slice_pair` does.

        Args:
          clip: int64 `[batch]`, of the crops.
          place: int64 `[batch, 3]`, of the crops.
          key: int64 `[2]`.
          share: the part of a larger batch that the crops are.

        Returns:
          The slices, `[batch, 2, N, F]`, and their normalised distance, float32 `[batch, 1]`.
        """
        longest = place[:, 1] + self.crop_frames - 1 - self.frames
        starts = pair_starts(longest, sampling.fold_in(key, 1), share)
        bins = self.source.front_end.bins

        def read(clips: np.ndarray, firsts: np.ndarray) -> np.ndarray:
            pairs = [
                [self.source.read(int(c), int(first), self.frames) for first in pair]
                for c, pair in zip(clips, firsts, strict=True)
            ]
            return np.array(pairs, np.float32).reshape(-1, 2, self.frames, bins)

        pairs = tf.numpy_function(read, [clip, starts + place[:, 2:]], tf.float32, stateful=False)
        pairs.set_shape([clip.shape[0], 2, self.frames, bins])
        distance = tf.abs(starts[:, :1] - starts[:, 1:])
        gap = tf.cast(distance / tf.maximum(longest, 1)[:, None], tf.float32)
        return pairs, gap


def _frame_numbers(pcm: tf.Tensor, frames: int, of_batch: bool) -> tf.Tensor:
    """The number of each frame in its crop, or in the batch, instead of log-mel: `[B, T, 1]`."""
    rows = tf.range(tf.shape(pcm)[0]) * (frames if of_batch else 0)
    numbers = rows[:, None, None] + tf.range(frames)[:, None]
    return tf.ensure_shape(numbers, [pcm.shape[0], frames, 1])


def _numbered(crop: dict[str, tf.Tensor], slices: tf.Tensor, targets: dict, weights: dict) -> tuple:
    """Move the frame numbers, and the targets that are slices, to the inputs."""
    of_slices = {name: x[..., 0] for name, x in targets.items() if x.shape.rank == 4}
    others = {name: x for name, x in targets.items() if name not in of_slices}
    return {**crop, "slices": slices[..., 0], "targets": of_slices}, others, weights


def labelled_batches(
    datasets: "Sequence[LabelledData]",
    frames: int,
    *,
    batch_size: int,
    seed: int,
    per_class: int | None = None,
    total: int | None = None,
    share: Share = EVERYTHING,
) -> Round:
    """Batches for a classifier: crops of the train clips of labelled data sets.

    Args:
      datasets: each batch is shared equally among them.
      frames: N, frames of a crop.
      batch_size: a multiple of the number of data sets times the number of workers.
      seed: of everything random.
      per_class: maximum number of clips per class of each data set.
      total: maximum number of clips of each data set.
      share: the part of each batch that this worker reads.

    Returns:
      A function from a round's number to its endless batches: log-mel `[batch, N, F]`, and by data
      set the labels and the weights `[batch]`, 0 for the crops of other data sets.
    """
    rows = share.part(batch_size) // len(datasets)
    blocks = dataclasses.replace(share, block=rows)
    front_end = front_end_for(datasets[0])  # they are opened for the same
    samples = front_end.samples(frames)
    limits: dict[str, Any] = (
        {"total": total} if total else {}
    )  # which data of other packages may not know

    def one_round(index: int | tf.Tensor) -> tf.data.Dataset:
        crops = [
            data.crops(
                samples, seed=seed, round_index=index, per_class=per_class, share=blocks, **limits
            ).batch(rows)
            for data in datasets
        ]
        return tf.data.Dataset.zip(tuple(crops)).map(join, num_parallel_calls=tf.data.AUTOTUNE)

    def join(*parts: tuple[tf.Tensor, tf.Tensor]) -> tuple:
        pcm = tf.concat([pcm for pcm, _ in parts], axis=0)
        labels, weights = {}, {}
        for i, (data, (_, label)) in enumerate(zip(datasets, parts, strict=True)):
            before, after = i * rows, (len(parts) - 1 - i) * rows
            around = [[before, after], *([[0, 0]] * (label.shape.rank - 1))]
            labels[data.name] = tf.pad(label, around)
            weights[data.name] = tf.pad(tf.ones([rows]), around[:1])
        return log_mel(pcm, front_end), labels, weights

    return one_round


def training_batches(
    one_round: Round, *, steps_per_round: int, first_round: int = 0, skipped: int = 0
) -> tf.data.Dataset:
    """Endless batches for `keras.Model.fit`, in rounds of `steps_per_round` steps.

    A run resumed at the start of a round, or `skipped` steps later, gets the same batches as one
    without interruption.
    """
    rounds = tf.data.Dataset.range(first_round, tf.int64.max)
    batches = rounds.flat_map(lambda index: one_round(index).take(steps_per_round))
    return batches.skip(skipped).prefetch(tf.data.AUTOTUNE)


def validation_batches(one_round: Round, *, batch_size: int, examples: int) -> tf.data.Dataset:
    """Batches that are always the same, a whole number of them, cached in memory."""
    count = -(-examples // batch_size)
    # Keras counts one batch too many, with a loss of 0, if the length is unknown.
    known = tf.data.experimental.assert_cardinality(count)
    return one_round(VALIDATION_ROUND).take(count).cache().apply(known)


def input_stats(source: Source, frames: int, *, seed: int, crops: int = 512) -> InputStats:
    """Mean and variance of the log-mel values of `crops` random crops of `frames` frames."""
    batch_size = 32
    batches = log_mel_crops(
        source, frames, batch_size=batch_size, seed=seed, round_index=VALIDATION_ROUND
    )
    return _stats(batches.take(-(-crops // batch_size)).map(lambda log_mel, clip: log_mel))


def labelled_stats(one_round: Round, *, batches: int = 16) -> InputStats:
    """Mean and variance of the log-mel values of the first batches of `labelled_batches`."""
    return _stats(one_round(VALIDATION_ROUND).take(batches).map(lambda log_mel, *_: log_mel))


def _stats(batches: tf.data.Dataset) -> InputStats:
    """Mean and variance of all values of a finite data set of log-mel batches."""
    sums = np.zeros(3)  # of 1, x, x²
    for batch in batches.as_numpy_iterator():
        x = batch.astype(np.float64)
        sums += x.size, x.sum(), np.square(x).sum()
    count, total, squares = sums
    mean = total / count
    return InputStats(float(mean), float(max(squares / count - mean**2, 1e-6)))
