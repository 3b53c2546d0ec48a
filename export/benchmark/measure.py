"""Measure models against each other: one process each, taking turns in several rounds."""

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from a2v_tf import __version__
from a2v_tf.errors import A2vError
from a2v_tf.export.benchmark.models import Case

STEPS = 100
ROUNDS = 5
_WARMUP = 20
_BLOCK_SECONDS = 0.2  # shorter turns measure caches and clocks rather than the model


def measure(
    cases: Sequence[Case],
    *,
    steps: int = STEPS,
    rounds: int = ROUNDS,
    block_seconds: float = _BLOCK_SECONDS,
    window_hop: float | None = None,
    profile: bool = False,
) -> list[dict[str, Any]]:
    """Measure models in turns, so that drift of the machine affects all of them equally.

    In each round each model, in a process of its own, warms up and runs its steps while the others
    wait; every other round has the reverse order.

    Args:
      cases: models to measure.
      steps: least number of steps of each model in each round.
      rounds: number of rounds.
      block_seconds: least duration of those steps, in seconds.
      window_hop: seconds between two embeddings of a window model; None: windows do not overlap.
      profile: whether to time the ops, too.

    Returns:
      For each case a dict that serialises to JSON:

      - the case, `form`, `streaming`, `hop_ms`, `file_bytes` and `steps`;
      - `memory_bytes`: growth of resident memory from before a runtime that has run another model
        opens this one to the peak of its first steps; None if not on Linux;
      - `latency_us`, wall time of a step: `median`, `p90`, `mean`, `min`, `max`;
      - `cpu_us_per_step` and `cpu_us_per_second` of audio, from the CPU time of all threads:
        medians over the rounds; `cpu_us_per_second_rounds`, one by one;
      - `real_time_factor`, from the wall time; and `ops` with `profile`.

      Values that depend on the hop are None for spectrograms that are not made from audio.

    Raises:
      A2vError: a model cannot be opened or its process dies.
    """
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(_Worker(case)) for case in cases]
        blocks: list[list[dict]] = [[] for _ in workers]
        order = {"warmup": _WARMUP, "steps": steps, "seconds": block_seconds}
        for i in range(rounds):
            turns = list(zip(workers, blocks, strict=True))
            for worker, done in turns if i % 2 == 0 else reversed(turns):
                done.append(worker.ask({"run": order}))
        ops = [worker.ask({"profile": {}})["ops"] if profile else None for worker in workers]
    return [
        _summary(worker, done, window_hop) | ({} if found is None else {"ops": found})
        for worker, done, found in zip(workers, blocks, ops, strict=True)
    ]


class _Worker:
    """A process that runs one model; `facts` describe the model."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (`__exit__` closes it)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "a2v_tf.export.benchmark.worker", json.dumps(vars(case))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        assert self._process.stdin
        assert self._process.stdout
        self._orders, self._answers = self._process.stdin, self._process.stdout

    def __enter__(self) -> "_Worker":
        try:
            self.facts = self._answer()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(OSError):
            self._orders.close()  # no more orders: the process ends
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()
        self._log.close()

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        """Send an order and wait for its answer."""
        with contextlib.suppress(BrokenPipeError):  # it died: reading reports that
            self._orders.write(json.dumps(order) + "\n")
            self._orders.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            code = self._process.wait()
            self._log.seek(0)
            last = (self._log.read().strip().splitlines() or ["no output"])[-1]
            raise A2vError(f"{self.case.name}: its process ended with code {code}: {last}")
        answer = json.loads(line)
        if "error" in answer:
            raise A2vError(answer["error"])
        return answer


def _summary(worker: _Worker, blocks: list[dict], window_hop: float | None) -> dict[str, Any]:
    facts = dict(worker.facts)
    seconds = facts.pop("seconds")
    hop = seconds if facts["streaming"] or window_hop is None else window_hop
    latencies = np.concatenate([block["latency_us"] for block in blocks])
    cpu = np.array([block["cpu_us"] / len(block["latency_us"]) for block in blocks])
    per_second = None if hop is None else cpu / hop
    mean = float(latencies.mean())
    return {
        **dataclasses.asdict(worker.case),
        **facts,
        "hop_ms": None if hop is None else 1000 * hop,
        "steps": len(latencies),
        "latency_us": {
            "median": float(np.median(latencies)),
            "p90": float(np.percentile(latencies, 90)),
            "mean": mean,
            "min": float(latencies.min()),
            "max": float(latencies.max()),
        },
        "cpu_us_per_step": float(np.median(cpu)),
        "cpu_us_per_second": None if per_second is None else float(np.median(per_second)),
        "cpu_us_per_second_rounds": None if per_second is None else per_second.tolist(),
        "real_time_factor": real_time_factor(mean, hop),
    }


def real_time_factor(latency_us: float, hop: float | None) -> float | None:
    """Wall time of a step divided by the hop; below 1 the model keeps up with the audio."""
    return None if hop is None else latency_us / hop / 1e6


def machine() -> dict[str, Any]:
    """Facts of this machine that timings depend on: CPU, cores, OS and versions."""
    versions = {}
    for name in ("ai-edge-litert", "tensorflow", "tensorflow-cpu", "numpy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "os": platform.platform(terse=True),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "a2v_tf": __version__,
        **versions,
    }


def machine_line(found: dict[str, Any]) -> str:
    """`machine()` on one line."""
    facts = ("cpu", "cores", "os", "architecture")
    versions = ", ".join(f"{name} {found[name]}" for name in found if name not in facts)
    cores = f"{found['cores']} core{'s' if found['cores'] != 1 else ''}"
    return f"{found['cpu']} ({found['architecture']}), {cores}, {found['os']}; {versions}"


def _cpu() -> str:
    """Name of the CPU, with family and model, since cloud providers hide some names."""
    with contextlib.suppress(OSError):
        lines = pathlib.Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
        fields = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        if "model name" in fields:
            family, model = fields.get("cpu family"), fields.get("model")
            return f"{fields['model name']} family {family} model {model}"
    return platform.processor() or platform.machine()
