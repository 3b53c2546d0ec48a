"""Run exported files: the TFLite interpreter, and `Embedder` on top of it."""

from __future__ import annotations

import contextlib
import functools
import pathlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from a2v_tf.audio.checks import as_pcm
from a2v_tf.errors import A2vError
from a2v_tf.frontend import FRONT_END, FrontEnd, log_mel
from a2v_tf.pretrained import NAME, STREAMING, WINDOW, resolve
from a2v_tf.runtime import metadata
from a2v_tf.runtime.compiled import Compiled
from a2v_tf.runtime.verify import flaw

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter

# The names of OpResolverType.
KERNELS = {
    "xnnpack": "AUTO",  # what a phone runs: XNNPACK where it can, else builtin
    "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "reference": "BUILTIN_REF",
}
_Result = TypeVar("_Result")
RUNTIMES = ("interpreter", "compiled")
_STATE = "state_"
_USUAL_WINDOW_MS = 975.0  # of files without metadata


@functools.cache
def litert() -> tuple[type[Interpreter], Any]:
    """The classes `Interpreter` and `OpResolverType`.

    They are LiteRT's; in an environment without it, that of TensorFlow 2.16, they are TensorFlow's.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ModuleNotFoundError:
        import tensorflow as tf

        return tf.lite.Interpreter, tf.lite.experimental.OpResolverType
    return Interpreter, OpResolverType


def make_interpreter(
    model: bytes | str | pathlib.Path,
    kernels: str = "xnnpack",
    threads: int = 1,
    *,
    keep_tensors: bool = False,
    allocate: bool = True,
) -> Interpreter:
    """Open a TFLite file, given by path or content.

    Args:
      model: path or content; or a name such as `pretrained`, the streaming file of that encoder.
      kernels: "xnnpack", "builtin" or "reference".
      threads: of the interpreter.
      keep_tensors: whether every intermediate tensor can be read after a run.
      allocate: allocate the tensors; not before an input that has no size yet is resized.

    Raises:
      A2vError: no such file, or it is not a TFLite model that this runtime can run.
    """
    if kernels not in KERNELS:
        raise A2vError(f"unknown kernels {kernels!r}: expected one of {', '.join(KERNELS)}")
    interpreter, resolvers = litert()
    try:
        content = model if isinstance(model, bytes) else resolve(model, STREAMING).read_bytes()
        if reason := flaw(content):
            raise ValueError(reason)
        opened = interpreter(
            model_content=content,
            num_threads=threads,
            experimental_op_resolver_type=resolvers[KERNELS[kernels]],
            experimental_preserve_all_tensors=keep_tensors,
        )
        # TensorFlow 2.16's interpreter would use other kernels for signatures afterwards.
        if allocate and not interpreter.__module__.startswith("tensorflow"):
            opened.allocate_tensors()
        return opened
    except IsADirectoryError as error:
        raise A2vError(
            f"{str(model)!r} is a directory: expected a .tflite file, which export_tflite writes "
            "of a model directory, and whose Keras encoder load_encoder gives"
        ) from error
    except OSError as error:
        raise A2vError(f"cannot read {str(model)!r}: {error.strerror}") from error
    except (ValueError, RuntimeError) as error:
        name = "these bytes" if isinstance(model, bytes) else repr(str(model))
        reason = str(error).splitlines()[0]
        raise A2vError(f"{name} is not a TFLite model that runs here: {reason}") from error


def load(model: str | pathlib.Path = NAME, *, window: bool = False) -> Embedder:
    """Open an exported encoder; TensorFlow is not needed.

    Args:
      model: .tflite file of `export_tflite`, or one of `pretrained.names`.
      window: of a name, the file that embeds separate windows of 975 ms. The default is the
        one that embeds a stream, every 80 ms.

    Raises:
      A2vError: there is no such file, or it is not one of `export_tflite`.
    """
    return Embedder(resolve(model, WINDOW if window else STREAMING))


class Embedder:
    """Runs an exported file on PCM: window or streaming, either kind of state, either input.

    ```python
    embedder = Embedder("model.tflite")
    for chunk in microphone:  # float32 in [-1, 1], any number of samples
        for embedding in embedder.stream(chunk):  # one every `hop` samples
            ...
    embedder.reset()  # before another recording
    ```

    One object is one stream: threads that use it at once get an error. Threads may share a window
    model, which has no state; its calls run one after another. For more speed, and for several
    streams, open the file once for each thread.

    Attributes:
      streaming: whether the file carries state from call to call.
      input: "pcm" or "log_mel", what `embed` takes.
      input_shape: shape of what `embed` takes, without the batch: `(samples,)` or `(frames, bins)`.
      hop: samples between two embeddings of a stream; None for a window model, whose caller
        chooses it.
      window: receptive field of a window model in samples; None for a streaming model.
      span: receptive field in samples, of streaming models too.
      embedding_dim: d.
      front_end: what makes frames of sound, of the papers' if the file has no metadata; None for a
        model of band levels, which takes no sound.
      sample_rate: of the PCM, in Hz.
      facts: the facts in the file's metadata, see `metadata.read`; empty without metadata.
    """

    def __init__(
        self,
        model: bytes | str | pathlib.Path,
        kernels: str = "xnnpack",
        runtime: str = "interpreter",
    ) -> None:
        """Open a file.

        Args:
          model: path or content; a name such as `pretrained` is its streaming file.
          kernels: as of `make_interpreter`.
          runtime: "interpreter"; or "compiled", LiteRT's CompiledModel, with the same bits. It
            needs ai-edge-litert 2.1.5 and has XNNPACK's kernels only.

        Raises:
          A2vError: it is not a file of `export_tflite`, or there is no such runtime here.
        """
        self._lock = threading.RLock()
        _check_runtime(runtime, kernels)
        model = model if isinstance(model, bytes) else resolve(model, STREAMING)
        self.interpreter: Any = make_interpreter(model, kernels)
        try:
            if runtime == "compiled":
                content = model if isinstance(model, bytes) else model.read_bytes()
                self.interpreter = Compiled(content, self.interpreter)
            self._open(model)
        except (ValueError, RuntimeError, LookupError, TypeError) as error:  # LiteRT's, NumPy's
            name = "these bytes" if isinstance(model, bytes) else repr(str(model))
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise A2vError(f"{name} is not a file of export_tflite that runs: {reason}") from error

    def _open(self, model: bytes | pathlib.Path) -> None:
        """Take the file's signatures and shapes, and reset its state."""
        signatures = self.interpreter.get_signature_list()
        if "embed" not in signatures:
            raise A2vError(f"the model has the signatures {list(signatures)}: expected 'embed'")
        self._embed = self.interpreter.get_signature_runner("embed")
        self._reset = (
            self.interpreter.get_signature_runner("reset") if "reset" in signatures else None
        )
        details = self._embed.get_input_details()
        inputs = [name for name in details if not name.startswith(_STATE)]
        if inputs not in (["pcm"], ["log_mel"]):
            raise A2vError(f"signature 'embed' takes {inputs}: expected 'pcm' or 'log_mel'")
        self.input = inputs[0]
        outputs = self._embed.get_output_details()
        states = {name for name in details if name.startswith(_STATE)}
        for name, detail in [(self.input, details[self.input]), *outputs.items()]:
            shape = [int(size) for size in detail["shape"]]
            axes = 3 if name == "log_mel" else 2
            good = len(shape) == axes and shape[0] == 1 and 0 not in shape
            if name not in states and not (good and detail["dtype"] == np.float32):
                raise ValueError(f"{name} is {np.dtype(detail['dtype'])} {shape}")
        self.input_shape = tuple(int(size) for size in details[self.input]["shape"][1:])
        self.embedding_dim = int(outputs["embedding"]["shape"][-1])
        self._start = {n: _zeros(details[n]) for n in details if n.startswith(_STATE)}
        self.streaming = self._reset is not None or bool(self._start)
        self.facts = metadata.facts(model)
        self.front_end = self._find_front_end()
        self.sample_rate = (self.front_end or FRONT_END).sample_rate
        self._lay_out_samples()
        self.reset()

    def reset(self) -> None:
        """Reset the state: the next embeddings are those of a newly opened file."""
        with self._alone():
            self._states = dict(self._start)
            self._waiting = np.zeros(self._carried, np.float32)
            if self._reset is not None:
                self._reset(trigger=np.zeros(1, np.float32))

    @property
    def stream_hop(self) -> int:
        """`hop` of a streaming model.

        Raises:
          A2vError: the file holds a window model.
        """
        if self.hop is None:
            raise A2vError("a window model cannot stream: export with --mode=streaming")
        return self.hop

    def embed(self, values: np.ndarray) -> np.ndarray:
        """Run the file once.

        Args:
          values: of `input_shape`: PCM as for `stream`, or float32 log-mel.

        Returns:
          float32 `[embedding_dim]`.

        Raises:
          A2vError: another shape, or samples of another type or scale.
        """
        values = as_pcm(values) if self.input == "pcm" else np.asarray(values, np.float32)
        return self._run(values)

    def _run(self, values: np.ndarray) -> np.ndarray:
        return self._outputs(self._embed, values)["embedding"]

    def _outputs(self, signature: Any, values: np.ndarray) -> dict[str, np.ndarray]:
        """Run a signature that takes what `embed` takes; return its outputs without the batch."""
        if values.shape != self.input_shape:
            raise A2vError(
                f"{self.input} has the shape {values.shape}: the file takes {self.input_shape}"
            )
        with self._alone():
            try:
                outputs = signature(**{self.input: values[None]}, **self._states)
            except (RuntimeError, ValueError) as error:  # what is damaged may show only here
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                raise A2vError(f"the model cannot be run: {reason}") from error
            self._states = {name: outputs[name] for name in self._states}
            return {name: x[0] for name, x in outputs.items() if name not in self._states}

    def embed_window(self, pcm: np.ndarray) -> np.ndarray:
        """Embed one window of PCM, `[window]`, with a window model of either input.

        The samples may have the types that `stream` takes.
        """
        return self._run(self._of_window(pcm))

    def _of_window(self, pcm: np.ndarray) -> np.ndarray:
        if self.streaming:
            raise A2vError("a streaming model has no window: use `stream`")
        return self._as_input(as_pcm(pcm))

    def _as_input(self, pcm: np.ndarray) -> np.ndarray:
        return pcm if self.input == "pcm" else self._log_mel(pcm)

    def stream(self, pcm: np.ndarray) -> list[np.ndarray]:
        """Take the next samples of a stream and return the embeddings that they complete.

        Args:
          pcm: `[any number]`, floats in [-1, 1], or int16, int32 or uint8 of full scale. Samples
            short of a hop are kept for the next call.

        Returns:
          One embedding per completed hop, float32 `[embedding_dim]`, of the window that ends with
          the hop's last sample.

        Raises:
          A2vError: the file holds a window model, `pcm` is not one channel of such samples, or
            another thread is using this object.
        """
        return self._stream(pcm, self._run)

    def _stream(self, pcm: np.ndarray, run: Callable[[np.ndarray], _Result]) -> list[_Result]:
        """Take the next samples of a stream, and run what takes a hop on each that is complete."""
        hop = self.stream_hop
        pcm = as_pcm(pcm)
        if pcm.ndim != 1:
            raise A2vError(f"pcm has the shape {pcm.shape}: expected one channel, (samples,)")
        results = []
        with self._alone():
            self._waiting = np.concatenate([self._waiting, pcm])
            while len(self._waiting) >= self._carried + hop:
                results.append(run(self._as_input(self._waiting[: self._carried + hop])))
                self._waiting = self._waiting[hop:]
        return results

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other threads out: they wait for a window, but would mix up a stream."""
        if not self._lock.acquire(blocking=not self.streaming):
            raise A2vError(
                "two threads use one Embedder at once: expected one for each stream, opened with "
                "the same file"
            )
        try:
            yield
        finally:
            self._lock.release()

    def _find_front_end(self) -> FrontEnd | None:
        """The front end of the file's metadata, if what it takes may be its frames."""
        found = self.facts.get("front_end", vars(FRONT_END))
        try:
            front_end = None if "columns" in found else FrontEnd.of(found)
        except A2vError as error:
            raise ValueError(str(error)) from error
        if front_end and self.input == "log_mel" and self.input_shape[1] != front_end.bins:
            return None
        return front_end

    def _lay_out_samples(self) -> None:
        """Set `hop`, `window`, `span` and the samples that this object carries from hop to hop."""
        front_end = self.front_end or FRONT_END
        if self.input == "pcm":
            samples, self._carried = self.input_shape[0], 0  # the file itself carries them
        else:
            samples = front_end.samples(self.input_shape[0])
            self._carried = front_end.overlap if self.streaming else 0
        self.hop = samples - self._carried if self.streaming else None
        self.window = None if self.streaming else samples
        window_ms = self.facts.get("window_ms", _USUAL_WINDOW_MS)
        self.span = self.window or round(window_ms * self.sample_rate / 1000)

    def _log_mel(self, pcm: np.ndarray) -> np.ndarray:
        assert self.front_end  # else the file takes no sound
        return log_mel(np.asarray(pcm, np.float32), self.front_end).numpy()


def _check_runtime(runtime: str, kernels: str) -> None:
    if runtime not in RUNTIMES:
        raise A2vError(f"unknown runtime {runtime!r}: expected one of {', '.join(RUNTIMES)}")
    if runtime == "compiled" and kernels != "xnnpack":
        raise A2vError(f"runtime='compiled' with kernels={kernels!r}: expected kernels='xnnpack'")


def _zeros(detail: dict) -> np.ndarray:
    """The real zeros of a tensor: its zero point, if it is quantised."""
    return np.full(detail["shape"], detail["quantization"][1], detail["dtype"])
