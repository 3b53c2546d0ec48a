"""Augmentation of log-mel slices: background sounds, levels, and shifts along frequency."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from a2v_tf.specs import MIX_DB

MOST_BINS = 3  # largest shift of a transposed slice
_LEAST = 1e-6  # modulus of silence
_DB = np.log(10.0) / 20.0  # a decibel in log-mel values, natural logarithms of moduli


@keras.saving.register_keras_serializable("a2v_tf")
class Augment(layers.Layer):
    """Mix log-mel slices with slices of other examples, and change their levels, in training.

    Each slice has its own random numbers, so two slices of a clip share neither background nor
    level. Powers are added, as they are on average when audio is mixed.

    Args:
      mix: fraction of slices to mix with another sound.
      gain_db: largest change of level; uniform in decibels, in both directions.
      log_offset: what the front end adds to the mel magnitudes before the logarithm: it is neither
        mixed nor made louder.

    Inputs and outputs are log-mel slices `[batch, S, N, F]`.
    """

    def __init__(
        self, mix: float = 0.0, gain_db: float = 0.0, log_offset: float = 0.0, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.mix = mix
        self.gain_db = gain_db
        self.log_offset = log_offset
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, slices: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """Augment the slices in training; return them unchanged otherwise."""
        if not training or not (self.mix or self.gain_db):
            return slices
        if not (self.mix or self.log_offset):  # band levels, whose exponentials may overflow
            return slices + self._uniform(slices, -self.gain_db, self.gain_db) * _DB
        ops = keras.ops
        # One exponential and one logarithm a number: they are most of the work.
        modulus = ops.maximum(ops.exp(slices) - self.log_offset, _LEAST)
        if self.mix:
            modulus = ops.sqrt(self._with_another(ops.square(modulus)))
        if self.gain_db:
            modulus = modulus * ops.exp(self._uniform(slices, -self.gain_db, self.gain_db) * _DB)
        return ops.log(modulus + self.log_offset)

    def _with_another(self, power: keras.KerasTensor) -> keras.KerasTensor:
        """Add the powers of other slices to some of the slices, `[batch, S, N, F]`."""
        ops = keras.ops
        batch, count = ops.shape(power)[0], power.shape[1]
        # Take the slice `shifts[i]` examples further: crops of a batch are in random order. Every
        # slice has its own shift, or the common background would identify a pair.
        shifts = keras.random.randint((count,), 1, ops.maximum(batch, 2), seed=self.seed_generator)
        rows = (ops.arange(batch)[:, None] + shifts) % batch * count + ops.arange(count)
        others = ops.take(ops.reshape(power, (-1, *power.shape[2:])), rows, axis=0)
        below = ops.exp(self._uniform(power, *MIX_DB) * (-2.0 * _DB))
        mixed = self._uniform(power, 0.0, 1.0) < self.mix
        level, other_level = (ops.mean(x, axis=(-2, -1), keepdims=True) for x in (power, others))
        return power + others * ops.where(mixed, below * level / other_level, 0.0)

    def _uniform(self, slices: keras.KerasTensor, low: float, high: float) -> keras.KerasTensor:
        """Draw a number for each slice, `[batch, S, 1, 1]`."""
        shape = (*keras.ops.shape(slices)[:2], 1, 1)
        return keras.random.uniform(shape, low, high, seed=self.seed_generator)

    def get_config(self) -> dict:
        """The layer's configuration, for saving."""
        options = {"mix": self.mix, "gain_db": self.gain_db, "log_offset": self.log_offset}
        return {**super().get_config(), **options}


@keras.saving.register_keras_serializable("a2v_tf")
class Transpose(layers.Layer):
    """Shift some log-mel slices up or down by a few mel bins; the outermost bin is repeated.

    In training, the shift is 1 to `MOST_BINS` bins in either direction, drawn for each example.
    Otherwise it is 2 bins up.

    Args:
      places: indices of the slices to shift.

    Inputs and outputs are log-mel slices `[batch, S, N, F]`.
    """

    def __init__(self, places: Sequence[int], **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.places = list(places)
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, slices: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """Shift the slices at `places`."""
        ops = keras.ops
        batch, bins = ops.shape(slices)[0], slices.shape[-1]
        up = 2 * ops.ones((batch,), "int32")
        if training:
            drawn = keras.random.randint((batch,), 0, 2 * MOST_BINS, seed=self.seed_generator)
            up = drawn - MOST_BINS + ops.cast(drawn >= MOST_BINS, "int32")  # never 0
        source = ops.clip(ops.arange(bins) - up[:, None], 0, bins - 1)
        # As a matrix product, which is fast on every device.
        move = ops.one_hot(source, bins, axis=1, dtype=slices.dtype)  # [batch, from, to]
        each = [slices[:, i] for i in range(slices.shape[1])]
        for i in self.places:
            each[i] = ops.matmul(each[i], move)
        return ops.stack(each, axis=1)

    def get_config(self) -> dict:
        """The layer's configuration, for saving."""
        return {**super().get_config(), "places": self.places}
