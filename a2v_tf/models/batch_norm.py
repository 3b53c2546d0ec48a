"""Batch normalisation that trains at the machine's speed, saved as the Keras layer that it is."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
from keras import layers

from a2v_tf.models.precision import layers_of


@keras.saving.register_keras_serializable("a2v_tf")
class BatchNormalization(layers.BatchNormalization):
    """`keras.layers.BatchNormalization`, fused into one operation where TensorFlow can.

    In training on feature maps, TensorFlow normalises and computes the gradient in one pass each,
    where Keras makes a dozen operations. Outputs and gradients agree within rounding. The moving
    variance is that of the sample, n / (n - 1) times the batch's, with n = batch x time x
    frequency: 1.0001 times with 10,000 numbers. Otherwise, and under other backends, it is Keras'
    layer. The name is the same too, since weight files are read by the names of classes.
    """

    def call(
        self, inputs: keras.KerasTensor, training: bool | None = None, mask: Any = None
    ) -> keras.KerasTensor:
        """Normalise `[batch, time, frequency, channels]`, or anything else as Keras does."""
        if not (training and self.trainable and mask is None and self._can_fuse(inputs)):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma,
            offset=self.beta,
            mean=[],
            variance=[],
            epsilon=self.epsilon,
            is_training=True,
        )
        for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + now * (1.0 - self.momentum))
        return outputs

    def _can_fuse(self, inputs: keras.KerasTensor) -> bool:
        rank = len(inputs.shape)
        return (
            keras.backend.backend() == "tensorflow"
            and rank == 4
            and self.axis in (-1, rank - 1)
            and self.compute_dtype == "float32"
            and self.center
            and self.scale
            and not self.synchronized
        )


@contextlib.contextmanager
def as_keras_layers(model: keras.Model) -> Iterator[None]:
    """Save a model in this context: the file names Keras' layer, which needs no a2v_tf."""
    fused = [layer for layer in layers_of(model) if type(layer) is BatchNormalization]
    for layer in fused:
        layer.__class__ = layers.BatchNormalization
    try:
        yield
    finally:
        for layer in fused:
            layer.__class__ = BatchNormalization
