"""Run the commands on damaged inputs: `make torture`.

  python -m tests.torture --cases=200 --seed=0                       # every kind of case
  python -m tests.torture --cases=1000 --kinds=audio,tflite --log=cases.jsonl --report=outcomes.md

With --log, the same command goes on where it was. Two logs of the same cases can be compared line
by line, such as those with and without --fresh.

A command may work, or refuse in one line. It fails here if it shows a traceback, is killed by a
signal, computes for more than 60 seconds, does not end within 5 minutes, takes 2 GB, changes its
inputs, drops a recording silently, or ends with another result after a kill. What failed is kept,
with its command and streams.
"""

import argparse
import collections
import csv
import functools
import io
import json
import os
import pathlib
import random
import shutil
import sys
import tempfile
import time
import zipfile

import h5py
import numpy as np

from a2v_tf.runtime import archive
from tests.torture import inputs, warm
from tests.torture.cases import KINDS, LIGHT, Case

_MOST_MEMORY = 2 * 2**30
_MOST_SECONDS = 60


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument(
        "--killed", default=",".join(inputs.WHOLE_RUNS), help="outputs of the runs of kind kills"
    )
    parser.add_argument("--log", default="", help="file with a JSON line for each finished case")
    parser.add_argument(
        "--fresh", action="store_true", help="start a new Python for each case, not a fork"
    )
    parser.add_argument("--limit_s", type=float, default=300, help="after which a case hangs")
    parser.add_argument("--keep", default="", help="folder for what failed; default: a new one")
    parser.add_argument("--report", default="", help="Markdown file for the table of outcomes")
    options = parser.parse_args()
    kinds = options.kinds.split(",")
    killed = options.killed.split(",") if "kills" in kinds else []
    models = not set(kinds) <= {*LIGHT, "kills"}
    heavy = models or any(inputs.WHOLE_RUNS[name][0] != "a2v_embed" for name in killed)
    kept = pathlib.Path(options.keep or tempfile.mkdtemp(prefix="torture_failures_"))
    kept.mkdir(exist_ok=True, parents=True)
    log = Log(options.log, options.seed)
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    os.environ["TFDS_DATA_DIR"] = "tfds"  # of each case's directory
    archive._FILES = 1  # parts of one file, so that kills fall between them
    if heavy:
        warm.import_everything()
        from a2v_tf.data.builders.audioset import audioset

        audioset.CLIPS_A_SHARD = 2
    parent, folder = os.getpid(), pathlib.Path(tempfile.mkdtemp(prefix="torture_"))
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    try:
        valid = folder / "valid"
        valid.mkdir()
        inputs.make(valid, models=models, killed=killed)
        counts = {kind: _run_kind(kind, options, log, folder, valid, kept) for kind in kinds}
    finally:
        if os.getpid() == parent:  # the children, forks of this process, come by here as they end
            shutil.rmtree(folder)
    table = _table(counts)
    print(table)
    if options.report:
        pathlib.Path(options.report).write_text(table + "\n")
    failures = sum(counts[kind][o] for kind in kinds for o in counts[kind] if o not in _GOOD)
    if failures:
        print(f"{failures} failures: {kept}")
    else:
        kept.rmdir()
    return int(failures > 0)


_GOOD = ("worked", "refused in one line")


class Log:
    """The finished cases, a JSON line each; none of them depends on how fast the machine is."""

    def __init__(self, name: str, seed: int):
        self._path = pathlib.Path(name) if name else None
        self._finished: dict[tuple[str, int], str] = {}
        if not self._path:
            return
        text = self._path.read_text() if self._path.exists() else ""
        text = text[: text.rfind("\n") + 1]  # without a line that a kill cut
        self._path.write_text(text or json.dumps({"seed": seed}) + "\n")
        first, *lines = map(json.loads, self._path.read_text().splitlines())
        if first["seed"] != seed:
            sys.exit(f"{name} is of --seed={first['seed']}, not {seed}")
        self._finished = {(x["kind"], x["index"]): x["outcome"] for x in lines}

    def outcome(self, kind: str, index: int) -> str | None:
        """That of a finished case; None for others."""
        return self._finished.get((kind, index))

    def add(self, kind: str, index: int, outcome: str, case: Case, ended: warm.Ended) -> None:
        """Add a finished case."""
        if self._path:
            last = [line for line in ended.err.splitlines() if line.startswith("error: ")][-1:]
            record = {"kind": kind, "index": index, "outcome": outcome, "command": case.command}
            record |= {"what": case.what, "error": "".join(last)}
            with self._path.open("a") as file:
                file.write(json.dumps(record) + "\n")


def _run_kind(kind, options, log, folder, valid, kept) -> collections.Counter[str]:
    counts: collections.Counter[str] = collections.Counter()
    before = _snapshot(valid)
    start = time.monotonic()
    for index in range(options.cases):
        if outcome := log.outcome(kind, index):
            counts[outcome] += 1
            continue
        directory = folder / f"{kind}_{index}"
        directory.mkdir()
        (directory / "inputs").symlink_to(valid)
        case = KINDS[kind](random.Random(f"{options.seed} {kind} {index}"), valid, directory)
        old = {name: (directory / name).read_bytes() for name in case.old}
        run = functools.partial(
            warm.run,
            *(case.command, case.options, directory),
            stdin=directory / case.stdin if case.stdin else None,
            limit_s=options.limit_s,
            fresh=options.fresh,
        )
        ended = run(kill_after_s=case.kill_after_s, file_limit=case.file_limit)
        if case.kill_after_s is not None:
            ended = run()
        outcome = _outcome(case, ended, directory)
        if outcome == "worked" and case.result and not _same_result(case.result, directory, valid):
            outcome = "another result"
        if outcome == "refused in one line" and not all(
            _is_whole(directory / name, content) for name, content in old.items()
        ):
            outcome = "damaged the old file"
        if outcome == "refused in one line" and case.must_work:
            outcome = "refused valid options"
        if _snapshot(valid) != before:
            outcome = "changed its inputs"
            before = _snapshot(valid)
        counts[outcome] += 1
        log.add(kind, index, outcome, case, ended)
        if outcome not in _GOOD:
            shutil.copytree(directory, kept / directory.name, symlinks=True)
            told = f"{kind} {index}: {outcome}: {case.command} {' '.join(case.options)!r}"
            (kept / directory.name / ".case").write_text(f"{told}\n{case.what}\n{ended}\n")
            print(f"{told} ({case.what})\n  {ended.err.strip()[-300:]}", flush=True)
        shutil.rmtree(directory)
    seconds = time.monotonic() - start
    print(f"{kind}: {options.cases} cases in {seconds:.0f} s, {dict(counts)}", flush=True)
    return counts


def _outcome(case: Case, ended: warm.Ended, directory: pathlib.Path) -> str:
    said = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    if ended.hung:
        return "hung"
    if ended.code < 0 and ended.seconds <= _MOST_SECONDS:
        return f"signal {-ended.code}"
    if "Traceback" in ended.err + ended.out or "Fatal" in ended.err:
        return "traceback"
    if ended.seconds > _MOST_SECONDS:
        return "took too long"
    if ended.memory > _MOST_MEMORY:
        return "took too much memory"
    if ended.code == 1 and len(said) == 1:  # threads that read may still warn after it
        return "refused in one line"
    if ended.code:
        return f"exit code {ended.code} without a line"
    if case.files:
        used = (directory / "out.csv").read_text(errors="surrogateescape")
        if not all(f"/{name}," in used or f"/{name}" in ended.err for name in case.files):
            return "dropped a recording silently"
    return "worked"


def _same_result(name: str, directory: pathlib.Path, valid: pathlib.Path) -> bool:
    """Whether an output is the same as that of a run without a kill, bit for bit."""
    ours, theirs = directory / name, valid / "whole" / name
    if name == "model":
        return _same_run(ours, theirs)
    left = [path for path in directory.iterdir() if ".unfinished" in path.name]
    return not left and _content(ours) == _content(theirs)


def _content(path: pathlib.Path) -> dict[str, bytes]:
    """The files of an output; of data sets, those of the finished version."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    names = {file.relative_to(path): file for file in files}
    return {
        str(name): file.read_bytes()
        for name, file in names.items()
        if not any("incomplete" in part or part == "work" for part in name.parts)
    }


def _same_run(ours: pathlib.Path, theirs: pathlib.Path) -> bool:
    """Whether two model directories have the same weights and logs, bit for bit."""
    for name in ("encoder.keras", "encoder_last.keras", "model.keras"):
        first, second = (_weights(path / name) for path in (ours, theirs))
        if first.keys() != second.keys():
            return False
        if not all(np.array_equal(first[key], second[key]) for key in first):
            return False
    return _log(ours) == _log(theirs) and not list(ours.glob(".*"))


def _is_whole(path: pathlib.Path, before: bytes) -> bool:
    """Whether a file is as before, or one of several that training replaced already."""
    return path.read_bytes() == before or (path.suffix == ".keras" and bool(_weights(path)))


def _weights(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of a .keras file, read without Keras, which may not compute in this process."""
    found: dict[str, np.ndarray] = {}
    with zipfile.ZipFile(path) as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(content, "r") as file:
        file.visititems(
            lambda name, x: found.update({name: x[()]}) if isinstance(x, h5py.Dataset) else None
        )
    return found


def _log(model_dir: pathlib.Path) -> list[dict[str, str]]:
    with (model_dir / "train_log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{key: row[key] for key in row if key != "examples_per_s"} for row in rows]


def _snapshot(folder: pathlib.Path) -> dict[str, tuple[int, int]]:
    stats = {str(path): path.lstat() for path in folder.rglob("*")}
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}


def _table(counts: dict[str, collections.Counter[str]]) -> str:
    others = sorted({o for count in counts.values() for o in count} - set(_GOOD))
    columns = [*_GOOD, *others]
    lines = ["| case | runs | " + " | ".join(columns) + " |", "|---" * (2 + len(columns)) + "|"]
    for kind, count in counts.items():
        what = (KINDS[kind].__doc__ or "").strip(".")
        cells = [f"`{kind}`: {what[0].lower()}{what[1:]}", sum(count.values())]
        lines.append("| " + " | ".join(map(str, [*cells, *(count[c] for c in columns)])) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
