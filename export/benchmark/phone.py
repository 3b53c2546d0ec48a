"""Measure files on a phone, with `adb` and TFLite's tool `benchmark_model`.

The tool runs one signature, `embed`; releases without the flag for it run the first subgraph, which
is the same. Its inputs are random and it feeds no output back: an internal state changes from run
to run, an external one stays random. Initialisers (CALL_ONCE) are part of the first inference. It
measures wall time only.
"""

import dataclasses
import pathlib
import re
import shlex
import shutil
import subprocess
from typing import Any

from a2v_tf.errors import A2vError
from a2v_tf.export.benchmark.measure import real_time_factor
from a2v_tf.export.benchmark.models import Case, open_case

_DIRECTORY = "/data/local/tmp/a2v_benchmark"
_TIMEOUT = 600  # seconds; the tool itself stops after 150
_FACTS = {
    "phone": "ro.product.model",
    "chip": "ro.soc.model",
    "android": "ro.build.version.release",
    "abi": "ro.product.cpu.abi",
}
_TIMINGS = {
    "init_us": r"Init: ([\d.e+]+)",
    "first_us": r"First inference: ([\d.e+]+)",
    "warmup_us": r"Warmup \(avg\): ([\d.e+]+)",
    "mean_us": r"Inference \(avg\): ([\d.e+]+)",
}
_MISSING_OP = (
    re.compile(r"Encountered unresolved custom op: ([^\s.]+)"),
    re.compile(r"Didn't find op for builtin opcode '(\w+)' version '\d+'"),
)


# Output of the tool ----------------------------------------------------------------------------


def parse(output: str) -> dict[str, Any]:
    """Parse the output of `benchmark_model`.

    Returns:
      `init_us`, `first_us`, `warmup_us` and `mean_us`; `runs`, `min_us`, `max_us`, `std_us`, and
      `median_us` where the tool prints it; `memory_bytes`, the growth of its footprint (None if it
      is not printed); `delegated`, the line about the delegate (None without one).

    Raises:
      A2vError: the tool failed; the message names a missing op or its last error.
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    summary = next((line for line in lines if "Inference timings in us:" in line), None)
    if summary is None:
        raise A2vError(f"benchmark_model failed: {_complaint(lines)}")
    found = {name: re.search(pattern, summary) for name, pattern in _TIMINGS.items()}
    counts = [line for line in lines if re.search(r"\bcount=\d+ ", line)]
    timings = {name: float(match[1]) for name, match in found.items() if match}
    if len(timings) < len(found) or not counts:
        raise A2vError(f"benchmark_model printed unexpected output: {summary!r}")
    # The last series is the measured one; the one before is the warm-up.
    series = dict(re.findall(r"(\w+)=([\d.e+-]+)", counts[-1]))
    memory = re.search(r"Memory footprint delta .*\boverall=([\d.]+)", output)
    delegated = re.search(r"the model graph will be (.*? executed by the delegate.*)", output)
    return {
        **timings,
        "runs": int(series["count"]),
        **{
            f"{name}_us": float(series[name]) if name in series else None
            for name in ("min", "max", "std", "median")
        },
        "memory_bytes": None if memory is None else round(float(memory[1]) * 2**20),
        "delegated": None if delegated is None else delegated[1].strip(" ."),
    }


def _complaint(lines: list[str]) -> str:
    """The line that best explains why the tool stopped."""
    for pattern in _MISSING_OP:
        for line in lines:
            if match := pattern.search(line):
                return f"it lacks the op {match[1]}: expected a newer one, or one built with it"
    complaints = [line for line in lines if line.startswith(("ERROR", "Error", "error"))]
    return (complaints or lines or ["no output"])[0 if complaints else -1]


# The phone ---------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Phone:
    """A connected phone, and the tool to run on it.

    Attributes:
      serial: serial number, as in `adb devices`.
      binary: path of the tool on this machine.
    """

    serial: str
    binary: str

    def facts(self) -> dict[str, str]:
        """Model, chip, Android version and ABI, as far as they are known."""
        found = {name: self._shell(f"getprop {key}") for name, key in _FACTS.items()}
        texts = {name: run.stdout.strip() for name, run in found.items() if run.returncode == 0}
        return {"serial": self.serial, **{name: text for name, text in texts.items() if text}}

    def line(self) -> str:
        """`facts` on one line."""
        return ", ".join(f"{name} {value}" for name, value in self.facts().items())

    def measure(
        self, models: list[str], *, threads: list[int], runs: int, window_hop: float | None = None
    ) -> list[dict[str, Any]]:
        """Push the tool and the files, and run each file with and without XNNPACK.

        Args:
          models: exported files.
          threads: numbers of threads.
          runs: least number of runs; the tool runs for at least one second.
          window_hop: as in `measure.measure`.

        Returns:
          For each run the keys of `measure.measure`, with None for values that `benchmark_model`
          does not print, and `on_phone`, the result of `parse`.

        Raises:
          A2vError: a file is unusable, or a push or the tool failed.
        """
        cases = [
            (Case(pathlib.Path(model).stem, model, kernels, count), i)
            for i, model in enumerate(models)
            for kernels in ("xnnpack", "builtin")
            for count in threads
        ]
        hops = {case.model: _facts(case, window_hop) for case, _ in cases}
        try:
            self._must(self._shell(f"mkdir -p {_DIRECTORY}"), "mkdir on the phone")
            self._push(self.binary, "benchmark_model")
            self._must(self._shell(f"chmod 755 {_DIRECTORY}/benchmark_model"), "chmod")
            for i, model in enumerate(models):
                self._push(model, f"{i}.tflite")
            return [self._run(case, f"{i}.tflite", runs, hops[case.model]) for case, i in cases]
        finally:
            self._shell(f"rm -rf {_DIRECTORY}")

    def _run(self, case: Case, remote: str, runs: int, facts: dict[str, Any]) -> dict[str, Any]:
        flags = {
            "graph": f"{_DIRECTORY}/{remote}",
            "num_threads": case.threads,
            "use_xnnpack": str(case.kernels == "xnnpack").lower(),
            "num_runs": runs,
            "signature_to_run_for": "embed",
        }
        words = " ".join(f"--{name}={value}" for name, value in flags.items())
        run = self._shell(f"{_DIRECTORY}/benchmark_model {words} 2>&1")
        try:
            found = parse(run.stdout + run.stderr)
        except A2vError as error:
            raise A2vError(f"{case.name}, {case.kernels}: {error}") from error
        facts, hop = {k: v for k, v in facts.items() if k != "hop"}, facts["hop"]
        return {
            **dataclasses.asdict(case),
            **facts,
            "hop_ms": None if hop is None else 1000 * hop,
            "memory_bytes": found["memory_bytes"],
            "steps": found["runs"],
            "latency_us": {
                "median": found["median_us"],
                "p90": None,
                **{name: found[f"{name}_us"] for name in ("mean", "min", "max", "std")},
            },
            "cpu_us_per_second": None,
            "real_time_factor": real_time_factor(found["mean_us"], hop),
            "on_phone": found,
        }

    def _push(self, path: str, name: str) -> None:
        run = _adb("-s", self.serial, "push", path, f"{_DIRECTORY}/{name}")
        self._must(run, f"adb push {path}")

    def _shell(self, command: str) -> subprocess.CompletedProcess[str]:
        return _adb("-s", self.serial, "shell", command)

    def _must(self, run: subprocess.CompletedProcess[str], what: str) -> None:
        if run.returncode:
            said = (run.stderr + run.stdout).strip().splitlines()
            raise A2vError(f"{what} failed: {said[-1] if said else f'code {run.returncode}'}")


def find(binary: str, serial: str | None = None) -> Phone:
    """The phone to measure on: the only one, or the one with this serial number.

    Raises:
      A2vError: there is no `adb` or no tool, or no single phone is ready.
    """
    if not pathlib.Path(binary).is_file():
        raise A2vError(f"--benchmark_binary={binary!r}: no such file")
    phones = _phones()
    if serial is not None and serial not in phones:
        raise A2vError(f"--serial={serial}: adb sees {', '.join(phones) or 'no phone'}")
    if not phones:
        raise A2vError("adb sees no phone: expected one, with USB debugging enabled")
    if serial is None and len(phones) > 1:
        raise A2vError(
            f"adb sees {len(phones)} phones, {', '.join(phones)}: choose one with --serial"
        )
    serial = serial or next(iter(phones))
    state = phones[serial]
    if state == "unauthorized":
        raise A2vError(f"phone {serial} is unauthorized: allow USB debugging on its screen")
    if state != "device":
        raise A2vError(f"phone {serial} is in the state {state!r}: expected 'device'")
    return Phone(serial, binary)


def _phones() -> dict[str, str]:
    """Serial number -> state of all phones that adb lists."""
    run = _adb("devices")
    if run.returncode:
        said = (run.stderr + run.stdout).strip().splitlines()
        raise A2vError(f"adb devices failed: {said[-1] if said else f'code {run.returncode}'}")
    lines = [line.split(maxsplit=1) for line in run.stdout.splitlines() if "\t" in line]
    return {serial: state.strip() for serial, state in lines}


def _adb(*arguments: str) -> subprocess.CompletedProcess[str]:
    adb = shutil.which("adb")
    if adb is None:
        raise A2vError("no 'adb' on the PATH: expected Android's platform tools")
    try:
        return subprocess.run(
            [adb, *arguments], capture_output=True, text=True, errors="replace", timeout=_TIMEOUT
        )
    except subprocess.TimeoutExpired as error:
        command = shlex.join(("adb", *arguments))
        raise A2vError(f"no answer in {_TIMEOUT} s to: {command}") from error
    except OSError as error:
        raise A2vError(f"cannot run {adb}: {error.strerror}") from error


def _facts(case: Case, window_hop: float | None) -> dict[str, Any]:
    """Facts of the file, read on this machine."""
    stepper = open_case(case)
    hop = stepper.seconds() if stepper.streaming or window_hop is None else window_hop
    return {
        "form": stepper.form,
        "streaming": stepper.streaming,
        "file_bytes": stepper.file_bytes,
        "hop": hop,
    }
