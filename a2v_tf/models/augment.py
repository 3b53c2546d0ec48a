"""What is done to slices before the encoder hears them: other sounds, other levels, other bins."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

from a2v_tf.specs import MIX_DB

MOST_BINS = 3  # that a transposed slice is moved
_DB = np.log(10.0) / 20.0  # a decibel in log-mel, whose values are natural logarithms of moduli


@keras.saving.register_keras_serializable("a2v_tf")
class Augment(layers.Layer):
    """Mix each log-mel slice with one of another example, and change its level.

    Each slice draws for itself, so that two slices of one clip share neither background nor level.
    Powers are added, which is what mixing the audio does on average. Only while training.

    Args:
      mix: the fraction of slices with another sound behind them.
      gain_db: the greatest change of level, either way; uniform in decibels.

    Inputs and outputs are log-mel slices `[batch, S, N, F]`.
    """

    def __init__(self, mix: float = 0.0, gain_db: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.mix = mix
        self.gain_db = gain_db
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, slices: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """Change the slices, if training."""
        if not training:
            return slices
        if self.mix:
            slices = self._with_another(slices)
        if self.gain_db:
            slices = slices + self._uniform(slices, -self.gain_db, self.gain_db) * _DB
        return slices

    def _with_another(self, slices: keras.KerasTensor) -> keras.KerasTensor:
        ops = keras.ops
        batch, count = ops.shape(slices)[0], slices.shape[1]
        # From the example so many places further: crops of a batch are in random order. Each of an
        # example's slices from another one, or their common background would give a pair away.
        shifts = keras.random.randint((count,), 1, ops.maximum(batch, 2), seed=self.seed_generator)
        others = ops.stack(
            [
                ops.take(slices[:, i], (ops.arange(batch) + shifts[i]) % batch, axis=0)
                for i in range(count)
            ],
            axis=1,
        )
        below = self._uniform(slices, *MIX_DB) * _DB
        others = others + _level(slices) - _level(others) - below
        mixed = 0.5 * ops.logaddexp(2.0 * slices, 2.0 * others)
        return ops.where(self._uniform(slices, 0.0, 1.0) < self.mix, mixed, slices)

    def _uniform(self, slices: keras.KerasTensor, low: float, high: float) -> keras.KerasTensor:
        """A number for each slice, `[batch, S, 1, 1]`."""
        shape = (*keras.ops.shape(slices)[:2], 1, 1)
        return keras.random.uniform(shape, low, high, seed=self.seed_generator)

    def get_config(self) -> dict:
        """What saving needs to make the layer again."""
        return {**super().get_config(), "mix": self.mix, "gain_db": self.gain_db}


@keras.saving.register_keras_serializable("a2v_tf")
class Transpose(layers.Layer):
    """Move some of the log-mel slices up or down by a few mel bins, and repeat the outermost bin.

    While training, by 1 to `MOST_BINS` either way, drawn for each example; else up by 2.

    Args:
      places: which of the slices.

    Inputs and outputs are log-mel slices `[batch, S, N, F]`.
    """

    def __init__(self, places: Sequence[int], **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.places = list(places)
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, slices: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """Move them."""
        ops = keras.ops
        batch, bins = ops.shape(slices)[0], slices.shape[-1]
        up = 2 * ops.ones((batch,), "int32")
        if training:
            drawn = keras.random.randint((batch,), 0, 2 * MOST_BINS, seed=self.seed_generator)
            up = drawn - MOST_BINS + ops.cast(drawn >= MOST_BINS, "int32")  # never 0
        source = ops.clip(ops.arange(bins) - up[:, None], 0, bins - 1)
        # As a matrix product, which every device is made for.
        move = ops.one_hot(source, bins, axis=1, dtype=slices.dtype)  # [batch, from, to]
        each = [slices[:, i] for i in range(slices.shape[1])]
        for i in self.places:
            each[i] = ops.matmul(each[i], move)
        return ops.stack(each, axis=1)

    def get_config(self) -> dict:
        """What saving needs to make the layer again."""
        return {**super().get_config(), "places": self.places}


def _level(slices: keras.KerasTensor) -> keras.KerasTensor:
    """The logarithm of the root mean square over a slice's bins, `[batch, S, 1, 1]`."""
    ops = keras.ops
    size = slices.shape[-2] * slices.shape[-1]
    total = ops.logsumexp(2.0 * slices, axis=(-2, -1), keepdims=True)
    return 0.5 * (total - float(np.log(size)))
