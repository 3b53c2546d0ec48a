"""Damaged TFLite files: what is wrong is found before the interpreter runs them."""

import pathlib
import subprocess
import sys

import flatbuffers
import numpy as np
import pytest

from a2v_tf import pretrained
from a2v_tf.errors import A2vError
from a2v_tf.export import flatbuffer as fb
from a2v_tf.runtime.embedder import Embedder, make_interpreter
from a2v_tf.runtime.verify import flaw

ROOT = pathlib.Path(__file__).parents[2]
STREAMING = pretrained.resolve("pretrained", pretrained.STREAMING).read_bytes()


@pytest.mark.parametrize("path", sorted(ROOT.glob("a2v_tf/pretrained/**/*.tflite")), ids=str)
def test_whole_files_have_no_flaw(path):
    assert flaw(path.read_bytes()) is None


def test_every_form_that_is_exported_has_no_flaw(form):
    for numbers in ("float", "int8"):
        for state in ("internal", "external"):
            for input in ("pcm", "log_mel"):
                assert flaw(form(numbers, "streaming", input, state)) is None
        assert flaw(form(numbers, "window", "pcm")) is None


def first(model, condition):
    """The first tensor of a model's graphs that meets a condition."""
    return next(x for graph in model.subgraphs for x in graph.tensors if condition(model, x))


def is_constant(model, tensor):
    return model.buffers[tensor.buffer].data is not None and tensor.quantization is not None


def written(model):
    """Pack a model with whatever is wrong in it, which `fb.write` would not do."""
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def is_per_channel(model, tensor):
    scales = tensor.quantization.scale if is_constant(model, tensor) else None
    return scales is not None and len(scales) > 1


def operator(model, name):
    codes = [code.builtinCode for code in model.operatorCodes]
    index = codes.index(getattr(fb.schema.BuiltinOperator, name))
    return next(
        (graph, op)
        for graph in model.subgraphs
        for op in graph.operators
        if op.opcodeIndex == index
    )


def constant_of(model, name, place, values):
    """Replace a constant input of the first operator of a kind."""
    graph, op = operator(model, name)
    tensor = graph.tensors[op.inputs[place]]
    model.buffers[tensor.buffer].data = np.frombuffer(np.int32(values).tobytes(), np.uint8)


DAMAGE = {
    "has no buffer": lambda m: setattr(first(m, is_constant), "buffer", 10_000),
    "is of no kind": lambda m: setattr(m.subgraphs[0].operators[0], "opcodeIndex", 999),
    "of the format: expected 3": lambda m: setattr(m, "version", 4),
    "it holds no graph": lambda m: setattr(m, "subgraphs", []),
    "has the shape": lambda m: setattr(first(m, is_constant), "shape", [-1, 3]),
    "bytes: expected": lambda m: setattr(first(m, is_constant), "shape", [5, 3]),
    "has a scale outside": lambda m: setattr(
        first(m, is_per_channel).quantization,
        "scale",
        [float("nan")] * len(first(m, is_per_channel).quantization.scale),
    ),
    "outputs of 1.": lambda m: setattr(
        m.subgraphs[0].tensors[operator(m, "CONV_2D")[1].outputs[0]].quantization, "scale", [1e-15]
    ),
    "scales for axis": lambda m: setattr(
        first(m, is_per_channel).quantization, "quantizedDimension", 9
    ),
    "zero points: expected": lambda m: setattr(
        first(m, is_per_channel).quantization, "zeroPoint", [0, 0]
    ),
    "a zero point outside": lambda m: setattr(
        first(m, is_per_channel).quantization,
        "zeroPoint",
        [1_000] * len(first(m, is_per_channel).quantization.scale),
    ),
    "takes or gives tensors": lambda m: setattr(m.subgraphs[0].operators[0], "inputs", [70_000]),
    "inputs or outputs that are not there": lambda m: setattr(m.subgraphs[0], "outputs", [70_000]),
    "that are none of its graph": lambda m: setattr(
        m.signatureDefs[0].outputs[0], "tensorIndex", 70_000
    ),
    "is of no graph": lambda m: setattr(m.signatureDefs[0], "subgraphIndex", 7),
    "has strides or sizes": lambda m: setattr(
        operator(m, "CONV_2D")[1].builtinOptions, "strideW", 0
    ),
    "for a tensor of": lambda m: constant_of(m, "SLICE", 1, [0, 9_000]),
}


@pytest.mark.parametrize("message", DAMAGE)
def test_what_is_wrong_is_said(message):
    model = fb.read(STREAMING)
    DAMAGE[message](model)
    content = written(model)
    assert message in (flaw(content) or "")
    with pytest.raises(A2vError, match=r"^these bytes is not a TFLite model .*: ") as e:
        make_interpreter(content)
    assert len(str(e.value).splitlines()) == 1


@pytest.mark.parametrize(
    "content", [b"", b"TFL3", b"\0\0\0\0TFL3", b"x" * 1_000, STREAMING[:5_000]]
)
def test_what_is_no_tflite_file(content, tmp_path):
    assert flaw(content)
    (tmp_path / "model.tflite").write_bytes(content)
    with pytest.raises(A2vError, match="is not a TFLite model that runs here"):
        Embedder(tmp_path / "model.tflite")


def test_damaged_copies_never_end_the_process():
    """Each in a process of its own; `make torture` tries thousands."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.torture", "--kinds=tflite", "--cases=40", "--seed=1"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert run.returncode == 0, run.stdout + run.stderr
