"""Convert a Keras encoder to its TFLite window model, by TensorFlow's converter.

The encoder is converted once. `streaming.py` derives all other forms from the result, so all have
the same weights and scales.
"""

import functools
import hashlib
import json
import pathlib
import tempfile
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from a2v_tf.errors import A2vError
from a2v_tf.export import flatbuffer as fb
from a2v_tf.export.quantize import DEFAULT, Quantization, with_ranges
from a2v_tf.files import whole_file
from a2v_tf.models.encoder import build_encoder, fold_batch_norm
from a2v_tf.pretrained import is_packaged
from a2v_tf.specs import EncoderConfig, InputStats, Slicing
from a2v_tf.training.model_dir import ENCODER, load_encoder

QUANTIZED_CORE = "quantized_core.tflite"  # in the model directory; the basis of every int8 export
_KEY = "a2v_tf.calibration"  # metadata of that file: its encoder and calibration settings
_STANDARDISE = "standardise"  # the encoder's layer that remains float
_OPS = {
    "int8": tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
    "int16": tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
}
ANY_LENGTH = Slicing().frames  # the window of an encoder that takes any number of frames

Slices = np.ndarray  # float32 [n, N, F], log-mel


def window_model(
    encoder: keras.Model,
    calibration: Slices | None,
    how: Quantization = DEFAULT,
) -> fb.Model:
    """Convert the encoder: `embed(log_mel f32 [1, N, F]) -> embedding f32 [1, d]`.

    The layer `standardise` always remains float: its output is zero for average log-mel values, as
    in the causal padding, so that the following int8 range is centred on zero.

    Args:
      encoder: result of `build_encoder`.
      calibration: log-mel slices that determine the int8 ranges; None converts to float.
      how: integer types and the choice of ranges.

    Raises:
      A2vError: the encoder has no layer `standardise`, or the slices have another shape.
    """
    if _STANDARDISE not in [layer.name for layer in encoder.layers]:
        raise A2vError(f"encoder {encoder.name!r} has no layer {_STANDARDISE!r}: cannot export it")
    _, frames, bins = encoder.input_shape
    frames = frames or ANY_LENGTH
    encoder = _folded(encoder)
    standardise = encoder.get_layer(_STANDARDISE)
    core = keras.Model(standardise.output, encoder.output, name="core")
    standardised = None
    if calibration is not None:
        _check_slices(calibration, frames, bins)
        standardised = keras.ops.convert_to_numpy(standardise(calibration))
    front = _convert(encoder, standardise, [1, frames, bins])

    def body(values: np.ndarray | None) -> fb.Model:
        shape = [1, frames, bins]
        function = functools.partial(core, training=False)
        return fb.read(_convert(core, function, shape, values, how.activations))

    if standardised is None or how.activations == "int16":
        return _joined(fb.read(front), body(standardised))
    least_range = None
    if how.loudest:
        values = standardise(np.array(how.loudest, np.float32))
        least_range = keras.ops.convert_to_numpy(values).ravel()
    model = with_ranges(body(standardised), body(None), standardised, how.ranges, least_range)
    return _joined(fb.read(front), model)


def _folded(encoder: keras.Model) -> keras.Model:
    """Fold the batch norms that follow a sum, which the converter cannot fold."""
    names = {layer.name for layer in encoder.layers}
    prefixes = [n.removesuffix("_bn") for n in names if n.endswith("_bn")]
    if not any(f"{prefix}_residual" in names for prefix in prefixes):
        return encoder
    standardise = encoder.get_layer(_STANDARDISE)
    last = [layer for layer in encoder.layers if layer.name.endswith("_residual")]
    config = EncoderConfig(tuple(layer.filters for layer in last), encoder.output_shape[-1])
    stats = InputStats(float(standardise.input_mean), float(standardise.input_variance))
    frames, bins = encoder.input_shape[1:]
    folded = build_encoder(config, frames, bins, stats, folded=True)
    fold_batch_norm(encoder, folded)
    return folded


def _check_slices(slices: Slices, frames: int, bins: int) -> None:
    if slices.ndim != 3 or slices.shape[1:] != (frames, bins) or not len(slices):
        raise A2vError(
            f"calibration slices have the shape {list(slices.shape)}: "
            f"expected [at least 1, {frames}, {bins}]"
        )
    if not np.isfinite(slices).all():
        raise A2vError("calibration slices have a value that is not finite")


def _joined(front: fb.Model, body: fb.Model) -> fb.Model:
    """Join two models with one input and output each to `embed(log_mel) -> embedding`."""
    graph = fb.Graph.new(fb.empty_model(), "embed")
    first, second = (fb.single_graph(model).subgraph for model in (front, body))
    at_front = fb.insert(graph, front, {})
    at_body = fb.insert(graph, body, {int(second.inputs[0]): at_front[int(first.outputs[0])]})
    inputs = {"log_mel": at_front[int(first.inputs[0])]}
    fb.set_signature(graph, "embed", inputs, {"embedding": at_body[int(second.outputs[0])]})
    return graph.model


def _convert(
    owner: keras.Model,
    function: Callable[[tf.Tensor], tf.Tensor],
    shape: list[int],
    calibration: np.ndarray | None = None,
    activations: str = "int8",
) -> bytes:
    """Convert a function of one float tensor to TFLite; `owner` has its variables."""
    archive = keras.export.ExportArchive()
    archive.track(owner)
    signature = [tf.TensorSpec(shape, tf.float32, name="x")]
    archive.add_endpoint("embed", lambda x: {"y": function(x)}, input_signature=signature)
    with tempfile.TemporaryDirectory() as saved_model:
        archive.write_out(saved_model, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=["embed"])
        if calibration is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_ops = [_OPS[activations]]
            converter.representative_dataset = lambda: ([x[None]] for x in calibration)
        return converter.convert()


# One quantised model for all exports from a model directory --------------------------------------


def model_of(
    model_dir: pathlib.Path,
    calibration: Callable[[], Slices] | None,
    settings: dict,
    how: Quantization = DEFAULT,
) -> fb.Model:
    """Return the window model of a model directory. An int8 model is stored there and reused.

    Args:
      model_dir: directory written by `a2v_train`.
      calibration: returns the slices, called only if needed; None converts to float.
      settings: settings of the calibration. If they, the encoder or `how` change, the encoder is
        converted again.
      how: integer types and the choice of ranges.

    Raises:
      A2vError: the encoder cannot be read or converted.
    """
    if calibration is None:
        return window_model(load_encoder(model_dir, for_audio=False), None)
    key = _key(model_dir, {**settings, **vars(how)})
    kept = _read_kept(model_dir / QUANTIZED_CORE)
    if kept is not None and fb.metadata(kept, _KEY) == key:
        return kept
    encoder = load_encoder(model_dir, for_audio=False)
    model = window_model(encoder, calibration(), how)
    fb.set_metadata(model, _KEY, key)
    if not is_packaged(model_dir):
        _keep(model_dir / QUANTIZED_CORE, fb.write(model))
    return model


def _key(model_dir: pathlib.Path, settings: dict) -> str:
    path = model_dir / ENCODER
    encoder = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
    return json.dumps({"encoder": encoder, **settings}, sort_keys=True)


def _read_kept(path: pathlib.Path) -> fb.Model | None:
    try:
        return fb.read(path.read_bytes())
    except (OSError, A2vError):
        return None


def _keep(path: pathlib.Path, content: bytes) -> None:
    """Write the file atomically; if that is not possible, log a warning and continue."""
    try:
        with whole_file(path) as partial:
            partial.write_bytes(content)
    except OSError as error:
        logging.warning("cannot store the quantised encoder for later exports: %s", error)
