"""A batch of crops, and the sets of slices that tasks take from it."""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import tensorflow as tf

from a2v_tf import slicing
from a2v_tf.data import sampling
from a2v_tf.data.sampling import EVERYTHING, Share
from a2v_tf.specs import Slicing


@dataclasses.dataclass(frozen=True)
class Crops:
    """Log-mel crops of clips. Repeated calls of a method give the same slices.

    Attributes:
      log_mel: `[batch, T, F]`.
      clip: int64 `[batch]`, the clip that each crop is from.
      slicing: N, P, G and N_max.
      key: int64 `[2]`, seed of everything random.
      share: the part of a larger batch that they are; `other` is then not available.
      taught: for distill, the targets of each middle slice, by the task's name,
        `[batch, components]`.
      place: int64 `[batch, 3]`, where each crop is in its clip, as by `sources.PlacingSource`, so
        that slices can stand anywhere in the clip; None for slices in the middle of the crops.
      around: frames in which the middle slice and those around it lie; None for all of a crop.
      given: two slices of each clip, `[batch, 2, N, F]`, and their distance, `[batch, 1]`, instead
        of two of the crop.
    """

    log_mel: tf.Tensor
    clip: tf.Tensor
    slicing: Slicing
    key: tf.Tensor
    share: Share = EVERYTHING
    taught: Mapping[str, tf.Tensor] = dataclasses.field(default_factory=dict)
    place: tf.Tensor | None = None
    around: int | None = None
    given: tuple[tf.Tensor, tf.Tensor] | None = None

    def surrounding(self) -> tf.Tensor:
        """X_(-P)..X_(-1), X_(1)..X_(P), `[batch, 2P, N, F]`."""
        return slicing.context_slices(self._around, self.slicing)[0]

    def middle(self) -> tf.Tensor:
        """X_(0), `[batch, 1, N, F]`."""
        return slicing.middle_slice(self._around, self.slicing)[:, None]

    def copies(self) -> tf.Tensor:
        """The middle slice twice, `[batch, 2, N, F]`; the model shifts the bins of the second."""
        return tf.repeat(self.middle(), 2, axis=1)

    def pair(self) -> tf.Tensor:
        """Two random slices of each crop, `[batch, 2, N, F]`."""
        return self._pair[0]

    def gap(self) -> tf.Tensor:
        """Distance of the pair's slices, divided by the greatest possible, `[batch, 1]`."""
        return self._pair[1]

    def other(self) -> tf.Tensor:
        """A slice of another clip of the batch, `[batch, 1, N, F]`."""
        return tf.gather(self.pair()[:, :1], self._other[0])

    def has_other(self) -> tf.Tensor:
        """1 where `other` is of another clip, 0 where the batch has none, float32 `[batch]`."""
        return tf.cast(self._other[1], tf.float32)

    def first_of_clip(self) -> tf.Tensor:
        """The first crop of the batch that is of the same clip, int32 `[batch, 1]`."""
        same = self.clip[:, None] == self.clip[None, :]
        return tf.argmax(same, axis=1, output_type=tf.int32)[:, None]

    def maybe_backwards(self) -> tf.Tensor:
        """The middle slice, its frames in reverse order for half of the batch, like `middle`."""
        middle = self.middle()
        flip = tf.cast(self.backwards(), tf.bool)[:, :, None, None]
        return tf.where(flip, tf.reverse(middle, [2]), middle)

    def backwards(self) -> tf.Tensor:
        """1 where `maybe_backwards` is reversed, else 0, float32 `[batch, 1]`."""
        batch = tf.shape(self.log_mel)[0] * self.share.workers
        coin = tf.random.stateless_uniform([batch, 1], self._keys[2], 0, 2, tf.int32)
        return tf.cast(self.share.rows(coin), tf.float32)

    # Cached, since several tasks may use it.
    @functools.cached_property
    def _around(self) -> tf.Tensor:
        return self._part(self.around, 0) if self.around else self.log_mel

    @functools.cached_property
    def _pair(self) -> tuple[tf.Tensor, tf.Tensor]:
        if self.given:
            return self.given
        part = self._part(self.slicing.reach, 1)
        return slicing.slice_pair(part, self.slicing, self._keys[0], self.share)

    def _part(self, frames: int, number: int) -> tf.Tensor:
        if self.place is None:
            return self.log_mel
        key = sampling.fold_in(self.key, number)
        return slicing.part(self.log_mel, frames, self.place, key, self.share)

    @functools.cached_property
    def _other(self) -> tuple[tf.Tensor, tf.Tensor]:
        return slicing.other_clip(self.clip, self._keys[1])

    @functools.cached_property
    def _keys(self) -> tf.Tensor:
        return tf.random.split(self.key, 3)


@dataclasses.dataclass(frozen=True)
class SliceSet:
    """Slices that tasks take from each crop; tasks that take the same set share them.

    Attributes:
      cut: from a batch of crops to the slices, `[batch, k, N, F]`.
      count: from N, P, G and N_max to k.
      from_other_examples: whether slices of other examples of the batch are among them.
      transposed: which of the k the model shifts by some mel bins while it trains.
    """

    cut: Callable[[Crops], tf.Tensor]
    count: Callable[[Slicing], int] = lambda slicing: 1
    from_other_examples: bool = False
    transposed: tuple[int, ...] = ()


SURROUNDING = SliceSet(Crops.surrounding, lambda slicing: len(slicing.sides))
MIDDLE = SliceSet(Crops.middle)
COPIES = SliceSet(Crops.copies, lambda slicing: 2, transposed=(1,))
PAIR = SliceSet(Crops.pair, lambda slicing: 2)
OTHER = SliceSet(Crops.other, from_other_examples=True)
MAYBE_BACKWARDS = SliceSet(Crops.maybe_backwards)
