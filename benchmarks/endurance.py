"""Whether streams can go on for days: the same bits, and no more memory, after hours of sound.

  python benchmarks/endurance.py                                             # a minute or two
  python benchmarks/endurance.py --hours=24 --resets=100000 --opens=1000     # hours

Sound is embedded at the speed of the machine, once by `Embedder.stream` and once by `a2v_stream`,
which gets it through a pipe. The embeddings of the last minute must have the bits that a stream
gives that begins two seconds before; the memory at the end is compared with that after the first
minute. Then a model is reset many times, and opened many times, and some threads embed at once,
each by an `Embedder` of its own: the bits are always those of the first time. A difference, or more
growth than --most_growth_mb, ends the command with an error. Linux only, as it reads /proc.
"""

import collections
import concurrent.futures
import dataclasses
import functools
import gc
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import IO

import numpy as np
from absl import flags

from a2v_tf.errors import A2vError, run_app
from a2v_tf.frontend import FRONT_END
from a2v_tf.pretrained import NAME
from a2v_tf.runtime.embedder import Embedder
from a2v_tf.text import align

FLAGS = flags.FLAGS

_RATE = FRONT_END.sample_rate
_LAST_S = 60
_WARM_S = 2  # longer than anything that an embedding depends on
_PERIOD = 61 * _RATE + 77  # samples after which the sound repeats: no multiple of a hop
_LONGEST_BLOCK = 2 * _RATE


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one kind of long use did.

    Attributes:
      what: a few words.
      cpu_s: seconds of computing.
      before_mb: resident memory after the beginning.
      after_mb: resident memory at the end.
      files: files that are open at the end, less those after the beginning.
    """

    what: str
    cpu_s: float
    before_mb: float
    after_mb: float
    files: int = 0


def define_flags() -> None:
    """Define the command's flags; not on import, so that commands can be imported together."""
    flags.DEFINE_string("model", NAME, "Streaming .tflite file with PCM input.")
    flags.DEFINE_float("hours", 0.1, "Hours of sound for each stream.", lower_bound=0.05)
    flags.DEFINE_integer("resets", 1_000, "Times that a model is reset.", lower_bound=10)
    flags.DEFINE_integer("opens", 50, "Times that a model is opened.", lower_bound=10)
    flags.DEFINE_integer("threads", 8, "Threads that embed at once.", lower_bound=2)
    flags.DEFINE_float("most_growth_mb", 32, "Memory that a kind of use may take more at its end.")


def main(_: list[str]) -> None:
    """Try each kind of long use, and print the table."""
    rows = [["", "CPU s", "MB before", "MB after", "files"]]
    uses = [
        functools.partial(long_stream, FLAGS.model, FLAGS.hours),
        functools.partial(long_command, FLAGS.model, FLAGS.hours),
        functools.partial(many_resets, FLAGS.model, FLAGS.resets),
        functools.partial(many_opens, FLAGS.model, FLAGS.opens),
        functools.partial(many_threads, FLAGS.model, FLAGS.threads),
    ]
    for use in uses:
        outcome = use()
        print(outcome, file=sys.stderr, flush=True)
        check(outcome, FLAGS.most_growth_mb)
        numbers = (outcome.cpu_s, outcome.before_mb, outcome.after_mb)
        rows.append([outcome.what, *(f"{x:.1f}" for x in numbers), f"{outcome.files:+d}"])
    print(align(rows))


def check(outcome: Outcome, most_growth_mb: float) -> None:
    """Check that a use left nothing behind.

    Raises:
      A2vError: it took more memory at its end than at its beginning, or left files open.
    """
    growth = outcome.after_mb - outcome.before_mb
    if growth > most_growth_mb:
        raise A2vError(f"{outcome.what}: {growth:.1f} MB more, expected {most_growth_mb:g} at most")
    if outcome.files > 0:
        raise A2vError(f"{outcome.what}: {outcome.files} files more are open than before")


def long_stream(model: str, hours: float) -> Outcome:
    """Hours of sound through one `Embedder`."""
    embedder, total = Embedder(model), round(hours * 3_600 * _RATE)
    last = collections.deque[np.ndarray](maxlen=_last_hops(embedder))
    start, before, done = time.process_time(), 0.0, 0
    for pcm in blocks(total):
        last.extend(embedder.stream(pcm))
        done += len(pcm)
        if not before and done >= _LAST_S * _RATE:
            before = resident_mb()
    seconds, after = time.process_time() - start, resident_mb()
    _expect_equal(np.array(last), fresh_end(model, total), f"{hours:g} h of sound")
    return Outcome(f"Embedder.stream, {hours:g} h", seconds, before, after)


def long_command(model: str, hours: float) -> Outcome:
    """Hours of sound through a pipe to `a2v_stream`."""
    total, hop = round(hours * 3_600 * _RATE), Embedder(model).stream_hop
    command = [sys.executable, "-m", "a2v_tf.commands.stream", f"--model={model}", "--audio=-"]
    process = subprocess.Popen(
        [*command, "--format=jsonl"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    feeding = threading.Thread(target=_feed, args=(process.stdin, total), daemon=True)
    feeding.start()
    last = collections.deque[bytes](maxlen=_last_hops(Embedder(model)))
    before = after = seconds = 0.0
    for i, line in enumerate(process.stdout, 1):
        last.append(line)
        if i in (_LAST_S * _RATE // hop, total // hop - 1):  # it still runs
            before, after = before or resident_mb(process.pid), resident_mb(process.pid)
            seconds = _cpu_s(process.pid)
    if process.wait():
        raise A2vError(f"a2v_stream ended with exit code {process.returncode}")
    found = np.array([json.loads(line)["embedding"] for line in last], np.float32)
    _expect_equal(found, fresh_end(model, total), f"a2v_stream, {hours:g} h of sound")
    return Outcome(f"a2v_stream, {hours:g} h", seconds, before, after)


def many_resets(model: str, resets: int) -> Outcome:
    """One hop of sound after each reset."""
    embedder = Embedder(model)
    pcm = sound(0, embedder.stream_hop)
    (first,) = embedder.stream(pcm)
    start, before = time.process_time(), 0.0
    for i in range(resets):
        embedder.reset()
        _expect_equal(embedder.stream(pcm)[0], first, f"reset {i}")
        if i == resets // 10:
            before = resident_mb()
    seconds = time.process_time() - start
    return Outcome(f"{resets:,} resets", seconds, before, resident_mb())


def many_opens(model: str, opens: int) -> Outcome:
    """One hop of sound by each of many `Embedder` objects, one after another."""
    first, before, files = None, 0.0, 0
    start = time.process_time()
    for i in range(opens):
        embedder = Embedder(model)
        (found,) = embedder.stream(sound(0, embedder.stream_hop))
        first = found if first is None else first
        _expect_equal(found, first, f"the model opened for the {i}th time")
        del embedder
        if i == opens // 10:
            before, files = resident_mb(), _open_files()
    seconds = time.process_time() - start
    return Outcome(f"{opens:,} opens", seconds, before, resident_mb(), _open_files() - files)


def many_threads(model: str, threads: int) -> Outcome:
    """A minute of sound by each of some threads at once."""

    def embed(_: int) -> np.ndarray:
        embedder = Embedder(model)
        return np.array([e for pcm in blocks(_LAST_S * _RATE) for e in embedder.stream(pcm)])

    expected = embed(0)
    start, before = time.process_time(), resident_mb()
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for found in pool.map(embed, range(threads)):
            _expect_equal(found, expected, "one of several threads")
    seconds = time.process_time() - start
    return Outcome(f"{threads} threads", seconds, before, resident_mb())


# The sound ---------------------------------------------------------------------------------------


@functools.cache
def _period() -> np.ndarray:
    """int16 `[_PERIOD]`: noise whose loudness and colour change."""
    rng = np.random.default_rng(0)
    t = np.arange(_PERIOD) / _RATE
    noise = np.cumsum(rng.standard_normal(_PERIOD)) % 2 - 1
    wave = 0.3 * np.sin(2 * np.pi * (150 + 40 * t) * t) + 0.2 * noise * np.sin(0.7 * t) ** 2
    return np.rint(32_000 * wave).astype(np.int16)


def sound(start: int, stop: int) -> np.ndarray:
    """The samples of an endless sound from `start` to `stop`, int16."""
    return np.take(_period(), range(start, stop), mode="wrap")


def blocks(total: int) -> Iterator[np.ndarray]:
    """The first samples of the sound, in blocks of all lengths up to two seconds."""
    rng, start = np.random.default_rng(1), 0
    while start < total:
        stop = min(total, start + int(rng.integers(1, _LONGEST_BLOCK)))
        yield sound(start, stop)
        start = stop


def fresh_end(model: str, total: int) -> np.ndarray:
    """The embeddings of the last minute, by a stream that begins shortly before."""
    embedder = Embedder(model)
    hops, last = total // embedder.stream_hop, _last_hops(embedder)
    start = hops - last - _WARM_S * _RATE // embedder.stream_hop
    pcm = sound(start * embedder.stream_hop, hops * embedder.stream_hop)
    return np.array(embedder.stream(pcm)[-last:])


def _last_hops(embedder: Embedder) -> int:
    return _LAST_S * _RATE // embedder.stream_hop


def _feed(pipe: IO[bytes], total: int) -> None:
    with pipe:
        for pcm in blocks(total):
            pipe.write(pcm.astype("<i2").tobytes())


def _expect_equal(found: np.ndarray, expected: np.ndarray, what: str) -> None:
    if not np.array_equal(found, expected):
        raise A2vError(f"{what}: other bits than those of a fresh stream")


# What the processes take -------------------------------------------------------------------------


def resident_mb(process: int | None = None) -> float:
    """The resident memory of a process, by default of this one."""
    gc.collect()
    pages = pathlib.Path(f"/proc/{process or 'self'}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _cpu_s(process: int) -> float:
    fields = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


if __name__ == "__main__":
    run_app(main, define_flags)
