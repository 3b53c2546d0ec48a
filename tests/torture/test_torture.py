"""A small seed of `make torture`; what needs no TensorFlow takes some seconds."""

import json
import subprocess
import sys

import pytest

from tests.torture.__main__ import Log


def test_a_few_damaged_files_and_a_log_that_goes_on(tmp_path):
    log = tmp_path / "cases.jsonl"
    finished = {"kind": "tflite", "index": 0, "outcome": "worked"}
    log.write_text(json.dumps({"seed": 5}) + "\n" + json.dumps(finished) + "\n" + '{"kind": "tfl')
    options = ["--cases=3", "--seed=5", "--kinds=tflite,audio", f"--keep={tmp_path / 'failed'}"]
    run = subprocess.run(
        [sys.executable, "-m", "tests.torture", *options, f"--log={log}"],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "| `tflite`: a damaged .tflite file | 3 |" in run.stdout
    first, *cases = map(json.loads, log.read_text().splitlines())
    assert first == {"seed": 5}
    assert cases[0] == finished  # and is not run again
    places = [(case["kind"], case["index"]) for case in cases]
    assert places == [(kind, index) for kind in ("tflite", "audio") for index in range(3)]
    assert {case["outcome"] for case in cases} <= {"worked", "refused in one line"}
    assert not (tmp_path / "failed").exists()


def test_a_log_is_of_one_seed(tmp_path):
    Log(str(tmp_path / "cases.jsonl"), 5)
    Log(str(tmp_path / "cases.jsonl"), 5)
    with pytest.raises(SystemExit, match="is of --seed=5, not 6"):
        Log(str(tmp_path / "cases.jsonl"), 6)
