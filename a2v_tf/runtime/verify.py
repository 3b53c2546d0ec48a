"""Check a TFLite file before the interpreter runs it, which trusts most of what it reads.

LiteRT verifies that a file is a flatbuffer, but not that sizes, indices, quantisation and constants
agree: a damaged file can end the process. What is checked here holds in every file of a converter.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from a2v_tf.runtime.flatbuffer import (
    DAMAGED,
    DATA,
    FLOATS,
    INT,
    INT8,
    INTS,
    LONGS,
    TEXT,
    UINT,
    Layout,
    read_table,
    root,
)

_VERSION = 3
_MOST = 2**28  # elements of a tensor
_LEAST = 1e-25  # scale
_GREATEST_RATIO = 2.0**30  # of scales: kernels multiply by it, as a number of 32 bits and a shift

# The part of the TFLite schema, version 3, that is checked.
_CONV: Layout = {"stride_w": (1, INT), "stride_h": (2, INT)}
_POOL: Layout = {**_CONV, "filter_w": (3, INT), "filter_h": (4, INT)}
# By the code of BuiltinOptions, all without a name but these: convolutions and pools.
_OPTIONS: dict[int, tuple[str, Layout]] = {code: ("other", {}) for code in range(256)}
_OPTIONS |= {1: ("conv", _CONV), 2: ("conv", _CONV), 5: ("pool", _POOL)}
_SIZES = {"conv": tuple(_CONV), "pool": tuple(_POOL)}
_OPERATOR: Layout = {
    "opcode": (0, UINT),
    "inputs": (1, INTS),
    "outputs": (2, INTS),
    "options": (3, _OPTIONS),
}
_QUANTIZATION: Layout = {"scale": (2, FLOATS), "zero_point": (3, LONGS), "dimension": (6, INT)}
_TENSOR: Layout = {
    "shape": (0, INTS),
    "type": (1, INT8),
    "buffer": (2, UINT),
    "quantization": (4, _QUANTIZATION),
    "is_variable": (5, INT8),
    "sparsity": (6, {}),
}
_SUBGRAPH: Layout = {
    "tensors": (0, [_TENSOR]),
    "inputs": (1, INTS),
    "outputs": (2, INTS),
    "operators": (3, [_OPERATOR]),
}
_TENSOR_MAP: Layout = {"name": (0, TEXT), "tensor": (1, UINT)}
_SIGNATURE: Layout = {
    "inputs": (0, [_TENSOR_MAP]),
    "outputs": (1, [_TENSOR_MAP]),
    "key": (2, TEXT),
    "subgraph": (4, UINT),
}
_MODEL: Layout = {
    "version": (0, UINT),
    "opcodes": (1, [{"old_code": (0, INT8), "code": (3, INT)}]),
    "subgraphs": (2, [_SUBGRAPH]),
    "buffers": (4, [{"data": (0, DATA)}]),
    "signatures": (7, [_SIGNATURE]),
}

# TensorType: the bits of an element, and the limits of a zero point where there are any.
_BITS = {0: 32, 1: 16, 2: 32, 3: 8, 4: 64, 6: 8, 7: 16, 8: 64, 9: 8, 10: 64, 11: 128, 12: 64}
_BITS |= {15: 32, 16: 16, 17: 4}
_ZERO_POINTS = {2: (0, 0), 3: (0, 255), 7: (0, 0), 9: (-128, 127), 17: (-8, 7)}
_INTEGERS = {2: "<i4", 4: "<i8"}

# BuiltinOperator: operators whose constant inputs are places or sizes.
_RESHAPE, _PAD, _TRANSPOSE, _SLICE, _STRIDED_SLICE = 22, 34, 39, 65, 45
_OVER_AXES = {40, 74, 81, 82, 89}  # MEAN, SUM, REDUCE_PROD, REDUCE_MAX, REDUCE_MIN


class _FlawError(Exception):
    """What is wrong with a file."""


def flaw(content: bytes) -> str | None:
    """Say what is wrong with the content of a TFLite file; None if nothing is found."""
    if content[4:8] != b"TFL3":
        return "expected a TFLite model"
    try:
        _check(read_table(root(content), _MODEL))
    except _FlawError as error:
        return str(error)
    except DAMAGED as error:
        return f"its tables cannot be read ({' '.join(str(error).split())})"
    return None


def _check(model: dict[str, Any]) -> None:
    if model.get("version") != _VERSION:
        raise _FlawError(
            f"it has version {model.get('version')} of the format: expected {_VERSION}"
        )
    codes = [max(code.get("old_code", 0), code.get("code", 0)) for code in model.get("opcodes", [])]
    buffers = [buffer.get("data", b"") for buffer in model.get("buffers", [])]
    graphs = model.get("subgraphs", [])
    if not graphs:
        raise _FlawError("it holds no graph")
    for i, graph in enumerate(graphs):
        tensors = graph.get("tensors", [])
        for j, tensor in enumerate(tensors):
            _check_tensor(f"tensor {j} of graph {i}", tensor, buffers)
        _check_order(f"graph {i}", graph, buffers)
        for j, operator in enumerate(graph.get("operators", [])):
            name = f"operator {j} of graph {i}"
            if operator.get("opcode", 0) >= len(codes):
                raise _FlawError(f"{name} is of no kind")
            _check_strides(name, operator)
            inputs = [tensors[k] if k >= 0 else None for k in operator.get("inputs", [])]
            _check_ratio(name, inputs, [tensors[k] for k in operator.get("outputs", [])])
            _check_constants(name, codes[operator.get("opcode", 0)], inputs, buffers)
    for signature in model.get("signatures", []):
        _check_signature(signature, graphs)


def _check_tensor(name: str, tensor: dict[str, Any], buffers: Sequence[bytes]) -> None:
    shape, kind = tensor.get("shape", []), tensor.get("type", 0)
    size = math.prod(shape)
    if any(n < 0 for n in shape) or size > _MOST:
        raise _FlawError(f"{name} has the shape {shape}")
    if tensor.get("buffer", 0) >= len(buffers):
        raise _FlawError(f"{name} has no buffer")
    data = buffers[tensor.get("buffer", 0)]
    if data and kind in _BITS and "sparsity" not in tensor:
        expected = (size * _BITS[kind] + 7) // 8
        if len(data) != expected:
            raise _FlawError(f"{name} has {len(data)} bytes: expected {expected} for {shape}")
    quantization = tensor.get("quantization", {})
    scales, zeros = quantization.get("scale", []), quantization.get("zero_point", [])
    if not scales:
        return
    if not all(_LEAST < scale < 1 / _LEAST for scale in scales):
        raise _FlawError(f"{name} has a scale outside {_LEAST:g} to {1 / _LEAST:g}")
    axis = quantization.get("dimension", 0)
    if len(scales) > 1 and not (0 <= axis < len(shape) and shape[axis] == len(scales)):
        raise _FlawError(f"{name} has {len(scales)} scales for axis {axis} of {shape}")
    if len(zeros) not in (0, 1, len(scales)):
        raise _FlawError(f"{name} has {len(zeros)} zero points: expected {len(scales)}")
    low, high = _ZERO_POINTS.get(kind, (-(2**31), 2**31 - 1))
    if not all(low <= zero <= high for zero in zeros):
        raise _FlawError(f"{name} has a zero point outside {low} to {high}")


def _check_order(name: str, graph: dict[str, Any], buffers: Sequence[bytes]) -> None:
    """Every tensor that an operator takes is there when it runs."""
    tensors = graph.get("tensors", [])
    every = range(len(tensors))
    ends = [*graph.get("inputs", []), *graph.get("outputs", [])]
    if not all(i in every for i in ends):
        raise _FlawError(f"{name} has inputs or outputs that are not there")
    filled = {i for i, tensor in enumerate(tensors) if buffers[tensor.get("buffer", 0)]}
    filled |= {i for i, tensor in enumerate(tensors) if tensor.get("is_variable")}
    # A constant may be empty.
    filled |= {i for i, tensor in enumerate(tensors) if 0 in tensor.get("shape", [])}
    filled |= set(graph.get("inputs", []))
    for j, operator in enumerate(graph.get("operators", [])):
        taken, given = operator.get("inputs", []), operator.get("outputs", [])
        if not all(i == -1 or i in filled for i in taken) or not all(i in every for i in given):
            raise _FlawError(f"operator {j} of {name} takes or gives tensors that are not there")
        filled |= set(given)
    if not filled.issuperset(graph.get("outputs", [])):
        raise _FlawError(f"{name} has outputs that nothing computes")


def _check_strides(name: str, operator: dict[str, Any]) -> None:
    given: dict[str, dict[str, int]] = operator.get("options", {})
    kind, options = next(iter(given.items()), ("other", dict[str, int]()))
    # 0 is the default of the schema, which files leave out.
    sizes = [options.get(field, 0) for field in _SIZES.get(kind, ())]
    if not all(0 < size <= _MOST for size in sizes):
        raise _FlawError(f"{name} has strides or sizes of {sizes}")


def _check_ratio(
    name: str, inputs: Sequence[dict[str, Any] | None], outputs: Sequence[dict[str, Any]]
) -> None:
    """The step from the scales of an operator's first inputs to those of its outputs is finite."""
    taken = [max(_scales(tensor), default=1.0) for tensor in inputs[:2]]
    for tensor in outputs:
        for scale in _scales(tensor):
            if max([math.prod(taken), *taken]) / scale > _GREATEST_RATIO:
                raise _FlawError(f"{name} has inputs of the scales {taken}, outputs of {scale}")


def _scales(tensor: dict[str, Any] | None) -> list[float]:
    return (tensor or {}).get("quantization", {}).get("scale", [])


def _check_constants(
    name: str, code: int, inputs: Sequence[dict[str, Any] | None], buffers: Sequence[bytes]
) -> None:
    """Constants that are axes, places or sizes are within the tensor that they are for."""
    of = {_RESHAPE: [1], _PAD: [1], _TRANSPOSE: [1], _SLICE: [1, 2], _STRIDED_SLICE: [1, 2, 3]}
    of |= {axes: [1] for axes in _OVER_AXES}
    if code not in of:
        return
    if not inputs or any(i >= len(inputs) for i in of[code][:1]):
        raise _FlawError(f"{name} takes {len(inputs)} tensors")
    shape = (inputs[0] or {}).get("shape", [])
    values = [_constant(inputs[i], buffers) if i < len(inputs) else None for i in of[code]]
    if any(value is None for value in values):
        return  # computed
    first = values[0]
    assert first is not None
    if code == _TRANSPOSE:
        good = sorted(first) == list(range(len(shape)))
    elif code == _RESHAPE:
        size, known = math.prod(shape), math.prod(n for n in first if n != -1)
        free = first.count(-1)
        good = free <= 1 and all(n >= -1 for n in first)
        good &= size == known if not free else known > 0 and size % known == 0
    elif code == _PAD:
        good = len(first) == 2 * len(shape) and all(0 <= n <= _MOST for n in first)
    elif code == _SLICE:
        sizes = values[1] or []
        good = len(first) == len(sizes) == len(shape) and all(
            begin >= 0 and size >= -1 and begin + max(size, 0) <= n
            for begin, size, n in zip(first, sizes, shape, strict=True)
        )
    elif code == _STRIDED_SLICE:
        good = len({len(value) for value in values if value is not None}) == 1
        good &= len(first) <= len(shape) and 0 not in (values[2] or [])
    else:
        good = all(-len(shape) <= axis < max(1, len(shape)) for axis in first)
    if not good:
        raise _FlawError(f"{name} takes {values} for a tensor of {shape}")


def _constant(tensor: dict[str, Any] | None, buffers: Sequence[bytes]) -> list[int] | None:
    """The integers of a constant; None of what is none."""
    tensor = tensor or {}
    dtype, data = _INTEGERS.get(tensor.get("type", 0)), buffers[tensor.get("buffer", 0)]
    return np.frombuffer(data, dtype).tolist() if dtype and data else None


def _check_signature(signature: dict[str, Any], graphs: Sequence[dict[str, Any]]) -> None:
    key, index = signature.get("key"), signature.get("subgraph", 0)
    if index >= len(graphs):
        raise _FlawError(f"signature {key!r} is of no graph")
    graph = graphs[index]
    for end in ("inputs", "outputs"):
        named = [entry.get("tensor", 0) for entry in signature.get(end, [])]
        if not set(named) <= set(graph.get(end, [])):
            raise _FlawError(f"signature {key!r} has {end} that are none of its graph")
