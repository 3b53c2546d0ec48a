"""Rewrite a window model into its other forms: streaming and offline, with the same weights.

The window model is what the converter made: `embed(log_mel [1, N, F]) -> embedding [1, d]`. Every
form here is the same list of ops on the same constants and scales with another number of frames, so
integers that meet the same integers give the same result. Two places need more than that:

  zero padding before the first frame   streaming: the last frames of the previous step (a state)
  the maximum over the whole window     streaming: the maxima of the previous steps (a state)

A state of real zeros (the zero point, if quantised) is the padding, and changes no maximum of
numbers that come out of a ReLU; so a stream starts, and restarts after `reset`, as a window does.
"""

import dataclasses
import re
from collections.abc import Callable

import numpy as np

from a2v_tf.errors import A2vError
from a2v_tf.export import flatbuffer as fb

STEP_FRAMES = 32  # 320 ms: what the five pools of the small encoder make of one column
STATE = "state_"  # how the name of every state tensor starts
_TIME = 1  # the axis of time in [batch, frames, bins] and [batch, frames, bins, channels]
_ELEMENTWISE = {"ADD", "SUB", "MUL", "RELU", "RELU6", "QUANTIZE", "DEQUANTIZE"}
_CONVOLUTIONS = {"CONV_2D", "DEPTHWISE_CONV_2D"}
_SAME_SCALES = {"PAD", "MAX_POOL_2D", "RESHAPE", "REDUCE_MAX"}  # so that a state fits in and out
_AFTER_POOL = _ELEMENTWISE | {"FULLY_CONNECTED"}


@dataclasses.dataclass
class _Rewrite:
    """A window graph, the graph being made of it, and how far that is."""

    source: fb.Graph
    target: fb.Graph
    window_frames: int
    frames: int
    mapping: dict[int, int]  # tensor of the source -> tensor of the target
    timed: set[int]  # tensors of the source with a time axis
    states: dict[str, tuple[int, int]]  # name -> (input, output) of the target

    def kind(self, op: fb.Op) -> str:
        return fb.kind(self.source.model, op)

    def constant(self, index: int) -> np.ndarray | None:
        return fb.constant(self.source.model, self.source.tensor(index))

    def add_state(self, name: str, like: int, rows: int) -> int:
        """Add the input of a state: `rows` of what `like` has along time."""
        size = list(fb.shape(self.target.tensor(like)))
        size[_TIME] = rows
        return self.target.like(self.target.tensor(like), name, size)


_Pad = Callable[[_Rewrite, int, list[tuple[int, int]], str], int]
_Pool = Callable[[_Rewrite, int], int]


def to_streaming(window: fb.Model, step_frames: int) -> fb.Model:
    """Make `embed(log_mel [1, step, F], states) -> (embedding [1, d], states)`.

    Args:
      window: `embed(log_mel [1, N, F]) -> embedding [1, d]`.
      step_frames: frames that arrive at once; N must be a multiple of it.

    Raises:
      A2vError: the model cannot stream, or not in steps of this size.
    """
    window_frames = frames_of(window)
    if window_frames % step_frames:
        raise A2vError(
            f"cannot stream: the window of {window_frames} frames is no multiple of the step of "
            f"{step_frames} frames; --mode=window takes any"
        )
    return _rewrite(window, step_frames, _carry_frames, _carry_maxima)


def to_offline(window: fb.Model, frames: int, step_frames: int) -> fb.Model:
    """Make `embed(log_mel [1, frames, F]) -> embedding [frames / step, d]`, without any state.

    Row i is what the streaming form gives at its step i after a reset.

    Raises:
      A2vError: the model cannot stream, or `frames` is no multiple of `step_frames`.
    """
    if frames % step_frames:
        raise A2vError(f"{frames} frames are no multiple of the step of {step_frames} frames")

    def slide_maximum(rewrite: _Rewrite, x: int) -> int:
        steps, reach = frames // step_frames, rewrite.window_frames // step_frames
        graph = rewrite.target
        _, length, bins, channels = fb.shape(graph.tensor(x))
        rows = length // steps
        x = graph.max_pool("global_pool/steps", x, (rows, bins), (rows, bins))
        x = graph.pad("global_pool/padded", x, [(0, 0), (reach - 1, 0), (0, 0), (0, 0)])
        x = graph.max_pool("global_pool/slide", x, (reach, 1), (1, 1))
        return graph.reshape("global_pool", x, (steps, channels))

    def pad(rewrite: _Rewrite, x: int, amounts: list[tuple[int, int]], name: str) -> int:
        return rewrite.target.pad(f"{name}_pad", x, amounts)

    return _rewrite(window, frames, pad, slide_maximum)


def with_pcm_input(model: fb.Model, front_end: fb.Model, carried_samples: int) -> fb.Model:
    """Put the front end before a model: its input is then `pcm` instead of `log_mel`.

    Args:
      model: any form, with the signature `embed`.
      front_end: one graph from PCM `[1, samples]` to the log-mel frames that the model takes.
      carried_samples: how many of `samples` come from the step before and are a state, 0 if none.
    """
    graph = fb.Graph.new(fb.empty_model(), "embed")
    front = fb.single_graph(front_end).subgraph
    samples = fb.shape(front.tensors[front.inputs[0]])[1]
    pcm = heard = graph.computed("pcm", [1, samples - carried_samples])
    inputs, outputs = {"pcm": pcm}, {}
    if carried_samples:
        name = f"{STATE}pcm"
        inputs[name] = graph.computed(name, [1, carried_samples])
        heard = graph.concatenate("heard", [inputs[name], pcm], axis=1)
        outputs[name] = graph.last(f"{name}_out", heard, axis=1, count=carried_samples)
    at_front = fb.insert(graph, front_end, {front.inputs[0]: heard})
    signature = fb.signature(model, "embed")
    model_inputs = fb.names(signature.inputs)
    log_mel = {model_inputs.pop("log_mel"): at_front[front.outputs[0]]}
    at_core = fb.insert(graph, model, log_mel)
    inputs |= {name: at_core[index] for name, index in model_inputs.items()}
    outputs |= {name: at_core[index] for name, index in fb.names(signature.outputs).items()}
    fb.set_signature(graph, "embed", inputs, outputs)
    return graph.model


def with_internal_state(model: fb.Model) -> fb.Model:
    """Keep the states of a streaming model inside it, and add the signature `reset`.

    The states become resource variables of the states' own type and scales. A variable has no
    value before its first assignment, so the first `embed` runs an initialiser once (CALL_ONCE).
    `reset` assigns the same zeros whenever it is called. TFLite wants an input and an output in
    every signature: `reset(trigger f32 [1]) -> done f32 [1]` gives back what it got.
    """
    target = fb.empty_model()
    embed, reset, initialise = (fb.Graph.new(target, n) for n in ("embed", "reset", "initialise"))
    signature = fb.signature(model, "embed")
    inputs, outputs = fb.names(signature.inputs), fb.names(signature.outputs)
    states = {name: index for name, index in inputs.items() if name.startswith(STATE)}

    once = fb.make("CallOnceOptionsT", initSubgraphIndex=initialise.index)
    embed.op("CALL_ONCE", [], [], once)
    source = fb.single_graph(model)
    handles, values = {}, {}
    for name, index in states.items():
        tensor = source.tensor(index)
        handles[name] = embed.handle(name)
        values[index] = embed.like(tensor, f"{name}_value", fb.shape(tensor))
        embed.op("READ_VARIABLE", [handles[name]], [values[index]], fb.make("ReadVariableOptionsT"))
    mapping = fb.insert(embed, model, values)
    for name, handle in handles.items():
        _assign(embed, handle, mapping[outputs[name]])
    for graph in (reset, initialise):
        for name, index in states.items():
            zeros = graph.zeros(f"{name}_zeros", source.tensor(index))
            _assign(graph, graph.handle(name), zeros)

    trigger = reset.computed("trigger", [1])
    done = reset.reshape("done", trigger, [1])
    fb.set_signature(
        embed,
        "embed",
        {name: mapping[index] for name, index in inputs.items() if name not in states},
        {name: mapping[index] for name, index in outputs.items() if name not in states},
    )
    fb.set_signature(reset, "reset", {"trigger": trigger}, {"done": done})
    return target


def _assign(graph: fb.Graph, handle: int, value: int) -> None:
    graph.op("ASSIGN_VARIABLE", [handle, value], [], fb.make("AssignVariableOptionsT"))


# What a state replaces ---------------------------------------------------------------------------


def _carry_frames(rewrite: _Rewrite, x: int, amounts: list[tuple[int, int]], name: str) -> int:
    """Put the last frames of the step before in front, instead of zeros."""
    graph, frames = rewrite.target, amounts[_TIME][0]
    state = rewrite.add_state(f"{STATE}{name}", x, frames)
    joined = graph.concatenate(f"{name}_joined", [state, x], _TIME)
    rewrite.states[f"{STATE}{name}"] = state, graph.last(f"{name}_kept", joined, _TIME, frames)
    across = [both if axis != _TIME else (0, 0) for axis, both in enumerate(amounts)]
    return graph.pad(f"{name}_pad", joined, across) if np.any(across) else joined


def _carry_maxima(rewrite: _Rewrite, x: int) -> int:
    """Take the maximum over this step, then over it and those of the steps before."""
    graph, name = rewrite.target, f"{STATE}global_pool"
    batch, _, _, channels = fb.shape(graph.tensor(x))
    before = rewrite.window_frames // rewrite.frames - 1
    maximum = graph.reduce_max("global_pool/step", x, [1, 2], (batch, channels))
    if not before:
        return maximum
    column = graph.reshape("global_pool/column", maximum, (batch, 1, channels))
    state = rewrite.add_state(name, column, before)
    joined = graph.concatenate("global_pool/joined", [state, column], _TIME)
    rewrite.states[name] = state, graph.last("global_pool/kept", joined, _TIME, before)
    return graph.reduce_max("global_pool", joined, [_TIME], (batch, channels))


# The walk over the ops ---------------------------------------------------------------------------


def frames_of(model: fb.Model) -> int:
    """Frames that `embed(log_mel)` takes at once."""
    log_mel = fb.names(fb.signature(model, "embed").inputs)["log_mel"]
    return fb.shape(fb.single_graph(model).tensor(log_mel))[_TIME]


def _rewrite(window: fb.Model, frames: int, pad: _Pad, pool: _Pool) -> fb.Model:
    signature = fb.signature(window, "embed")
    log_mel = fb.names(signature.inputs)["log_mel"]
    embedding = fb.names(signature.outputs)["embedding"]
    source, target = fb.single_graph(window), fb.Graph.new(fb.empty_model(), "embed")
    target.model.operatorCodes = list(window.operatorCodes)
    target.model.buffers = list(window.buffers)
    rewrite = _Rewrite(source, target, frames_of(window), frames, {}, {log_mel}, {})
    rewrite.mapping[log_mel] = _retimed(rewrite, log_mel)
    for op in source.subgraph.operators:
        _rewrite_op(rewrite, op, pad, pool)
    if embedding in rewrite.timed:
        raise A2vError("cannot stream: no global max-pooling over time and frequency")
    states = rewrite.states.items()
    fb.set_signature(
        target,
        "embed",
        {"log_mel": rewrite.mapping[log_mel], **{name: state[0] for name, state in states}},
        {"embedding": rewrite.mapping[embedding], **{name: state[1] for name, state in states}},
    )
    return target.model


def _rewrite_op(rewrite: _Rewrite, op: fb.Op, pad: _Pad, pool: _Pool) -> None:
    """Append the op to the target, in the form that the target's number of frames asks for."""
    kind, result = rewrite.kind(op), int(op.outputs[0])
    timed = [int(i) for i in op.inputs if int(i) in rewrite.timed]
    _check_scales(rewrite, op)
    if not timed:
        _copy_after_pool(rewrite, op)
    elif kind == "REDUCE_MAX":
        _check_global_pool(rewrite, op)
        x = pool(rewrite, rewrite.mapping[timed[0]])
        if fb.shape(rewrite.source.tensor(result))[1:3] == (1, 1):  # the converter kept the axes
            rows, channels = fb.shape(rewrite.target.tensor(x))
            x = rewrite.target.reshape("global_pool/kept_axes", x, (rows, 1, 1, channels))
        rewrite.mapping[result] = x
    elif kind == "PAD":
        amounts = [(int(a), int(b)) for a, b in rewrite.constant(op.inputs[1])]
        _check_padding(rewrite, op, amounts)
        x, name = rewrite.mapping[timed[0]], _unused(_layer(rewrite, result), rewrite.states)
        causal = amounts[_TIME][0] > 0
        rewrite.mapping[result] = (
            pad(rewrite, x, amounts, name) if causal else rewrite.target.pad(name, x, amounts)
        )
        rewrite.timed.add(result)
    elif kind == "RESHAPE":
        _check_reshape(rewrite, op)
        size = _retimed_shape(rewrite, result)
        rewrite.mapping[result] = rewrite.target.reshape(
            _layer(rewrite, result), rewrite.mapping[timed[0]], size
        )
        rewrite.timed.add(result)
    elif kind in _ELEMENTWISE | _CONVOLUTIONS | {"MAX_POOL_2D"}:
        _check_alignment(rewrite, op)
        rewrite.mapping[result] = _retimed(rewrite, result)
        _copy(rewrite, op)
        rewrite.timed.add(result)
    else:
        _refuse(rewrite, result, f"no rule for the op {kind}")


def _copy_after_pool(rewrite: _Rewrite, op: fb.Op) -> None:
    """Copy an op on embeddings: as many rows as there are steps."""
    kind, result = rewrite.kind(op), int(op.outputs[0])
    if kind not in _AFTER_POOL:
        _refuse(rewrite, result, f"no rule for the op {kind} after the global max-pooling")
    embeddings = next(int(i) for i in op.inputs if i >= 0 and rewrite.constant(i) is None)
    rows = fb.shape(rewrite.target.tensor(rewrite.mapping[embeddings]))[0]
    tensor = rewrite.source.tensor(result)
    size = (rows, *fb.shape(tensor)[1:])
    rewrite.mapping[result] = rewrite.target.like(tensor, fb.text(tensor.name), size)
    _copy(rewrite, op)


def _copy(rewrite: _Rewrite, op: fb.Op) -> None:
    """Copy an op and the constants that it is the first to use."""
    for index in map(int, op.inputs):
        if index >= 0 and index not in rewrite.mapping:
            rewrite.mapping[index] = rewrite.target.add(rewrite.source.tensor(index))
    mapped = [rewrite.mapping.get(int(index), -1) for index in op.inputs]
    rewrite.target.copy_op(op, mapped, [rewrite.mapping[int(op.outputs[0])]])


def _retimed(rewrite: _Rewrite, index: int) -> int:
    """Add to the target a tensor of the source, with the target's number of frames."""
    tensor = rewrite.source.tensor(index)
    return rewrite.target.like(tensor, fb.text(tensor.name), _retimed_shape(rewrite, index))


def _retimed_shape(rewrite: _Rewrite, index: int) -> tuple[int, ...]:
    batch, length, *rest = fb.shape(rewrite.source.tensor(index))
    retimed, remainder = divmod(length * rewrite.frames, rewrite.window_frames)
    if remainder:
        _refuse(
            rewrite,
            index,
            f"{rewrite.frames} of {rewrite.window_frames} frames are no whole number of its "
            f"{length} columns",
        )
    return batch, retimed, *rest


def _layer(rewrite: _Rewrite, index: int) -> str:
    """Name of the layer that made a tensor, from "model/conv1_time_pad_1/Pad": "conv1_time"."""
    scopes = fb.text(rewrite.source.tensor(index).name).split(";")[0].split("/")
    layer = re.sub(r"_\d+$", "", scopes[-2] if len(scopes) > 1 else scopes[0])
    return layer.removesuffix("_pad")


def _unused(name: str, states: dict[str, tuple[int, int]]) -> str:
    """The name, with a number if there is a state of that name already."""
    candidates = [name, *(f"{name}_{i}" for i in range(2, len(states) + 3))]
    return next(n for n in candidates if f"{STATE}{n}" not in states)


# What cannot stream ------------------------------------------------------------------------------


def _refuse(rewrite: _Rewrite, index: int, reason: str) -> None:
    raise A2vError(f"cannot stream: layer {_layer(rewrite, index)!r}: {reason}")


def _check_scales(rewrite: _Rewrite, op: fb.Op) -> None:
    source, result = rewrite.source, int(op.outputs[0])
    before, after = (fb.scales(source.tensor(int(i))) for i in (op.inputs[0], result))
    if rewrite.kind(op) in _SAME_SCALES and before != after:
        _refuse(rewrite, result, f"{rewrite.kind(op)} changes the scale from {before} to {after}")


def _check_padding(rewrite: _Rewrite, op: fb.Op, amounts: list[tuple[int, int]]) -> None:
    if amounts[_TIME][1]:
        after = amounts[_TIME][1]
        _refuse(rewrite, op.outputs[0], f"pads {after} frames after the last: not causal")


def _check_reshape(rewrite: _Rewrite, op: fb.Op) -> None:
    before, after = (fb.shape(rewrite.source.tensor(int(i))) for i in (op.inputs[0], op.outputs[0]))
    if before[: _TIME + 1] != after[: _TIME + 1]:
        _refuse(rewrite, op.outputs[0], f"reshapes time away: {before} to {after}")


def _check_global_pool(rewrite: _Rewrite, op: fb.Op) -> None:
    axes = sorted(int(axis) % 4 for axis in np.atleast_1d(rewrite.constant(op.inputs[1])))
    if axes != [1, 2]:
        _refuse(rewrite, op.outputs[0], f"maximum over the axes {axes}: expected [1, 2]")
    if not _never_negative(rewrite, int(op.inputs[0])):
        _refuse(rewrite, op.outputs[0], "no ReLU before the global max-pooling: 0 is not neutral")


def _never_negative(rewrite: _Rewrite, index: int) -> bool:
    """Whether a ReLU, perhaps followed by max-pooling, made this tensor."""
    for op in rewrite.source.subgraph.operators:
        if int(op.outputs[0]) == index:
            if rewrite.kind(op) == "MAX_POOL_2D":
                return _never_negative(rewrite, int(op.inputs[0]))
            is_relu = rewrite.kind(op) in ("RELU", "RELU6")
            return is_relu or fb.ends_in_relu(op.builtinOptions)
    return False


def _check_alignment(rewrite: _Rewrite, op: fb.Op) -> None:
    """Refuse what would compute something else at the seams of two steps.

    `_retimed_shape` has already refused lengths that do not divide, and with them a convolution
    without its causal padding.
    """
    kind, options, result = rewrite.kind(op), op.builtinOptions, int(op.outputs[0])
    if kind in _CONVOLUTIONS:
        kernel = fb.shape(rewrite.source.tensor(int(op.inputs[1])))[1]
        if kernel > 1 and fb.is_same_padding(options):
            _refuse(rewrite, result, f"kernel of {kernel} frames with SAME padding: not causal")
        length = fb.shape(rewrite.target.tensor(rewrite.mapping[int(op.inputs[0])]))[_TIME]
        made = (length - (kernel - 1) * options.dilationHFactor - 1) // options.strideH + 1
        if made != _retimed_shape(rewrite, result)[_TIME]:
            _refuse(rewrite, result, f"kernel of {kernel} frames without its causal padding")
    elif kind == "MAX_POOL_2D":
        length = fb.shape(rewrite.target.tensor(rewrite.mapping[int(op.inputs[0])]))[_TIME]
        if options.filterHeight != options.strideH:
            _refuse(
                rewrite,
                result,
                f"pools {options.filterHeight} frames every {options.strideH}: they overlap",
            )
        if length % options.strideH:
            _refuse(
                rewrite,
                result,
                f"pools {options.strideH} frames, but a step of {rewrite.frames} frames gives it "
                f"{length}",
            )
