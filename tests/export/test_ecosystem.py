"""Exported files in the runtimes of LiteRT and TensorFlow, and in `litert-benchmark`."""

import json
import pathlib
import platform
import subprocess
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from a2v_tf.export import build, convert
from a2v_tf.export import flatbuffer as fb
from a2v_tf.export.check import probe_signal
from a2v_tf.models.encoder import build_encoder
from a2v_tf.runtime.embedder import KERNELS, Embedder, litert, make_interpreter
from a2v_tf.specs import EncoderConfig, InputStats
from tests.conftest import GOLDEN, command
from tests.export.conftest import randomise_batch_norm
from tests.export.signals import STEPS, frames_of, stream_of

try:
    from ai_edge_litert.compiled_model import CompiledModel
except ImportError:  # beside TensorFlow 2.16
    CompiledModel = None

EXPORTED = GOLDEN / "exported.npz"
STREAMING = [(input, state) for input in ("pcm", "log_mel") for state in ("internal", "external")]

Interpreter, _ = litert()

# Runs a signature: name, inputs by name -> outputs by name.
Run = Callable[..., dict[str, np.ndarray]]


def _with_interpreter(kind: Any, content: bytes, kernels: str = "xnnpack") -> Run:
    # TensorFlow's interpreter has its own enum, with the same names.
    ours = kind is not tf.lite.Interpreter
    resolvers = litert()[1] if ours else tf.lite.experimental.OpResolverType
    resolver = resolvers[KERNELS[kernels]]
    interpreter = kind(model_content=content, num_threads=1, experimental_op_resolver_type=resolver)
    return lambda signature, **inputs: interpreter.get_signature_runner(signature)(**inputs)


def _with_compiled_model(content: bytes) -> Run:
    model = CompiledModel.from_buffer(content)

    def run(signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        details = model.get_output_tensor_details(signature)
        given = {name: model.create_input_buffer_by_name(signature, name) for name in inputs}
        made = {name: model.create_output_buffer_by_name(signature, name) for name in details}
        for name, value in inputs.items():
            given[name].write(np.ascontiguousarray(value))
        model.run_by_name(signature, given, made)
        return {name: _value(buffer, details[name]) for name, buffer in made.items()}

    return run


def _value(buffer: Any, detail: dict[str, Any]) -> np.ndarray:
    shape = tuple(map(int, detail["shape"]))
    return buffer.read(int(np.prod(shape)), np.dtype(detail["dtype"])).reshape(shape)


RUNTIMES: dict[str, Callable[[bytes], Run]] = {
    "interpreter": lambda content: _with_interpreter(Interpreter, content),
    "tf.lite.Interpreter": lambda content: _with_interpreter(tf.lite.Interpreter, content),
}
if CompiledModel:
    RUNTIMES["CompiledModel"] = _with_compiled_model


def start_of(content: bytes) -> dict[str, np.ndarray]:
    """The initial external states: their zero points."""
    details = make_interpreter(content).get_signature_runner("embed").get_input_details()
    return {
        name: np.full(detail["shape"], detail["quantization"][1], detail["dtype"])
        for name, detail in details.items()
        if name.startswith("state_")
    }


def stream(run: Run, content: bytes, input: str, values: np.ndarray) -> np.ndarray:
    """Embed a stream step by step and feed the states back, `[steps, d]`."""
    states, embeddings = start_of(content), []
    for step in np.split(values, STEPS):
        outputs = run("embed", **{input: step[None]}, **states)
        states = {name: outputs[name] for name in states}
        embeddings.append(outputs["embedding"][0])
    return np.stack(embeddings)


def values_of(input: str) -> np.ndarray:
    pcm = stream_of("bursts_and_silence")
    return pcm if input == "pcm" else frames_of(pcm)


@pytest.mark.parametrize(("input", "state"), STREAMING)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_runtime_gives_the_same_int8(
    form: Callable, runtime: str, input: str, state: str
) -> None:
    content = form("int8", "streaming", input, state)
    values = values_of(input)
    embedder = Embedder(content)
    expected = np.stack([embedder.embed(step) for step in np.split(values, STEPS)])
    run = RUNTIMES[runtime](content)
    np.testing.assert_array_equal(stream(run, content, input, values), expected)
    if state == "internal":
        run("reset", trigger=np.zeros(1, np.float32))
        np.testing.assert_array_equal(stream(run, content, input, values), expected)


@pytest.mark.parametrize("input", ["pcm", "log_mel"])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_window_files_in_every_runtime(form: Callable, runtime: str, input: str) -> None:
    content = form("int8", "window", input)
    values = probe_signal(15_600) if input == "pcm" else frames_of(stream_of("chirp", 3))
    got = RUNTIMES[runtime](content)("embed", **{input: values[None]})["embedding"][0]
    np.testing.assert_array_equal(got, Embedder(content).embed(values))


# Files exported by an earlier version ------------------------------------------------------------


KEPT = [("pcm", "internal"), ("log_mel", "internal"), ("log_mel", "external")]


def _tiny_files() -> dict[tuple[str, str], bytes]:
    keras.utils.set_random_seed(0)
    encoder = build_encoder(EncoderConfig((2, 2, 2, 4, 4), 8), 96, 64, InputStats(-3.0, 4.0))
    randomise_batch_norm(encoder)
    slices = np.random.default_rng(0).normal(-3, 2, (16, 96, 64)).astype(np.float32)
    window = convert.window_model(encoder, slices)
    flags = {"mode": "streaming", "hop_frames": 32}
    return {
        (input, state): fb.write(build.build_form(window, input=input, state=state, **flags))
        for input, state in KEPT
    }


@pytest.fixture(scope="module")
def golden(pytestconfig: pytest.Config) -> dict[str, np.ndarray]:
    """Files exported by TensorFlow 2.21, and their embeddings by the builtin kernels.

    XNNPACK's kernels round otherwise, and TensorFlow 2.16 does not use them for int8.
    """
    if pytestconfig.getoption("--update"):
        arrays = {}
        for (input, state), content in _tiny_files().items():
            run = _with_interpreter(Interpreter, content, "builtin")
            arrays[f"{input}_{state}"] = np.frombuffer(content, np.uint8)
            embeddings = stream(run, content, input, values_of(input))
            arrays[f"{input}_{state}_embeddings"] = embeddings
        np.savez_compressed(EXPORTED, **arrays)
    with np.load(EXPORTED) as stored:
        return dict(stored)


@pytest.mark.parametrize(("input", "state"), KEPT)
@pytest.mark.parametrize(
    "kind", dict.fromkeys([Interpreter, tf.lite.Interpreter]), ids=lambda kind: kind.__module__
)
def test_a_file_gives_the_same_int8_under_every_version(
    golden: dict[str, np.ndarray], kind: Any, input: str, state: str
) -> None:
    """Under TensorFlow 2.16, 2.21 and LiteRT, whichever runs this test."""
    content = golden[f"{input}_{state}"].tobytes()
    expected = golden[f"{input}_{state}_embeddings"]
    got = stream(_with_interpreter(kind, content, "builtin"), content, input, values_of(input))
    step = np.diff(np.unique(expected)).min()
    # With PCM input, the float front end may round differently, and so may another CPU's kernels.
    exact = input == "log_mel" and platform.machine() in ("x86_64", "AMD64")
    np.testing.assert_allclose(got, expected, rtol=0, atol=0 if exact else 2.5 * step)


# LiteRT's own tools ------------------------------------------------------------------------------

if CompiledModel:

    @pytest.mark.parametrize("numbers", ["int8", "float"])
    def test_external_state_is_accelerated_as_a_whole(form: Callable, numbers: str) -> None:
        """XNNPACK runs every op of an encoder, but no delegate runs variables, the internal state.

        So internal-state files run in CompiledModel, bit for bit, but not as one accelerated part.
        """
        external, internal = (
            CompiledModel.from_buffer(form(numbers, "streaming", "log_mel", state))
            for state in ("external", "internal")
        )
        assert external.is_fully_accelerated()
        assert not internal.is_fully_accelerated()

    @pytest.mark.parametrize("state", ["internal", "external"])
    def test_litert_benchmark_runs(form: Callable, tmp_path: pathlib.Path, state: str) -> None:
        model, result = tmp_path / "model.tflite", tmp_path / "result.json"
        model.write_bytes(form("int8", "streaming", "pcm", state))
        flags = [f"--model={model}", "--num_runs=3", "--warmup_runs=1", f"--result_json={result}"]
        tool = command("litert-benchmark")
        run = subprocess.run([tool, *flags], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr[-2000:]
        told = json.loads(result.read_text())
        assert told["signature"] == "embed"
        assert told["latency"]["num_runs"] == 3
        assert told["latency"]["median_ms"] > 0
