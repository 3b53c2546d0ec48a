"""Choice of the int8 ranges of activations; values outside a range are clipped.

The converter's ranges extend from the smallest to the largest calibration value. A single outlier
then makes the quantisation steps coarse. This module chooses the range of each tensor from the
float model's activations, and sets it in the converter's model: weights do not change, activations
get new scales, and biases are rounded to the new steps.
"""

import dataclasses
import math
import types
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from a2v_tf.export import flatbuffer as fb
from a2v_tf.runtime.embedder import make_interpreter

Range = tuple[float, float]
Histogram = tuple[np.ndarray, np.ndarray]  # counts [n], the bins' edges [n + 1]

ACTIVATIONS = ("int8", "int16")
_BINS = 2_048
_LEVELS = 255  # int8 steps in a range, as in the converter
_OUTSIDE = 1e-4  # for "percentile": the fraction of values outside the range, at each end
_SHRINK = np.linspace(0.3, 1.0, 71)  # for "mse": the fractions of the whole range to try
_WEIGHTED = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
_OWN_SCALE = _WEIGHTED | {"ADD", "CONCATENATION"}


# Choosing a range --------------------------------------------------------------------------------


def min_max(histogram: Histogram) -> Range:
    """The range of all calibration values."""
    _, edges = histogram
    return float(edges[0]), float(edges[-1])


def percentile(histogram: Histogram) -> Range:
    """The range of all but one value in 10,000 at each end."""
    counts, edges = histogram
    below = np.concatenate([[0.0], np.cumsum(counts)]) / counts.sum()
    low, high = np.interp([_OUTSIDE, 1 - _OUTSIDE], below, edges)
    return float(low), float(high)


def least_squares(histogram: Histogram) -> Range:
    """The range with the least mean squared error after rounding and clipping."""
    counts, edges = histogram
    centres = (edges[:-1] + edges[1:]) / 2
    low, high = min_max(histogram)

    def error(part: float) -> float:
        scale, zero_point = scale_of((low * part, high * part))
        rounded = np.clip(np.round(centres / scale) + zero_point, -128, 127)
        return float(counts @ (centres - scale * (rounded - zero_point)) ** 2)

    part = min(_SHRINK, key=error)
    return low * part, high * part


RANGES: dict[str, Callable[[Histogram], Range]] = {
    "min_max": min_max,
    "percentile": percentile,
    "mse": least_squares,
}


@dataclasses.dataclass(frozen=True)
class Quantization:
    """Settings of the quantisation of an encoder.

    Attributes:
      ranges: how the ranges of int8 activations are chosen, a key of `RANGES`.
      activations: "int8"; or "int16" with int8 weights, whose ranges are always those of
        `min_max`.
      loudest: log-mel of silence and of the loudest sound, which the range of the int8 input
        includes even if the calibration data does not.
    """

    ranges: str = "min_max"
    activations: str = "int8"
    loudest: Range | None = None


DEFAULT = Quantization()


def scale_of(values: Range) -> tuple[float, int]:
    """Scale and zero point of int8 for a range, which is extended to include zero."""
    low, high = min(values[0], 0.0), max(values[1], 0.0)
    scale = (high - low or 1.0) / _LEVELS  # any scale fits a tensor that is always zero
    return scale, int(np.clip(round(-128 - low / scale), -128, 127))


# Setting the ranges ------------------------------------------------------------------------------


def with_ranges(
    quantized: fb.Model,
    real: fb.Model,
    values: Mapping[str, np.ndarray],
    choice: str,
    least_ranges: Mapping[str, np.ndarray | None],
    input_scales: Mapping[str, tuple[float, int]] = types.MappingProxyType({}),
) -> fb.Model:
    """Set the ranges of an int8 model's activations.

    Args:
      quantized: the converter's int8 model.
      real: the converter's float model, with the same ops.
      values: calibration inputs by name, float32 `[n, ...]` each.
      choice: how to choose ranges, a key of `RANGES`.
      least_ranges: two values that an input's range must include, by the input's name.
      input_scales: scale and zero point of inputs that are the result of another int8 model, by
        the input's name.

    Returns:
      The int8 model, changed in place.
    """
    inputs = fb.names(fb.signature(real, "embed").inputs)
    histograms = _histograms(real, values, counted=choice != "min_max")
    choose = RANGES[choice]
    graph, floats = fb.single_graph(quantized), fb.single_graph(real)
    named = {
        index: name for name, index in fb.names(fb.signature(quantized, "embed").inputs).items()
    }
    of_float = iter(floats.subgraph.operators)
    for op in graph.subgraph.operators:
        kind = fb.kind(quantized, op)
        result = graph.tensor(int(op.outputs[0]))
        if kind == "QUANTIZE":
            name = named[int(op.inputs[0])]
            if name in input_scales:
                fb.set_scale(result, *input_scales[name])
                continue
            low, high = min_max(histograms[inputs[name]])
            least_range = least_ranges.get(name)
            if least_range is not None:
                low, high = min(low, least_range[0]), max(high, least_range[1])
            fb.set_scale(result, *scale_of((low, high)))
        elif kind != "DEQUANTIZE":
            twin = next(of_float)
            if kind in _WEIGHTED:
                _round_bias(graph, op, floats, twin)
            if kind in _OWN_SCALE:
                fb.set_scale(result, *scale_of(choose(histograms[int(twin.outputs[0])])))
                if kind == "CONCATENATION":  # its inputs, which nothing else takes, share its scale
                    _share_scale(graph, result, op.inputs)
            else:  # the op only rearranges values
                source = fb.scales(graph.tensor(int(op.inputs[0])))
                fb.set_scale(result, source[0][0], source[1][0])
    return quantized


def _share_scale(graph: fb.Graph, result: fb.Tensor, inputs: Iterable[int]) -> None:
    """Set the scale of a CONCATENATION's inputs, and of theirs if they are concatenated too."""
    (scale,), (zero_point,) = fb.scales(result)
    for index in map(int, inputs):
        fb.set_scale(graph.tensor(index), scale, zero_point)
        for op in graph.subgraph.operators:
            if int(op.outputs[0]) == index and fb.kind(graph.model, op) == "CONCATENATION":
                _share_scale(graph, graph.tensor(index), op.inputs)


def _round_bias(graph: fb.Graph, op: fb.Op, floats: fb.Graph, twin: fb.Op) -> None:
    """Round the bias to steps of (scale of the input) x (scale of each channel's weights)."""
    if len(op.inputs) < 3 or op.inputs[2] < 0:
        return
    real = fb.constant(floats.model, floats.tensor(int(twin.inputs[2])))
    assert real is not None  # biases are constant
    steps = np.array(fb.scales(graph.tensor(int(op.inputs[1])))[0], np.float64)
    steps *= fb.scales(graph.tensor(int(op.inputs[0])))[0][0]
    old = graph.tensor(int(op.inputs[2]))
    limits = np.iinfo(np.int32)
    rounded = np.clip(np.round(real.astype(np.float64) / steps), limits.min, limits.max)
    bias = graph.constant(fb.text(old.name), rounded.astype(np.int32), old)
    fb.set_scale(graph.tensor(bias), steps.tolist(), [0] * len(steps))
    op.inputs[2] = bias


def _histograms(
    real: fb.Model, values: Mapping[str, np.ndarray], *, counted: bool
) -> dict[int, Histogram]:
    """Histograms of the values of each tensor of a float model, by tensor index.

    If not `counted`, only the outer edges are computed, which saves a pass over the values.
    """
    graph = fb.single_graph(real).subgraph
    wanted = [*map(int, graph.inputs), *(int(op.outputs[0]) for op in graph.operators)]
    limits = dict.fromkeys(wanted, (math.inf, -math.inf))
    for activations in _activations(real, values, wanted):
        for index, value in activations.items():
            low, high = limits[index]
            limits[index] = min(low, float(value.min())), max(high, float(value.max()))
    counts = {index: np.zeros(_BINS) for index in wanted}
    edges = {}
    for index, (low, high) in limits.items():
        edges[index] = np.linspace(low, max(high, low + 1e-9), _BINS + 1)
    for activations in _activations(real, values, wanted) if counted else ():
        for index, value in activations.items():
            counts[index] += np.histogram(value, edges[index])[0]
    return {index: (counts[index], edges[index]) for index in wanted}


def _activations(
    real: fb.Model, values: Mapping[str, np.ndarray], wanted: list[int]
) -> Iterator[dict[int, np.ndarray]]:
    interpreter = make_interpreter(fb.write(real), "builtin", keep_tensors=True)
    interpreter.allocate_tensors()
    inputs = fb.names(fb.signature(real, "embed").inputs)
    for row in zip(*values.values(), strict=True):
        for name, value in zip(values, row, strict=True):
            interpreter.set_tensor(inputs[name], value[np.newaxis])
        interpreter.invoke()
        yield {index: interpreter.get_tensor(index) for index in wanted}
