"""Convert a Keras encoder to its TFLite window model, by TensorFlow's converter.

The encoder is converted once. `streaming.py` derives all other forms from the result, so all have
the same weights and scales.
"""

import json
import pathlib
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from a2v_tf.errors import A2vError
from a2v_tf.export import flatbuffer as fb
from a2v_tf.export.parts import STANDARDISE, Parts, X, Y, split
from a2v_tf.export.quantize import DEFAULT, Quantization, with_ranges
from a2v_tf.files import digest_of, whole_file
from a2v_tf.pretrained import is_packaged
from a2v_tf.runtime.embedder import make_interpreter
from a2v_tf.specs import Slicing
from a2v_tf.training.model_dir import ENCODER, load_encoder

QUANTIZED_CORE = "quantized_core.tflite"  # in the model directory; the basis of every int8 export
_KEY = "a2v_tf.calibration"  # metadata of that file: its encoder and calibration settings
_OPS = {
    "int8": tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
    "int16": tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
}
Z = "z"  # name of a head's input
ANY_LENGTH = Slicing().frames  # the window of an encoder that takes any number of frames

Slices = np.ndarray  # float32 [n, N, F], log-mel
Inputs = Mapping[str, np.ndarray]  # of the quantised part, by name


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
    _, frames, bins = encoder.input_shape
    frames = frames or ANY_LENGTH
    parts = split(encoder, frames)
    if calibration is not None:
        _check_slices(calibration, frames, bins)
    shape = {X: [1, frames, bins]}
    front = fb.read(_convert(parts.owner, lambda inputs: parts.front(inputs[X]), shape))
    # The core's inputs, with one slice if there is no calibration: for their shapes alone.
    slices = calibration if calibration is not None else np.zeros((1, frames, bins), np.float32)
    values = {name: keras.ops.convert_to_numpy(x) for name, x in parts.front(slices).items()}
    shapes = {name: [1, *x.shape[1:]] for name, x in values.items()}

    def core(calibration: Inputs | None) -> fb.Model:
        return fb.read(_convert(parts.owner, parts.core, shapes, calibration, how.activations))

    if calibration is None:
        return _joined(front, core(None), parts)
    if how.activations == "int16":
        return _joined(front, core(values), parts)
    least_range = None
    if how.loudest:
        standardise = encoder.get_layer(STANDARDISE)
        extremes = standardise(np.array(how.loudest, np.float32))
        least_range = keras.ops.convert_to_numpy(extremes).ravel()
    model = with_ranges(core(values), core(None), values, how.ranges, {X: least_range})
    return _joined(front, model, parts)


def _check_slices(slices: Slices, frames: int, bins: int) -> None:
    if slices.ndim != 3 or slices.shape[1:] != (frames, bins) or not len(slices):
        raise A2vError(
            f"calibration slices have the shape {list(slices.shape)}: "
            f"expected [at least 1, {frames}, {bins}]"
        )
    if not np.isfinite(slices).all():
        raise A2vError("calibration slices have a value that is not finite")


def _joined(front: fb.Model, core: fb.Model, parts: Parts) -> fb.Model:
    """Join the converted parts to `embed(log_mel) -> embedding`."""
    if parts.short_names:
        for model in (front, core):
            _shorten_names(model)
    graph = fb.Graph.new(fb.empty_model(), "embed")
    first, second = (fb.signature(model, "embed") for model in (front, core))
    at_front = fb.insert(graph, front, {})
    if parts.short_names:
        graph.tensor(at_front[fb.names(first.outputs)[X]]).name = "log_mel"  # and its state
    made = {name: at_front[index] for name, index in fb.names(first.outputs).items()}
    at_core = fb.insert(
        graph, core, {index: made[name] for name, index in fb.names(second.inputs).items()}
    )
    inputs = {"log_mel": at_front[fb.names(first.inputs)[X]]}
    fb.set_signature(graph, "embed", inputs, {"embedding": at_core[fb.names(second.outputs)[Y]]})
    return graph.model


def _shorten_names(model: fb.Model) -> None:
    """Name each tensor after its layer: "conv1" for "core/trunk/conv1_pad_1/Pad;core/trunk/...".

    The converter's names would be a tenth of the file.
    """
    for tensor in fb.single_graph(model).subgraph.tensors:
        scopes = fb.text(tensor.name).split(";")[0].split("/")
        own = [re.sub(r"_\d+$", "", scope) for scope in scopes]
        layers = [scope for scope in own if scope not in ("core", "trunk")]
        tensor.name = layers[0].removesuffix("_bn") if layers else ""


def _convert(
    owner: keras.Model,
    function: Callable[[dict[str, Any]], dict[str, Any]],
    shapes: Mapping[str, list[int]],
    calibration: Inputs | None = None,
    activations: str = "int8",
) -> bytes:
    """Convert a function of named float tensors to TFLite; `owner` has its variables.

    `calibration` has the inputs of many calls, along the first axis.
    """
    archive = keras.export.ExportArchive()
    archive.track(owner)
    signature = [tf.TensorSpec(shape, tf.float32, name=name) for name, shape in shapes.items()]
    archive.add_endpoint(
        "embed",
        lambda *values: function(dict(zip(shapes, values, strict=True))),
        input_signature=signature,
    )
    with tempfile.TemporaryDirectory() as saved_model:
        archive.write_out(saved_model, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=["embed"])
        if calibration is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_ops = [_OPS[activations]]
            converter.representative_dataset = lambda: _calls(calibration)
        return converter.convert()


def _calls(calibration: Inputs) -> Iterator[Inputs]:
    for row in zip(*calibration.values(), strict=True):
        yield {name: value[np.newaxis] for name, value in zip(calibration, row, strict=True)}


# Heads -------------------------------------------------------------------------------------------


def head_model(
    head: keras.Model, window: fb.Model, embeddings: np.ndarray | None, how: Quantization = DEFAULT
) -> fb.Model:
    """Convert a head: `embed(z f32 [1, n]) -> y f32`.

    An int8 head starts from int8 embeddings as the encoder's window model gives them: its input has
    the scale of that model's result, so a float embedding between the two changes no bit.

    Args:
      head: a model from one or more embeddings `[batch, n]`, n a multiple of d.
      window: the encoder's window model.
      embeddings: float32 `[rows, n]`, which determine the int8 ranges; None converts to float.
      how: integer types and the choice of ranges.
    """
    shapes = {Z: [1, head.input_shape[-1]]}

    def converted(calibration: Inputs | None) -> fb.Model:
        def call(inputs: dict[str, Any]) -> dict[str, Any]:
            return {Y: head(inputs[Z], training=False)}

        return fb.read(_convert(head, call, shapes, calibration, how.activations))

    if embeddings is None:
        return converted(None)
    values = {Z: np.asarray(embeddings, np.float32)}
    if how.activations == "int16":
        return converted(values)
    scales = {Z: embedding_scale(window)}
    return with_ranges(converted(values), converted(None), values, how.ranges, {}, scales)


def dense_head(layers: Sequence[tuple[np.ndarray, np.ndarray]]) -> keras.Model:
    """Layers with a ReLU in between, `[batch, n]` to `[batch, outputs]`, as `head_model` takes.

    Args:
      layers: kernel `[inputs, outputs]` and bias `[outputs]` of each.
    """
    x = z = keras.Input((layers[0][0].shape[0],))
    for i, (_, bias) in enumerate(layers, start=1):
        activation = None if i == len(layers) else "relu"
        x = keras.layers.Dense(len(bias), activation, name=f"head{i}")(x)
    model = keras.Model(z, x, name="head")
    model.set_weights([weight for layer in layers for weight in layer])
    return model


def embedding_scale(window: fb.Model) -> tuple[float, int]:
    """Scale and zero point of the result of an int8 window model, before it is dequantised."""
    graph = fb.single_graph(window)
    embedding = fb.names(fb.signature(window, "embed").outputs)["embedding"]
    op = next(op for op in graph.subgraph.operators if int(op.outputs[0]) == embedding)
    (scale,), (zero_point,) = fb.scales(graph.tensor(int(op.inputs[0])))
    return scale, zero_point


def embeddings_of(window: fb.Model, slices: Slices) -> np.ndarray:
    """The embeddings float32 `[n, d]` of log-mel slices by a window model."""
    embed = make_interpreter(fb.write(window), "builtin").get_signature_runner("embed")
    return np.concatenate([embed(log_mel=slice_[np.newaxis])["embedding"] for slice_ in slices])


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
    encoder = digest_of(path) if path.is_file() else None
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
