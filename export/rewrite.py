"""Rewrite the ops of a window model for another number of frames.

`streaming.py` defines the forms; this module walks over the window model's ops and copies each one
to the new graph, with the shapes, padding and dilation of the form. Layers that cannot stream are
refused.
"""

import dataclasses
import re
from collections.abc import Callable

import numpy as np

from a2v_tf.errors import A2vError
from a2v_tf.export import flatbuffer as fb

STATE = "state_"  # prefix of the name of every state tensor
TIME = 1  # the time axis in [batch, frames, bins] and [batch, frames, bins, channels]
_ELEMENTWISE = {"ADD", "SUB", "MUL", "RELU", "RELU6", "QUANTIZE", "DEQUANTIZE"}
_CONVOLUTIONS = {"CONV_2D", "DEPTHWISE_CONV_2D"}
_SAME_SCALES = {"PAD", "MAX_POOL_2D", "RESHAPE", "REDUCE_MAX"}  # state input and output match
# TFLite's builtin kernels of these round the last values of a tensor differently, unless there is a
# multiple of what a processor computes at once. A classifier has any number of scores.
_ROUND_BY_PLACE, _SIMD = {"DEQUANTIZE", "SOFTMAX"}, 16
# On what was computed from a whole window: one row per step.
_OF_WINDOWS = _ELEMENTWISE | {
    "CONCATENATION",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "MAX_POOL_2D",
    "MEAN",
    "RESHAPE",
    "SOFTMAX",
    "SQRT",
    "SQUARED_DIFFERENCE",
}


@dataclasses.dataclass
class Rewrite:
    """The state of a rewrite: the window graph and the graph derived from it so far."""

    source: fb.Graph
    target: fb.Graph
    window_frames: int
    frames: int
    hop_frames: int
    # Source tensor -> target tensor.
    mapping: dict[int, int] = dataclasses.field(default_factory=dict)
    # Source tensor with a time axis -> distance of its columns in the target, in target columns:
    # 1, or more after a pool with stride 1.
    dilation: dict[int, int] = dataclasses.field(default_factory=dict)
    # Source tensor with a time axis -> the columns of each step's window in the target,
    # `[steps, columns of a window, ...]`.
    windows: dict[int, int] = dataclasses.field(default_factory=dict)
    # Name -> (input, output) in the target.
    states: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)

    def kind(self, op: fb.Op) -> str:
        return fb.kind(self.source.model, op)

    def constant(self, index: int) -> np.ndarray | None:
        return fb.constant(self.source.model, self.source.tensor(index))

    def made_by(self, index: int) -> str | None:
        """Kind of the op whose result a source tensor is; None for an input."""
        for op in self.source.subgraph.operators:
            if index in map(int, op.outputs):
                return self.kind(op)
        return None

    def constant_input(self, op: fb.Op, number: int) -> np.ndarray:
        """An input that the op's definition requires to be constant."""
        value = self.constant(op.inputs[number])
        assert value is not None, op
        return value

    def add_state(self, name: str, like: int, rows: int) -> int:
        """Add the input of a state: `rows` rows along time, otherwise like the tensor `like`."""
        size = list(fb.shape(self.target.tensor(like)))
        size[TIME] = rows
        return self.target.like(self.target.tensor(like), name, size)


@dataclasses.dataclass(frozen=True)
class Form:
    """The parts of a form that depend on earlier frames.

    Attributes:
      pad: prepend frames to the input of a convolution: `(rewrite, x, amounts, name) -> x`.
      hold: combine each column with earlier ones for pooling, `count` columns with a distance of
        `back`: `(rewrite, x, back, count, name) -> (x, columns to pool in time)`.
      pool: maximum over frequency and the whole window: `(rewrite, x, dilation) -> [steps, d]`.
      gather: all columns of each step's window, `count` with a distance of `dilation`:
        `(rewrite, x, count, dilation, name) -> [steps, count, ...]`. Before the stream there are
        zeros.
    """

    pad: Callable[[Rewrite, int, list[tuple[int, int]], str], int]
    hold: Callable[[Rewrite, int, int, int, str], tuple[int, int]]
    pool: Callable[[Rewrite, int, int], int]
    gather: Callable[[Rewrite, int, int, int, str], int]


# The ops -----------------------------------------------------------------------------------------


def frames_of(model: fb.Model) -> int:
    """Number of frames that `embed(log_mel)` takes."""
    log_mel = fb.names(fb.signature(model, "embed").inputs)["log_mel"]
    return fb.shape(fb.single_graph(model).tensor(log_mel))[TIME]


def rewrite_window(window: fb.Model, frames: int, hop_frames: int, form: Form) -> fb.Model:
    signature = fb.signature(window, "embed")
    log_mel = fb.names(signature.inputs)["log_mel"]
    outputs = fb.names(signature.outputs)
    source, target = fb.single_graph(window), fb.Graph.new(fb.empty_model(), "embed")
    target.model.operatorCodes = list(window.operatorCodes)
    target.model.buffers = list(window.buffers)
    rewrite = Rewrite(source, target, frames_of(window), frames, hop_frames)
    rewrite.dilation[log_mel] = 1
    rewrite.mapping[log_mel] = _retimed(rewrite, log_mel)
    for op in source.subgraph.operators:
        _rewrite_op(rewrite, op, form)
    if rewrite.dilation.keys() & outputs.values():
        raise A2vError("cannot stream: no global max-pooling over time and frequency")
    states = rewrite.states.items()
    fb.set_signature(
        target,
        "embed",
        {"log_mel": rewrite.mapping[log_mel], **{name: state[0] for name, state in states}},
        {
            **{name: rewrite.mapping[index] for name, index in outputs.items()},
            **{name: state[1] for name, state in states},
        },
    )
    return target.model


def _rewrite_op(rewrite: Rewrite, op: fb.Op, form: Form) -> None:
    """Append an op to the target, adapted to its number of frames."""
    kind, result = rewrite.kind(op), int(op.outputs[0])
    timed = [int(i) for i in op.inputs if int(i) in rewrite.dilation]
    _check_scales(rewrite, op)
    if not timed or _takes_windows(rewrite, op, timed):
        for index in timed:
            _gather(rewrite, index, form)
        _copy_on_windows(rewrite, op)
        return
    x, dilation = rewrite.mapping[timed[0]], rewrite.dilation[timed[0]]
    if any(rewrite.dilation[i] != dilation for i in timed):
        _refuse(rewrite, result, "joins columns from before and after a pool")
    if kind == "REDUCE_MAX":
        _check_global_pool(rewrite, op)
        x = form.pool(rewrite, x, dilation)
        if fb.shape(rewrite.source.tensor(result))[1:3] == (1, 1):  # the source keeps the axes
            rows, channels = fb.shape(rewrite.target.tensor(x))
            x = rewrite.target.reshape("global_pool/kept_axes", x, (rows, 1, 1, channels))
        rewrite.mapping[result] = x
        return
    rewrite.dilation[result] = dilation
    if kind == "PAD":
        amounts = [(int(a), int(b)) for a, b in rewrite.constant_input(op, 1)]
        _check_padding(rewrite, op, amounts)
        name = _unused(_layer(rewrite, result), rewrite.states)
        causal = amounts[TIME][0] > 0
        amounts[TIME] = (amounts[TIME][0] * dilation, 0)
        pad = form.pad if causal else pad_frames
        rewrite.mapping[result] = pad(rewrite, x, amounts, name)
    elif kind == "RESHAPE":
        _check_reshape(rewrite, op)
        size = _retimed_shape(rewrite, result)
        rewrite.mapping[result] = rewrite.target.reshape(_layer(rewrite, result), x, size)
    elif kind == "MAX_POOL_2D":
        _pool_columns(rewrite, op, x, form)
    elif kind in _CONVOLUTIONS:
        _check_causal(rewrite, op, x)
        rewrite.mapping[result] = _retimed(rewrite, result)
        options = _copy(rewrite, op).builtinOptions
        if _kernel_frames(rewrite, op) > 1:
            options.dilationHFactor *= dilation
    elif kind in _ELEMENTWISE:
        rewrite.mapping[result] = _retimed(rewrite, result)
        _copy(rewrite, op)
    else:
        _refuse(rewrite, result, f"no rule for the op {kind}")


def _pool_columns(rewrite: Rewrite, op: fb.Op, x: int, form: Form) -> None:
    """Pool like the window model; with stride 1 if a hop has only one column."""
    result, options = int(op.outputs[0]), op.builtinOptions
    if options.filterHeight != options.strideH:
        reason = f"pools {options.filterHeight} frames every {options.strideH}: they overlap"
        _refuse(rewrite, result, reason)
    count, dilation = options.strideH, rewrite.dilation[result]
    columns = fb.shape(rewrite.target.tensor(x))[TIME]
    in_hop = columns * rewrite.hop_frames // rewrite.frames
    skips = in_hop > 1 or count == 1
    if skips and in_hop % count:
        reason = f"pools {count} frames, but a hop of {rewrite.hop_frames} frames gives it {in_hop}"
        _refuse(rewrite, result, reason)
    height = count
    if not skips:
        if not _never_negative(rewrite, int(op.inputs[0])):
            _refuse(rewrite, result, "no ReLU before a pool of stride 1: 0 is not neutral")
        name = _unused(_layer(rewrite, result), rewrite.states)
        x, height = form.hold(rewrite, x, dilation, count, name)
        rewrite.dilation[result] = dilation * count
    rewrite.mapping[result] = _retimed(rewrite, result)
    pool = rewrite.target.copy_op(op, [x], [rewrite.mapping[result]]).builtinOptions
    pool.filterHeight = pool.strideH = height


def _takes_windows(rewrite: Rewrite, op: fb.Op, timed: list[int]) -> bool:
    """Whether an op takes all columns of the window, not each column on its own."""
    kind, options = rewrite.kind(op), op.builtinOptions
    computed = [int(i) for i in op.inputs if i >= 0 and rewrite.constant(int(i)) is None]
    if len(timed) < len(computed):  # the others were computed from a window
        return True
    columns = fb.shape(rewrite.source.tensor(timed[0]))[TIME]
    if kind == "MEAN":
        axes = {int(axis) % 4 for axis in np.atleast_1d(rewrite.constant_input(op, 1))}
        return axes == {TIME}
    if kind == "CONCATENATION":
        return columns == 1
    if columns == 1 or fb.shape(rewrite.source.tensor(int(op.outputs[0])))[TIME] > 1:
        return False
    if kind == "MAX_POOL_2D":
        return not fb.is_same_padding(options) and options.filterHeight == columns
    if kind == "DEPTHWISE_CONV_2D":
        causal = rewrite.made_by(timed[0]) == "PAD"
        return not causal and _kernel_frames(rewrite, op) == columns
    return False


def _gather(rewrite: Rewrite, index: int, form: Form) -> None:
    """Gather the columns of each step's window, once for all ops that take them."""
    if index not in rewrite.windows:
        count = fb.shape(rewrite.source.tensor(index))[TIME]
        x, dilation = rewrite.mapping[index], rewrite.dilation[index]
        name = _unused(_layer(rewrite, index), rewrite.states)
        rewrite.windows[index] = form.gather(rewrite, x, count, dilation, name)


def _copy_on_windows(rewrite: Rewrite, op: fb.Op) -> None:
    """Copy an op on what was computed from windows, with one row per step."""
    kind, result = rewrite.kind(op), int(op.outputs[0])
    if kind not in _OF_WINDOWS:
        _refuse(rewrite, result, f"no rule for the op {kind} after the global max-pooling")
    inputs = {i: rewrite.windows.get(i, rewrite.mapping.get(i, -1)) for i in map(int, op.inputs)}
    computed = next(i for i in inputs if i >= 0 and rewrite.constant(i) is None)
    rows = fb.shape(rewrite.target.tensor(inputs[computed]))[0]
    tensor = rewrite.source.tensor(result)
    name, size = fb.text(tensor.name), (rows, *fb.shape(tensor)[1:])
    if kind == "RESHAPE":
        rewrite.mapping[result] = rewrite.target.reshape(name, inputs[computed], size)
        return
    if kind in _ROUND_BY_PLACE and rows > 1 and size[-1] % _SIMD:
        rewrite.mapping[result] = _copy_by_rows(rewrite, op, name, inputs[computed])
        return
    rewrite.mapping[result] = rewrite.target.like(tensor, name, size)
    _copy(rewrite, op)


def _copy_by_rows(rewrite: Rewrite, op: fb.Op, name: str, x: int) -> int:
    """Copy an op for each row on its own, as a stream has them; return the rows."""
    graph, tensor = rewrite.target, rewrite.source.tensor(int(op.outputs[0]))
    rows, *rest = fb.shape(graph.tensor(x))
    results = []
    for i in range(rows):
        results.append(graph.like(tensor, f"{name}_{i}", (1, *rest)))
        graph.copy_op(op, [graph.cut(f"{name}_{i}_input", x, 0, i, 1)], [results[-1]])
    return graph.concatenate(name, results, 0)


def _copy(rewrite: Rewrite, op: fb.Op) -> fb.Op:
    """Copy an op, and its constants that are not in the target yet."""
    of_windows = int(op.outputs[0]) not in rewrite.dilation
    for index in map(int, op.inputs):
        if index >= 0 and index not in rewrite.mapping:
            rewrite.mapping[index] = rewrite.target.add(rewrite.source.tensor(index))
    mapped = [rewrite.mapping.get(int(index), -1) for index in op.inputs]
    if of_windows:
        mapped = [
            rewrite.windows.get(int(index), x) for index, x in zip(op.inputs, mapped, strict=True)
        ]
    return rewrite.target.copy_op(op, mapped, [rewrite.mapping[int(op.outputs[0])]])


def _kernel_frames(rewrite: Rewrite, op: fb.Op) -> int:
    return fb.shape(rewrite.source.tensor(int(op.inputs[1])))[1]


def _retimed(rewrite: Rewrite, index: int) -> int:
    """Add a source tensor to the target, with the target's number of frames."""
    tensor = rewrite.source.tensor(index)
    return rewrite.target.like(tensor, fb.text(tensor.name), _retimed_shape(rewrite, index))


def _retimed_shape(rewrite: Rewrite, index: int) -> tuple[int, ...]:
    batch, length, *rest = fb.shape(rewrite.source.tensor(index))
    columns = length * rewrite.frames * rewrite.dilation[index]
    retimed, remainder = divmod(columns, rewrite.window_frames)
    if remainder:
        _refuse(
            rewrite,
            index,
            f"{rewrite.frames} of {rewrite.window_frames} frames are not a whole number of its "
            f"{length} columns",
        )
    return batch, retimed, *rest


def _layer(rewrite: Rewrite, index: int) -> str:
    """Layer of a tensor: "conv1_time" for the name "model/conv1_time_pad_1/Pad"."""
    scopes = fb.text(rewrite.source.tensor(index).name).split(";")[0].split("/")
    layer = re.sub(r"_\d+$", "", scopes[-2] if len(scopes) > 1 else scopes[0])
    return layer.removesuffix("_pad")


def _unused(name: str, states: dict[str, tuple[int, int]]) -> str:
    """The name, with a number appended if a state has it already."""
    candidates = [name, *(f"{name}_{i}" for i in range(2, len(states) + 3))]
    return next(n for n in candidates if f"{STATE}{n}" not in states)


def pad_frames(rewrite: Rewrite, x: int, amounts: list[tuple[int, int]], name: str) -> int:
    return rewrite.target.pad(f"{name}_pad", x, amounts)


# Layers that cannot stream -----------------------------------------------------------------------


def _refuse(rewrite: Rewrite, index: int, reason: str) -> None:
    raise A2vError(f"cannot stream: layer {_layer(rewrite, index)!r}: {reason}")


def _check_scales(rewrite: Rewrite, op: fb.Op) -> None:
    source, result = rewrite.source, int(op.outputs[0])
    before, after = (fb.scales(source.tensor(int(i))) for i in (op.inputs[0], result))
    if rewrite.kind(op) in _SAME_SCALES and before != after:
        _refuse(rewrite, result, f"{rewrite.kind(op)} changes the scale from {before} to {after}")


def _check_padding(rewrite: Rewrite, op: fb.Op, amounts: list[tuple[int, int]]) -> None:
    if amounts[TIME][1]:
        after = amounts[TIME][1]
        _refuse(rewrite, op.outputs[0], f"pads {after} frames after the last: not causal")


def _check_reshape(rewrite: Rewrite, op: fb.Op) -> None:
    before, after = (fb.shape(rewrite.source.tensor(int(i))) for i in (op.inputs[0], op.outputs[0]))
    if before[: TIME + 1] != after[: TIME + 1]:
        _refuse(rewrite, op.outputs[0], f"reshapes time away: {before} to {after}")


def _check_global_pool(rewrite: Rewrite, op: fb.Op) -> None:
    axes = sorted(int(axis) % 4 for axis in np.atleast_1d(rewrite.constant_input(op, 1)))
    if axes != [1, 2]:
        _refuse(rewrite, op.outputs[0], f"maximum over the axes {axes}: expected [1, 2]")
    if not _never_negative(rewrite, int(op.inputs[0])):
        _refuse(rewrite, op.outputs[0], "no ReLU before the global max-pooling: 0 is not neutral")


def _never_negative(rewrite: Rewrite, index: int) -> bool:
    """Whether a tensor is the result of a ReLU, optionally followed by max-pooling."""
    for op in rewrite.source.subgraph.operators:
        if int(op.outputs[0]) == index:
            if rewrite.kind(op) == "MAX_POOL_2D":
                return _never_negative(rewrite, int(op.inputs[0]))
            is_relu = rewrite.kind(op) in ("RELU", "RELU6")
            return is_relu or fb.ends_in_relu(op.builtinOptions)
    return False


def _check_causal(rewrite: Rewrite, op: fb.Op, x: int) -> None:
    """Refuse a convolution that would give other results at the boundary of two hops."""
    options, result = op.builtinOptions, int(op.outputs[0])
    kernel = _kernel_frames(rewrite, op)
    if kernel > 1 and fb.is_same_padding(options):
        _refuse(rewrite, result, f"kernel of {kernel} frames with SAME padding: not causal")
    columns = fb.shape(rewrite.target.tensor(x))[TIME]
    back = (kernel - 1) * options.dilationHFactor * rewrite.dilation[result]
    if (columns - back - 1) // options.strideH + 1 != _retimed_shape(rewrite, result)[TIME]:
        _refuse(rewrite, result, f"kernel of {kernel} frames without its causal padding")
