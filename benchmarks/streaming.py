"""The performance table: every streaming form, and other models on the same audio.

  python benchmarks/streaming.py > streaming.md
  python benchmarks/streaming.py --encoders=small,large,vgg6 --output=streaming.json > streaming.md
  python benchmarks/streaming.py --model_dir=models/mine --rounds=3 --hops=320,80

Exports an encoder for each hop, float and int8, with internal and external state, and as a window
model. Each of these and each peer of the extra [benchmark] is opened in a process of its own, and
they are measured in turn, round after round. Speed does not depend on the weights, so without
--model_dir encoders with random weights are used. Markdown goes to standard output, JSON to
--output.

Peers: openWakeWord's melspectrogram and Google's speech_embedding (PyPI: pyopen-wakeword), with an
embedding every 80 ms, or every 320 ms; microWakeWord's "okay nabu" (PyPI: pymicro-wakeword), which
gives a keyword's probability every 30 ms and no embedding, with and without its front end. All run
in the same runtime with the same kernels and threads, except that front end.

Ratios are of CPU time per second of audio in each round; the table gives their median, minimum and
maximum.
Time: about 3 minutes for the small encoder, 10 for all three, on 2 cores.
"""

import dataclasses
import pathlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from absl import flags

from a2v_tf.commands.flag_types import define_some_of
from a2v_tf.errors import run_app
from a2v_tf.export.benchmark.measure import STEPS, machine, machine_line, measure
from a2v_tf.export.benchmark.models import Case
from a2v_tf.export.build import export_file
from a2v_tf.files import write_json
from a2v_tf.frontend import FRONT_END, log_mel
from a2v_tf.models.encoder import build_encoder
from a2v_tf.runtime.embedder import KERNELS
from a2v_tf.specs import ENCODERS, InputStats, Slicing
from a2v_tf.text import markdown_table
from a2v_tf.training.model_dir import ENCODER, copy_model_dir, read_config, write_config

FLAGS = flags.FLAGS

HOPS = (320, 160, 80, 40, 20, 10)  # ms
PEERS = ("openwakeword", "openwakeword_320", "microwakeword", "microwakeword_model")
LARGEST_FILE = 400_000  # bytes, of what the targets are for
_WINDOW_HOP = FRONT_END.period  # seconds: a window model is run again every 10 ms


@dataclasses.dataclass(frozen=True)
class Ratio:
    """The CPU time per second of audio of one model divided by that of another.

    Attributes:
      what: description.
      theirs: name of the model in the numerator.
      ours: name of the model in the denominator.
      target: least ratio to reach; None if there is no target.
    """

    what: str
    theirs: str
    ours: str
    target: float | None = None


def name_of(encoder: str, form: str, numbers: str = "int8", state: str = "internal") -> str:
    """Name of one of our cases; `form` is the hop ("80 ms") or "window"."""
    words = [encoder, form, numbers, *([state] if form != "window" else [])]
    return " ".join(words)


def ratios(encoder: str) -> list[Ratio]:
    """The ratios for an encoder; the targets are for the small one."""
    targets = (25, 10, 12) if encoder == "small" else (None, None, None)
    hop = {ms: name_of(encoder, f"{ms} ms") for ms in HOPS}
    window = name_of(encoder, "window")
    pair = "openWakeWord's pair"
    return [
        Ratio(f"{pair} every 80 ms / {hop[80]}", "openwakeword", hop[80], targets[0]),
        Ratio(f"{pair} every 320 ms / {hop[320]}", "openwakeword_320", hop[320], targets[1]),
        Ratio(f"{window} every 10 ms / {hop[10]}", window, hop[10], targets[2]),
        Ratio(
            f"the same two from log-mel, {window} log_mel / {hop[10]} log_mel",
            f"{window} log_mel",
            f"{hop[10]} log_mel",
        ),
        Ratio(f"microWakeWord every 30 ms / {hop[20]}", "microwakeword", hop[20]),
    ]


# Our files ----------------------------------------------------------------------------------------


def random_model_dir(encoder: str, directory: pathlib.Path) -> None:
    """Write a model directory as `a2v_train` does, with random weights."""
    keras.utils.set_random_seed(0)
    frames, stats = Slicing().frames, InputStats(-3.0, 4.0)
    model = build_encoder(ENCODERS[encoder], frames, FRONT_END.mel_bins, stats)
    directory.mkdir(parents=True)
    model.save(directory / ENCODER)
    config = {"encoder": encoder, "frames": frames, "bins": FRONT_END.mel_bins, "data": None}
    config |= {"input_mean": stats.mean, "input_variance": stats.variance}
    write_config(directory, {**config, "front_end": vars(FRONT_END)})


def calibration_slices(frames: int) -> np.ndarray:
    """Noise from loud to silent, float32 `[32, frames, bins]`: speed does not depend on ranges."""
    rng = np.random.default_rng(0)
    levels = 10.0 ** np.linspace(-4, -0.5, 32)[:, None]
    return log_mel(
        rng.normal(0, levels, (32, FRONT_END.samples(frames))).astype(np.float32)
    ).numpy()


def forms(encoder: str, hops: Sequence[int]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and arguments of `export_file` for every form of an encoder to measure."""
    for ms in hops:
        for quantize in (True, False):
            for state in ("internal", "external"):
                numbers = "int8" if quantize else "float"
                settings = {"hop_ms": ms, "quantize": quantize, "state": state}
                yield name_of(encoder, f"{ms} ms", numbers, state), settings
    for quantize in (True, False):
        numbers = "int8" if quantize else "float"
        yield name_of(encoder, "window", numbers), {"quantize": quantize, "mode": "window"}
    log_mel_in = {"quantize": True, "input": "log_mel"}
    yield f"{name_of(encoder, 'window')} log_mel", {**log_mel_in, "mode": "window"}
    if 10 in hops:
        yield f"{name_of(encoder, '10 ms')} log_mel", {**log_mel_in, "hop_ms": 10}


def export_all(encoder: str, model_dir: pathlib.Path, hops: Sequence[int]) -> list[Case]:
    """Export every form of an encoder into its model directory."""
    frames = read_config(model_dir)["frames"] or Slicing().frames
    calibration = calibration_slices(frames)
    cases = []
    for name, settings in forms(encoder, hops):
        print(f"exporting {name}", file=sys.stderr)
        output = model_dir / f"{name.replace(' ', '_')}.tflite"
        export_file(model_dir, output, calibration=calibration, **settings)
        cases.append(Case(name, str(output), FLAGS.kernels, FLAGS.threads))
    return cases


# Results ------------------------------------------------------------------------------------------


def compared(ratio: Ratio, results: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """The ratio in each round; None if one of the two was not measured."""
    if not {ratio.theirs, ratio.ours} <= set(results):
        return None
    theirs, ours = (
        np.array(results[name]["cpu_us_per_second_rounds"]) for name in (ratio.theirs, ratio.ours)
    )
    rounds = theirs / ours
    median = float(np.median(rounds))
    return {
        **dataclasses.asdict(ratio),
        **{"median": median, "min": float(rounds.min()), "max": float(rounds.max())},
        "met": None if ratio.target is None else median >= ratio.target,
    }


def markdown(content: dict[str, Any]) -> str:
    """The results as Markdown: machine, figures, and ratios with their targets."""
    settings = content["settings"]
    lines = [
        f"`{content['command']}`: {machine_line(content['machine'])}; {settings['kernels']}, "
        f"threads: {settings['threads']}; {settings['rounds']} rounds.",
        "",
        markdown_table(_COLUMNS, map(_row, content["results"])),
        "",
    ]
    rows = []
    for x in content["ratios"]:
        target = f">= {x['target']}" if x["target"] else ""
        spread = f"{x['median']:.1f} ({x['min']:.1f}-{x['max']:.1f})"
        rows.append([x["what"], spread, target, _verdict(x["met"])])
    for x in content["files"]:
        size, most = f"{x['bytes'] / 1e3:,.0f} kB", f"<= {LARGEST_FILE // 1000} kB"
        rows.append([f"file of {x['name']}", size, most, _verdict(x["met"])])
    header = ["CPU time, theirs / ours", "ratio (min-max)", "target", ""]
    return "\n".join([*lines, markdown_table(header, rows)])


_COLUMNS = (
    *("model", "hop", "CPU time per second of audio: median (min-max)"),
    *("latency of a step: median, p90", "memory", "file"),
)


def _row(x: dict[str, Any]) -> list[str]:
    latency, rounds = x["latency_us"], x["cpu_us_per_second_rounds"]
    memory = "-" if x["memory_bytes"] is None else f"{x['memory_bytes'] / 1e6:.1f} MB"
    return [
        x["name"],
        f"{x['hop_ms']:.0f} ms",
        f"{x['cpu_us_per_second']:,.0f} us ({min(rounds):,.0f}-{max(rounds):,.0f})",
        f"{latency['median']:,.0f} us, {latency['p90']:,.0f} us",
        memory,
        f"{x['file_bytes'] / 1e3:,.0f} kB",
    ]


def _verdict(met: bool | None) -> str:
    return {True: "met", False: "not met", None: ""}[met]


def summary(results: list[dict[str, Any]], encoders: Sequence[str]) -> dict[str, Any]:
    """Ratios and file sizes with their targets."""
    by_name = {result["name"]: result for result in results}
    found = [compared(ratio, by_name) for encoder in encoders for ratio in ratios(encoder)]
    name = name_of("small", "80 ms")
    sizes = [by_name[name]["file_bytes"]] if name in by_name else []
    return {
        "ratios": [ratio for ratio in found if ratio],
        "files": [{"name": name, "bytes": n, "met": n <= LARGEST_FILE} for n in sizes],
    }


# The command --------------------------------------------------------------------------------------


def define_flags() -> None:
    """Define the command's flags."""
    flags.DEFINE_string(
        "model_dir", None, "Model directory of a trained encoder, instead of random ones."
    )
    define_some_of("encoders", ["small"], ENCODERS, "Encoders to measure without --model_dir.")
    hops = [str(ms) for ms in HOPS]
    define_some_of("hops", hops, hops, "Milliseconds between two embeddings.")
    flags.DEFINE_integer(
        "rounds", 10, "Number of rounds; each measures every model.", lower_bound=1
    )
    flags.DEFINE_integer(
        "steps", STEPS, "Steps of each model per round, or as many as 0.2 s allow.", lower_bound=1
    )
    flags.DEFINE_integer("threads", 1, "Number of threads.", lower_bound=1)
    flags.DEFINE_enum("kernels", "xnnpack", list(KERNELS), "Kernels.")
    flags.DEFINE_string("output", None, "JSON file to write.")


def main(_: list[str]) -> None:
    """Export, measure, print."""
    hops = sorted(map(int, FLAGS.hops), reverse=True)
    with tempfile.TemporaryDirectory() as name:
        work, cases, encoders = pathlib.Path(name), [], list(FLAGS.encoders)
        if FLAGS.model_dir:
            copy_model_dir(FLAGS.model_dir, work / "model")
            encoders = [read_config(work / "model")["encoder"]]
            cases += export_all(encoders[0], work / "model", hops)
        else:
            for encoder in encoders:
                random_model_dir(encoder, work / encoder)
                cases += export_all(encoder, work / encoder, hops)
        cases += [Case(peer, peer, FLAGS.kernels, FLAGS.threads) for peer in PEERS]
        print(f"measuring {len(cases)} models, {FLAGS.rounds} rounds", file=sys.stderr)
        results = measure(cases, steps=FLAGS.steps, rounds=FLAGS.rounds, window_hop=_WINDOW_HOP)
    for result in results:
        result["model"] = result["name"]  # the file is gone
    settings = {name: FLAGS[name].value for name in ("kernels", "threads", "rounds", "steps")}
    content = {
        "command": " ".join(["python benchmarks/streaming.py", *sys.argv[1:]]),
        "machine": machine(),
        "settings": settings,
        "results": results,
        **summary(results, encoders),
    }
    print(markdown(content))
    if FLAGS.output:
        write_json(FLAGS.output, content)


if __name__ == "__main__":
    run_app(main, define_flags)
