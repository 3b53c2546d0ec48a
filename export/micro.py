"""Files for microcontrollers: what TFLite Micro runs, and the memory that it needs."""

import os
import re
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from a2v_tf.errors import A2vError
from a2v_tf.export import flatbuffer as fb
from a2v_tf.export.check import probe_signal, smallest_step
from a2v_tf.export.part import Part
from a2v_tf.export.rewrite import STATE
from a2v_tf.frontend import FRONT_END, log_mel
from a2v_tf.runtime.embedder import Embedder

# Those of TFLite Micro that exported files use.
OPS = {
    *("ADD", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "DEQUANTIZE", "FULLY_CONNECTED"),
    *("MAX_POOL_2D", "MEAN", "MUL", "PAD", "QUANTIZE", "REDUCE_MAX", "RELU", "RESHAPE", "SLICE"),
    *("SQRT", "SQUARED_DIFFERENCE", "SUB"),
}
_ARENA = 2_000_000  # bytes for a first run, which measures what is needed
_MOST_STEPS = 1  # TFLite Micro's last FULLY_CONNECTED rounds otherwise than LiteRT's
_SECONDS = 2.0


def check_possible(part: str, format: str, quantize: bool) -> None:
    """Raise `A2vError` if there is no such file for microcontrollers."""
    if part != Part.name:
        raise A2vError(f"--target=micro: expected --part={Part.name}, got --part={part}")
    if format != "tflite":
        raise A2vError(f"--target=micro: expected --format=tflite, got --format={format}")
    if not quantize:
        raise A2vError("--target=micro: expected --quantize, as the arena of float files is large")


def check_ops(content: bytes) -> None:
    """Check that TFLite Micro has all ops of a file.

    Raises:
      A2vError: it lacks some.
    """
    model = fb.read(content)
    used = {fb.kind(model, op) for graph in model.subgraphs for op in graph.operators}
    if missing := sorted(used - OPS):
        raise A2vError(f"--target=micro: the file has {', '.join(missing)}: expected {sorted(OPS)}")


def check(content: bytes) -> dict[str, Any]:
    """Check a file with external state or of a window, and run it in TFLite Micro if installed.

    Returns:
      `flash_bytes`, the size of the file; `arena_bytes`, what TFLite Micro allocates on a 64-bit
      machine, and `max_steps`, by how many quantisation steps its embeddings differ from those of
      LiteRT's reference kernels. Both are None without the package tflite-micro.

    Raises:
      A2vError: TFLite Micro lacks an op, or differs by more than one step.
    """
    check_ops(content)
    try:
        embedder = MicroEmbedder(content)
    except ImportError:
        return {"flash_bytes": len(content), "arena_bytes": None, "max_steps": None}
    reference = Embedder(content, "reference")
    frames, _ = reference.input_shape
    count = max(1, round(_SECONDS / FRONT_END.period / frames))
    values = log_mel(probe_signal(FRONT_END.samples(count * frames))).numpy()
    chunks = np.split(values, count)
    got, expected = (np.stack([each.embed(x) for x in chunks]) for each in (embedder, reference))
    steps = round(float(np.abs(got - expected).max()) / (smallest_step(expected) or 1.0))
    if steps > _MOST_STEPS:
        raise A2vError(
            f"the file in TFLite Micro differs from the reference kernels by {steps} steps: "
            f"expected at most {_MOST_STEPS}"
        )
    return {"flash_bytes": len(content), "arena_bytes": embedder.arena(), "max_steps": steps}


class MicroEmbedder:
    """Runs a file in TFLite Micro: `embed` and `reset` as those of `Embedder`.

    TFLite Micro has no signatures, so tensors are set by their places in the graph. Its own
    `Interpreter.reset` takes the place of the signature `reset`.

    Raises:
      ImportError: tflite-micro is not installed.
    """

    def __init__(self, content: bytes, arena: int = _ARENA) -> None:
        from tflite_micro.python.tflite_micro import runtime

        self.interpreter = runtime.Interpreter.from_bytes(content, arena_size=arena)
        model = fb.read(content)
        graph, signature = model.subgraphs[0], fb.signature(model, "embed")
        places = [[int(index) for index in ends] for ends in (graph.inputs, graph.outputs)]
        self._inputs, self._outputs = (
            {name: place.index(index) for name, index in fb.names(maps).items()}
            for place, maps in zip(places, (signature.inputs, signature.outputs), strict=True)
        )
        self.input = next(name for name in self._inputs if not name.startswith(STATE))
        self._start = {
            name: _zeros(self.interpreter.get_input_details(place))
            for name, place in self._inputs.items()
            if name.startswith(STATE)
        }
        self._states = dict(self._start)

    def reset(self) -> None:
        """Start a new stream."""
        self.interpreter.reset()
        self._states = dict(self._start)

    def embed(self, values: np.ndarray) -> np.ndarray:
        """Run the file once; return float32 `[d]`."""
        for name, value in {self.input: values[None], **self._states}.items():
            self.interpreter.set_input(value, self._inputs[name])
        self.interpreter.invoke()
        outputs = {
            name: self.interpreter.get_output(place).copy() for name, place in self._outputs.items()
        }
        self._states = {name: outputs[name] for name in self._states}
        return outputs["embedding"][0]

    def arena(self) -> int:
        """Bytes of the tensor arena, as TFLite Micro's recording allocator counts them."""
        told = _standard_error_of(self.interpreter.print_allocations)
        found = re.search(r"Arena allocation total (\d+) bytes", told)
        if not found:
            raise A2vError("TFLite Micro did not say what it allocated")
        return int(found[1])


def _zeros(detail: dict[str, Any]) -> np.ndarray:
    """The real zeros of a tensor: its zero point, if it is quantised."""
    zero_points = detail["quantization_parameters"]["zero_points"]
    zero = int(zero_points[0]) if len(zero_points) else 0
    return np.full(detail["shape"], zero, detail["dtype"])


def _standard_error_of(run: Callable[[], Any]) -> str:
    """What C++ code writes to file descriptor 2."""
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            run()
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        file.seek(0)
        return file.read().decode(errors="replace")
