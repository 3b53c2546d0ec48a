"""LiteRT's CompiledModel, with the part of `Interpreter`'s interface that `Embedder` uses."""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from a2v_tf.errors import A2vError

if TYPE_CHECKING:
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.interpreter import Interpreter

OLDEST = (2, 1, 5)  # the first that runs variables, the internal state
_PACKAGE = "ai-edge-litert"


class Compiled:
    """A file in CompiledModel.

    Raises:
      A2vError: LiteRT is missing or older than `OLDEST`.
      RuntimeError: CompiledModel cannot run the file.
    """

    def __init__(self, content: bytes, opened: Interpreter) -> None:
        """Compile a file.

        Args:
          content: of the file.
          opened: the same file in an interpreter, which knows the scales and zero points.
        """
        _check_version()
        from ai_edge_litert.compiled_model import CompiledModel

        self._model = CompiledModel.from_buffer(content)
        self._opened = opened

    def get_signature_list(self) -> dict[str, Any]:
        """The signatures by name."""
        return self._model.get_signature_list()

    def get_signature_runner(self, name: str) -> Runner:
        """What runs a signature."""
        return Runner(self._model, name, self._opened)


class Runner:
    """Runs a signature: `runner(name=value, ...) -> {name: value}`."""

    def __init__(self, model: CompiledModel, name: str, opened: Interpreter) -> None:
        runner = opened.get_signature_runner(name)
        self._model, self._name = model, name
        self._input_details = runner.get_input_details()
        self._output_details = runner.get_output_details()
        self._inputs = {
            key: model.create_input_buffer_by_name(name, key) for key in self._input_details
        }
        self._outputs = {
            key: model.create_output_buffer_by_name(name, key) for key in self._output_details
        }

    def get_input_details(self) -> dict[str, Any]:
        """Shape, type and quantisation of each input."""
        return self._input_details

    def get_output_details(self) -> dict[str, Any]:
        """Shape, type and quantisation of each output."""
        return self._output_details

    def __call__(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        for name, value in inputs.items():
            self._inputs[name].write(np.ascontiguousarray(value))
        self._model.run_by_name(self._name, self._inputs, self._outputs)
        return {name: self._value(name) for name in self._outputs}

    def _value(self, name: str) -> np.ndarray:
        detail = self._output_details[name]
        size = int(np.prod(detail["shape"]))
        read = self._outputs[name].read(size, np.dtype(detail["dtype"]))
        return np.array(read).reshape(detail["shape"])


def _check_version() -> None:
    expected = ".".join(map(str, OLDEST))
    try:
        version = importlib.metadata.version(_PACKAGE)
    except importlib.metadata.PackageNotFoundError as error:
        raise A2vError(f"runtime='compiled' needs {_PACKAGE} {expected} or later") from error
    numbers = tuple(int(part) for part in version.split(".")[:3] if part.isdigit())
    if numbers < OLDEST:
        raise A2vError(
            f"runtime='compiled' needs {_PACKAGE} {expected} or later: this is {version}"
        )
