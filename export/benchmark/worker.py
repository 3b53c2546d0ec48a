"""A process that runs one model for `a2v_benchmark`: its memory and CPU time are the model's.

It reads one JSON order per line from standard input and answers each with one JSON line.
"""

import contextlib
import gc
import json
import pathlib
import sys
import time
from collections.abc import Iterator
from typing import Any, TextIO

from a2v_tf.errors import A2vError
from a2v_tf.export.benchmark.models import Case, Stepper, open_case
from a2v_tf.export.benchmark.ops import profile, smallest_model
from a2v_tf.runtime.embedder import make_interpreter

_STEPS_FOR_MEMORY = 10
_STATUS = pathlib.Path("/proc/self/status")


def serve(case: Case, orders: Iterator[str], answers: TextIO) -> None:
    """Open the model, answer with its facts, and carry out orders until the input ends.

    Orders: `{"run": {"warmup": w, "steps": n, "seconds": s}}` and `{"profile": {}}`. A failure is
    answered with `{"error": one line}`.
    """

    def answer(content: dict[str, Any]) -> None:
        print(json.dumps(content), file=answers, flush=True)

    try:
        stepper, facts = _open(case)
        answer(facts)
        gc.disable()  # its pauses are not the model's
        for line in orders:
            order = json.loads(line)
            if "run" in order:
                answer(run_block(stepper, **order["run"]))
            else:
                answer({"ops": profile(case, stepper)})
    except A2vError as error:
        answer({"error": str(error)})


def run_block(stepper: Stepper, warmup: int, steps: int, seconds: float) -> dict[str, Any]:
    """Run at least `steps` steps and `seconds`, after `warmup` steps that are not measured.

    Returns:
      `latency_us`, the wall time of each step, and `cpu_us`, the CPU time of all threads and steps.
    """
    inputs, count = stepper.inputs, len(stepper.inputs)
    for i in range(warmup):
        stepper.step(inputs[i % count])
    latencies: list[float] = []
    began_cpu, began = time.process_time(), time.perf_counter()
    before = began
    while len(latencies) < steps or before - began < seconds:
        stepper.step(inputs[len(latencies) % count])
        now = time.perf_counter()
        latencies.append(now - before)
        before = now
    cpu = time.process_time() - began_cpu
    return {"latency_us": [round(1e6 * x, 2) for x in latencies], "cpu_us": 1e6 * cpu}


def _open(case: Case) -> tuple[Stepper, dict[str, Any]]:
    wake = make_interpreter(smallest_model(), case.kernels, case.threads)
    wake.allocate_tensors()
    wake.invoke()  # the first 10 MB are the runtime's, not the model's
    before = _forget_peak()
    stepper = open_case(case)
    for values in stepper.inputs[:_STEPS_FOR_MEMORY]:
        stepper.step(values)
    grown = None if before is None else max(0, _memory("VmHWM") - before)
    facts = {
        "form": stepper.form,
        "streaming": stepper.streaming,
        "seconds": stepper.seconds(),
        "file_bytes": stepper.file_bytes,
        "memory_bytes": grown,
    }
    return stepper, facts


def _forget_peak() -> int | None:
    """Reset the peak of resident memory; returns the current memory, None if not on Linux."""
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/clear_refs").write_text("5")
        return _memory("VmRSS")
    return None


def _memory(field: str) -> int:
    (line,) = [x for x in _STATUS.read_text().splitlines() if x.startswith(f"{field}:")]
    return 1024 * int(line.split()[1])


if __name__ == "__main__":
    serve(Case(**json.loads(sys.argv[1])), iter(sys.stdin), sys.stdout)
