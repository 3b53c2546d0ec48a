"""Where the time of training goes: each stage of the input pipeline, and the training step.

  python benchmarks/training.py > training.md
  python benchmarks/training.py --tasks=cbow --encoders=small --cores=1,2 --output=training.json
  python benchmarks/training.py --backends=tensorflow,jax --frontends=host,device \\
      --precisions=float32,bfloat16 --steps_per_execution=10

Prints two tables. Input: the rate at the end of each stage of the input pipeline, without training,
on the numbers of cores of --cores: reading records; crops; log-mel; slices; and raw crops, for
--frontend=device. For comparison, a naive pipeline that computes the log-mel of a whole clip for
each example. Stages are measured in turn, round after round, and the medians are given. Efficiency
is the rate relative to that of the smallest number of cores, divided by the ratio of cores.

Training: for each backend, encoder and task, the step alone, always on the same batch, and the
whole including the input pipeline, without and with --cache, all with `keras.Model.fit`; distill
always has a cache, and learns from five teachers of noise. The floor is the minimum time for
the step's multiplications or memory traffic, whichever takes longer, at the speed of a large matrix
product and a large copy on the same device in the same process. Operations are those of
convolutions and matrix products: forward once, and twice as many backward. Memory traffic is one
write and one read of the outputs of convolutions, matrix products and pools and of their gradients,
and what Adam reads and writes.

Without --data the clips are 10 s of noise each, written as a TFDS data set to a temporary folder.
Each number of cores and each backend has a process of its own. Time: about 5 minutes for one task
and encoder on one backend on 2 cores; each stage takes --rounds times --seconds.
"""

import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import flags

from a2v_tf.commands.flag_types import define_counts, define_some_of
from a2v_tf.data.log_mel_cache import CachedLogMel
from a2v_tf.data.sources import Source, open_source
from a2v_tf.data.tfds_source import TfdsSource
from a2v_tf.errors import A2vError, run_app
from a2v_tf.export.benchmark.measure import machine, machine_line
from a2v_tf.files import write_json
from a2v_tf.frontend import FRONT_END, log_mel, pcm_to_float
from a2v_tf.models.on_device import OnDevice
from a2v_tf.models.precision import precision
from a2v_tf.slicing import context_slices
from a2v_tf.specs import ENCODERS, PRECISIONS, InputStats, Slicing
from a2v_tf.tasks import DEFAULT_HEADS, DISTILL, TASKS, multi_head
from a2v_tf.tasks.task import Setup, Task, find_tasks
from a2v_tf.teachers.base import Teacher
from a2v_tf.teachers.cache import fill
from a2v_tf.text import markdown_table
from a2v_tf.training.batches import Round, cut_batches, log_mel_crops, task_batches
from a2v_tf.training.distillation import TaughtSlices, fit_projections, taught_slices

FLAGS = flags.FLAGS

NOISE = "a2v_noise"  # the data set written without --data
_CLIP_SAMPLES = 160_000
_TASKS = [*TASKS, DISTILL, "multi_head"]
_COMPONENTS = 64  # of each teacher of distill
_BYTES_PER_NUMBER = {"float32": 4, "bfloat16": 2}
_PEAK_SIZE = {"cpu": 1024, "gpu": 8192}  # of the square matrices of the timed product
_COPIED = {"cpu": 2**24, "gpu": 2**28}  # numbers in the array of the timed copy


# Data ---------------------------------------------------------------------------------------------


def write_noise(directory: pathlib.Path, clips: int) -> str:
    """Write a TFDS data set of noise in the format of our builders; returns its name for --data."""
    rng = np.random.default_rng(0)
    audio = tfds.features.Tensor(shape=(None,), dtype=np.int16, encoding="bytes")
    noise = rng.integers(-9_000, 9_000, (clips, _CLIP_SAMPLES), np.int16)
    with contextlib.redirect_stdout(sys.stderr):  # TFDS prints to stdout
        tfds.dataset_builders.store_as_tfds_dataset(
            name=NOISE,
            version="1.0.0",
            features=tfds.features.FeaturesDict({"audio": audio}),
            split_datasets={"train": [(i, {"audio": clip}) for i, clip in enumerate(noise)]},
            data_dir=directory,
            download_config=tfds.download.DownloadConfig(num_shards=16),
        )
    return f"tfds:{NOISE}"


# Input --------------------------------------------------------------------------------------------


def naive(source: TfdsSource, slicing: Slicing, batch_size: int) -> tf.data.Dataset:
    """A straightforward pipeline: log-mel of each clip, random crop, shuffle buffer, batches."""
    frames = slicing.span

    def crop(example: tf.Tensor) -> tf.Tensor:
        frames_of_clip = log_mel(pcm_to_float(source.decode(example)))
        return tf.image.random_crop(frames_of_clip, [frames, FRONT_END.mel_bins])

    crops = source.records().map(crop, num_parallel_calls=tf.data.AUTOTUNE).shuffle(1024)
    return (
        crops.batch(batch_size, drop_remainder=True)
        .map(lambda x: context_slices(x, slicing), num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )


def stages(
    source: Source, slicing: Slicing, batch_size: int, crops_per_clip: int
) -> dict[str, tf.data.Dataset]:
    """Endless batches of CBoW examples as they are after each stage."""
    cbow = find_tasks(["cbow"])
    frames = multi_head.crop_frames(cbow, slicing)
    options = {"batch_size": batch_size, "seed": 0, "crops_per_clip": crops_per_clip}
    several = {"crops_per_clip": crops_per_clip} if crops_per_clip > 1 else {}
    crops = source.crops(FRONT_END.samples(frames), seed=0, round_index=0, **several)

    def batches(on_device: bool) -> tf.data.Dataset:
        one_round = task_batches(source, cbow, slicing, raw=on_device, **options)
        return one_round(0).prefetch(tf.data.AUTOTUNE)

    found = {
        "crop": crops.batch(batch_size),
        "log-mel": log_mel_crops(source, frames, round_index=0, **options),
        "slices: all, for --frontend=host": batches(False),
        "raw crops: all, for --frontend=device": batches(True),
    }
    if isinstance(source, TfdsSource):
        found = {
            "read": source.records().batch(batch_size),
            **found,
            "naive pipeline": naive(source, slicing, batch_size),
        }
    return found


def rates(
    datasets: dict[str, tf.data.Dataset], batch_size: int, rounds: int, seconds: float
) -> dict[str, dict[str, list[float]]]:
    """For each data set and round: examples per second, and CPU time per example in us."""
    found = {name: {"per_s": [], "cpu_us": []} for name in datasets}
    for _ in range(rounds):
        for name, dataset in datasets.items():
            iterator = iter(dataset)
            _drain(iterator, seconds / 3)  # until the buffers have filled
            cpu = time.process_time()
            count, elapsed = _drain(iterator, seconds)
            cpu = time.process_time() - cpu
            found[name]["per_s"].append(count * batch_size / elapsed)
            found[name]["cpu_us"].append(1e6 * cpu / (count * batch_size))
            del iterator
    return found


def _drain(iterator: Iterator, seconds: float) -> tuple[int, float]:
    """Take batches for at least `seconds`, two at least; returns their number and the seconds."""
    start, count = time.perf_counter(), 0
    while count < 2 or time.perf_counter() - start < seconds:
        next(iterator)
        count += 1
    return count, time.perf_counter() - start


# Training -----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Work:
    """The minimum work of a training step.

    Attributes:
      operations: additions and multiplications of convolutions and matrix products.
      bytes: bytes read and written.
    """

    operations: float
    bytes: float


def work_of(model: keras.Model, batch_size: int, bytes_per_number: int) -> Work:
    """Count the work of a training step of a model that `multi_head.build` made."""
    slices = model.input.shape[1]
    operations = numbers = 0
    for layer in model.layers:
        parts, times = (layer.layers, 1) if isinstance(layer, keras.Model) else ([layer], 1)
        times = slices if layer.name == "encoder" else times
        for part in parts:
            weighs = hasattr(part, "kernel")
            if weighs:
                positions = int(np.prod(part.output.shape[1:-1]))
                operations += times * 2 * int(np.prod(part.kernel.shape)) * positions
            if weighs or isinstance(part, keras.layers.MaxPooling2D):
                numbers += times * int(np.prod(part.output.shape[1:]))
    parameters = sum(int(np.prod(x.shape)) for x in model.trainable_variables)
    # Forward, and for the gradients of inputs and of weights.
    operations *= 3 * batch_size
    # An activation and its gradient, each written and read; Adam reads four and writes three.
    return Work(operations, 4 * bytes_per_number * numbers * batch_size + 7 * 4 * parameters)


def peak(dtype: str) -> tuple[float, float]:
    """Operations per second of a matrix product, and bytes per second of a copy."""
    kind = "gpu" if _accelerators() else "cpu"
    size = _PEAK_SIZE[kind]
    a = keras.ops.cast(keras.random.normal((size, size), seed=0), dtype)
    x = keras.ops.zeros((_COPIED[kind],), "float32")

    def fastest(function: Callable[[], Any]) -> float:
        def timed() -> float:
            start = time.perf_counter()
            # Copying one number to the host waits for the whole result.
            keras.ops.convert_to_numpy(keras.ops.reshape(function(), (-1,))[:1])
            return time.perf_counter() - start

        return min(timed() for _ in range(10))

    return (
        2.0 * size**3 / fastest(lambda: keras.ops.matmul(a, a)),
        2.0 * 4 * _COPIED[kind] / fastest(lambda: x + 1.0),
    )


def _accelerators() -> list:
    if keras.backend.backend() == "jax":
        import jax

        return [x for x in jax.devices() if x.platform != "cpu"]
    return tf.config.list_physical_devices("GPU")


class _Timer(keras.callbacks.Callback):
    """Seconds of each epoch, from its first step to its last."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.seconds.append(time.perf_counter() - self._start)


def noise_teachers() -> list[Teacher]:
    """Teachers that give noise, as many as the recipe of the pretrained encoder has."""

    def embed(pcm: np.ndarray) -> np.ndarray:
        return np.random.default_rng(0).standard_normal((len(pcm), _COMPONENTS))

    return [
        Teacher(f"noise_{i}", _COMPONENTS, embed, "none", "noise", f"{i}" * 12) for i in range(5)
    ]


def taught_noise(source: Source, directory: pathlib.Path) -> TaughtSlices:
    """What distill learns from, as `a2v_train` prepares it."""
    cache = fill(source, noise_teachers(), directory)
    path = directory / "teachers.npz"
    fit_projections(cache, list(cache.teachers), _COMPONENTS, 0, path)
    return taught_slices(cache, path)


def rounds_of(
    source: Source, tasks: Sequence[Task], directory: pathlib.Path, on_device: bool
) -> dict[str, Round]:
    """The batches of a round, by whether the log-mel is cached: "whole" and "cached"."""
    options = {"batch_size": FLAGS.batch_size, "seed": 0}
    if "noise_0" in {task.name for task in tasks}:
        taught = taught_noise(source, directory)
        return {
            "cached": cut_batches(taught.draw(taught.trained, **options), tasks, Slicing(), seed=0)
        }
    whole = task_batches(
        source, tasks, Slicing(), crops_per_clip=FLAGS.crops_per_clip, raw=on_device, **options
    )
    if on_device:
        return {"whole": whole}
    cached = CachedLogMel(source, directory)
    cached.check(FRONT_END.samples(multi_head.crop_frames(tasks, Slicing())))
    return {"whole": whole, "cached": task_batches(cached, tasks, Slicing(), **options)}


def time_training(
    source: Source,
    task: str,
    encoder: str,
    frontend: str,
    numbers: str,
    directory: pathlib.Path,
) -> dict[str, Any]:
    """Examples per second of the step alone and of the whole in each round, and the work."""
    names = DEFAULT_HEADS if task == "multi_head" else [task]
    tasks = find_tasks(names, [teacher.name for teacher in noise_teachers()])
    slicing = Slicing()
    on_device = frontend == "device"
    setup = Setup(
        ENCODERS[encoder],
        slicing,
        FRONT_END.mel_bins,
        InputStats(-3.0, 4.0),
        components={task.name: _COMPONENTS for task in tasks},
    )
    with precision(numbers):
        model = multi_head.build(tasks, setup)
    work = work_of(model, FLAGS.batch_size, _BYTES_PER_NUMBER[numbers])
    trainer = OnDevice(model, across=multi_head.cuts_across(tasks)) if on_device else model
    trainer.compile(
        "adam", steps_per_execution=FLAGS.steps_per_execution, **multi_head.losses(tasks)
    )
    rounds = rounds_of(source, tasks, directory, on_device)
    batches = {name: one_round(0).prefetch(tf.data.AUTOTUNE) for name, one_round in rounds.items()}
    same = tf.data.Dataset.from_tensors(next(iter(next(iter(batches.values()))))).repeat()

    def per_s(dataset: tf.data.Dataset) -> list[float]:
        timer = _Timer()
        trainer.fit(
            dataset,
            steps_per_epoch=FLAGS.steps,
            epochs=FLAGS.rounds + 1,  # the first compiles
            verbose=0,
            callbacks=[timer],
        )
        return [FLAGS.batch_size * FLAGS.steps / x for x in timer.seconds[1:]]

    return {
        "task": task,
        "encoder": encoder,
        "frontend": frontend,
        "precision": numbers,
        "step_per_s": per_s(same),
        **{f"{name}_per_s": per_s(dataset) for name, dataset in batches.items()},
        "operations": work.operations,
        "bytes": work.bytes,
    }


# Processes ----------------------------------------------------------------------------------------


def measure_input() -> dict[str, Any]:
    """Measure the input pipeline, in a process limited to a number of cores."""
    source = open_source(FLAGS.data)
    datasets = stages(source, Slicing(), FLAGS.batch_size, FLAGS.crops_per_clip)
    return rates(datasets, FLAGS.batch_size, FLAGS.rounds, FLAGS.seconds)


def measure_training() -> dict[str, Any]:
    """Measure training, in a process with one backend."""
    source = open_source(FLAGS.data)
    peaks = {numbers: peak(numbers) for numbers in FLAGS.precisions}
    results = []
    with tempfile.TemporaryDirectory() as name:
        for case in itertools.product(
            FLAGS.encoders, FLAGS.tasks, FLAGS.frontends, FLAGS.precisions
        ):
            encoder, task, frontend, numbers = case
            if task == DISTILL and frontend == "device":
                continue  # its log-mel is cached
            print(" ".join(case), file=sys.stderr)
            directory = pathlib.Path(name)
            results.append(time_training(source, task, encoder, frontend, numbers, directory))
            keras.backend.clear_session()
    return {
        "backend": keras.backend.backend(),
        "accelerators": [str(x) for x in _accelerators()],
        "peaks": peaks,
        "results": results,
    }


PARTS = {"input": measure_input, "training": measure_training}


def run_part(part: str, environment: dict[str, str], cores: Sequence[int] | None = None) -> Any:
    """Run one of `PARTS` in a process of its own, on these cores; returns its results."""
    with tempfile.TemporaryDirectory() as name:
        output = pathlib.Path(name, "part.json")
        options = {
            **{flag: FLAGS[flag].serialize() for flag in _SETTINGS},
            "part": f"--part={part}",
            "part_output": f"--part_output={output}",
        }
        run = subprocess.run(
            [sys.executable, __file__, *filter(None, options.values())],
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if cores else None,
        )
        if run.returncode:
            raise A2vError(f"measuring {part} failed with exit status {run.returncode}")
        return json.loads(output.read_text())


# Results ------------------------------------------------------------------------------------------


def input_table(by_cores: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each stage: median rate, efficiency and CPU time for each number of cores."""
    fewest = min(by_cores)
    rows = []
    for stage in by_cores[fewest]:
        row = {"stage": stage, "cores": {}}
        for cores, found in by_cores.items():
            rate = statistics.median(found[stage]["per_s"])
            alone = statistics.median(by_cores[fewest][stage]["per_s"])
            row["cores"][cores] = {
                "per_s": rate,
                "efficiency": rate / alone / (cores / fewest),
                "cpu_us": statistics.median(found[stage]["cpu_us"]),
            }
        rows.append(row)
    return rows


def training_table(parts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each model: medians and the floor."""
    rows = []
    for part in parts:
        for result in part["results"]:
            operations_per_s, bytes_per_s = part["peaks"][result["precision"]]
            seconds = {
                "operations": result["operations"] / operations_per_s,
                "bytes": result["bytes"] / bytes_per_s,
            }
            limit = max(seconds, key=seconds.get)
            floor = FLAGS.batch_size / seconds[limit]
            step = statistics.median(result["step_per_s"])
            rows.append(
                {
                    **result,
                    "backend": part["backend"],
                    "step": step,
                    **{
                        name: statistics.median(result[f"{name}_per_s"])
                        for name in ("whole", "cached")
                        if f"{name}_per_s" in result
                    },
                    "floor": floor,
                    "limit": limit,
                    "of_floor": step / floor,
                }
            )
    return rows


def markdown(content: dict[str, Any]) -> str:
    """The results as Markdown."""
    settings = content["settings"]
    lines = [
        f"`{content['command']}`: {machine_line(content['machine'])}; batches of "
        f"{settings['batch_size']}, {settings['rounds']} rounds.",
        "",
    ]
    if content["input"]:
        lines += [_input_markdown(content["input"]), ""]
    if content["training"]:
        lines += [_training_markdown(content["training"]), ""]
    for part in content["devices"]:
        for numbers, (operations, bytes_) in part["peaks"].items():
            where = ", ".join(part["accelerators"]) or "CPU"
            lines.append(
                f"{part['backend']} on {where}: a matrix product of {numbers} "
                f"{operations / 1e9:,.0f} G operations/s, a copy {bytes_ / 1e9:,.0f} GB/s."
            )
    return "\n".join(lines)


def _input_markdown(table: Sequence[dict[str, Any]]) -> str:
    cores = list(table[0]["cores"])
    naive_rates = [x["cores"][cores[-1]]["per_s"] for x in table if x["stage"] == "naive pipeline"]
    rows = []
    for row in table:
        last = row["cores"][cores[-1]]
        rows.append(
            [
                row["stage"],
                *(f"{row['cores'][n]['per_s']:,.0f}" for n in cores),
                f"{last['efficiency']:.0%}",
                f"{last['cpu_us']:,.0f} us",
                f"{last['per_s'] / naive_rates[0]:.1f}" if naive_rates else "-",
            ]
        )
    counts = (f"{n} core{'s' if n != 1 else ''}" for n in cores)
    header = ["input, examples/s", *counts, "efficiency", "CPU time per example", "vs naive"]
    return markdown_table(header, rows)


def _training_markdown(table: Sequence[dict[str, Any]]) -> str:
    names = ("backend", "encoder", "task", "frontend", "precision")
    rows = [
        [
            *(x[name] for name in names),
            f"{x['step']:,.0f}",
            f"{x['floor']:,.0f} ({x['limit']})",
            f"{x['of_floor']:.0%}",
            *(f"{x[name]:,.0f}" if name in x else "-" for name in ("whole", "cached")),
        ]
        for x in table
    ]
    header = ["backend", "encoder", "task", "log-mel on", "precision", "step alone, examples/s"]
    return markdown_table(
        [*header, "floor", "step / floor", "whole, examples/s", "with --cache"], rows
    )


# The command --------------------------------------------------------------------------------------

_SETTINGS = (
    *("data", "tasks", "encoders", "frontends", "precisions", "batch_size", "rounds", "seconds"),
    *("steps", "steps_per_execution", "crops_per_clip"),
)


def define_flags() -> None:
    """Define the command's flags."""
    flags.DEFINE_string(
        "data",
        None,
        "Training data, as in a2v_train. Default: noise. The stage read and the naive pipeline are "
        "measured for tfds:NAME only.",
    )
    flags.DEFINE_integer("clips", 512, "Number of noise clips of 10 s each.", lower_bound=16)
    define_some_of("tasks", _TASKS, _TASKS, "Tasks to train, or empty.", empty=True)
    define_some_of("encoders", ENCODERS, ENCODERS, "Encoders, or empty.", empty=True)
    define_some_of(
        "backends", [keras.backend.backend()], ["tensorflow", "jax"], "Backends of Keras."
    )
    define_some_of("frontends", ["host"], ["host", "device"], "Where log-mel is computed.")
    define_some_of("precisions", ["float32"], PRECISIONS, f"Some of {', '.join(PRECISIONS)}.")
    most = os.cpu_count() or 1
    define_counts(
        "cores",
        sorted({1, most}),
        "Numbers of cores for the input pipeline; 0: do not measure it.",
        least=0,
        most=most,
    )
    flags.DEFINE_integer("batch_size", 256, "Examples per step.", lower_bound=1)
    flags.DEFINE_integer("rounds", 3, "Rounds of each stage and model.", lower_bound=1)
    flags.DEFINE_float("seconds", 5.0, "Duration of a round of a stage.", lower_bound=0.0)
    flags.DEFINE_integer("steps", 4, "Steps of a round of a model.", lower_bound=1)
    flags.DEFINE_integer("steps_per_execution", 1, "As in a2v_train.", lower_bound=1)
    flags.DEFINE_integer("crops_per_clip", 1, "As in a2v_train.", lower_bound=1)
    flags.DEFINE_string("output", None, "JSON file to write.")
    flags.DEFINE_enum("part", None, list(PARTS), "Internal: measure this in this process.")
    flags.DEFINE_string("part_output", None, "Internal: where --part writes its results.")


@contextlib.contextmanager
def _data() -> Iterator[dict[str, str]]:
    """Set --data to noise if it is not given; yields environment variables."""
    if FLAGS.data:
        yield {}
        return
    with tempfile.TemporaryDirectory() as name:
        FLAGS.data = write_noise(pathlib.Path(name), FLAGS.clips)
        yield {"TFDS_DATA_DIR": name}


def main(_: list[str]) -> None:
    """Measure, print."""
    if FLAGS.part:
        pathlib.Path(FLAGS.part_output).write_text(json.dumps(PARTS[FLAGS.part]()))
        return
    command = " ".join(["python benchmarks/training.py", *sys.argv[1:]])
    by_cores, parts = {}, []
    with _data() as environment:
        for cores in filter(None, map(int, FLAGS.cores)):
            print(f"input on {cores} cores", file=sys.stderr)
            chosen = sorted(os.sched_getaffinity(0))[:cores]
            by_cores[cores] = run_part("input", environment, chosen)
        for backend in FLAGS.backends if FLAGS.tasks and FLAGS.encoders else []:
            print(f"training with {backend}", file=sys.stderr)
            parts.append(run_part("training", {**environment, "KERAS_BACKEND": backend}))
    content = {
        "command": command,
        "machine": machine(),
        "settings": {name: FLAGS[name].value for name in _SETTINGS},
        "input": input_table(by_cores) if by_cores else [],
        "training": training_table(parts),
        "devices": [{k: v for k, v in part.items() if k != "results"} for part in parts],
    }
    print(markdown(content))
    if FLAGS.output:
        write_json(FLAGS.output, content)


if __name__ == "__main__":
    run_app(main, define_flags)
