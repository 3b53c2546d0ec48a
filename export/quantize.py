"""Which range of each activation an int8 model can tell apart, and what lies beyond it is cut off.

The converter takes the least and the greatest value that calibration shows. One rare value then
makes the steps of all others coarse; so here the ranges can be chosen again, tensor by tensor, from
the float model's activations, and the converter's model is given them: its weights stay, its
activations get new scales, and its biases, which are in units of these, are rounded anew.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator

import numpy as np

from a2v_tf.export import flatbuffer as fb
from a2v_tf.runtime.embedder import make_interpreter

Range = tuple[float, float]
Histogram = tuple[np.ndarray, np.ndarray]  # counts [n], the bins' edges [n + 1]

ACTIVATIONS = ("int8", "int16")
_BINS = 2_048
_LEVELS = 255  # of int8, as the converter uses them
_OUTSIDE = 1e-4  # of "percentile": the fraction of values beyond the range, at each end
_SHRINK = np.linspace(0.3, 1.0, 71)  # of "mse": how much of the whole range is tried
_OWN_SCALE = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD"}
_WEIGHTED = _OWN_SCALE - {"ADD"}


# How a range is chosen ---------------------------------------------------------------------------


def min_max(histogram: Histogram) -> Range:
    """All that calibration shows."""
    _, edges = histogram
    return float(edges[0]), float(edges[-1])


def percentile(histogram: Histogram) -> Range:
    """All but one value in 10,000 at each end."""
    counts, edges = histogram
    below = np.concatenate([[0.0], np.cumsum(counts)]) / counts.sum()
    low, high = np.interp([_OUTSIDE, 1 - _OUTSIDE], below, edges)
    return float(low), float(high)


def least_squares(histogram: Histogram) -> Range:
    """The range with the least mean squared error after rounding and cutting off."""
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
    """How a float encoder becomes one of integers.

    Attributes:
      ranges: how int8 activations get their ranges, of `RANGES`.
      activations: "int8"; or "int16", which takes all that calibration shows, with int8 weights.
      loudest: log-mel of silence and of the loudest sound, which the int8 input then tells apart
        whether calibration held them or not.
    """

    ranges: str = "min_max"
    activations: str = "int8"
    loudest: Range | None = None


DEFAULT = Quantization()


def scale_of(values: Range) -> tuple[float, int]:
    """Scale and zero point of int8 for a range, which is widened to hold zero exactly."""
    low, high = min(values[0], 0.0), max(values[1], 0.0)
    scale = (high - low or 1.0) / _LEVELS  # of a tensor that is always zero, any
    return scale, int(np.clip(round(-128 - low / scale), -128, 127))


# From the float model to the int8 one ------------------------------------------------------------


def with_ranges(
    quantized: fb.Model,
    real: fb.Model,
    values: np.ndarray,
    choice: str,
    heard: np.ndarray | None,
) -> fb.Model:
    """Give an int8 model other ranges.

    Args:
      quantized: the converter's int8 model of one input and one output.
      real: its float model, of the same ops.
      values: what calibrates, float32 `[n, ...]` of the input's shape.
      choice: of `RANGES`.
      heard: two values that the input's range holds besides what calibration shows.

    Returns:
      The int8 model, changed in place.
    """
    histograms = _histograms(real, values, counted=choice != "min_max")
    choose = RANGES[choice]
    graph, floats = fb.single_graph(quantized), fb.single_graph(real)
    of_float = iter(floats.subgraph.operators)
    for op in graph.subgraph.operators:
        kind = fb.kind(quantized, op)
        result = graph.tensor(int(op.outputs[0]))
        if kind == "QUANTIZE":
            low, high = min_max(histograms[int(floats.subgraph.inputs[0])])
            if heard is not None:
                low, high = min(low, heard[0]), max(high, heard[1])
            fb.set_scale(result, *scale_of((low, high)))
        elif kind != "DEQUANTIZE":
            twin = next(of_float)
            if kind in _WEIGHTED:
                _round_bias(graph, op, floats, twin)
            if kind in _OWN_SCALE:
                fb.set_scale(result, *scale_of(choose(histograms[int(twin.outputs[0])])))
            else:  # it only rearranges
                source = fb.scales(graph.tensor(int(op.inputs[0])))
                fb.set_scale(result, source[0][0], source[1][0])
    return quantized


def _round_bias(graph: fb.Graph, op: fb.Op, floats: fb.Graph, twin: fb.Op) -> None:
    """Express the bias in steps of (scale of the input) x (scale of each channel's weights)."""
    if len(op.inputs) < 3 or op.inputs[2] < 0:
        return
    real = fb.constant(floats.model, floats.tensor(int(twin.inputs[2])))
    steps = np.array(fb.scales(graph.tensor(int(op.inputs[1])))[0], np.float64)
    steps *= fb.scales(graph.tensor(int(op.inputs[0])))[0][0]
    old = graph.tensor(int(op.inputs[2]))
    limits = np.iinfo(np.int32)
    rounded = np.clip(np.round(real.astype(np.float64) / steps), limits.min, limits.max)
    bias = graph.constant(fb.text(old.name), rounded.astype(np.int32), old)
    fb.set_scale(graph.tensor(bias), steps.tolist(), [0] * len(steps))
    op.inputs[2] = bias


def _histograms(real: fb.Model, values: np.ndarray, *, counted: bool) -> dict[int, Histogram]:
    """How often each tensor of a float model takes which values, by its index.

    Not counted, only the ends mean something, and the model runs once less over the values.
    """
    graph = fb.single_graph(real).subgraph
    wanted = [int(graph.inputs[0]), *(int(op.outputs[0]) for op in graph.operators)]
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
    real: fb.Model, values: np.ndarray, wanted: list[int]
) -> Iterator[dict[int, np.ndarray]]:
    interpreter = make_interpreter(fb.write(real), "builtin", keep_tensors=True)
    interpreter.allocate_tensors()
    for value in values:
        interpreter.set_tensor(wanted[0], value[None])
        interpreter.invoke()
        yield {index: interpreter.get_tensor(index) for index in wanted}
