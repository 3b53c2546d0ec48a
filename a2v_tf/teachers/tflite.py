"""A TFLite file as a teacher: `tflite:FILE`, from the PCM of a slice to one vector."""

import pathlib
from typing import Any

import numpy as np

from a2v_tf.audio.read import SLICE_SAMPLES
from a2v_tf.errors import A2vError
from a2v_tf.runtime.embedder import make_interpreter
from a2v_tf.teachers.base import Teacher, fingerprint, in_each_thread

REVISION = 1  # increase it with every change of the outputs


def load(file: str) -> Teacher:
    """The teacher `tflite:FILE`.

    Args:
      file: with one input, float32 PCM `[1, 15600]` or `[15600]`, and one output, float32.

    Raises:
      A2vError: there is no such file, or its inputs and outputs are others.
    """
    name = f"tflite:{file}"
    try:
        interpreter = make_interpreter(pathlib.Path(file))
    except A2vError as error:
        raise A2vError(f"teacher {name}: {error}") from error
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    if not (_is_one(inputs) and np.prod(inputs[0]["shape"]) == SLICE_SAMPLES):
        raise A2vError(
            f"teacher {name}: takes {_in_words(inputs)}: expected float32 [1, {SLICE_SAMPLES}]"
        )
    if not (_is_one(outputs) and (outputs[0]["shape"] > 0).all()):
        raise A2vError(f"teacher {name}: gives {_in_words(outputs)}: expected one float32 vector")
    ours = in_each_thread(lambda: _opened(file))

    def compute(pcm: np.ndarray) -> np.ndarray:
        run = ours()
        found = []
        for one in pcm:
            run.set_tensor(inputs[0]["index"], one.reshape(inputs[0]["shape"]))
            run.invoke()
            found.append(run.get_tensor(outputs[0]["index"]).reshape(-1))
        return np.stack(found)

    dim = int(np.prod(outputs[0]["shape"]))
    key = fingerprint("tflite", REVISION, files=[pathlib.Path(file)])
    return Teacher(name, dim, compute, "unknown", file, key)


def _opened(file: str) -> Any:
    interpreter = make_interpreter(pathlib.Path(file))
    interpreter.allocate_tensors()
    return interpreter


def _is_one(details: list[dict]) -> bool:
    return len(details) == 1 and details[0]["dtype"] == np.float32


def _in_words(details: list[dict]) -> str:
    return " and ".join(
        f"{np.dtype(one['dtype']).name} {[int(size) for size in one['shape']]}" for one in details
    )
