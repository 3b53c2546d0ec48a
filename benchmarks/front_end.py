"""PCM to log-mel inside a TFLite file: CPU time, size and error of two implementations.

  python benchmarks/front_end.py
  python benchmarks/front_end.py --frames=8 --rounds=200 --kernels=builtin

`matrices` is the implementation in exported files (export/front_end.py). `rfft2d` is what
TFLiteConverter makes of a2v_tf.frontend.log_mel: GATHER, RFFT2D, COMPLEX_ABS and one matrix. Both
are opened in one process and measured in turn, round after round, on one thread.

Times are CPU time in microseconds per second of audio: the median and, in brackets, the 10th and
90th percentile of the rounds. They include the call from Python, about 0.4 us. The ratio is
computed in each round. Errors are the maximum over noise, a full-scale sine and the export's probe
signal, compared with float64: of log-mel, and of the mel magnitude relative to the largest bin of
the Fourier transform. Time: about 15 s on one core.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
from absl import flags

from a2v_tf.commands.flag_types import define_counts
from a2v_tf.errors import run_app
from a2v_tf.export import flatbuffer as fb
from a2v_tf.export.benchmark.measure import machine, machine_line
from a2v_tf.export.check import probe_signal
from a2v_tf.export.front_end import front_end_model
from a2v_tf.frontend import FRONT_END, hann_window, log_mel, mel_matrix
from a2v_tf.runtime.embedder import KERNELS, make_interpreter
from a2v_tf.text import align

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter

FLAGS = flags.FLAGS

_BLOCK_SECONDS = 0.003  # of one form in one round: well above the clock's tick
_WINDOW = 96  # frames that errors are measured on
_PERCENTILES = (50, 10, 90)


def define_flags() -> None:
    """Define the command's flags."""
    define_counts("frames", [1, 8, 32, 96], "Numbers of frames per call, of 10 ms each.")
    flags.DEFINE_integer(
        "rounds", 100, "Number of rounds; each measures both forms.", lower_bound=1
    )
    flags.DEFINE_enum("kernels", "xnnpack", list(KERNELS), "Kernels.")


# The forms ----------------------------------------------------------------------------------------


def matrices(frames: int) -> bytes:
    """The implementation in exported files."""
    return fb.write(front_end_model(frames))


def rfft2d(frames: int) -> bytes:
    """The converter's implementation of `log_mel`."""
    signature = [tf.TensorSpec([1, FRONT_END.samples(frames)], tf.float32)]
    function = tf.function(log_mel, input_signature=signature)
    concrete = function.get_concrete_function()
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete], function).convert()


FORMS: dict[str, Callable[[int], bytes]] = {"matrices": matrices, "rfft2d": rfft2d}
REFERENCE = "rfft2d"


# Time ---------------------------------------------------------------------------------------------


def measure(interpreters: dict[str, Interpreter], rounds: int) -> dict[str, np.ndarray]:
    """CPU seconds of one call of each, `[rounds]`; every other round in reverse order."""
    calls = {}
    for name, interpreter in interpreters.items():
        _seconds(interpreter, 20)
        calls[name] = 1 + int(_BLOCK_SECONDS / _seconds(interpreter, 20))
    found = {name: [] for name in interpreters}
    for i in range(rounds):
        for name in list(interpreters)[:: 1 if i % 2 else -1]:
            found[name].append(_seconds(interpreters[name], calls[name]))
    return {name: np.array(seconds) for name, seconds in found.items()}


def _seconds(interpreter: Interpreter, calls: int) -> float:
    start = time.process_time()
    for _ in range(calls):
        interpreter.invoke()
    return (time.process_time() - start) / calls


def open_form(content: bytes, kernels: str) -> Interpreter:
    """An interpreter with quiet noise as its input."""
    interpreter = make_interpreter(content, kernels)
    interpreter.allocate_tensors()
    (detail,) = interpreter.get_input_details()
    noise = np.random.default_rng(0).normal(0, 0.1, detail["shape"])
    interpreter.set_tensor(detail["index"], noise.astype(np.float32))
    return interpreter


# Bytes and errors ---------------------------------------------------------------------------------


def constant_bytes(content: bytes) -> int:
    """Bytes of all constants of a file."""
    return sum(len(buffer.data) for buffer in fb.read(content).buffers if buffer.data is not None)


def sounds() -> list[np.ndarray]:
    """float32 `[samples]` of 96 frames each."""
    samples = FRONT_END.samples(_WINDOW)
    noise = np.random.default_rng(1).uniform(-1, 1, samples)
    sine = np.sin(2 * np.pi * 1_000 * np.arange(samples) / FRONT_END.sample_rate)
    return [x.astype(np.float32) for x in (noise, sine, probe_signal(samples))]


def errors(compute: Callable[[np.ndarray], np.ndarray]) -> tuple[float, float]:
    """Maximum error of log-mel, and of the mel magnitude relative to the largest bin."""
    window, mel = (x.astype(np.float64) for x in (hann_window(), mel_matrix()))
    of_log, of_mel = [], []
    for pcm in sounds():
        frames = np.lib.stride_tricks.sliding_window_view(pcm, FRONT_END.window_length)
        frames = frames[:: FRONT_END.hop_length].astype(np.float64) * window
        modulus = np.abs(np.fft.rfft(frames, FRONT_END.fft_length))
        want, got = modulus @ mel + FRONT_END.log_offset, compute(pcm).astype(np.float64)
        of_log.append(np.abs(got - np.log(want)).max())
        of_mel.append(np.abs(np.exp(got) - want).max() / modulus.max())
    return max(of_log), max(of_mel)


def _compute(content: bytes, kernels: str) -> Callable[[np.ndarray], np.ndarray]:
    interpreter = open_form(content, kernels)
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()

    def compute(pcm: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(source["index"], pcm[np.newaxis])
        interpreter.invoke()
        return interpreter.get_tensor(result["index"])[0]

    return compute


# The command --------------------------------------------------------------------------------------


def times_table(all_frames: list[int], kernels: str, rounds: int) -> str:
    """The table of times."""
    lines = [["frames", *FORMS, f"{REFERENCE} / {next(iter(FORMS))}"]]
    for frames in all_frames:
        opened = {name: open_form(make(frames), kernels) for name, make in FORMS.items()}
        found = measure(opened, rounds)
        times = [_spread(1e6 * x / (frames * FRONT_END.period), ",.0f") for x in found.values()]
        ratio = _spread(found[REFERENCE] / found[next(iter(FORMS))], ".2f")
        lines.append([str(frames), *times, ratio])
    return align(lines)


def facts_table(kernels: str) -> str:
    """The table of bytes and errors."""
    lines = [["", "constants", "error of log-mel", "of mel / largest bin"]]
    for name, make in FORMS.items():
        content = make(_WINDOW)
        found = errors(_compute(content, kernels))
        lines.append([name, f"{constant_bytes(content):,} B", *(f"{x:.1e}" for x in found)])
    found = errors(lambda pcm: log_mel(pcm).numpy())
    lines.append(["TensorFlow", "", *(f"{x:.1e}" for x in found)])
    return align(lines)


def _spread(values: np.ndarray, form: str) -> str:
    median, low, high = (format(x, form) for x in np.percentile(values, _PERCENTILES))
    return f"{median} [{low} - {high}]"


def main(_: list[str]) -> None:
    """Measure and print."""
    print(machine_line(machine()))
    print(f"{FLAGS.kernels} kernels, 1 thread, {FLAGS.rounds} rounds\n")
    print("CPU time per second of audio, us")
    print(times_table([int(n) for n in FLAGS.frames], FLAGS.kernels, FLAGS.rounds))
    print()
    print(facts_table(FLAGS.kernels))


if __name__ == "__main__":
    run_app(main, define_flags)
