"""Derive the streaming and offline forms from a window model, with the same weights.

The converter's window model is `embed(log_mel [1, N, F]) -> embedding [1, d]`. All forms have its
ops, constants and scales, but another number of frames. Equal int8 inputs therefore give equal
results. Only two places differ:

  padding before the first frame      streaming: the last frames of the previous step (a state)
  maximum over the whole window       streaming: the maxima of the previous steps (a state)

States are initially zero (the zero point, if quantised). This equals the zero padding, and does not
change a maximum of ReLU outputs. So a stream starts, and restarts after `reset`, like a window.

If a hop is shorter than the encoder's total pooling in time, no column is computed twice either. A
pool that gets only one column per hop takes the maximum of this column and an earlier one, and the
following layers are dilated by the factor of the pool.
"""

import numpy as np

from a2v_tf.errors import A2vError
from a2v_tf.export import flatbuffer as fb
from a2v_tf.export.rewrite import (
    STATE,
    TIME,
    Form,
    Rewrite,
    frames_of,
    pad_frames,
    rewrite_window,
)


def to_streaming(window: fb.Model, hop_frames: int) -> fb.Model:
    """Derive the streaming form, `embed(log_mel [1, hop, F], states) -> (embedding, states)`.

    Args:
      window: `embed(log_mel [1, N, F]) -> embedding [1, d]`.
      hop_frames: frames between two embeddings, a divisor of N. If it is less than the encoder's
        total pooling in time, it must be that divided by a power of two.

    Raises:
      A2vError: the model cannot stream, or not with this hop.
    """
    window_frames = frames_of(window)
    if window_frames % hop_frames:
        raise A2vError(
            f"cannot stream: the window of {window_frames} frames is not a multiple of the hop of "
            f"{hop_frames} frames; --mode=window works for every number"
        )
    return rewrite_window(window, hop_frames, hop_frames, _STREAMING)


def to_offline(window: fb.Model, frames: int, hop_frames: int) -> fb.Model:
    """Derive the stateless offline form, `embed(log_mel [1, frames, F]) -> [frames / hop, d]`.

    Row i is the streaming form's embedding of hop i after a reset.

    Raises:
      A2vError: the model cannot stream, or `frames` is not a multiple of `hop_frames`.
    """
    if frames % hop_frames:
        raise A2vError(f"{frames} frames are not a multiple of the hop of {hop_frames} frames")
    return rewrite_window(window, frames, hop_frames, _OFFLINE)


def with_pcm_input(model: fb.Model, front_end: fb.Model, carried_samples: int) -> fb.Model:
    """Insert the front end before a model, whose input is then `pcm` instead of `log_mel`.

    Args:
      model: any form, with the signature `embed`.
      front_end: a model from PCM `[1, samples]` to the log-mel frames that `model` takes.
      carried_samples: number of samples that come from the previous step, as a state; 0 for none.
    """
    graph = fb.Graph.new(fb.empty_model(), "embed")
    front = fb.single_graph(front_end).subgraph
    samples = fb.shape(front.tensors[front.inputs[0]])[1]
    pcm = whole_pcm = graph.computed("pcm", [1, samples - carried_samples])
    inputs, outputs = {"pcm": pcm}, {}
    if carried_samples:
        name = f"{STATE}pcm"
        inputs[name] = graph.computed(name, [1, carried_samples])
        # The name is in every exported file, so it does not change.
        whole_pcm = graph.concatenate("heard", [inputs[name], pcm], axis=1)
        outputs[name] = graph.last(f"{name}_out", whole_pcm, axis=1, count=carried_samples)
    at_front = fb.insert(graph, front_end, {front.inputs[0]: whole_pcm})
    signature = fb.signature(model, "embed")
    model_inputs = fb.names(signature.inputs)
    log_mel = {model_inputs.pop("log_mel"): at_front[front.outputs[0]]}
    at_core = fb.insert(graph, model, log_mel)
    inputs |= {name: at_core[index] for name, index in model_inputs.items()}
    outputs |= {name: at_core[index] for name, index in fb.names(signature.outputs).items()}
    fb.set_signature(graph, "embed", inputs, outputs)
    return graph.model


def with_internal_state(model: fb.Model) -> fb.Model:
    """Convert the states of a streaming model to variables, and add a signature `reset`.

    The variables have the type and scales of the states. A variable has no value before its first
    assignment, so the first `embed` runs an initialiser (CALL_ONCE). `reset` assigns the same
    zeros. Every signature in TFLite needs an input and an output, so it is
    `reset(trigger f32 [1]) -> done f32 [1]` and returns its input.
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


# The offline form --------------------------------------------------------------------------------


def _hold_offline(rewrite: Rewrite, x: int, back: int, count: int, name: str) -> tuple[int, int]:
    """Take the maximum of each column and the earlier ones, with zeros before the first."""
    graph, reach = rewrite.target, back * (count - 1)
    columns = fb.shape(graph.tensor(x))[TIME]
    padded = graph.pad(f"{name}_before", x, [(0, 0), (reach, 0), (0, 0), (0, 0)])
    for i in range(1, count):
        earlier = graph.cut(f"{name}_{i}_before", padded, TIME, reach - i * back, columns)
        x = graph.maximum(f"{name}_{i}", x, earlier)
    return x, 1


def _slide_maximum(rewrite: Rewrite, x: int, dilation: int) -> int:
    graph, steps = rewrite.target, rewrite.frames // rewrite.hop_frames
    _, columns, bins, channels = fb.shape(graph.tensor(x))
    rows = columns // steps
    x = graph.max_pool("global_pool/steps", x, (rows, bins), (rows, bins))
    windows = rewrite.window_frames // rewrite.hop_frames // dilation
    x, _ = _hold_offline(rewrite, x, dilation, windows, "global_pool/slide")
    return graph.reshape("global_pool", x, (steps, channels))


def _gather_offline(rewrite: Rewrite, x: int, count: int, dilation: int, name: str) -> int:
    """The columns of every step's window, with zeros before the first."""
    graph, steps = rewrite.target, rewrite.frames // rewrite.hop_frames
    _, columns, *rest = fb.shape(graph.tensor(x))
    in_hop, reach = columns // steps, dilation * (count - 1)
    before = reach + 1 - in_hop
    padded = graph.pad(f"{name}_before", x, [(0, 0), (before, 0), *[(0, 0)] * len(rest)])
    rows = in_hop * np.arange(steps)[:, np.newaxis] + dilation * np.arange(count)
    windows = graph.gather(f"{name}_windows", padded, TIME, rows.astype(np.int32))
    return graph.reshape(f"{name}_rows", windows, (steps, count, *rest))


_OFFLINE = Form(pad_frames, _hold_offline, _slide_maximum, _gather_offline)


# The streaming form ------------------------------------------------------------------------------


def _carry_frames(rewrite: Rewrite, x: int, amounts: list[tuple[int, int]], name: str) -> int:
    """Prepend the last frames of the previous step instead of zeros."""
    graph, frames = rewrite.target, amounts[TIME][0]
    state = rewrite.add_state(f"{STATE}{name}", x, frames)
    joined = graph.concatenate(f"{name}_joined", [state, x], TIME)
    rewrite.states[f"{STATE}{name}"] = state, graph.last(f"{name}_kept", joined, TIME, frames)
    across = [both if axis != TIME else (0, 0) for axis, both in enumerate(amounts)]
    return graph.pad(f"{name}_pad", joined, across) if np.any(across) else joined


def _hold_columns(rewrite: Rewrite, x: int, back: int, count: int, name: str) -> tuple[int, int]:
    """Keep the earlier columns as a state, to pool them with the current one."""
    graph, reach = rewrite.target, back * (count - 1)
    state = rewrite.add_state(f"{STATE}{name}", x, reach)
    joined = graph.concatenate(f"{name}_joined", [state, x], TIME)
    rewrite.states[f"{STATE}{name}"] = state, graph.last(f"{name}_kept", joined, TIME, reach)
    if back > 1:
        earlier = [
            graph.cut(f"{name}_{i}_before", state, TIME, reach - i * back, 1)
            for i in reversed(range(1, count))
        ]
        joined = graph.concatenate(f"{name}_held", [*earlier, x], TIME)
    return joined, count


def _carry_maxima(rewrite: Rewrite, x: int, dilation: int) -> int:
    """Take the maximum over the current hop, then over the maxima of the previous hops."""
    graph, name = rewrite.target, f"{STATE}global_pool"
    batch, _, _, channels = fb.shape(graph.tensor(x))
    reach = rewrite.window_frames // rewrite.frames
    maximum = graph.reduce_max("global_pool/step", x, [1, 2], (batch, channels))
    if reach == 1:
        return maximum
    column = graph.reshape("global_pool/column", maximum, (batch, 1, channels))
    state = rewrite.add_state(name, column, reach - 1)
    joined = graph.concatenate("global_pool/joined", [state, column], TIME)
    rewrite.states[name] = state, graph.last("global_pool/kept", joined, TIME, reach - 1)
    if dilation > 1:  # only the last of every `dilation` rows
        groups = graph.reshape("global_pool/groups", joined, (-1, dilation, channels))
        held = graph.last("global_pool/held", groups, 1, 1)
        return graph.reduce_max("global_pool", held, [0], (batch, channels))
    return graph.reduce_max("global_pool", joined, [TIME], (batch, channels))


def _carry_columns(rewrite: Rewrite, x: int, count: int, dilation: int, name: str) -> int:
    """Keep the columns of the window that earlier steps computed as a state."""
    graph, (_, columns, *rest) = rewrite.target, fb.shape(rewrite.target.tensor(x))
    reach = count * dilation - columns
    if reach:
        state = rewrite.add_state(f"{STATE}{name}", x, reach)
        x = graph.concatenate(f"{name}_joined", [state, x], TIME)
        rewrite.states[f"{STATE}{name}"] = state, graph.last(f"{name}_kept", x, TIME, reach)
    if dilation == 1:
        return x
    # Only the last of every `dilation` columns.
    groups = graph.reshape(f"{name}_groups", x, (count, dilation, *rest))
    held = graph.last(f"{name}_held", groups, 1, 1)
    return graph.reshape(f"{name}_window", held, (1, count, *rest))


_STREAMING = Form(_carry_frames, _hold_columns, _carry_maxima, _carry_columns)
