"""Convert a trained decoder to TFLite: `reconstruct(embeddings [1, S, d]) -> log_mel [1, K, N, F]`.

Batch norm is folded into the convolutions before it, and nearest-neighbour up-sampling is one op
each, where Keras makes six. What is quantised ends with standardised log-mel; the scale of log-mel
is restored in float, as the encoder's input is standardised in float.
"""

import keras
import numpy as np
from keras import layers

from a2v_tf.errors import A2vError
from a2v_tf.export import convert
from a2v_tf.export import flatbuffer as fb
from a2v_tf.export.parts import as_list, scale_and_shift
from a2v_tf.export.quantize import DEFAULT, Quantization

RESTORE = "restore_scale"  # the decoder's last layer
_WEIGHTED = (layers.Dense, layers.Conv2D, layers.DepthwiseConv2D)


def decoder_model(
    decoder: keras.Model,
    slices: int,
    window: fb.Model,
    embeddings: np.ndarray | None,
    how: Quantization = DEFAULT,
) -> fb.Model:
    """Convert a decoder: `reconstruct(embeddings f32 [1, S, d]) -> log_mel f32 [1, K, N, F]`.

    Args:
      decoder: result of `build_decoder`.
      slices: S, slices whose embeddings it takes.
      window: the encoder's window model; an int8 decoder starts from its int8 embeddings.
      embeddings: float32 `[n, S * d]`, which determine the int8 ranges; None converts to float.
      how: integer types and the choice of ranges.

    Raises:
      A2vError: it is no decoder.
    """
    head = convert.head_model(folded(decoder), window, embeddings, how)
    signature = fb.signature(head, "embed")
    (flat,), (result,) = (fb.names(x).values() for x in (signature.inputs, signature.outputs))
    graph = fb.Graph.new(fb.empty_model(), "reconstruct")
    size = decoder.input_shape[-1]
    given = graph.computed("embeddings", [1, slices, size // slices])
    inside = fb.insert(graph, head, {flat: graph.reshape("flat", given, [1, size])})
    restore = decoder.get_layer(RESTORE)
    deviation = max(float(restore.input_variance) ** 0.5, keras.config.epsilon())
    scaled = graph.scalar_op("MUL", inside[result], deviation)
    log_mel = graph.scalar_op("ADD", scaled, float(restore.input_mean))
    fb.set_signature(graph, "reconstruct", {"embeddings": given}, {"log_mel": log_mel})
    return graph.model


def folded(decoder: keras.Model) -> keras.Model:
    """The decoder up to standardised log-mel, without batch norm: `[1, S * d] -> [1, K, N, F]`.

    Raises:
      A2vError: it does not end by restoring the scale of log-mel.
    """
    if decoder.layers[-1].name != RESTORE:
        raise A2vError(f"the decoder ends in {decoder.layers[-1].name!r}: expected {RESTORE!r}")
    z = keras.Input(batch_shape=(1, decoder.input_shape[-1]), name="embeddings")
    made = {id(decoder.input): z}
    twins: dict[str, layers.Layer] = {}
    for layer in decoder.layers:
        if isinstance(layer, layers.InputLayer) or layer.name == RESTORE:
            continue
        inputs = [made[id(x)] for x in as_list(layer.input)]
        made[id(layer.output)] = _run(layer, inputs, twins)
    model = keras.Model(z, made[id(decoder.get_layer(RESTORE).input)], name="decoder")
    for name, weights in _folded_weights(decoder).items():
        twins[name].set_weights(weights)
    return model


def _run(
    layer: layers.Layer, inputs: list[keras.KerasTensor], twins: dict[str, layers.Layer]
) -> keras.KerasTensor:
    """Build a layer of the folded decoder on its inputs; those with weights go into `twins`."""
    (x, *others) = inputs
    if isinstance(layer, layers.BatchNormalization):
        return x
    if isinstance(layer, layers.UpSampling2D):
        size = layer.output.shape[1:3]
        return keras.ops.image.resize(x, size, interpolation="nearest")
    if isinstance(layer, layers.Cropping2D) and layer.output.shape == layer.input.shape:
        return x
    config = {**layer.get_config(), "dtype": "float32"}
    if isinstance(layer, _WEIGHTED):
        twins[layer.name] = twin = type(layer).from_config({**config, "use_bias": True})
        return twin(x)
    return type(layer).from_config(config)(inputs if others else x)


def _folded_weights(decoder: keras.Model) -> dict[str, list[np.ndarray]]:
    """Kernel and bias of each layer by name, multiplied and shifted by the batch norm behind it."""
    weights: dict[str, list[np.ndarray]] = {}
    for layer in decoder.layers:
        if isinstance(layer, _WEIGHTED):
            own = [np.asarray(w, np.float64) for w in layer.get_weights()]
            no_bias = [] if layer.use_bias else [np.zeros(layer.output.shape[-1])]
            weights[layer.name] = own + no_bias
    made_by = {id(layer.output): layer for layer in decoder.layers}
    for norm in decoder.layers:
        if not isinstance(norm, layers.BatchNormalization):
            continue
        scale, shift = scale_and_shift(norm)
        before = made_by[id(norm.input)]
        summed = [before] if isinstance(before, _WEIGHTED) else _summands(before, made_by)
        for layer in summed:
            kernel, bias = weights[layer.name]
            depthwise = isinstance(layer, layers.DepthwiseConv2D)
            kernel *= scale[:, np.newaxis] if depthwise else scale
            bias *= scale
        weights[summed[0].name][1] += shift  # of a sum, one bias has it
    return weights


def _summands(layer: layers.Layer, made_by: dict[int, layers.Layer]) -> list[layers.Layer]:
    summed = [made_by[id(x)] for x in as_list(layer.input)]
    if not isinstance(layer, layers.Add) or not all(isinstance(x, _WEIGHTED) for x in summed):
        raise A2vError(f"cannot fold batch norm behind layer {layer.name!r} of the decoder")
    return summed
