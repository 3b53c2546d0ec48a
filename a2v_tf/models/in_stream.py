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


def with_lead(trained: keras.Model, lead: int) -> keras.Model:
    """A model with the layers of a training model, for slices with frames before them.

    The convolutions take all frames. What the embedding reads is from the slice only, so that it is
    the one that `build_stream_encoder` has after the slice.

    Args:
      trained: from slices `[batch, 1, N, F]` to a dict of outputs; its layer "encoder" is that of
        `build_encoder`.
      lead: L, frames before the slice, a multiple of the encoder's pooling in time.

    Returns:
      A model from `[batch, 1, L + N, F]` to a dict of outputs; its weights are those of `trained`.
    """
    _, count, frames, bins = trained.input_shape
    encoder = _encoder_with_lead(trained.get_layer("encoder"), lead)

    def call(operation: Callable, x: Any, *args: Any, **options: Any) -> Any:
        if getattr(operation, "name", None) == "encoder":
            return encoder(x)
        if not isinstance(operation, layers.Layer) and len(x.shape) == 4:  # the reshape before it
            return keras.ops.reshape(x, (-1, lead + frames, bins))
        return operation(x, *args, **options)

    return _cloned(trained, (count, lead + frames, bins), call, "audio2vec_with_lead")


def _encoder_with_lead(encoder: keras.Model, lead: int) -> keras.Model:
    _, frames, bins = encoder.input_shape

    def call(layer: layers.Layer, x: Any, *args: Any, **options: Any) -> Any:
        if isinstance(layer, _READS):
            x = x[:, -(x.shape[1] * frames // (lead + frames)) :]
        return layer(x, *args, **options)

    return _cloned(encoder, (lead + frames, bins), call, "encoder_with_lead")


def _cloned(model: keras.Model, shape: tuple[int, ...], call: Callable, name: str) -> keras.Model:
    """The same layers on inputs of another shape, each called by `call`."""
    cloned = keras.models.clone_model(
        model,
        input_tensors=keras.Input(shape),
        clone_function=lambda layer: layer,
        call_function=call,
    )
    return keras.Model(cloned.input, cloned.output, name=name)


class InStream(keras.Model):
    """A wrapper that gives half of each batch to a training model without the frames before.

    Only the wrapped model, `trained`, is saved and restored. The encoder's batch norm normalises
    both halves by statistics of their own.

    Inputs are `[batch, 1, L + N, F]`, an even number of them; or slices alone, `[batch, 1, N, F]`,
    which all are given to `trained`. Outputs are those of `trained`.

    Args:
      trained: a model from slices `[batch, 1, N, F]` to a dict of outputs.
      lead: L, frames before the slice.
    """

    def __init__(self, trained: keras.Model, lead: int) -> None:
        super().__init__(name="in_stream")
        self.trained = trained
        self.lead = lead
        self.with_lead = with_lead(trained, lead)

    def call(self, slices: keras.KerasTensor, training: bool | None = None) -> dict[str, Any]:
        """Call the model without the frames before the slice, and with them."""
        if slices.shape[2] == self.trained.input_shape[2]:
            return self.trained(slices, training=training)
        halves = keras.ops.reshape(slices, (2, -1, *slices.shape[1:]))
        outputs = [part(x, training=training) for part, x in self.parts(halves[0], halves[1])]
        return {
            name: keras.ops.concatenate([output[name] for output in outputs]) for name in outputs[0]
        }

    def parts(
        self, alone: keras.KerasTensor, in_stream: keras.KerasTensor
    ) -> list[tuple[keras.Model, keras.KerasTensor]]:
        """The models for slices alone and in a stream, with their inputs.

        Both arguments are `[batch, 1, L + N, F]`.
        """
        return [(self.trained, alone[:, :, self.lead :]), (self.with_lead, in_stream)]


def trained_part(model: keras.Model) -> keras.Model:
    """The model to save and restore: that wrapped by `OnDevice` or `InStream`, or itself."""
    return model.trained if isinstance(model, OnDevice | InStream) else model
