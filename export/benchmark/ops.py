"""Time each op of a file by running it on its own.

LiteRT's Python package has no op profiler, so each op becomes a model of its own, with its
constants and shapes, on the same kernels and threads. Variables, fusion, copies between ops and the
call itself are left out; they are the difference to a whole step.
"""

import copy
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from a2v_tf.errors import A2vError
from a2v_tf.export import flatbuffer as fb
from a2v_tf.export.benchmark.models import Case, Part, Stepper
from a2v_tf.runtime.embedder import make_interpreter

_BLOCKS = 10
_BLOCK_SECONDS = 2e-3


def profile(case: Case, stepper: Stepper) -> list[dict[str, Any]]:
    """Time every op of every file of a model, and a whole step.

    Returns:
      Entries in the order of execution: `file`, `op`, `output` (name), `shape` and `us`, the CPU
      time of all threads, or None for an op that cannot run alone, such as those on variables.
      The last entry is the op "(rest)": the whole step minus all others, which is negative if the
      ops take longer alone than together.
    """
    call = _fastest(_interpreter(smallest_model(), case).invoke)
    ops = [entry for part in stepper.parts for entry in _profile_part(part, case, call)]
    inputs = iter(stepper.inputs * 10_000)
    whole = _fastest(lambda: stepper.step(next(inputs)))
    known = sum(entry["us"] or 0 for entry in ops)
    rest = {"file": None, "op": "(rest)", "output": None, "shape": None, "us": whole - known}
    return [*ops, rest]


def _profile_part(part: Part, case: Case, call: float) -> list[dict[str, Any]]:
    with open(part.path, "rb") as file:
        content = file.read()
    model = fb.read(content)
    graph = fb.Graph(model, model.subgraphs[0])
    shapes = _shapes(content, part)
    entries = []
    for op in graph.subgraph.operators:
        result = next(iter(op.outputs), None) if op.outputs is not None else None
        name = None if result is None else fb.text(graph.tensor(int(result)).name)
        size = None if result is None else list(shapes[int(result)])
        us = _time_alone(graph, op, shapes, case)
        us = None if us is None else max(0.0, us - call)
        kind = fb.kind(model, op)
        entries.append({"file": part.path, "op": kind, "output": name, "shape": size, "us": us})
    return entries


def _shapes(content: bytes, part: Part) -> dict[int, tuple[int, ...]]:
    """Shapes of the tensors while the file runs; shapes in the file may have unknown sizes."""
    interpreter = make_interpreter(content, "builtin")
    detail = interpreter.get_input_details()[0]
    if part.input_shape is not None:
        interpreter.resize_tensor_input(detail["index"], part.input_shape)
    interpreter.allocate_tensors()
    interpreter.invoke()
    details = interpreter.get_tensor_details()
    return {int(x["index"]): tuple(map(int, x["shape"])) for x in details}


def _time_alone(
    graph: fb.Graph, op: fb.Op, shapes: dict[int, tuple[int, ...]], case: Case
) -> float | None:
    try:
        content = _one_op(graph, op, shapes)
        return None if content is None else _fastest(_interpreter(content, case).invoke)
    except (A2vError, RuntimeError, ValueError):
        return None  # it needs real input values


def _one_op(graph: fb.Graph, op: fb.Op, shapes: dict[int, tuple[int, ...]]) -> bytes | None:
    """A model of this op alone: the results of other ops become inputs."""
    alone = fb.Graph.new(fb.empty_model(), "op")
    mapping = {-1: -1}
    inputs = [] if op.inputs is None else [int(i) for i in op.inputs]
    outputs = [] if op.outputs is None else [int(i) for i in op.outputs]
    for index in {*inputs, *outputs} - {-1}:
        tensor = copy.deepcopy(graph.tensor(index))
        if fb.dtype(tensor) == "RESOURCE":
            return None
        tensor.shape, tensor.shapeSignature = list(shapes[index]), None
        alone.model.buffers.append(graph.model.buffers[tensor.buffer])
        tensor.buffer = len(alone.model.buffers) - 1
        mapping[index] = alone.add(tensor)
    if not outputs:
        return None
    again = alone.copy_op(op, [mapping[i] for i in inputs], [mapping[i] for i in outputs])
    alone.model.operatorCodes.append(graph.model.operatorCodes[op.opcodeIndex])
    again.opcodeIndex = 0
    given = [i for i in dict.fromkeys(inputs) if i >= 0]
    computed = [i for i in given if not fb.is_constant(graph.model, graph.tensor(i))]
    alone.subgraph.inputs = [mapping[i] for i in computed]
    alone.subgraph.outputs = [mapping[i] for i in outputs]
    return fb.write(alone.model)


def smallest_model() -> bytes:
    """A model that adds two numbers, to time the call itself."""
    graph = fb.Graph.new(fb.empty_model(), "call")
    x, y = graph.computed("x", [1]), graph.computed("y", [1])
    graph.op("ADD", [x, x], [y], fb.make("AddOptionsT"))
    graph.subgraph.inputs, graph.subgraph.outputs = [x], [y]
    return fb.write(graph.model)


def _interpreter(content: bytes, case: Case) -> Any:
    interpreter = make_interpreter(content, case.kernels, case.threads)
    interpreter.allocate_tensors()
    rng = np.random.default_rng(0)
    for detail in interpreter.get_input_details():
        values = np.zeros(detail["shape"], detail["dtype"])
        if np.issubdtype(detail["dtype"], np.floating):
            values = rng.uniform(0.1, 1, detail["shape"]).astype(detail["dtype"])
        interpreter.set_tensor(detail["index"], values)
    return interpreter


def _fastest(call: Callable[[], Any]) -> float:
    """CPU time of a call in microseconds, in the fastest of a few blocks."""
    took, calls = 0.0, 1
    while True:
        took = _seconds(call, calls)
        if took >= _BLOCK_SECONDS:
            break
        calls *= 2
    return 1e6 * min(took, *(_seconds(call, calls) for _ in range(_BLOCKS - 1))) / calls


def _seconds(call: Callable[[], Any], calls: int) -> float:
    began = time.process_time()
    for _ in range(calls):
        call()
    return time.process_time() - began
