"""`benchmarks/runtimes.py`: its rows, and what it says about them."""

import pathlib

import numpy as np
import pytest

from a2v_tf.pretrained import STREAMING, resolve
from tests.conftest import load_script

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks" / "runtimes.py"


@pytest.fixture(scope="module")
def runtimes():
    return load_script(SCRIPT)


def test_rows_say_what_differs(runtimes):
    files = {("pcm", "internal"): resolve("pretrained", STREAMING).read_bytes()}
    names = ["interpreter", "builtin", "compiled"]
    same, builtin, compiled = runtimes.table(names, files, runtimes.inputs(0.8), rounds=1)
    assert same[4:7] == compiled[4:7] == ["0 of 2,560 (0.0%)", "0", "1.0000"]
    assert int(builtin[4].split()[0]) > 1_000
    assert 0.98 < float(builtin[6]) < 1
    assert all(float(row[7]) > 0 for row in (same, builtin, compiled))


def test_what_is_missing_is_said(runtimes, monkeypatch):
    monkeypatch.setattr(runtimes.shutil, "which", lambda _: None)
    files = {("pcm", "internal"): resolve("pretrained", STREAMING).read_bytes()}
    (row,) = runtimes.table(["c"], files, runtimes.inputs(0.8), rounds=1)
    assert row[4] == "no C compiler"


def test_comparison(runtimes):
    expected = np.array([[1.0, 2.0, 4.0]])
    got = np.array([[1.0, 2.0, 6.0]])
    assert runtimes.compare(got, expected)[:2] == ["1 of 3 (33.3%)", "2"]
