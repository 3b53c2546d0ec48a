"""Rewrite a window model into its other forms: streaming and offline, with the same weights.

The window model is what the converter made: `embed(log_mel [1, N, F]) -> embedding [1, d]`. Every
form here is the same list of ops on the same constants and scales with another number of frames, so
integers that meet the same integers give the same result. Two places need more than that:

  zero padding before the first frame   streaming: the last frames of the previous step (a state)
  the maximum over the whole window     streaming: the maxima of the previous steps (a state)

A state of real zeros (the zero point, if quantised) is the padding, and changes no maximum of
numbers that come out of a ReLU; so a stream starts, and restarts after `reset`, as a window does.

A hop that is shorter than what the pools make one column of needs no more columns computed twice:
where a pool would wait for a second column, it takes the maximum of this one and an earlier one
instead, and all that follows looks back twice as far (is dilated). After each hop the columns are
then those of a stream that began some frames earlier or later.
"""

import dataclasses
import re
from collections.abc import Callable

import numpy as np

from a2v_tf.errors import A2vError
from a2v_tf.export import flatbuffer as fb

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
    hop_frames: int
    mapping: dict[int, int]  # tensor of the source -> tensor of the target
    # Tensor of the source with a time axis -> how many columns of the target it is from one of its
    # columns to the next: 1, or more where a pool did not skip.
    dilation: dict[int, int]
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


@dataclasses.dataclass(frozen=True)
class _Form:
    """What a form does where a window looks beyond the columns that it is given.

    Attributes:
      pad: frames in front of a convolution: `(rewrite, x, amounts, name) -> x`.
      hold: what to pool of each column and earlier ones, `count` that are `back` columns apart:
        `(rewrite, x, back, count, name) -> (x, columns to pool in time)`.
      pool: the maximum over frequency and a whole window: `(rewrite, x, dilation) -> [steps, d]`.
    """

    pad: Callable[[_Rewrite, int, list[tuple[int, int]], str], int]
    hold: Callable[[_Rewrite, int, int, int, str], tuple[int, int]]
    pool: Callable[[_Rewrite, int, int], int]


def to_streaming(window: fb.Model, hop_frames: int) -> fb.Model:
    """Make `embed(log_mel [1, hop, F], states) -> (embedding [1, d], states)`.

    Args:
      window: `embed(log_mel [1, N, F]) -> embedding [1, d]`.
      hop_frames: frames that arrive at once; N must be a multiple of it. Fewer than the encoder's
        pools make one column of: their product halved some times.

    Raises:
      A2vError: the model cannot stream, or not in hops of this size.
    """
    window_frames = frames_of(window)
    if window_frames % hop_frames:
        raise A2vError(
            f"cannot stream: the window of {window_frames} frames is no multiple of the hop of "
            f"{hop_frames} frames; --mode=window takes any"
        )
    return _rewrite(window, hop_frames, hop_frames, _STREAMING)


def to_offline(window: fb.Model, frames: int, hop_frames: int) -> fb.Model:
    """Make `embed(log_mel [1, frames, F]) -> embedding [frames / hop, d]`, without any state.

    Row i is what the streaming form gives at its hop i after a reset.

    Raises:
      A2vError: the model cannot stream, or `frames` is no multiple of `hop_frames`.
    """
    if frames % hop_frames:
        raise A2vError(f"{frames} frames are no multiple of the hop of {hop_frames} frames")
    return _rewrite(window, frames, hop_frames, _OFFLINE)


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


# What a state replaces: offline ------------------------------------------------------------------


def _pad_frames(rewrite: _Rewrite, x: int, amounts: list[tuple[int, int]], name: str) -> int:
    return rewrite.target.pad(f"{name}_pad", x, amounts)


def _hold_offline(rewrite: _Rewrite, x: int, back: int, count: int, name: str) -> tuple[int, int]:
    """Pad with zeros in front, shift, and take the maximum."""
    graph, reach = rewrite.target, back * (count - 1)
    columns = fb.shape(graph.tensor(x))[_TIME]
    padded = graph.pad(f"{name}_before", x, [(0, 0), (reach, 0), (0, 0), (0, 0)])
    for i in range(1, count):
        earlier = graph.cut(f"{name}_{i}_before", padded, _TIME, reach - i * back, columns)
        x = graph.maximum(f"{name}_{i}", x, earlier)
    return x, 1


def _slide_maximum(rewrite: _Rewrite, x: int, dilation: int) -> int:
    graph, steps = rewrite.target, rewrite.frames // rewrite.hop_frames
    _, columns, bins, channels = fb.shape(graph.tensor(x))
    rows = columns // steps
    x = graph.max_pool("global_pool/steps", x, (rows, bins), (rows, bins))
    windows = rewrite.window_frames // rewrite.hop_frames // dilation
    x, _ = _hold_offline(rewrite, x, dilation, windows, "global_pool/slide")
    return graph.reshape("global_pool", x, (steps, channels))


_OFFLINE = _Form(_pad_frames, _hold_offline, _slide_maximum)


# What a state replaces: streaming ----------------------------------------------------------------


def _carry_frames(rewrite: _Rewrite, x: int, amounts: list[tuple[int, int]], name: str) -> int:
    """Put the last frames of the step before in front, instead of zeros."""
    graph, frames = rewrite.target, amounts[_TIME][0]
    state = rewrite.add_state(f"{STATE}{name}", x, frames)
    joined = graph.concatenate(f"{name}_joined", [state, x], _TIME)
    rewrite.states[f"{STATE}{name}"] = state, graph.last(f"{name}_kept", joined, _TIME, frames)
    across = [both if axis != _TIME else (0, 0) for axis, both in enumerate(amounts)]
    return graph.pad(f"{name}_pad", joined, across) if np.any(across) else joined


def _hold_columns(rewrite: _Rewrite, x: int, back: int, count: int, name: str) -> tuple[int, int]:
    """Keep the columns since the earliest that counts, to pool it with this one."""
    graph, reach = rewrite.target, back * (count - 1)
    state = rewrite.add_state(f"{STATE}{name}", x, reach)
    joined = graph.concatenate(f"{name}_joined", [state, x], _TIME)
    rewrite.states[f"{STATE}{name}"] = state, graph.last(f"{name}_kept", joined, _TIME, reach)
    if back > 1:
        earlier = [
            graph.cut(f"{name}_{i}_before", state, _TIME, reach - i * back, 1)
            for i in reversed(range(1, count))
        ]
        joined = graph.concatenate(f"{name}_held", [*earlier, x], _TIME)
    return joined, count


def _carry_maxima(rewrite: _Rewrite, x: int, dilation: int) -> int:
    """Take the maximum over this hop, then over it and those of the hops before."""
    graph, name = rewrite.target, f"{STATE}global_pool"
    batch, _, _, channels = fb.shape(graph.tensor(x))
    reach = rewrite.window_frames // rewrite.frames
    maximum = graph.reduce_max("global_pool/step", x, [1, 2], (batch, channels))
    if reach == 1:
        return maximum
    column = graph.reshape("global_pool/column", maximum, (batch, 1, channels))
    state = rewrite.add_state(name, column, reach - 1)
    joined = graph.concatenate("global_pool/joined", [state, column], _TIME)
    rewrite.states[name] = state, graph.last("global_pool/kept", joined, _TIME, reach - 1)
    if dilation > 1:  # the last of every `dilation` rows
        groups = graph.reshape("global_pool/groups", joined, (-1, dilation, channels))
        held = graph.last("global_pool/held", groups, 1, 1)
        return graph.reduce_max("global_pool", held, [0], (batch, channels))
    return graph.reduce_max("global_pool", joined, [_TIME], (batch, channels))


_STREAMING = _Form(_carry_frames, _hold_columns, _carry_maxima)


# The walk over the ops ---------------------------------------------------------------------------


def frames_of(model: fb.Model) -> int:
    """Frames that `embed(log_mel)` takes at once."""
    log_mel = fb.names(fb.signature(model, "embed").inputs)["log_mel"]
    return fb.shape(fb.single_graph(model).tensor(log_mel))[_TIME]


def _rewrite(window: fb.Model, frames: int, hop_frames: int, form: _Form) -> fb.Model:
    signature = fb.signature(window, "embed")
    log_mel = fb.names(signature.inputs)["log_mel"]
    embedding = fb.names(signature.outputs)["embedding"]
    source, target = fb.single_graph(window), fb.Graph.new(fb.empty_model(), "embed")
    target.model.operatorCodes = list(window.operatorCodes)
    target.model.buffers = list(window.buffers)
    rewrite = _Rewrite(source, target, frames_of(window), frames, hop_frames, {}, {log_mel: 1}, {})
    rewrite.mapping[log_mel] = _retimed(rewrite, log_mel)
    for op in source.subgraph.operators:
        _rewrite_op(rewrite, op, form)
    if embedding in rewrite.dilation:
        raise A2vError("cannot stream: no global max-pooling over time and frequency")
    states = rewrite.states.items()
    fb.set_signature(
        target,
        "embed",
        {"log_mel": rewrite.mapping[log_mel], **{name: state[0] for name, state in states}},
        {"embedding": rewrite.mapping[embedding], **{name: state[1] for name, state in states}},
    )
    return target.model


def _rewrite_op(rewrite: _Rewrite, op: fb.Op, form: _Form) -> None:
    """Append the op to the target, in the form that the target's number of frames asks for."""
    kind, result = rewrite.kind(op), int(op.outputs[0])
    timed = [int(i) for i in op.inputs if int(i) in rewrite.dilation]
    _check_scales(rewrite, op)
    if not timed:
        _copy_after_pool(rewrite, op)
        return
    x, dilation = rewrite.mapping[timed[0]], rewrite.dilation[timed[0]]
    if any(rewrite.dilation[i] != dilation for i in timed):
        _refuse(rewrite, result, "joins columns from before and after a pool")
    if kind == "REDUCE_MAX":
        _check_global_pool(rewrite, op)
        x = form.pool(rewrite, x, dilation)
        if fb.shape(rewrite.source.tensor(result))[1:3] == (1, 1):  # the converter kept the axes
            rows, channels = fb.shape(rewrite.target.tensor(x))
            x = rewrite.target.reshape("global_pool/kept_axes", x, (rows, 1, 1, channels))
        rewrite.mapping[result] = x
        return
    rewrite.dilation[result] = dilation
    if kind == "PAD":
        amounts = [(int(a), int(b)) for a, b in rewrite.constant(op.inputs[1])]
        _check_padding(rewrite, op, amounts)
        name = _unused(_layer(rewrite, result), rewrite.states)
        causal = amounts[_TIME][0] > 0
        amounts[_TIME] = (amounts[_TIME][0] * dilation, 0)
        pad = form.pad if causal else _pad_frames
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


def _pool_columns(rewrite: _Rewrite, op: fb.Op, x: int, form: _Form) -> None:
    """Pool as the window does; or, where a hop has one column left, without skipping any."""
    result, options = int(op.outputs[0]), op.builtinOptions
    if options.filterHeight != options.strideH:
        reason = f"pools {options.filterHeight} frames every {options.strideH}: they overlap"
        _refuse(rewrite, result, reason)
    count, dilation = options.strideH, rewrite.dilation[result]
    columns = fb.shape(rewrite.target.tensor(x))[_TIME]
    in_hop = columns * rewrite.hop_frames // rewrite.frames
    skips = in_hop > 1 or count == 1
    if skips and in_hop % count:
        reason = f"pools {count} frames, but a hop of {rewrite.hop_frames} frames gives it {in_hop}"
        _refuse(rewrite, result, reason)
    height = count
    if not skips:
        if not _never_negative(rewrite, int(op.inputs[0])):
            _refuse(rewrite, result, "no ReLU before a pool that must not skip: 0 is not neutral")
        name = _unused(_layer(rewrite, result), rewrite.states)
        x, height = form.hold(rewrite, x, dilation, count, name)
        rewrite.dilation[result] = dilation * count
    rewrite.mapping[result] = _retimed(rewrite, result)
    pool = rewrite.target.copy_op(op, [x], [rewrite.mapping[result]]).builtinOptions
    pool.filterHeight = pool.strideH = height


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


def _copy(rewrite: _Rewrite, op: fb.Op) -> fb.Op:
    """Copy an op and the constants that it is the first to use."""
    for index in map(int, op.inputs):
        if index >= 0 and index not in rewrite.mapping:
            rewrite.mapping[index] = rewrite.target.add(rewrite.source.tensor(index))
    mapped = [rewrite.mapping.get(int(index), -1) for index in op.inputs]
    return rewrite.target.copy_op(op, mapped, [rewrite.mapping[int(op.outputs[0])]])


def _kernel_frames(rewrite: _Rewrite, op: fb.Op) -> int:
    return fb.shape(rewrite.source.tensor(int(op.inputs[1])))[1]


def _retimed(rewrite: _Rewrite, index: int) -> int:
    """Add to the target a tensor of the source, with the target's number of frames."""
    tensor = rewrite.source.tensor(index)
    return rewrite.target.like(tensor, fb.text(tensor.name), _retimed_shape(rewrite, index))


def _retimed_shape(rewrite: _Rewrite, index: int) -> tuple[int, ...]:
    batch, length, *rest = fb.shape(rewrite.source.tensor(index))
    columns = length * rewrite.frames * rewrite.dilation[index]
    retimed, remainder = divmod(columns, rewrite.window_frames)
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


def _check_causal(rewrite: _Rewrite, op: fb.Op, x: int) -> None:
    """Refuse a convolution that would compute something else at the seams of two hops."""
    options, result = op.builtinOptions, int(op.outputs[0])
    kernel = _kernel_frames(rewrite, op)
    if kernel > 1 and fb.is_same_padding(options):
        _refuse(rewrite, result, f"kernel of {kernel} frames with SAME padding: not causal")
    columns = fb.shape(rewrite.target.tensor(x))[_TIME]
    back = (kernel - 1) * options.dilationHFactor * rewrite.dilation[result]
    if (columns - back - 1) // options.strideH + 1 != _retimed_shape(rewrite, result)[_TIME]:
        _refuse(rewrite, result, f"kernel of {kernel} frames without its causal padding")
