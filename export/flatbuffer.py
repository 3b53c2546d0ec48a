"""Read, build and write TFLite flatbuffers.

Only this module uses the schema's generated Python code, which is not a public API of TensorFlow or
LiteRT. `tests/export/test_flatbuffer.py` tests the parts that are used.
"""

import copy
import dataclasses
from collections.abc import Iterable
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt

from a2v_tf.errors import A2vError

try:
    from ai_edge_litert import schema_py_generated as schema
except ImportError:  # TensorFlow ships the same schema
    from tensorflow.lite.python import schema_py_generated as schema

Model = Any  # schema.ModelT
Tensor = Any  # schema.TensorT
Op = Any  # schema.OperatorT

_IDENTIFIER = b"TFL3"
_LARGEST_ZEROS = 1_500  # bytes of a constant; larger zeros are computed by an op FILL
_NO_TENSOR = -1  # an omitted optional input

_DTYPES = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.INT8: np.int8,
    schema.TensorType.UINT8: np.uint8,
    schema.TensorType.INT16: np.int16,
    schema.TensorType.INT32: np.int32,
    schema.TensorType.INT64: np.int64,
    schema.TensorType.COMPLEX64: np.complex64,
}
_TYPES: dict[np.dtype, Any] = {np.dtype(dtype): code for code, dtype in _DTYPES.items()}
_OP_NAMES = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")
}
# The first version of these ops that supports int8; all other ops built here have version 1. (int16
# came with later versions, but a runtime that has a later version also accepts this one.)
_INT8_VERSION = {
    "CONCATENATION": 2,
    "FILL": 3,
    "GATHER": 2,
    "MAXIMUM": 2,
    "MAX_POOL_2D": 2,
    "PAD": 2,
    "REDUCE_MAX": 2,
    "SLICE": 2,
}


# Reading and writing -----------------------------------------------------------------------------


def read(content: bytes) -> Model:
    """Unpack a TFLite file.

    Raises:
      A2vError: the bytes are not a TFLite model.
    """
    if content[4:8] != _IDENTIFIER:
        raise A2vError(f"not a TFLite model: expected the identifier 'TFL3', got {content[4:8]!r}")
    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytearray(content), 0))


def write(model: Model, *, shared: bool = False) -> bytes:
    """Pack a model, without unused buffers and op codes.

    With `shared`, equal vectors and names are stored once: per-channel zero points above all, 8
    bytes for each channel of each layer's weights and biases. FlatBuffers allow this, and a
    multiscale streaming file has 10 % fewer bytes.
    """
    compact = _compact(copy.deepcopy(model))
    builder = flatbuffers.Builder(1 << 20)
    if shared:
        builder = _SharingBuilder(1 << 20)
        for graph in compact.subgraphs:
            for tensor in graph.tensors:  # lists are packed number by number
                tensor.shape = np.asarray(tensor.shape, np.int32)
    builder.Finish(compact.Pack(builder), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


class _SharingBuilder(flatbuffers.Builder):
    """A builder that stores equal vectors and strings once."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._vectors: dict[tuple[str, bytes], int] = {}
        self._strings: dict[bytes, int] = {}

    def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802
        key = x.dtype.str, x.tobytes()
        if key not in self._vectors:
            self._vectors[key] = super().CreateNumpyVector(x)
        return self._vectors[key]

    def CreateString(self, s: bytes | str, *rest: Any) -> int:  # noqa: N802
        key = s.encode() if isinstance(s, str) else bytes(s)
        if key not in self._strings:
            self._strings[key] = super().CreateString(s, *rest)
        return self._strings[key]


def _compact(model: Model) -> Model:
    """Remove unused buffers and op codes, and merge equal ones; buffer 0 remains empty."""
    buffers, codes = [make("BufferT")], list[Any]()
    by_content: dict[bytes, int] = {b"": 0}
    by_code: dict[tuple, int] = {}

    def keep_buffer(index: int) -> int:
        data = model.buffers[index].data
        content = b"" if data is None else np.asarray(data, np.uint8).tobytes()
        if content not in by_content:
            by_content[content] = len(buffers)
            buffers.append(make("BufferT", data=np.frombuffer(content, np.uint8)))
        return by_content[content]

    def keep_code(code: Any) -> int:
        content = (code.builtinCode, code.deprecatedBuiltinCode, code.version, code.customCode)
        if content not in by_code:
            by_code[content] = len(codes)
            codes.append(code)
        return by_code[content]

    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.buffer = keep_buffer(tensor.buffer)
        for op in graph.operators:
            op.opcodeIndex = keep_code(model.operatorCodes[op.opcodeIndex])
    for entry in model.metadata or []:
        entry.buffer = keep_buffer(entry.buffer)
    model.buffers, model.operatorCodes, model.metadataBuffer = buffers, codes, None
    return model


def make(kind: str, **fields: Any) -> Any:
    """Create a schema object (`kind` such as "TensorT"); old schemas' classes take no arguments."""
    made = getattr(schema, kind)()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


# Inspecting --------------------------------------------------------------------------------------


def text(name: bytes | str | None) -> str:
    """A name as str; unpacking gives bytes."""
    return name.decode() if isinstance(name, bytes) else name or ""


def kind(model: Model, op: Op) -> str:
    """Name of an op, such as "CONV_2D"; "CUSTOM:name" for a custom or Flex op."""
    code = model.operatorCodes[op.opcodeIndex]
    name = _OP_NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]
    return f"CUSTOM:{text(code.customCode)}" if name == "CUSTOM" else name


def is_constant(model: Model, tensor: Tensor) -> bool:
    """Whether the values of a tensor are stored in the file."""
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def constant(model: Model, tensor: Tensor) -> np.ndarray | None:
    """Value of a constant tensor; None for a computed one."""
    if not is_constant(model, tensor):
        return None
    content = np.asarray(model.buffers[tensor.buffer].data, np.uint8).tobytes()
    return np.frombuffer(content, _DTYPES[tensor.type]).reshape(shape(tensor))


def dtype(tensor: Tensor) -> str:
    """Name of a tensor's type, such as "FLOAT32", "INT8" or "RESOURCE"."""
    codes = vars(schema.TensorType)
    return next(name for name, code in codes.items() if code == tensor.type and name[0] != "_")


def shape(tensor: Tensor) -> tuple[int, ...]:
    """Shape of a tensor."""
    return tuple(int(size) for size in tensor.shape) if tensor.shape is not None else ()


def scales(tensor: Tensor) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Scales and zero points of a tensor; both empty for a float tensor."""
    quantization = tensor.quantization
    if quantization is None or quantization.scale is None:
        return (), ()
    return tuple(map(float, quantization.scale)), tuple(map(int, quantization.zeroPoint))


def set_scale(tensor: Tensor, scale: float | list[float], zero_point: int | list[int]) -> None:
    """Set the scale and zero point of a tensor, or those of each channel."""
    parameters = tensor.quantization
    parameters.scale = np.atleast_1d(scale).astype(np.float32)
    parameters.zeroPoint = np.atleast_1d(zero_point).astype(np.int64)
    parameters.min = parameters.max = None


def make_unsigned(model: Model) -> None:
    """Change all quantised int8 tensors to uint8 of the same real values.

    TFLite runs no such file; it is for converters.
    """
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.type != schema.TensorType.INT8:
                continue
            (values, (steps, zero_points)) = constant(model, tensor), scales(tensor)
            tensor.type = schema.TensorType.UINT8
            set_scale(tensor, [*steps], [zero_point + 128 for zero_point in zero_points])
            if values is not None:
                data = (values.astype(np.int16) + 128).astype(np.uint8).ravel()
                model.buffers.append(make("BufferT", data=data))
                tensor.buffer = len(model.buffers) - 1


def state_bytes(tensor: Tensor) -> int:
    """Size of a tensor's value in bytes."""
    return int(np.prod(shape(tensor))) * np.dtype(_DTYPES[tensor.type]).itemsize


VALID = schema.Padding.VALID  # a convolution or pooling without padding


def is_same_padding(options: Any) -> bool:
    """Whether a convolution or pooling has SAME padding."""
    return options.padding == schema.Padding.SAME


def ends_in_relu(options: Any) -> bool:
    """Whether the op has a fused ReLU, so that its result is never negative."""
    relu = (schema.ActivationFunctionType.RELU, schema.ActivationFunctionType.RELU6)
    return getattr(options, "fusedActivationFunction", None) in relu


# Building ----------------------------------------------------------------------------------------


@dataclasses.dataclass
class Graph:
    """A subgraph of a model under construction. Methods take and return tensor indices."""

    model: Model
    subgraph: Any  # schema.SubGraphT

    @classmethod
    def new(cls, model: Model, name: str) -> "Graph":
        """Append an empty subgraph to the model."""
        subgraph = make("SubGraphT", tensors=[], inputs=[], outputs=[], operators=[], name=name)
        model.subgraphs.append(subgraph)
        return cls(model, subgraph)

    @property
    def index(self) -> int:
        return next(i for i, graph in enumerate(self.model.subgraphs) if graph is self.subgraph)

    def tensor(self, index: int) -> Tensor:
        return self.subgraph.tensors[index]

    def add(self, tensor: Tensor) -> int:
        """Append a tensor and return its index."""
        self.subgraph.tensors.append(tensor)
        return len(self.subgraph.tensors) - 1

    def like(self, tensor: Tensor, name: str, size: Iterable[int]) -> int:
        """Add a computed tensor with the type and scales of `tensor` and shape `size`."""
        return self.add(
            make(
                "TensorT",
                name=name,
                type=tensor.type,
                shape=[int(n) for n in size],
                quantization=copy.deepcopy(tensor.quantization),
                hasRank=True,
            )
        )

    def computed(self, name: str, size: Iterable[int], dtype: npt.DTypeLike = np.float32) -> int:
        """Add a computed tensor without scales."""
        return self.like(make("TensorT", type=_TYPES[np.dtype(dtype)]), name, size)

    def constant(self, name: str, value: np.ndarray, like: Tensor | None = None) -> int:
        """Add a constant, with the scales of `like` if given."""
        index = self.computed(name, value.shape, value.dtype)
        if like is not None:
            self.tensor(index).quantization = copy.deepcopy(like.quantization)
        data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
        self.model.buffers.append(make("BufferT", data=data))
        self.tensor(index).buffer = len(self.model.buffers) - 1
        return index

    def handle(self, name: str) -> int:
        """Add a handle of the variable `name`; variables are shared by all subgraphs of a file."""
        resource = self.add(
            make("TensorT", name=name, type=schema.TensorType.RESOURCE, shape=[1], hasRank=True)
        )
        options = make("VarHandleOptionsT", container="", sharedName=name)
        self.op("VAR_HANDLE", [], [resource], options)
        return resource

    def op(self, name: str, inputs: list[int], outputs: list[int], options: Any = None) -> None:
        """Append a built-in op."""
        types = [self.tensor(index).type for index in [*inputs, *outputs] if index != _NO_TENSOR]
        quantized = {schema.TensorType.INT8, schema.TensorType.INT16}.intersection(types)
        version = _INT8_VERSION.get(name, 1) if quantized else 1
        op = make("OperatorT", opcodeIndex=self._opcode(name, version))
        op.inputs, op.outputs, op.builtinOptions = list(inputs), list(outputs), options
        if options is not None:
            union = type(options).__name__.removesuffix("T")
            op.builtinOptionsType = getattr(schema.BuiltinOptions, union)
        self.subgraph.operators.append(op)

    def copy_op(self, op: Op, inputs: list[int], outputs: list[int]) -> Op:
        """Append a copy of an op of the same model, with other inputs and outputs; return it."""
        copied = copy.deepcopy(op)
        copied.inputs, copied.outputs = list(inputs), list(outputs)
        self.subgraph.operators.append(copied)
        return copied

    def concatenate(self, name: str, parts: list[int], axis: int) -> int:
        """Concatenate tensors of equal type and scales; return the result."""
        first = self.tensor(parts[0])
        size = list(shape(first))
        size[axis] = sum(shape(self.tensor(part))[axis] for part in parts)
        joined = self.like(first, name, size)
        self.op("CONCATENATION", parts, [joined], make("ConcatenationOptionsT", axis=axis))
        return joined

    def last(self, name: str, source: int, axis: int, count: int) -> int:
        """Take the last `count` rows of an axis; return the result."""
        return self.cut(name, source, axis, shape(self.tensor(source))[axis] - count, count)

    def cut(self, name: str, source: int, axis: int, first: int, count: int) -> int:
        """Take `count` rows of an axis, from row `first` on; return the result."""
        size = list(shape(self.tensor(source)))
        begin = [0] * len(size)
        begin[axis], size[axis] = first, count
        cut = self.like(self.tensor(source), name, size)
        bounds = [
            self.constant(f"{name}/{word}", np.array(value, np.int32))
            for word, value in (("begin", begin), ("size", size))
        ]
        self.op("SLICE", [source, *bounds], [cut], make("SliceOptionsT"))
        return cut

    def gather(self, name: str, source: int, axis: int, rows: np.ndarray) -> int:
        """Take rows of an axis, int32 of any shape, which takes the place of the axis."""
        size = list(shape(self.tensor(source)))
        size[axis : axis + 1] = rows.shape
        taken = self.like(self.tensor(source), name, size)
        index = self.constant(f"{name}/rows", rows)
        self.op("GATHER", [source, index], [taken], make("GatherOptionsT", axis=axis))
        return taken

    def reshape(self, name: str, source: int, size: Iterable[int]) -> int:
        """Reshape; return the result. One size may be -1, and is inferred."""
        size = [int(n) for n in size]
        if -1 in size:
            known = -int(np.prod(size))
            size[size.index(-1)] = int(np.prod(shape(self.tensor(source)))) // known
        reshaped = self.like(self.tensor(source), name, size)
        target = self.constant(f"{name}/shape", np.array(size, np.int32))
        options = make("ReshapeOptionsT", newShape=size)
        self.op("RESHAPE", [source, target], [reshaped], options)
        return reshaped

    def reduce_max(self, name: str, source: int, axes: list[int], size: Iterable[int]) -> int:
        """Take the maximum over axes, which are removed; `size` is the resulting shape."""
        maximum = self.like(self.tensor(source), name, size)
        over = self.constant(f"{name}/axes", np.array(axes, np.int32))
        self.op("REDUCE_MAX", [source, over], [maximum], make("ReducerOptionsT", keepDims=False))
        return maximum

    def sum_of(self, name: str, one: int, other: int) -> int:
        """Add two tensors of equal shape; return the result."""
        return self._elementwise("ADD", name, one, other, make("AddOptionsT"))

    def multiply(self, name: str, one: int, other: int) -> int:
        """Multiply two tensors of equal shape; return the result."""
        return self._elementwise("MUL", name, one, other, make("MulOptionsT"))

    def _elementwise(self, kind: str, name: str, one: int, other: int, options: Any) -> int:
        result = self.like(self.tensor(one), name, shape(self.tensor(one)))
        self.op(kind, [one, other], [result], options)
        return result

    def logistic(self, name: str, source: int) -> int:
        """Take the sigmoid; return the result."""
        probability = self.like(self.tensor(source), name, shape(self.tensor(source)))
        self.op("LOGISTIC", [source], [probability])
        return probability

    def softmax(self, name: str, source: int) -> int:
        """Softmax over the last axis; return the result."""
        probabilities = self.like(self.tensor(source), name, shape(self.tensor(source)))
        self.op("SOFTMAX", [source], [probabilities], make("SoftmaxOptionsT", beta=1.0))
        return probabilities

    def max_pool(
        self, name: str, source: int, window: tuple[int, int], stride: tuple[int, int]
    ) -> int:
        """Max-pool over (time, frequency) without padding; return the result."""
        batch, *size, channels = shape(self.tensor(source))
        pooled = [(n - w) // s + 1 for n, w, s in zip(size, window, stride, strict=True)]
        maximum = self.like(self.tensor(source), name, [batch, *pooled, channels])
        options = make(
            "Pool2DOptionsT",
            padding=VALID,
            filterHeight=window[0],
            filterWidth=window[1],
            strideH=stride[0],
            strideW=stride[1],
        )
        self.op("MAX_POOL_2D", [source], [maximum], options)
        return maximum

    def maximum(self, name: str, one: int, other: int) -> int:
        """Take the elementwise maximum; return the result."""
        greater = self.like(self.tensor(one), name, shape(self.tensor(one)))
        self.op("MAXIMUM", [one, other], [greater], make("MaximumMinimumOptionsT"))
        return greater

    def scalar_op(self, op: str, source: int, number: float) -> int:
        """Add a float number to each value, or multiply by it: `op` is ADD or MUL."""
        result = self.like(self.tensor(source), op.lower(), shape(self.tensor(source)))
        scalar = self.constant(f"{op.lower()}/number", np.array([number], np.float32))
        self.op(op, [source, scalar], [result], make(f"{op.title()}OptionsT"))
        return result

    def pad(self, name: str, source: int, amounts: list[tuple[int, int]]) -> int:
        """Pad with zeros (with the zero point, if quantised); return the result."""
        size = [n + sum(both) for n, both in zip(shape(self.tensor(source)), amounts, strict=True)]
        padded = self.like(self.tensor(source), name, size)
        paddings = self.constant(f"{name}/paddings", np.array(amounts, np.int32))
        self.op("PAD", [source, paddings], [padded], make("PadOptionsT"))
        return padded

    def zeros(self, name: str, like: Tensor) -> int:
        """Add real zeros with the shape, type and scales of `like`: a constant, unless large."""
        zero_point = next(iter(scales(like)[1]), 0)
        if state_bytes(like) <= _LARGEST_ZEROS:
            return self.constant(name, np.full(shape(like), zero_point, _DTYPES[like.type]), like)
        filled = self.like(like, name, shape(like))
        size = self.constant(f"{name}/shape", np.array(shape(like), np.int32))
        zero = self.constant(f"{name}/zero", np.array(zero_point, _DTYPES[like.type]), like)
        self.op("FILL", [size, zero], [filled], make("FillOptionsT"))
        return filled

    def _opcode(self, name: str, version: int) -> int:
        code = getattr(schema.BuiltinOperator, name)
        for index, known in enumerate(self.model.operatorCodes):
            if (max(known.builtinCode, known.deprecatedBuiltinCode), known.version) == (
                code,
                version,
            ):
                return index
        placeholder = 127  # in the old one-byte field, for higher op codes
        self.model.operatorCodes.append(
            make(
                "OperatorCodeT",
                builtinCode=code,
                deprecatedBuiltinCode=min(code, placeholder),
                version=version,
            )
        )
        return len(self.model.operatorCodes) - 1


# Signatures and whole models ---------------------------------------------------------------------


def signature(model: Model, key: str) -> Any:
    """The signature named `key`.

    Raises:
      A2vError: there is no such signature.
    """
    for found in model.signatureDefs or []:
        if text(found.signatureKey) == key:
            return found
    raise A2vError(f"the model has no signature {key!r}")


def set_signature(graph: Graph, key: str, inputs: dict[str, int], outputs: dict[str, int]) -> None:
    """Set the inputs and outputs of a subgraph, and the signature that names them."""
    graph.subgraph.inputs, graph.subgraph.outputs = [*inputs.values()], [*outputs.values()]
    for name, index in [*inputs.items(), *outputs.items()]:
        graph.tensor(index).name = f"{key}_{name}"
    model = graph.model
    others = [s for s in model.signatureDefs or [] if text(s.signatureKey) != key]
    entry = make(
        "SignatureDefT",
        signatureKey=key,
        subgraphIndex=graph.index,
        inputs=[make("TensorMapT", name=n, tensorIndex=i) for n, i in inputs.items()],
        outputs=[make("TensorMapT", name=n, tensorIndex=i) for n, i in outputs.items()],
    )
    model.signatureDefs = [*others, entry]


def names(maps: Any) -> dict[str, int]:
    """Tensor indices of a signature's inputs or outputs by name."""
    return {text(entry.name): int(entry.tensorIndex) for entry in maps or []}


def single_graph(model: Model) -> Graph:
    """The only subgraph of a model.

    Raises:
      A2vError: there are several.
    """
    if len(model.subgraphs) != 1:
        raise A2vError(f"the model has {len(model.subgraphs)} subgraphs: expected 1")
    return Graph(model, model.subgraphs[0])


def insert(target: Graph, source: Model, replacements: dict[int, int]) -> dict[int, int]:
    """Append all ops of a model with one subgraph to a graph under construction.

    Args:
      target: the graph to extend.
      source: the model to insert, with its buffers and op codes.
      replacements: tensors of the source that exist in the target, source -> target.

    Returns:
      The index in the target of every tensor of the source.
    """
    graph = single_graph(source)
    mapping = dict(replacements)
    for index, tensor in enumerate(graph.subgraph.tensors):
        if index in mapping:
            continue
        moved = copy.deepcopy(tensor)
        if moved.buffer:
            target.model.buffers.append(source.buffers[tensor.buffer])
            moved.buffer = len(target.model.buffers) - 1
        mapping[index] = target.add(moved)
    for op in graph.subgraph.operators:
        copied = target.copy_op(op, _mapped(op.inputs, mapping), _mapped(op.outputs, mapping))
        target.model.operatorCodes.append(source.operatorCodes[op.opcodeIndex])
        copied.opcodeIndex = len(target.model.operatorCodes) - 1  # equal ones merge in `write`
    return mapping


def _mapped(indices: Any, mapping: dict[int, int]) -> list[int]:
    indices = [] if indices is None else indices
    return [_NO_TENSOR if i == _NO_TENSOR else mapping[int(i)] for i in indices]


def shallow_copy(model: Model) -> Model:
    """A model with the same subgraphs, to which others can be added without changing `model`."""
    copied = copy.copy(model)
    for name in ("subgraphs", "buffers", "operatorCodes", "signatureDefs", "metadata"):
        setattr(copied, name, list(getattr(model, name) or []))
    return copied


def empty_model() -> Model:
    """A model without subgraphs."""
    return make(
        "ModelT",
        version=3,
        description="a2v_tf",
        operatorCodes=[],
        subgraphs=[],
        buffers=[make("BufferT")],
        signatureDefs=[],
        metadata=[],
    )


def metadata(model: Model, name: str) -> str | None:
    """Text in the metadata entry `name`; None if there is none."""
    for entry in model.metadata or []:
        if text(entry.name) == name:
            return np.asarray(model.buffers[entry.buffer].data, np.uint8).tobytes().decode()
    return None


def set_metadata(model: Model, name: str, value: str) -> None:
    """Set the metadata entry `name` to a text."""
    model.buffers.append(make("BufferT", data=np.frombuffer(value.encode(), np.uint8)))
    entry = make("MetadataT", name=name, buffer=len(model.buffers) - 1)
    others = [old for old in model.metadata or [] if text(old.name) != name]
    model.metadata = [*others, entry]
