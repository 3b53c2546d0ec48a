"""Convert an exported file to ONNX, by tf2onnx, and compare the two in ONNX Runtime.

ONNX has no variables, so states are inputs `state_*` and outputs `next_state_*`. These changes to
the TFLite graph make tf2onnx's result correct and exact:

  tensor names        unique, since tf2onnx identifies tensors by name; a state's input and output
                      differ, else the state would never advance
  FULLY_CONNECTED     on two axes: tf2onnx drops the bias on three
  MEAN                a sum times 1/n, as XNNPACK computes it; ReduceMean divides by n
  QUANTIZE            of float values times 1/scale, likewise; QuantizeLinear divides by the scale
  int8                as uint8, which ONNX Runtime fuses on every CPU, and multiplies exactly
  ADD                 of 8-bit values in int32, with XNNPACK's multipliers and shift
"""

import dataclasses
import json
import logging
import math
import pathlib
import tempfile
import warnings
from collections import Counter
from typing import Any

import numpy as np

from a2v_tf.errors import A2vError
from a2v_tf.export import flatbuffer as fb
from a2v_tf.export.check import PCM_TOLERANCE_STEPS, probe_signal, smallest_step
from a2v_tf.export.part import Part
from a2v_tf.export.rewrite import STATE
from a2v_tf.frontend import FRONT_END, log_mel
from a2v_tf.runtime import metadata
from a2v_tf.runtime.embedder import Embedder

OPSET = 15  # ONNX Runtime 1.10 or later
NEXT = "next_"  # prefix of a state's output
FLOAT_TOLERANCE = 1e-4
_MOST = 1024  # more than a sum of two int8 values, in steps of the result
_NEEDS = "--format=onnx needs tf2onnx, onnx and onnxruntime: pip install 'a2v_tf[onnx]'"


def check_possible(part: str = Part.name, activations: str = "int8") -> None:
    """Check what an export needs, before its work.

    Raises:
      A2vError: the part has several signatures, the activations are int16, or a package of the
        extra `onnx` is missing.
    """
    if part != Part.name:
        raise A2vError(f"--format=onnx: expected --part={Part.name}, got --part={part}")
    if activations == "int16":
        raise A2vError("--format=onnx: ONNX Runtime has no int16 convolutions: expected int8")
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise A2vError(f"{_NEEDS} ({error})") from error


def to_onnx(content: bytes) -> bytes:
    """Convert the content of an exported file, window or with external state.

    The result's `metadata_props` have `name`, `description`, `version`, `author` and `license`, and
    as JSON `a2v_tf.facts`, `a2v_tf.states` (name of the input -> `output`, its name, and `start`,
    the value of all its elements before the first call) and `a2v_tf.training`.

    Raises:
      A2vError: the file has internal state or several subgraphs, or a package is missing.
    """
    check_possible()
    import tf2onnx.convert

    model = fb.read(content)
    if len(model.subgraphs) != 1:
        raise A2vError("ONNX needs a file with one signature and external state")
    fb.make_unsigned(model)
    states = {
        name: {"output": f"{NEXT}{name}", "start": next(iter(fb.scales(tensor)[1]), 0)}
        for name, tensor in _states(model).items()
    }
    quantised = _prepare(model)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tf2onnx uses the deprecated tf.lite.Interpreter
        path = pathlib.Path(folder) / "a2v_tf.tflite"
        path.write_bytes(fb.write(model))
        logging.getLogger("tf2onnx").setLevel(logging.ERROR)
        converted, _ = tf2onnx.convert.from_tflite(str(path), opset=OPSET)
    _multiply_before_quantising(converted.graph, quantised)
    _add_integers(converted.graph)
    told = metadata.read(content)
    properties = {name: told[name] for name in _DESCRIBED} | {
        "a2v_tf.facts": _json(told["facts"]),
        "a2v_tf.states": _json(states),
        **({metadata.TRAINING: _json(told["training"])} if told["training"] else {}),
    }
    for name, value in properties.items():
        converted.metadata_props.add(key=name, value=value)
    converted.doc_string = told["description"]
    return converted.SerializeToString()


_DESCRIBED = ("name", "description", "version", "author", "license")


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _states(model: fb.Model) -> dict[str, fb.Tensor]:
    """The tensors of the inputs `state_*` by name."""
    graph = fb.single_graph(model)
    inputs = fb.names(fb.signature(model, "embed").inputs)
    return {name: graph.tensor(i) for name, i in inputs.items() if name.startswith(STATE)}


def _prepare(model: fb.Model) -> set[str]:
    """Change a graph so that tf2onnx converts it correctly; return what it quantises."""
    graph, signature = fb.single_graph(model), fb.signature(model, "embed")
    operators, graph.subgraph.operators = graph.subgraph.operators, []
    for op in operators:
        kind = fb.kind(model, op)
        if kind == "FULLY_CONNECTED" and len(fb.shape(graph.tensor(int(op.inputs[0])))) != 2:
            _connect_rows(graph, op)
        elif kind == "MEAN":
            _multiply_sum(graph, op)
        else:
            graph.subgraph.operators.append(op)
    for index, tensor in enumerate(graph.subgraph.tensors):
        tensor.name = f"tensor_{index}"
    for name, index in fb.names(signature.inputs).items():
        graph.tensor(index).name = name
    for name, index in fb.names(signature.outputs).items():
        graph.tensor(index).name = f"{NEXT}{name}" if name.startswith(STATE) else name
    return {
        fb.text(graph.tensor(int(op.inputs[0])).name)
        for op in graph.subgraph.operators
        if fb.kind(model, op) == "QUANTIZE"
    }


def _connect_rows(graph: fb.Graph, op: fb.Op) -> None:
    """Append a FULLY_CONNECTED on rows `[n, inputs]`, between two RESHAPE."""
    x, y = int(op.inputs[0]), int(op.outputs[0])
    units, inputs = fb.shape(graph.tensor(int(op.inputs[1])))
    rows = graph.reshape("rows", x, [-1, inputs])
    connected = graph.like(graph.tensor(y), "connected", [fb.shape(graph.tensor(rows))[0], units])
    graph.copy_op(
        op, [rows, *map(int, op.inputs[1:])], [connected]
    ).builtinOptions.keepNumDims = False
    size = fb.shape(graph.tensor(y))
    target = graph.constant("size", np.array(size, np.int32))
    graph.op("RESHAPE", [connected, target], [y], fb.make("ReshapeOptionsT", newShape=[*size]))


def _multiply_sum(graph: fb.Graph, op: fb.Op) -> None:
    """Append a MEAN as SUM and MUL."""
    x, axes, y = int(op.inputs[0]), int(op.inputs[1]), int(op.outputs[0])
    total = graph.like(graph.tensor(y), "total", fb.shape(graph.tensor(y)))
    graph.op("SUM", [x, axes], [total], op.builtinOptions)
    count = np.prod(fb.shape(graph.tensor(x))) / np.prod(fb.shape(graph.tensor(y)))
    share = graph.constant("share", np.array(1 / count, np.float32))
    graph.op("MUL", [total, share], [y], fb.make("MulOptionsT"))


def _multiply_before_quantising(graph: Any, quantised: set[str]) -> None:
    """Replace `QuantizeLinear(x, scale)` by `QuantizeLinear(x * (1 / scale), 1)`."""
    from onnx import helper, numpy_helper

    constants = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        if node.op_type == "QuantizeLinear" and node.input[0] in quantised:
            x, scale = node.input[0], constants[node.input[1]]
            inverse, one, scaled = (f"{node.output[0]}_{name}" for name in ("inverse", "one", "x"))
            graph.initializer.append(numpy_helper.from_array(np.float32(1) / scale, inverse))
            graph.initializer.append(numpy_helper.from_array(np.ones_like(scale), one))
            graph.node.append(helper.make_node("Mul", [x, inverse], [scaled]))
            node.input[0], node.input[1] = scaled, one
        graph.node.append(node)


def _add_integers(graph: Any) -> None:
    """Replace the addition of dequantised values by XNNPACK's integer arithmetic.

    XNNPACK computes `a * multiplier_a + b * multiplier_b`, with multipliers of 21 bits, and shifts
    the sum; floating point rounds to the other neighbour in about one of 10,000 values.
    """
    from onnx import numpy_helper

    constants = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
    by_output = {node.output[0]: node for node in graph.node}
    uses = Counter(name for node in graph.node for name in node.input)
    nodes, graph_nodes = [], list(graph.node)
    for node in graph_nodes:
        chain = _quantised_sum(node, by_output, uses)
        if chain is None:
            nodes.append(node)
            continue
        add, clipped_below = chain
        ends = [*(by_output[name] for name in add.input), node]
        scales, zeros = zip(
            *((constants[end.input[1]].item(), int(constants[end.input[2]])) for end in ends),
            strict=True,
        )
        arithmetic = _Sum(node.output[0], scales, zeros, clipped_below)
        graph.initializer.extend(arithmetic.constants())
        nodes.extend(arithmetic.nodes(*(by_output[name].input[0] for name in add.input)))
    del graph.node[:]
    graph.node.extend(nodes)


def _quantised_sum(
    node: Any, by_output: dict[str, Any], uses: Counter[str]
) -> tuple[Any, bool] | None:
    """The Add whose sum of dequantised values a node quantises, and whether a Relu is between."""
    before = by_output.get(node.input[0]) if node.op_type == "QuantizeLinear" else None
    if before is None:
        return None
    relu = before.op_type == "Relu"
    add = by_output.get(before.input[0]) if relu else before
    if add is None or add.op_type != "Add":
        return None
    made = [by_output.get(name) for name in add.input]
    if any(made_by is None or made_by.op_type != "DequantizeLinear" for made_by in made):
        return None
    alone = uses[add.output[0]] == 1 and uses[node.input[0]] == 1
    return (add, relu) if alone else None


@dataclasses.dataclass(frozen=True)
class _Sum:
    """`quantise(dequantise(a) + dequantise(b))` in int32, as XNNPACK computes it.

    Attributes:
      name: of the result.
      scales: of a, b and the result.
      zeros: their zero points.
      relu: whether negative sums become zero.
    """

    name: str
    scales: tuple[float, ...]
    zeros: tuple[int, ...]
    relu: bool

    def _numbers(self) -> dict[str, int]:
        a, b, y = map(np.float32, self.scales)
        ratios = a / y, b / y
        shift = 20 - (math.frexp(max(ratios))[1] - 1)  # the greater multiplier has 21 bits
        first, second = (round(math.ldexp(float(ratio), shift)) for ratio in ratios)
        bias = (1 << (shift - 1)) - self.zeros[0] * first - self.zeros[1] * second
        # Division truncates: a dividend that is never negative makes it a shift.
        offset = _MOST << shift
        return {
            "first": first,
            "second": second,
            "bias": bias + offset,
            "divisor": 1 << shift,
            "zero": self.zeros[2] - _MOST,
            "least": self.zeros[2] if self.relu else 0,
            "most": 255,
        }

    def constants(self) -> list[Any]:
        from onnx import numpy_helper

        return [
            numpy_helper.from_array(np.array(value, np.int32), f"{self.name}_{key}")
            for key, value in self._numbers().items()
        ]

    def nodes(self, a: str, b: str) -> list[Any]:
        from onnx import TensorProto, helper

        def node(kind: str, inputs: list[str], output: str, **options: Any) -> Any:
            names = [entry if entry in (a, b) else f"{self.name}_{entry}" for entry in inputs]
            result = f"{self.name}_{output}" if output else self.name
            return helper.make_node(kind, names, [result], **options)

        return [
            node("Cast", [a], "a32", to=TensorProto.INT32),
            node("Cast", [b], "b32", to=TensorProto.INT32),
            node("Mul", ["a32", "first"], "a_scaled"),
            node("Mul", ["b32", "second"], "b_scaled"),
            node("Add", ["a_scaled", "b_scaled"], "sum"),
            node("Add", ["sum", "bias"], "positive"),
            node("Div", ["positive", "divisor"], "shifted"),
            node("Add", ["shifted", "zero"], "y32"),
            node("Clip", ["y32", "least", "most"], "clipped"),
            node("Cast", ["clipped"], "", to=TensorProto.UINT8),
        ]


# Running -----------------------------------------------------------------------------------------


class OnnxEmbedder:
    """Runs a converted file in ONNX Runtime: `embed` and `reset` as those of `Embedder`."""

    def __init__(self, content: bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )
        self._outputs = [output.name for output in self.session.get_outputs()]
        described = self.session.get_modelmeta().custom_metadata_map
        self._told = json.loads(described["a2v_tf.states"])
        inputs = {entry.name: entry for entry in self.session.get_inputs()}
        self.input = next(name for name in inputs if name not in self._told)
        dtypes = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}
        self._start = {
            name: np.full(inputs[name].shape, told["start"], dtypes[inputs[name].type])
            for name, told in self._told.items()
        }
        self.reset()

    def reset(self) -> None:
        """Start a new stream."""
        self.states = dict(self._start)

    def embed(self, values: np.ndarray) -> np.ndarray:
        """Run the file once; return float32 `[d]`."""
        made = self.session.run(None, {self.input: values[None], **self.states})
        outputs = dict(zip(self._outputs, made, strict=True))
        self.states = {name: outputs[told["output"]] for name, told in self._told.items()}
        return outputs["embedding"][0]


def check(converted: bytes, content: bytes, *, quantized: bool, seconds: float = 3.0) -> dict:
    """Compare a converted file in ONNX Runtime with the TFLite file that it was made from.

    Args:
      converted: result of `to_onnx`.
      content: the TFLite file.
      quantized: require bit-exactness, apart from the float front end of files with PCM input.
      seconds: length of the test signal.

    Returns:
      `steps`, `max_abs_difference`, `bit_exact` and the allowed `tolerance`.

    Raises:
      A2vError: they differ by more than the tolerance.
    """
    other, embedder = OnnxEmbedder(converted), Embedder(content)
    chunks = _chunks(embedder, seconds)
    got, expected = (np.stack([each.embed(x) for x in chunks]) for each in (other, embedder))
    difference = float(np.abs(got - expected).max())
    tolerance = FLOAT_TOLERANCE * max(1.0, float(np.abs(expected).max()))
    if quantized:
        steps = PCM_TOLERANCE_STEPS if embedder.input == "pcm" else 0
        tolerance = steps * smallest_step(expected)
    if difference > tolerance:
        raise A2vError(
            f"the file in ONNX Runtime differs from the TFLite file by {difference:.3g}: "
            f"expected at most {tolerance:.3g}"
        )
    return {
        "steps": len(got),
        "max_abs_difference": difference,
        "bit_exact": bool(np.array_equal(got, expected)),
        "tolerance": tolerance,
    }


def _chunks(embedder: Embedder, seconds: float) -> list[np.ndarray]:
    """Inputs of successive calls, from the test signal; random band levels for other bins."""
    if embedder.input == "pcm":
        (samples,) = embedder.input_shape
        count = max(1, round(seconds * FRONT_END.sample_rate / samples))
        return np.split(probe_signal(count * samples), count)
    frames, bins = embedder.input_shape
    count = max(1, round(seconds / FRONT_END.period / frames))
    if bins != FRONT_END.bins:
        rng = np.random.default_rng(0)
        return list(rng.normal(0, 1, (count, frames, bins)).astype(np.float32))
    values = log_mel(probe_signal(FRONT_END.samples(count * frames))).numpy()
    return np.split(values, count)
