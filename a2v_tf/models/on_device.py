"""Log-mel and slicing inside the training step, for `--frontend=device`.

All random numbers are drawn in tf.data, which sends PCM and the frame indices of each slice. So the
model is trained on the same slices as with `--frontend=host`.
"""

from typing import Any

import keras

from a2v_tf.frontend import FRONT_END, FrontEnd, hann_window, mel_matrix


def log_mel(pcm: keras.KerasTensor, spec: FrontEnd = FRONT_END) -> keras.KerasTensor:
    """`a2v_tf.frontend.log_mel` in `keras.ops`, for any backend and device.

    Args:
      pcm: float32 `[batch, samples]` in [-1, 1].
      spec: the front end.

    Returns:
      float32 `[batch, frames, F]`.
    """
    ops = keras.ops
    frames = ops.extract_sequences(pcm, spec.window_length, spec.hop_length)
    real, imaginary = ops.rfft(frames * hann_window(spec), spec.fft_length)
    magnitudes = ops.sqrt(ops.square(real) + ops.square(imaginary))
    if spec.is_mel:
        magnitudes = ops.matmul(magnitudes, mel_matrix(spec))
    else:
        magnitudes = magnitudes[..., spec.stft_bins.start : spec.stft_bins.stop]
    return ops.log(magnitudes + spec.log_offset)


@keras.saving.register_keras_serializable("a2v_tf")
class OnDevice(keras.Model):
    """A wrapper that computes the slices of a training model from PCM.

    Only the wrapped model, `trained`, is saved and restored.

    Inputs are a dict:

    - "pcm": int16 `[batch, samples]`;
    - "gain", if levels are augmented: float32 `[batch, 1]`, the factor of the PCM;
    - "slices": int32 `[batch, S, N]`, the index in the crop of each frame of the slices;
    - "targets": for each task whose targets are slices, int32 `[batch, k, N]`, likewise.

    Outputs are a dict: "outputs", those of the model, and "targets", log-mel `[batch, k, N, F]`.

    Args:
      trained: a model from slices `[batch, S, N, F]` to a dict of outputs.
      across: whether frame indices count through the whole batch, because an example has slices of
        other examples.
      front_end: that makes the frames.
    """

    def __init__(
        self, trained: keras.Model, *, across: bool = False, front_end: FrontEnd = FRONT_END
    ) -> None:
        super().__init__(name="on_device", dtype="float32")
        self.trained = trained
        self.across = across
        self.front_end = front_end

    def call(self, inputs: dict[str, Any], training: bool | None = None) -> dict[str, Any]:
        """Compute log-mel, cut the slices and targets, and call the model."""
        ops = keras.ops
        pcm = ops.cast(inputs["pcm"], "float32") / 32_768.0
        if "gain" in inputs:
            pcm = pcm * inputs["gain"]
        frames = log_mel(pcm, self.front_end)
        count, bins = frames.shape[1:]
        frames = ops.reshape(frames, (-1, bins))
        first = 0 if self.across else count * ops.arange(ops.shape(pcm)[0], dtype="int32")
        first = ops.reshape(first, (-1, 1, 1))

        def cut(numbers: keras.KerasTensor) -> keras.KerasTensor:
            return ops.take(frames, numbers + first, axis=0)

        outputs = self.trained(cut(inputs["slices"]), training=training)
        return {
            "outputs": outputs,
            "targets": {name: cut(numbers) for name, numbers in inputs["targets"].items()},
        }

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> keras.KerasTensor:
        """Compute the loss with the targets from `call` and those of the data set."""
        targets = {**y, **y_pred["targets"]}
        return super().compute_loss(x, targets, y_pred["outputs"], sample_weight, training)

    def get_layer(self, name: str | None = None, index: int | None = None) -> keras.layers.Layer:
        """A layer of the wrapped model."""
        return self.trained.get_layer(name, index)
