"""Train an encoder on slices in the middle of a stream, besides slices alone, for --lead_frames.

The convolutions of a slice alone start from zeros. In a stream they have frames before it, which an
encoder that was trained on slices alone has never seen there.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from a2v_tf.models.multiscale import LogMelStatistics
from a2v_tf.models.on_device import OnDevice

_READS = (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D, LogMelStatistics)
_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D)


class InStream(keras.Model):
    """A wrapper that gives a training model half of each batch without the frames before.

    Only the wrapped model, `trained`, is saved and restored. Both halves have the batch norm
    statistics of all, as they have the same moving ones afterwards.

    Inputs are `[batch, 1, L + N, F]`, an even number of them; or slices alone, `[batch, 1, N, F]`,
    which are simply given to `trained`. Outputs are those of `trained`.

    Args:
      trained: a model from slices `[batch, 1, N, F]` to a dict of outputs.
      lead: L, frames before the slice, a multiple of the encoder's pooling in time.
    """

    def __init__(self, trained: keras.Model, lead: int) -> None:
        super().__init__(name="in_stream")
        self.trained = trained
        self.with_lead = with_lead(trained, lead)

    def call(self, slices: keras.KerasTensor, training: bool | None = None) -> dict[str, Any]:
        """Call the model without the frames before the slice, and with them."""
        alone = slices.shape[2] == self.trained.input_shape[2]
        return (self.trained if alone else self.with_lead)(slices, training=training)


def trained_part(model: keras.Model) -> keras.Model:
    """The model to save and restore: that wrapped by `OnDevice` or `InStream`, or itself."""
    return model.trained if isinstance(model, OnDevice | InStream) else model


def with_lead(trained: keras.Model, lead: int) -> keras.Model:
    """A model with the layers of a training model, for slices with frames before them.

    The first half of the batch is given to these layers without the frames before. For the other
    half the convolutions take all frames; what the embedding reads is from the slice only, so that
    it is the embedding which `build_stream_encoder` has after the slice.

    Args:
      trained: from slices `[batch, 1, N, F]` to a dict of outputs; its layer "encoder" is that of
        `build_encoder`.
      lead: L, frames before the slice, a multiple of the encoder's pooling in time.

    Returns:
      A model from `[batch, 1, L + N, F]` to a dict of outputs; its weights are those of `trained`.
    """
    _, count, frames, bins = trained.input_shape
    encoder = _encoder_of_both(trained.get_layer("encoder"), lead)

    def call(operation: Callable, x: Any, *args: Any, **options: Any) -> Any:
        if getattr(operation, "name", None) == "encoder":
            return encoder(x)
        if not isinstance(operation, layers.Layer) and len(x.shape) == 4:  # the reshape before it
            halves = keras.ops.reshape(x, (2, -1, lead + frames, bins))
            return keras.ops.concatenate([halves[0][:, lead:], halves[1]], axis=1)
        return operation(x, *args, **options)

    return _cloned(trained, (count, lead + frames, bins), call, "audio2vec_with_lead")


def _encoder_of_both(encoder: keras.Model, lead: int) -> keras.Model:
    """The encoder on pairs of a slice alone and one with a lead, joined along time.

    From `[batch / 2, N + L + N, F]` to embeddings `[batch, d]`, first of the slices alone. Layers
    that do not mix frames, batch norm among them, are called once for both.
    """
    _, frames, bins = encoder.input_shape
    joined = keras.Input((2 * frames + lead, bins))
    first = {id(joined): frames}  # of a joined tensor, the frames of the slice alone

    def call(layer: layers.Layer, x: Any, *args: Any, **options: Any) -> Any:
        one = x[0] if isinstance(x, list) else x
        if id(one) not in first:  # embeddings, and what they read
            return layer(x, *args, **options)
        count = first[id(one)]
        if isinstance(layer, _READS):
            alone, _, in_stream = keras.ops.split(x, [count, x.shape[1] - count], axis=1)
            return keras.ops.concatenate([layer(alone), layer(in_stream)], axis=0)
        if _mixes_frames(layer):
            # A split has a cheap gradient: a concatenation. That of slices is a sum of padded ones.
            alone, in_stream = map(layer, keras.ops.split(x, [count], axis=1))
            y, count = keras.ops.concatenate([alone, in_stream], axis=1), alone.shape[1]
        else:
            y = layer(x, *args, **options)
        first[id(y)] = count
        return y

    return _cloned(encoder, joined, call, "encoder_of_both")


def _mixes_frames(layer: layers.Layer) -> bool:
    if isinstance(layer, _CONVOLUTIONS):
        return layer.kernel_size[0] > 1
    return isinstance(layer, layers.ZeroPadding2D | layers.MaxPooling2D)


def _cloned(model: keras.Model, x: Any, call: Callable, name: str) -> keras.Model:
    """The same layers, each called by `call`, on inputs `x` or of the shape `x`."""
    x = keras.Input(x) if isinstance(x, tuple) else x
    cloned = keras.models.clone_model(
        model, input_tensors=x, clone_function=lambda layer: layer, call_function=call
    )
    return keras.Model(cloned.input, cloned.output, name=name)
