"""What the teachers of `--teachers` cost: CPU time for a slice of 975 ms.

  python benchmarks/teachers.py
  python benchmarks/teachers.py --teachers=whisper_tiny,model:pretrained --slices=512

CPU time of all threads of the process, for slices of noise in batches of 64, the least of five
runs after one that does not count; and how many times that of log_mel_statistics it is. Wall time
is this divided by the cores that `a2v_tf.teachers.cache` may use. Fetches the weights that are
missing. Time: about a minute on an idle core.
"""

import time

import numpy as np
from absl import flags
from threadpoolctl import threadpool_limits

from a2v_tf.audio.read import SLICE_SAMPLES
from a2v_tf.errors import run_app
from a2v_tf.teachers import TEACHERS, Teacher, find_teacher
from a2v_tf.text import align

FLAGS = flags.FLAGS

RUNS = 5
_UNIT = "log_mel_statistics"


def define_flags() -> None:
    """Define the command's flags; not on import, so that commands can be imported together."""
    flags.DEFINE_list("teachers", list(TEACHERS), "Teachers to measure.")
    flags.DEFINE_integer("slices", 64, "Slices of a run.", lower_bound=1)


def main(_: list[str]) -> None:
    """Measure and print the table."""
    teachers = [find_teacher(name) for name in (_UNIT, *FLAGS.teachers)]
    with threadpool_limits(1, user_api="blas"):  # as where the cache is filled
        found = measure(teachers, FLAGS.slices)
    lines = [["", "numbers", "CPU ms", "times"]]
    lines += [
        [teacher.name, str(teacher.dim), f"{ms:.2f}", f"{ms / found[0]:.0f}"]
        for teacher, ms in zip(teachers[1:], found[1:], strict=True)
    ]
    print(align(lines))


def measure(teachers: list[Teacher], slices: int) -> list[float]:
    """CPU time of each teacher for a slice, in ms; the runs of the teachers take turns."""
    pcm = np.random.default_rng(0).uniform(-0.5, 0.5, (slices, SLICE_SAMPLES)).astype(np.float32)
    runs = [[_seconds(teacher, pcm) for teacher in teachers] for _ in range(1 + RUNS)]
    return [1_000 * float(least) / slices for least in np.min(runs[1:], axis=0)]


def _seconds(teacher: Teacher, pcm: np.ndarray) -> float:
    begin = time.process_time()
    for start in range(0, len(pcm), 64):
        teacher.embed(pcm[start : start + 64])
    return time.process_time() - begin


if __name__ == "__main__":
    run_app(main, define_flags)
