"""The bits and the CPU time of `pretrained` in other runtimes: the table of docs/runtimes.md.

  python benchmarks/runtimes.py
  python benchmarks/runtimes.py --seconds=20 --rounds=9
  python benchmarks/runtimes.py --only=onnx

Every row embeds the same sound, every 80 ms, and is compared with LiteRT's interpreter under
XNNPACK on the same kind of input: how many of the numbers differ, by how many quantisation steps at
most, and the smallest cosine similarity of two embeddings. CPU time is that of this process (of the
child, for C), the least of --rounds, relative to the same interpreter; rows take turns, so that
what else runs meets all of them. TFLite Micro's kernels for a computer are its reference kernels,
and say nothing about a microcontroller's speed.

Needs the extras [onnx] and [micro], and gcc and pymicro-wakeword for C; rows that miss them say so.
Time: about a minute on an idle core.
"""

import dataclasses
import importlib.metadata
import pathlib
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import flags

from a2v_tf.errors import A2vError, run_app
from a2v_tf.export import build, micro, onnx
from a2v_tf.export.check import probe_signal, smallest_step
from a2v_tf.frontend import FRONT_END, log_mel
from a2v_tf.runtime.embedder import Embedder
from a2v_tf.text import align

FLAGS = flags.FLAGS
HOP = 1_280  # samples, 80 ms
_C_SOURCE = pathlib.Path(__file__).parents[1] / "examples/c/embed.c"

Embed = Callable[[np.ndarray], np.ndarray]  # steps -> embeddings, of a new stream


@dataclasses.dataclass(frozen=True)
class Row:
    """A runtime with a form.

    Attributes:
      runtime: its name.
      package: of PyPI, whose version is shown.
      input: "pcm" or "log_mel".
      state: "internal" or "external".
      open: content of the TFLite file -> what embeds a stream.
    """

    runtime: str
    package: str
    input: str
    state: str
    open: Callable[[bytes], Embed]


def _stepwise(embedder: Any) -> Embed:
    def embed(steps: np.ndarray) -> np.ndarray:
        embedder.reset()
        return np.stack([embedder.embed(step) for step in steps])

    return embed


def _interpreter(kernels: str = "xnnpack", runtime: str = "interpreter") -> Callable:
    return lambda content: _stepwise(Embedder(content, kernels, runtime))


def _onnx_runtime(content: bytes) -> Embed:
    return _stepwise(onnx.OnnxEmbedder(onnx.to_onnx(content)))


def _micro(content: bytes) -> Embed:
    return _stepwise(micro.MicroEmbedder(content))


def _c_library(content: bytes) -> Embed:
    import pymicro_wakeword

    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise A2vError("no C compiler")
    folder = tempfile.TemporaryDirectory()
    program, model = (pathlib.Path(folder.name) / name for name in ("embed", "model.tflite"))
    model.write_bytes(content)
    libraries = pathlib.Path(pymicro_wakeword.__file__).parent / "lib"
    library = ["-L", str(libraries), "-l:libtensorflowlite_c.so", f"-Wl,-rpath,{libraries}"]
    subprocess.run([compiler, "-O2", str(_C_SOURCE), "-o", str(program), *library], check=True)

    def embed(steps: np.ndarray) -> np.ndarray:
        assert folder  # lives as long as this function
        samples = np.round(steps.ravel() * 32_768).astype(np.int16)
        command = [str(program), str(model)]
        run = subprocess.run(command, input=samples.tobytes(), capture_output=True, check=True)
        return np.array([line.split() for line in run.stdout.splitlines()], np.float32)

    return embed


_LITERT, _ONNX = "ai-edge-litert", "onnxruntime"
ROWS = {
    "interpreter": Row("Interpreter, XNNPACK", _LITERT, "pcm", "internal", _interpreter()),
    "external": Row("Interpreter, XNNPACK", _LITERT, "pcm", "external", _interpreter()),
    "builtin": Row("Interpreter, builtin", _LITERT, "pcm", "internal", _interpreter("builtin")),
    "reference": Row(
        "Interpreter, reference", _LITERT, "pcm", "internal", _interpreter("reference")
    ),
    "compiled": Row("CompiledModel", _LITERT, "pcm", "internal", _interpreter(runtime="compiled")),
    "compiled_external": Row(
        "CompiledModel", _LITERT, "pcm", "external", _interpreter(runtime="compiled")
    ),
    "c": Row("TFLite's C library", "pymicro-wakeword", "pcm", "internal", _c_library),
    "onnx": Row("ONNX Runtime", _ONNX, "pcm", "external", _onnx_runtime),
    "onnx_log_mel": Row("ONNX Runtime", _ONNX, "log_mel", "external", _onnx_runtime),
    "micro": Row("TFLite Micro", "tflite-micro", "log_mel", "external", _micro),
}


def define_flags() -> None:
    """Define the command's flags; not on import, so that commands can be imported together."""
    flags.DEFINE_multi_enum("only", list(ROWS), list(ROWS), "Rows to measure.")
    flags.DEFINE_float("seconds", 8.0, "Length of the sound.", lower_bound=0.8)
    flags.DEFINE_integer("rounds", 5, "Measurements of each row.", lower_bound=1)


def main(_: list[str]) -> None:
    """Measure and print the table."""
    sound = inputs(FLAGS.seconds)
    with tempfile.TemporaryDirectory() as folder:
        files = export_forms(pathlib.Path(folder), [ROWS[name] for name in FLAGS.only])
    print(align([HEADER, *table(FLAGS.only, files, sound, FLAGS.rounds)]))


def inputs(seconds: float) -> dict[str, np.ndarray]:
    """The steps of a stream by input: sweeps, bursts, silence, and quiet noise; 16-bit samples."""
    count = round(seconds * FRONT_END.sample_rate / HOP)
    noise = np.random.default_rng(0).normal(0, 0.01, count // 3 * HOP)
    pcm = np.concatenate([probe_signal((count - count // 3) * HOP), noise])
    pcm = (np.clip(np.round(pcm * 32_768), -32_768, 32_767) / 32_768).astype(np.float32)
    silence = np.zeros(FRONT_END.overlap, np.float32)
    frames = log_mel(np.concatenate([silence, pcm])).numpy()
    return {"pcm": np.stack(np.split(pcm, count)), "log_mel": np.stack(np.split(frames, count))}


def export_forms(folder: pathlib.Path, rows: list[Row]) -> dict[tuple[str, str], bytes]:
    """The files that rows need, and those that they are compared with, by input and state."""
    forms = {(row.input, row.state) for row in rows} | {(row.input, "internal") for row in rows}
    files = {}
    for input, state in sorted({*forms, ("pcm", "internal")}):
        path = folder / f"{input}_{state}.tflite"
        build.export_file("pretrained", path, quantize=True, hop_ms=80, input=input, state=state)
        files[input, state] = path.read_bytes()
    return files


HEADER = ["runtime", "package", "input", "state", "differ", "steps", "cosine", "CPU"]


def table(
    names: list[str],
    files: dict[tuple[str, str], bytes],
    sound: dict[str, np.ndarray],
    rounds: int,
) -> list[list[str]]:
    """A row of strings for each runtime, in the order of `HEADER`."""
    usual = _interpreter()(files["pcm", "internal"])
    expected = {
        input: _interpreter()(files[input, "internal"])(sound[input])
        for input in {ROWS[name].input for name in names}
    }
    opened, missing = {}, {}
    for name in names:
        row = ROWS[name]
        try:
            opened[name] = row.open(files[row.input, row.state])
        except (A2vError, ImportError) as error:
            missing[name] = str(error).splitlines()[0]
    seconds: dict[str, list[float]] = {name: [] for name in ["", *opened]}
    for _ in range(rounds):
        seconds[""].append(_cpu(usual, sound["pcm"]))
        for name, embed in opened.items():
            seconds[name].append(_cpu(embed, sound[ROWS[name].input]))
    made = []
    for name in names:
        row = ROWS[name]
        if name in missing:
            made.append([row.runtime, row.package, row.input, row.state, missing[name]])
            continue
        version = importlib.metadata.version(row.package)
        compared = compare(opened[name](sound[row.input]), expected[row.input])
        ratio = f"{min(seconds[name]) / min(seconds['']):.2f}"
        made.append(
            [row.runtime, f"{row.package} {version}", row.input, row.state, *compared, ratio]
        )
    return made


def compare(got: np.ndarray, expected: np.ndarray) -> list[str]:
    """Share of numbers that differ, greatest difference in steps, smallest cosine similarity."""
    difference = np.abs(got - expected)
    steps = difference.max() / (smallest_step(expected) or 1.0)
    norms = np.linalg.norm(got, axis=1) * np.linalg.norm(expected, axis=1)
    cosine = ((got * expected).sum(axis=1) / norms).min()
    share = (difference > 0).mean()
    return [
        f"{int((difference > 0).sum())} of {got.size:,} ({share:.1%})",
        f"{steps:.0f}",
        f"{cosine:.4f}",
    ]


def _cpu(embed: Embed, steps: np.ndarray) -> float:
    """Seconds of CPU time of this process and its children."""

    def spent() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + children.ru_utime + children.ru_stime

    began = spent()
    embed(steps)
    return spent() - began


if __name__ == "__main__":
    run_app(main, define_flags)
