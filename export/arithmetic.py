"""Arithmetic of an exported file: its multiply-accumulate operations."""

import math

from a2v_tf.export import flatbuffer as fb
from a2v_tf.export.check import embed_graph, encoder_ops


def multiply_accumulates(model: fb.Model) -> dict[str, int]:
    """Count the multiply-accumulates of one call of `embed`: convolutions and matrix products.

    Returns:
      The counts of the two parts, `front_end` and `encoder`.
    """
    graph = embed_graph(model)
    in_encoder = {id(op) for op in encoder_ops(graph)}
    counts = {"front_end": 0, "encoder": 0}
    for op in graph.subgraph.operators:
        part = "encoder" if id(op) in in_encoder else "front_end"
        counts[part] += _of_op(graph, op)
    return counts


def of_graph(graph: fb.Graph) -> int:
    """Count the multiply-accumulates of all ops of a graph."""
    return sum(_of_op(graph, op) for op in graph.subgraph.operators)


def _of_op(graph: fb.Graph, op: fb.Op) -> int:
    kind = fb.kind(graph.model, op)
    if kind not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        return 0
    weights, result = (fb.shape(graph.tensor(int(i))) for i in (op.inputs[1], op.outputs[0]))
    if kind == "DEPTHWISE_CONV_2D":  # [1, height, width, channels]
        return math.prod(result) * math.prod(weights[1:3])
    return math.prod(result) * math.prod(weights[1:])  # [out, ..., in]
