"""The models of `a2v_benchmark`: exported files, and models of other projects from PyPI.

With LiteRT installed nothing here imports TensorFlow, so that the memory of a process is the
model's.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.resources
import os
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import default_rng  # loaded with this module, not while memory is watched

from a2v_tf.errors import A2vError
from a2v_tf.frontend import FRONT_END, FrontEnd
from a2v_tf.runtime import metadata
from a2v_tf.runtime.embedder import make_interpreter

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter

_STATE = "state_"


@dataclasses.dataclass(frozen=True)
class Case:
    """A model to measure, and how.

    Attributes:
      name: name in the table.
      model: path of an exported file, or a name of `PEERS`.
      kernels: as in `make_interpreter`.
      threads: of each interpreter.
    """

    name: str
    model: str
    kernels: str = "xnnpack"
    threads: int = 1


@dataclasses.dataclass(frozen=True)
class Part:
    """One TFLite file of a model, and the shape its input was resized to, None if it was not."""

    path: str
    input_shape: tuple[int, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Stepper:
    """An open model that runs step by step.

    Attributes:
      form: description for the table.
      streaming: whether a step continues the one before it.
      seconds: tells the seconds of audio in one step, None if the file does not define its frames.
        It reads the file, so not before memory was measured.
      parts: its TFLite files.
      inputs: noise, used in turn.
      step: runs the model on one of `inputs`.
    """

    form: str
    streaming: bool
    seconds: Callable[[], float | None]
    parts: tuple[Part, ...]
    inputs: list
    step: Callable

    @property
    def file_bytes(self) -> int:
        return sum(os.path.getsize(part.path) for part in self.parts)


def open_case(case: Case) -> Stepper:
    """Open the model of a case.

    Raises:
      A2vError: it is not an exported file, or the package of a peer is not installed.
    """
    if case.model in PEERS:
        return PEERS[case.model](case)
    return _exported(case)


def _noise(shape: tuple[int, ...], scale: float, count: int = 16) -> list[np.ndarray]:
    rng = default_rng(0)
    return [rng.normal(0, scale, shape).astype(np.float32) for _ in range(count)]


# Exported files ----------------------------------------------------------------------------------


def _exported(case: Case) -> Stepper:
    """Open an exported file, by tensor indices: a signature runner takes longer than some steps."""
    interpreter = make_interpreter(case.model, case.kernels, case.threads)
    signatures = interpreter.get_signature_list()
    name = os.path.basename(case.model)
    if "embed" not in signatures:
        raise A2vError(f"{name} has the signatures {list(signatures)}: expected 'embed'")
    inputs, outputs = _details(interpreter)
    taken = [n for n in inputs if not n.startswith(_STATE)]
    if taken not in (["pcm"], ["log_mel"]):
        raise A2vError(f"{name}: 'embed' takes {taken}: expected 'pcm' or 'log_mel'")
    primary = {detail["index"]: detail["name"] for detail in interpreter.get_input_details()}
    if primary != {detail["index"]: detail["name"] for detail in inputs.values()}:
        raise A2vError(f"{name}: expected 'embed' to be its first subgraph")
    interpreter.allocate_tensors()
    states = [(inputs[n]["index"], outputs[n]["index"]) for n in inputs if n.startswith(_STATE)]
    for state in (detail for n, detail in inputs.items() if n.startswith(_STATE)):
        zero = np.full(state["shape"], state["quantization"][1], state["dtype"])
        interpreter.set_tensor(state["index"], zero)
    first, embedding = inputs[taken[0]]["index"], outputs["embedding"]["index"]

    def step(values: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(first, values)
        interpreter.invoke()
        for before, after in states:
            interpreter.set_tensor(before, interpreter.get_tensor(after))
        return interpreter.get_tensor(embedding)

    state = "internal" if "reset" in signatures else "external" if states else None
    shape = tuple(map(int, inputs[taken[0]]["shape"]))
    return Stepper(
        form=_form(interpreter, taken[0], state),
        streaming=state is not None,
        seconds=lambda: _seconds(case.model, shape, state is not None),
        parts=(Part(case.model),),
        inputs=_noise(shape, 0.1),
        step=step,
    )


def _details(interpreter: Interpreter) -> tuple[dict, dict]:
    """Inputs and outputs of `embed`; the runner is released before the interpreter is used."""
    runner = interpreter.get_signature_runner("embed")
    return runner.get_input_details(), runner.get_output_details()


def _form(interpreter: Interpreter, takes: str, state: str | None) -> str:
    types = {np.dtype(detail["dtype"]) for detail in interpreter.get_tensor_details()}
    numbers = "int8" if np.dtype(np.int8) in types else "float"
    return f"{numbers}, {takes}, {f'{state} state' if state else 'window'}"


def _seconds(model: str, shape: tuple[int, ...], streaming: bool) -> float | None:
    """Seconds of audio in an input `[1, samples]` or `[1, frames, bins]`."""
    facts = metadata.facts(model).get("front_end", vars(FRONT_END))
    if "columns" in facts:
        return None  # band levels
    front_end = FrontEnd.of(facts)
    if len(shape) == 2:
        return shape[1] / front_end.sample_rate
    if shape[2] != front_end.bins:
        return None
    # The last frame of a window is longer than the hop.
    return front_end.period * shape[1] if streaming else front_end.seconds(shape[1])


# Peers -------------------------------------------------------------------------------------------

OPEN_WAKE_WORD = "pyopen_wakeword", "pyopen-wakeword"  # as a package, as a distribution


def packaged_model(package: str, distribution: str, name: str) -> str:
    """The path of a model in a package from PyPI.

    Raises:
      A2vError: the package is not installed, or does not contain the model.
    """
    try:
        path = pathlib.Path(str(importlib.resources.files(package) / "models" / name))
    except ImportError as error:
        raise A2vError(
            f"{distribution} is not installed: pip install '.[benchmark]' brings it"
        ) from error
    if not path.is_file():
        version = importlib.metadata.version(distribution)
        raise A2vError(f"{distribution} {version} has no models/{name}: expected another release")
    return str(path)


def package_version(distribution: str) -> str:
    """A package's name and its installed version."""
    return f"{distribution} {importlib.metadata.version(distribution)}"


def _open_wake_word(case: Case, hop: int) -> Stepper:
    """openWakeWord's features, `hop` samples a step, as its streaming code computes them.

    Each step makes the mel frames of the new samples (and of the 480 before them, which their
    first windows reach back to), and one embedding of the last 76 frames: `melspectrogram.tflite`,
    then Google's speech_embedding, `embedding_model.tflite`.
    """
    mel_path = packaged_model(*OPEN_WAKE_WORD, "melspectrogram.tflite")
    embedding_path = packaged_model(*OPEN_WAKE_WORD, "embedding_model.tflite")
    mel = make_interpreter(mel_path, case.kernels, case.threads, allocate=False)
    mel_in = mel.get_input_details()[0]["index"]
    mel.resize_tensor_input(mel_in, [1, hop + 480])
    mel.allocate_tensors()
    mel_out = mel.get_output_details()[0]["index"]
    model = make_interpreter(embedding_path, case.kernels, case.threads)
    model.allocate_tensors()
    model_in = model.get_input_details()[0]["index"]
    model_out = model.get_output_details()[0]["index"]
    recent = np.zeros((1, hop + 480), np.float32)
    frames = np.zeros((1, 76, 32, 1), np.float32)

    def step(pcm: np.ndarray) -> np.ndarray:
        recent[:, :480] = recent[:, -480:]
        recent[:, 480:] = pcm
        mel.set_tensor(mel_in, recent)
        mel.invoke()
        new = mel.get_tensor(mel_out)[0, 0] / 10 + 2
        frames[0, : -len(new), :, 0] = frames[0, len(new) :, :, 0].copy()
        frames[0, -len(new) :, :, 0] = new
        model.set_tensor(model_in, frames)
        model.invoke()
        return model.get_tensor(model_out)

    return Stepper(
        form=f"float, pcm, {package_version(OPEN_WAKE_WORD[1])}",
        streaming=True,
        seconds=lambda: hop / FRONT_END.sample_rate,
        parts=(Part(mel_path, (1, hop + 480)), Part(embedding_path)),
        inputs=_noise((1, hop), 3_000),  # float32 with the values of int16
        step=step,
    )


def _micro_wake_word(case: Case, front_end: bool) -> Stepper:
    """microWakeWord's keyword model "okay nabu", which outputs a probability, not an embedding.

    It runs alone, or on PCM with its package's front end, a C++ library.
    """
    path = packaged_model("pymicro_wakeword", "pymicro-wakeword", "okay_nabu.tflite")
    model = make_interpreter(path, case.kernels, case.threads)
    model.allocate_tensors()
    detail, output = model.get_input_details()[0], model.get_output_details()[0]["index"]
    scale, zero_point = detail["quantization"]
    index, stride = detail["index"], int(detail["shape"][1])

    def step(features: np.ndarray) -> np.ndarray:
        quantised = np.clip(np.round(features / scale + zero_point), -128, 127)
        model.set_tensor(index, quantised.astype(np.int8))
        model.invoke()
        return model.get_tensor(output)

    shared: dict[str, Any] = {
        "streaming": True,
        "seconds": lambda: FRONT_END.period * stride,
        "parts": (Part(path),),
    }
    version = package_version("pymicro-wakeword")
    if not front_end:
        inputs = [np.abs(features) for features in _noise(tuple(detail["shape"]), 8)]
        return Stepper(f"int8, features, {version}", inputs=inputs, step=step, **shared)
    from pymicro_wakeword import MicroWakeWordFeatures

    features = MicroWakeWordFeatures()
    rows: list[np.ndarray] = []

    def step_from_pcm(pcm: bytes) -> np.ndarray | None:
        rows.extend(features.process_streaming(pcm))
        if len(rows) < stride:
            return None
        joined = np.concatenate(rows[:stride], axis=1)
        del rows[:stride]
        return step(joined)

    noise = [x.astype(np.int16).tobytes() for x in _noise((FRONT_END.hop_length * stride,), 3_000)]
    return Stepper(f"int8, pcm, {version}", inputs=noise, step=step_from_pcm, **shared)


PEERS: dict[str, Callable[[Case], Stepper]] = {
    "openwakeword": lambda case: _open_wake_word(case, 1_280),
    "openwakeword_320": lambda case: _open_wake_word(case, 5_120),
    "microwakeword": lambda case: _micro_wake_word(case, front_end=True),
    "microwakeword_model": lambda case: _micro_wake_word(case, front_end=False),
}
