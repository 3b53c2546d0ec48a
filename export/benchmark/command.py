"""Measure exported files and models of other projects: the `a2v_benchmark` command.

  a2v_benchmark --model=mine.tflite,window.tflite --output=benchmark.json
  a2v_benchmark --model=mine.tflite --peers=openwakeword,microwakeword --threads=1,2 --profile
  a2v_benchmark --model=mine.tflite --adb --benchmark_binary=/path/to/benchmark_model

Models take turns, each in a process of its own. Latency is the wall time of a step, CPU time counts
all threads, and memory is the growth of the process when it opens and runs the file. With --adb the
files run on the connected phone, in TFLite's benchmark tool.
"""

import pathlib
from collections import defaultdict
from typing import Any

from absl import flags

from a2v_tf.errors import run_app
from a2v_tf.export.benchmark import phone as benchmark_phone
from a2v_tf.export.benchmark.measure import ROUNDS, STEPS, machine, machine_line, measure
from a2v_tf.export.benchmark.models import PEERS, Case
from a2v_tf.files import checked_output, write_json
from a2v_tf.pretrained import STREAMING, in_words, resolve
from a2v_tf.runtime.embedder import KERNELS
from a2v_tf.text import align

FLAGS = flags.FLAGS

_SHOWN_SHARE = 0.01  # of a step; ops below it are summed up


def define_flags() -> None:
    """Define the command's flags; not on import, so that commands can be imported together."""
    flags.DEFINE_list("model", [], f"Files of export_tflite, or {in_words()}, comma-separated.")
    flags.DEFINE_list(
        "peers",
        [],
        "Models of other projects, from the extra [benchmark]: openwakeword (every 80 ms), "
        "openwakeword_320 (every 320 ms), microwakeword, microwakeword_model (without its front "
        "end). They run in the same runtime.",
    )
    flags.DEFINE_list("threads", ["1"], "Numbers of threads.")
    flags.DEFINE_list(
        "kernels",
        ["xnnpack"],
        "xnnpack: TFLite's default delegate; builtin: without it; reference: reference kernels.",
    )
    flags.DEFINE_integer(
        "steps",
        STEPS,
        "Least number of steps of each model in each round, which lasts at least 0.2 s.",
        lower_bound=1,
    )
    flags.DEFINE_integer(
        "rounds", ROUNDS, "Number of rounds in which all models take turns.", lower_bound=1
    )
    flags.DEFINE_float(
        "window_hop_ms",
        None,
        "Hop of --mode=window files, for the columns per second of audio. Default: windows do not "
        "overlap.",
        lower_bound=0.0625,
    )
    flags.DEFINE_bool("profile", False, "Also time each op on its own.")
    flags.DEFINE_string("output", None, "JSON file to write the results to.")
    flags.DEFINE_bool("adb", False, "Measure on the phone connected by adb.")
    flags.DEFINE_string(
        "benchmark_binary", None, "With --adb: TFLite's benchmark_model, built for the phone."
    )
    flags.DEFINE_string(
        "serial", None, "With --adb: serial number of the phone, as in 'adb devices'."
    )

    @flags.validator("peers", f"expected some of {', '.join(PEERS)}")
    def _peers_are_known(values: list[str]) -> bool:
        return set(values) <= set(PEERS)

    @flags.validator("kernels", f"expected some of {', '.join(KERNELS)}")
    def _kernels_are_known(values: list[str]) -> bool:
        return bool(values) and set(values) <= set(KERNELS)

    @flags.validator("threads", "expected whole numbers from 1")
    def _threads_are_numbers(values: list[str]) -> bool:
        return bool(values) and all(x.isascii() and x.isdigit() and int(x) > 0 for x in values)

    @flags.multi_flags_validator(["model", "peers"], "expected --model, --peers or both")
    def _something_to_measure(values: dict[str, list[str]]) -> bool:
        return bool(values["model"] or values["peers"])

    @flags.multi_flags_validator(
        ["adb", "benchmark_binary", "serial"], "--adb and --benchmark_binary need each other"
    )
    def _adb_needs_binary(values: dict[str, Any]) -> bool:
        given = values["benchmark_binary"] is not None
        return values["adb"] == given and (values["adb"] or values["serial"] is None)

    @flags.multi_flags_validator(
        ["adb", "peers", "kernels", "profile", "rounds"],
        "--adb runs --model with and without XNNPACK: no --peers, --kernels, --profile or --rounds",
    )
    def _adb_measures_files(values: dict[str, Any]) -> bool:
        given = any(FLAGS[name].present for name in ("peers", "kernels", "profile", "rounds"))
        return not values["adb"] or not given


def main(_: list[str]) -> None:
    output = FLAGS.output and checked_output("output", FLAGS.output)
    hop = FLAGS.window_hop_ms
    window_hop = None if hop is None else hop / 1000
    threads = [int(number) for number in FLAGS.threads]
    if FLAGS.adb:
        phone = benchmark_phone.find(FLAGS.benchmark_binary, FLAGS.serial)
        where, line = phone.facts(), phone.line()
        results = phone.measure(
            _files(FLAGS.model), threads=threads, runs=FLAGS.steps, window_hop=window_hop
        )
    else:
        where = machine()
        line = machine_line(where)
        results = measure(
            _cases(FLAGS.model, FLAGS.peers, FLAGS.kernels, threads),
            steps=FLAGS.steps,
            rounds=FLAGS.rounds,
            window_hop=window_hop,
            profile=FLAGS.profile,
        )
    print(line)
    print(table(results))
    for result in results:
        if "ops" in result:
            print(f"\n{result['name']}: {_settings(result)}\n{ops_table(result['ops'])}")
    if output:
        write_json(output, {"machine": where, "results": results})


def _files(models: list[str]) -> list[str]:
    return [str(resolve(model, STREAMING)) for model in models]


def _cases(
    models: list[str], peers: list[str], kernels: list[str], threads: list[int]
) -> list[Case]:
    targets = [(path, pathlib.Path(path).stem) for path in _files(models)]
    targets += [(x, x) for x in peers]
    return [
        Case(name, model, kernel, count)
        for model, name in targets
        for kernel in kernels
        for count in threads
    ]


def table(results: list[dict[str, Any]]) -> str:
    """The results of `measure` or of a phone as a table for a terminal."""
    head = ["", "kernels", "threads", "hop", "median", "p90", "CPU/s of audio", "real time"]
    lines = [[*head, "memory", "file"]]
    for x in results:
        lines.append(
            [
                *(f"{x['name']}: {x['form']}", x["kernels"], str(x["threads"])),
                _number(x["hop_ms"], "{:,.0f} ms"),
                _number(x["latency_us"]["median"], "{:,.0f} us"),
                _number(x["latency_us"]["p90"], "{:,.0f} us"),
                _number(x["cpu_us_per_second"], "{:,.0f} us"),
                _number(x["real_time_factor"], "{:.5f}"),
                _number(x["memory_bytes"], "{:,.1f} MB", 1e6),
                _number(x["file_bytes"], "{:,.0f} kB", 1e3),
            ]
        )
    return align(lines)


def ops_table(ops: list[dict[str, Any]]) -> str:
    """An op profile as a table for a terminal: kinds of ops, the slowest first."""
    whole = sum(op["us"] or 0 for op in ops)
    kinds = defaultdict(list)
    for op in ops:
        kinds[op["op"]].append(op["us"] or 0)
    times = sorted(((sum(x), len(x), kind) for kind, x in kinds.items()), reverse=True)
    shown = [x for x in times if abs(x[0]) >= _SHOWN_SHARE * whole]
    lines = [["op", "count", "us", "share"]]
    for us, count, kind in shown:
        lines.append([kind, str(count), f"{us:,.1f}", f"{us / whole:.0%}"])
    others = [x for x in times if x not in shown]
    lines.append(
        ["(others)", str(sum(x[1] for x in others)), f"{sum(x[0] for x in others):,.1f}", ""]
    )
    return align([*lines, ["a whole step", "", f"{whole:,.1f}", ""]])


def _settings(result: dict[str, Any]) -> str:
    settings = f"{result['kernels']}, threads={result['threads']}"
    return f"{settings}; CPU time of each op run on its own; (rest): what that leaves out"


def _number(value: float | None, form: str, unit: float = 1) -> str:
    return "-" if value is None else form.format(value / unit)


def run() -> None:
    """Entry point of `a2v_benchmark`."""
    run_app(main, define_flags)


if __name__ == "__main__":
    run()
