"""How fast audio files are opened and read, and how much memory a long one takes.

  python benchmarks/reading.py
  python benchmarks/reading.py --against=../a2v_tf-before        # ratios to another checkout
  python benchmarks/reading.py --hours=3                         # peak memory of two commands

Makes 4 minutes of stereo sound at 44.1 kHz in each format, and measures CPU time, which other
programs disturb less than wall time: to open a file, to read a second of it sequentially and
resampled to 16 kHz, and to read a random crop of 4.9 s. The least of --runs. MP3s have a Xing
header; `mp3 (no length)` has none and is measured beforehand. With --against, both checkouts take
turns, run by run. Time: 1 to 2 minutes on an idle core, and a minute for each of --hours.
"""

import importlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np
from absl import flags

from a2v_tf.errors import A2vError, run_app
from a2v_tf.text import align

FLAGS = flags.FLAGS

SECONDS, RATE = 240, 44_100
CROP = 78_480  # samples: a crop of CBoW
CROPS = 24
FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
NO_LENGTH = "mp3 (no length)"
COMMANDS = ("a2v_embed", "a2v_stream")


def define_flags() -> None:
    """Define the command's flags; not on import, so that commands can be imported together."""
    flags.DEFINE_integer("runs", 5, "Runs of each measurement.", lower_bound=1)
    flags.DEFINE_integer("seconds", SECONDS, "Seconds of sound in each file.", lower_bound=10)
    flags.DEFINE_string("against", None, "Root of another checkout of a2v_tf to compare with.")
    flags.DEFINE_float("hours", 0.0, "Hours of 48 kHz stereo FLAC to embed.", lower_bound=0.0)
    flags.DEFINE_string("measure", None, "Folder of files to measure; for the script itself.")


def main(_: list[str]) -> None:
    """Measure and print tables."""
    if FLAGS.measure:
        print(json.dumps(measure(pathlib.Path(FLAGS.measure))))
        return
    here = pathlib.Path(__file__).resolve().parents[1]
    if FLAGS.against and not pathlib.Path(FLAGS.against, "a2v_tf").is_dir():
        raise A2vError(f"--against={FLAGS.against}: expected the root of a checkout of a2v_tf")
    with tempfile.TemporaryDirectory() as folder:
        make_files(pathlib.Path(folder), FLAGS.seconds)
        checkouts = [here, pathlib.Path(FLAGS.against).resolve()] if FLAGS.against else [here]
        runs: list[list[dict[str, list[float]]]] = [[] for _ in checkouts]
        for _ in range(FLAGS.runs):
            for found, checkout in zip(runs, checkouts, strict=True):
                found.append(_measured_by(checkout, folder))
    print(align(table(*map(least, runs))))
    if FLAGS.hours:
        with tempfile.TemporaryDirectory() as folder:
            sound = long_file(pathlib.Path(folder), FLAGS.hours)
            for command in COMMANDS:
                megabytes, seconds = peak_memory(command, sound)
                print(f"{command}: {megabytes:.0f} MB, {seconds:.0f} s for {FLAGS.hours:g} hours")


def make_files(folder: pathlib.Path, seconds: int) -> None:
    """Write the files: a sweep and noise in stereo."""
    import soundfile

    t = np.arange(seconds * RATE) / RATE
    sweep = 0.3 * np.sin(2 * np.pi * (100 + 300 * (t % 10)) * t)
    noise = np.random.default_rng(0).normal(0, 0.05, (len(t), 2))
    pcm = (sweep[:, np.newaxis] + noise).astype(np.float32)
    for name, (format, subtype) in FORMATS.items():
        with soundfile.SoundFile(folder / name, "w", RATE, 2, subtype, None, format) as file:
            for start in range(0, len(pcm), 4_096):  # libsndfile cannot take much Vorbis at once
                file.write(pcm[start : start + 4_096])
    mp3 = (folder / "mp3").read_bytes()
    (folder / NO_LENGTH).write_bytes(without_xing(mp3))


def without_xing(mp3: bytes) -> bytes:
    """An MP3 file without its first frame, which holds the Xing header and no sound."""
    tag = max(mp3.find(b"Info"), mp3.find(b"Xing"))
    return mp3[mp3.index(b"\xff\xfb", tag) :]


def measure(folder: pathlib.Path) -> dict[str, list[float]]:
    """Milliseconds to open a file, to read a second, and to read a crop, of each file."""
    decode = importlib.import_module("a2v_tf.audio.decode")
    read_audio = importlib.import_module("a2v_tf.audio.read").read_audio
    results = {}
    for path in sorted(folder.iterdir()):
        try:
            header = decode.probe(path)
            starts = np.random.default_rng(0).integers(0, header.samples - CROP, CROPS)

            def crops(path=path, header=header, starts=starts) -> None:
                for start in starts:
                    decode.read(path, header, int(start), CROP)

            results[path.name] = [
                cpu_ms(lambda path=path: decode.probe(path), 20),
                cpu_ms(lambda path=path: read_audio(path)) / (header.samples / 16_000),
                cpu_ms(crops) / CROPS,
            ]
        except (A2vError, decode.DecodeError):  # of a checkout that cannot read it
            results[path.name] = [float("nan")] * 3
    return results


def cpu_ms(function: Callable[[], object], times: int = 1) -> float:
    """CPU milliseconds of a call, after one that does not count."""
    function()
    begin = time.process_time()
    for _ in range(times):
        function()
    return 1_000 * (time.process_time() - begin) / times


def _measured_by(checkout: pathlib.Path, folder: str) -> dict[str, list[float]]:
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    command = [sys.executable, __file__, f"--measure={folder}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def least(runs: list[dict[str, list[float]]]) -> dict[str, list[float]]:
    """The least of several runs."""
    return {
        name: [min(run[name][i] for run in runs) for i in range(len(values))]
        for name, values in runs[0].items()
    }


def table(
    here: dict[str, list[float]], other: dict[str, list[float]] | None = None
) -> list[list[str]]:
    """A line for each format; with a second checkout, how many times as fast this one is."""
    lines = [["CPU ms", "open", "second", "crop"]]
    for name, values in here.items():
        cells = [f"{value:.2f}" for value in values]
        if other:
            cells = [
                f"{cell} (x{before / value:.2f})"
                for cell, value, before in zip(cells, values, other[name], strict=True)
            ]
        lines.append([name, *cells])
    return lines


def long_file(folder: pathlib.Path, hours: float) -> pathlib.Path:
    """A FLAC file of noise, 48 kHz, stereo."""
    import soundfile

    rng = np.random.default_rng(0)
    path = folder / "long.flac"
    with soundfile.SoundFile(path, "w", 48_000, 2) as file:
        for _ in range(round(hours * 360)):
            file.write(rng.normal(0, 0.1, (480_000, 2)).astype(np.float32))
    return path


# Linux counts the memory of the process that starts another to the peak of the other: hence a small
# process that starts the command.
_MEASURED = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(usage.ru_maxrss)
sys.exit(status != 0)
"""


def peak_memory(command: str, sound: pathlib.Path) -> tuple[float, float]:
    """Peak resident MB of a command that embeds a file with `pretrained`, and its seconds."""
    program = pathlib.Path(sys.executable).with_name(command)
    options = ["--model=pretrained", f"--audio={sound}"]
    if command == "a2v_embed":
        options.append(f"--output={sound.with_suffix('.npz')}")
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, program, *options], stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise A2vError(f"{command} {' '.join(options)} failed")
    return int(done.stdout) / 1_000, time.perf_counter() - begin


if __name__ == "__main__":
    run_app(main, define_flags)
