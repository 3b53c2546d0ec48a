"""Reading and building TFLite files, and the private schema API that this uses."""

import numpy as np
import pytest

from a2v_tf.errors import A2vError
from a2v_tf.export import flatbuffer as fb
from a2v_tf.runtime.embedder import make_interpreter


def _graph_of_all_ops() -> fb.Graph:
    """`embed(x [1, 6, 4, 2]) -> (joined, tail, pooled, maximum)`, with one op of each kind."""
    graph = fb.Graph.new(fb.empty_model(), "embed")
    x = graph.computed("x", [1, 6, 4, 2])
    ones = graph.constant("ones", np.ones((1, 2, 4, 2), np.float32))
    joined = graph.concatenate("joined", [ones, x], axis=1)
    padded = graph.pad("padded", joined, [(0, 0), (1, 0), (0, 1), (0, 0)])
    outputs = {
        "joined": joined,
        "tail": graph.last("tail", padded, axis=1, count=3),
        "pooled": graph.max_pool("pooled", joined, (2, 4), (2, 4)),
        "maximum": graph.reduce_max("maximum", joined, [1, 2], (1, 2)),
        "flat": graph.reshape("flat", joined, (1, 64)),
    }
    fb.set_signature(graph, "embed", {"x": x}, outputs)
    return graph


def test_built_ops_compute_the_expected_values() -> None:
    content = fb.write(_graph_of_all_ops().model)
    x = np.random.default_rng(0).normal(size=(1, 6, 4, 2)).astype(np.float32)
    got = make_interpreter(content).get_signature_runner("embed")(x=x)
    joined = np.concatenate([np.ones((1, 2, 4, 2), np.float32), x], axis=1)
    padded = np.pad(joined, [(0, 0), (1, 0), (0, 1), (0, 0)])
    np.testing.assert_array_equal(got["joined"], joined)
    np.testing.assert_array_equal(got["tail"], padded[:, -3:])
    np.testing.assert_array_equal(
        got["pooled"], joined.reshape(1, 4, 2, 4, 2).max((2, 3))[:, :, None]
    )
    np.testing.assert_array_equal(got["maximum"], joined.max((1, 2)))
    np.testing.assert_array_equal(got["flat"], joined.reshape(1, 64))


def test_reading_and_writing_preserves_a_model() -> None:
    content = fb.write(_graph_of_all_ops().model)
    assert fb.write(fb.read(content)) == content


def test_write_omits_unused_buffers_and_ops_and_preserves_the_model() -> None:
    graph = _graph_of_all_ops()
    content = fb.write(graph.model)
    unused = np.zeros(10_000, np.uint8)
    graph.model.buffers.append(fb.make("BufferT", data=unused))
    assert fb.write(graph.model) == content
    assert graph.model.buffers[-1].data is unused


def test_equal_constants_are_stored_once() -> None:
    graph = fb.Graph.new(fb.empty_model(), "embed")
    for name in ("a", "b"):
        graph.constant(name, np.arange(5, dtype=np.float32))
    read = fb.read(fb.write(graph.model))
    a, b = read.subgraphs[0].tensors
    assert a.buffer == b.buffer
    np.testing.assert_array_equal(fb.constant(read, b), np.arange(5))


def test_metadata_is_kept_and_replaced() -> None:
    model = _graph_of_all_ops().model
    for value in ("first", "sécond"):
        fb.set_metadata(model, "key", value)
    read = fb.read(fb.write(model))
    assert fb.metadata(read, "key") == "sécond"
    assert fb.metadata(read, "other") is None
    assert len(read.metadata) == 1


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\x00" * 64])
def test_refuses_other_files(content: bytes) -> None:
    with pytest.raises(A2vError, match="not a TFLite model"):
        fb.read(content)


def test_quantised_zeros_are_the_zero_point() -> None:
    graph = fb.Graph.new(fb.empty_model(), "embed")
    state = graph.computed("state", [1, 3], np.int8)
    graph.tensor(state).quantization = fb.make(
        "QuantizationParametersT", scale=[0.5], zeroPoint=[-7], quantizedDimension=0
    )
    zeros = graph.tensor(graph.zeros("zeros", graph.tensor(state)))
    np.testing.assert_array_equal(fb.constant(graph.model, zeros), np.full((1, 3), -7, np.int8))
    assert fb.scales(zeros) == ((0.5,), (-7,))


def test_the_private_schema_has_the_used_names() -> None:
    """Fails with a name when TensorFlow or LiteRT changes the schema module."""
    fields = {
        "ModelT": "version description operatorCodes subgraphs buffers signatureDefs metadata",
        "SubGraphT": "tensors inputs outputs operators name",
        "TensorT": "name type shape buffer quantization hasRank",
        "OperatorT": "opcodeIndex inputs outputs builtinOptions builtinOptionsType",
        "OperatorCodeT": "builtinCode deprecatedBuiltinCode version customCode",
        "SignatureDefT": "signatureKey subgraphIndex inputs outputs",
        "TensorMapT": "name tensorIndex",
        "BufferT": "data",
        "MetadataT": "name buffer",
        "QuantizationParametersT": "scale zeroPoint",
        "VarHandleOptionsT": "container sharedName",
        "CallOnceOptionsT": "initSubgraphIndex",
        "ConcatenationOptionsT": "axis",
        "ReducerOptionsT": "keepDims",
        "ReshapeOptionsT": "newShape",
        "Pool2DOptionsT": "padding filterHeight filterWidth strideH strideW",
        "Conv2DOptionsT": "padding strideH dilationHFactor fusedActivationFunction",
    }
    for kind, names in fields.items():
        missing = set(names.split()) - set(vars(fb.make(kind)))
        assert not missing, f"schema.{kind} has no {missing}"
