"""How long the commands take to start, how much memory that takes, and how large the install is.

  python benchmarks/startup.py
  python benchmarks/startup.py --commands=a2v_stream --commands=a2v_embed --runs=9

`--help` shows what a command costs before its work begins: nothing heavy is imported for it, nor
for an error in the flags. The last row is the time from the start of `a2v_stream --model=pretrained
--audio=FILE` to its first line, and the memory of the whole run. All are processes of their own,
wall time and peak resident memory, medians of --runs after one that does not count.

The size is that of a2v_tf and of the packages that it requires without any extra, as they are
installed here, with their byte code. Time: about 30 s on an idle core.
"""

import importlib.metadata
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import soundfile
from absl import flags
from packaging.requirements import Requirement

import a2v_tf
from a2v_tf.errors import run_app
from a2v_tf.text import align

FLAGS = flags.FLAGS

COMMANDS = sorted(
    entry_point.name
    for entry_point in importlib.metadata.entry_points(group="console_scripts")
    if entry_point.module.startswith("a2v_tf.")
)
_STREAM = "a2v_stream, first line"


def define_flags() -> None:
    """Define the command's flags; not on import, so that commands can be imported together."""
    flags.DEFINE_multi_enum("commands", COMMANDS, COMMANDS, "Commands whose --help is measured.")
    flags.DEFINE_integer("runs", 5, "Runs of each, besides a first one.", lower_bound=1)


def main(_: list[str]) -> None:
    """Measure and print the table."""
    rows = {f"{name} --help": measure([name, "--help"], FLAGS.runs) for name in FLAGS.commands}
    with tempfile.TemporaryDirectory() as folder:
        sound = pathlib.Path(folder) / "sound.wav"
        soundfile.write(sound, np.random.default_rng(0).normal(0, 0.1, 32_000), 16_000)
        rows[_STREAM] = measure(
            ["a2v_stream", "--model=pretrained", f"--audio={sound}"], FLAGS.runs
        )
    lines = [["", "s", "MB"]]
    lines += [[name, f"{seconds:.2f}", f"{mb:.0f}"] for name, (seconds, mb) in rows.items()]
    print(align(lines))
    sizes = installed_sizes()
    largest = sorted(sizes, key=sizes.get, reverse=True)[:3]
    parts = ", ".join(f"{name} {sizes[name] / 1e6:.0f}" for name in largest)
    print(f"light install: {sum(sizes.values()) / 1e6:.0f} MB ({parts}, {len(sizes)} packages)")


def measure(command: list[str], runs: int) -> tuple[float, float]:
    """Median seconds to a command's first line, and median MB of peak resident memory."""
    found = [_run(command) for _ in range(1 + runs)][1:]
    seconds, megabytes = zip(*found, strict=True)
    return statistics.median(seconds), statistics.median(megabytes)


def _run(command: list[str]) -> tuple[float, float]:
    program = pathlib.Path(sys.executable).with_name(command[0])
    began = time.perf_counter()
    process = subprocess.Popen(
        [program, *command[1:]], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    line = process.stdout.readline()
    seconds = time.perf_counter() - began
    process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status or not line:
        raise RuntimeError(f"{' '.join(command)} ended with status {status}")
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    return seconds, usage.ru_maxrss * unit / 1e6


def installed_sizes() -> dict[str, int]:
    """Bytes of a2v_tf and of every package that it requires without extras, directly or not."""
    package = pathlib.Path(a2v_tf.__file__).parent
    sizes = {"a2v_tf": sum(p.stat().st_size for p in package.rglob("*") if p.is_file())}
    waiting = importlib.metadata.requires("a2v_tf")
    while waiting:
        requirement = Requirement(waiting.pop())
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        distribution = importlib.metadata.distribution(requirement.name)
        name = distribution.metadata["Name"]
        if name not in sizes:
            paths = {pathlib.Path(path.locate()) for path in distribution.files}
            sizes[name] = sum(path.stat().st_size for path in paths if path.is_file())
            waiting += distribution.requires or []
    return sizes


if __name__ == "__main__":
    run_app(main, define_flags)
