"""Tiny exported files, made op by op: all that the benchmark asks of a file, in no time."""

import pathlib
from collections.abc import Sequence

from a2v_tf.export import flatbuffer as fb


def write_file(
    path: pathlib.Path, shape: Sequence[int] = (1, 1_280), *, streaming: bool = True
) -> str:
    """Write a file whose embedding is the last 8 values of its input, and return its path.

    Args:
      path: to write.
      shape: of the input: pcm `[1, samples]` or log_mel `[1, frames, bins]`.
      streaming: whether it has the signature `reset`.
    """
    model = fb.empty_model()
    graph = fb.Graph.new(model, "embed")
    name = "pcm" if len(shape) == 2 else "log_mel"
    heard = graph.computed(name, shape)
    flat = heard if len(shape) == 2 else graph.reshape("flat", heard, (1, shape[1] * shape[2]))
    fb.set_signature(graph, "embed", {name: heard}, {"embedding": graph.last("y", flat, 1, 8)})
    if streaming:
        reset = fb.Graph.new(model, "reset")
        trigger = reset.computed("trigger", [1])
        done = reset.reshape("done", trigger, [1])
        fb.set_signature(reset, "reset", {"trigger": trigger}, {"done": done})
    path.write_bytes(fb.write(model))
    return str(path)
