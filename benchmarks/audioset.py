"""How fast AudioSet is built from downloaded clips, and what the whole data set would take.

  python benchmarks/audioset.py
  python benchmarks/audioset.py --data=/path/to/recordings --clips=500 --output=audioset.json
  python benchmarks/audioset.py --formats=flac --ways=threads,beam --cores=1,2

Cuts excerpts of 10 s from --data and stores them with ffmpeg as stereo files at 44.1 kHz (opus:
48 kHz; m4a and opus at 128 kbit/s), then builds a data set of each format: with `threads`, as
`python -m a2v_tf.data.builders` does; or with `beam`, one Beam process per core (extra [beam]).
Each build is done with a few clips and with all of them, and the difference is reported, which
excludes the start of processes.

CPU time is that of all processes, including ffmpeg. On a busy machine the clips per second drop,
but the CPU time hardly changes. The plan follows from the CPU time: clips x CPU time / cores, with
all cores busy. --price is an assumption; set your own. Time: 3 minutes on 2 idle cores.
"""

import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
import soundfile
import tensorflow_datasets as tfds
from absl import flags

from a2v_tf import beam
from a2v_tf.commands.flag_types import define_counts, define_some_of
from a2v_tf.data.builders.audioset import Audioset
from a2v_tf.data.sources import open_source
from a2v_tf.errors import A2vError, run_app
from a2v_tf.export.benchmark.measure import machine, machine_line
from a2v_tf.files import write_json
from a2v_tf.frontend import FRONT_END
from a2v_tf.text import align

FLAGS = flags.FLAGS

SECONDS = 10
FORMATS = {
    "wav": ["-ar", "44100"],
    "flac": ["-ar", "44100"],
    "m4a": ["-ar", "44100", "-c:a", "aac", "-b:a", "128k"],
    "opus": ["-ar", "48000", "-c:a", "libopus", "-b:a", "128k"],
}
WAYS = ("threads", "beam")
ALL_CLIPS = 2_000_000
_FEW = 8  # clips of the build that is subtracted
_SHARDS = 8
_BEAM_ENDS = 5  # seconds until Beam's processes have ended, whose CPU time is counted then


def define_flags() -> None:
    """Define the command's flags."""
    flags.DEFINE_string("data", "demo", "Audio, as in a2v_train.")
    flags.DEFINE_integer("clips", 100, "Number of clips of each format.", lower_bound=_FEW + 1)
    define_some_of("formats", FORMATS, FORMATS, "Formats of the clips.")
    define_some_of("ways", ["threads"], WAYS, f"Some of {', '.join(WAYS)}.")
    define_counts("cores", [1, 2], "Numbers of cores to use (Linux).")
    flags.DEFINE_float("price", 0.05, "Assumed price of a core-hour in dollars.", lower_bound=0)
    flags.DEFINE_string("output", None, "JSON file to write.")


# Builds -------------------------------------------------------------------------------------------


def make_clips(folder: pathlib.Path, data: str, count: int, formats: list[str]) -> None:
    """Write a folder for each format as the builder expects it: clips and CSVs.

    Raises:
      A2vError: the data cannot be used, or ffmpeg is missing or fails.
    """
    source = open_source(data)
    crops = source.crops(SECONDS * FRONT_END.sample_rate, seed=0, round_index=0)
    for kind in formats:
        (folder / kind).mkdir(parents=True)
        lines = [f'y{i:010d}, 0, {SECONDS}, "/m/{i % 527}"\n' for i in range(count)]
        (folder / kind / "eval_segments.csv").write_text("".join(lines))
        classes = [f"{i},/m/{i},class {i}\n" for i in range(527)]
        text = "".join(["index,mid,display_name\n", *classes])
        (folder / kind / "class_labels_indices.csv").write_text(text)
    for i, (pcm, _) in enumerate(crops.take(count).as_numpy_iterator()):
        piece = folder / "piece.wav"
        soundfile.write(piece, pcm.astype(np.float32), FRONT_END.sample_rate, subtype="PCM_16")
        for kind in formats:
            output = str(folder / kind / f"y{i:010d}.{kind}")
            command = ["ffmpeg", "-v", "error", "-nostdin", "-i", str(piece), "-ac", "2"]
            try:
                subprocess.run([*command, *FORMATS[kind], output], check=True, capture_output=True)
            except (OSError, subprocess.CalledProcessError) as error:
                raise A2vError(f"ffmpeg cannot write {kind}: {error}") from error


def build(manual: pathlib.Path, way: str, cores: int, clips: int) -> dict[str, float]:
    """Build a data set: wall and CPU seconds, and bytes of its shards."""
    with tempfile.TemporaryDirectory() as data_dir:
        config = tfds.download.DownloadConfig(
            manual_dir=manual, num_shards=_SHARDS, max_examples_per_split=clips
        )
        if way == "beam":
            options = ["runner=FnApiRunner", f"direct_num_workers={cores}"]
            options += ["direct_running_mode=multi_processing"]
            config.beam_options = beam.pipeline_options(options)
        builder = Audioset(data_dir=data_dir)
        began, cpu = time.perf_counter(), _cpu_seconds()
        builder.download_and_prepare(download_config=config)
        seconds = time.perf_counter() - began
        if way == "beam":
            time.sleep(_BEAM_ENDS)
        took = {"seconds": seconds, "cpu_seconds": _cpu_seconds() - cpu}
        used = builder.info.splits["eval"].num_examples
        if used != clips:
            raise A2vError(f"{manual}: {used} of {clips} clips were used")
        return {**took, "bytes": builder.info.dataset_size}


def _cpu_seconds() -> float:
    of = [resource.getrusage(x) for x in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(x.ru_utime + x.ru_stime for x in of)


def measure(manual: pathlib.Path, way: str, cores: int, clips: int) -> dict[str, Any]:
    """The cost of a clip, without the start of processes."""
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, sorted(before)[:cores])
        few, every = build(manual, way, cores, _FEW), build(manual, way, cores, clips)
    finally:
        os.sched_setaffinity(0, before)
    each = {name: (every[name] - few[name]) / (clips - _FEW) for name in every}
    stored = [path.stat().st_size for path in manual.glob(f"y*.{manual.name}")]
    return {
        **{"format": manual.name, "way": way, "cores": cores, "clips": clips},
        "clips_per_second": 1 / each["seconds"] if each["seconds"] > 0 else None,
        "cpu_ms_per_clip": 1e3 * each["cpu_seconds"],
        "bytes_in": sum(stored) / len(stored),
        "bytes_out": every["bytes"] / clips,
    }


# Results ------------------------------------------------------------------------------------------


def plan(row: dict[str, Any], price: float, clips: int = ALL_CLIPS) -> dict[str, float]:
    """The cost of all clips: core-hours, dollars, and bytes read and written."""
    hours = clips * row["cpu_ms_per_clip"] / 3.6e6
    return {
        **{"core_hours": hours, "dollars": hours * price},
        **{"bytes_in": clips * row["bytes_in"], "bytes_out": clips * row["bytes_out"]},
    }


def table(rows: list[dict[str, Any]], price: float) -> str:
    """The results as lines for a terminal, with the plan for all clips."""
    head = ["format, way", "cores", "clips/s", "CPU per clip", "clip in", "stored"]
    lines = [[*head, "core-hours", f"at ${price:g}", "16 cores", "TB in", "TB out"]]
    for row in rows:
        whole = plan(row, price)
        rate = row["clips_per_second"]
        lines.append(
            [
                *(f"{row['format']}, {row['way']}", str(row["cores"])),
                "-" if rate is None else f"{rate:,.0f}",
                f"{row['cpu_ms_per_clip']:.1f} ms",
                *(f"{row[name] / 1e3:,.0f} kB" for name in ("bytes_in", "bytes_out")),
                *(f"{whole['core_hours']:,.1f}", f"${whole['dollars']:,.2f}"),
                f"{whole['core_hours'] / 16:,.1f} h",
                *(f"{whole[name] / 1e12:,.2f}" for name in ("bytes_in", "bytes_out")),
            ]
        )
    return align(lines)


def main(_: list[str]) -> None:
    """Make the clips, build, print."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        make_clips(folder, FLAGS.data, FLAGS.clips, FLAGS.formats)
        for kind in FLAGS.formats:
            for way in FLAGS.ways:
                for cores in map(int, FLAGS.cores):
                    print(f"{kind}, {way}, {cores} cores", file=sys.stderr)
                    rows.append(measure(folder / kind, way, cores, FLAGS.clips))
    content = {"machine": machine(), "price": FLAGS.price, "clips": ALL_CLIPS, "results": rows}
    print(machine_line(content["machine"]))
    print(table(rows, FLAGS.price))
    if FLAGS.output:
        write_json(FLAGS.output, content)


if __name__ == "__main__":
    run_app(main, define_flags)
