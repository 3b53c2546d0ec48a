"""`benchmarks/audioset.py`: what it builds, counts and plans."""

import json
import pathlib
import shutil
import sys

import numpy as np
import pytest
import soundfile

from a2v_tf.errors import run_app
from tests.conftest import forgotten_flags, load_script

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks/audioset.py"


@pytest.fixture(scope="module")
def audioset():
    """The script as a module."""
    return load_script(SCRIPT)


@pytest.fixture
def run(audioset, monkeypatch, tmp_path):
    """Run the script in this process; returns its exit code."""
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    noise = np.random.default_rng(0).normal(0, 0.1, 12 * 16_000)
    soundfile.write(sounds / "noise.wav", noise, 16_000)

    def start(*options):
        monkeypatch.setattr(sys, "argv", ["audioset", f"--data={sounds}", *options])
        with forgotten_flags(), pytest.raises(SystemExit) as exit:
            run_app(audioset.main, audioset.define_flags)
        return exit.value.code or 0

    return start


def test_the_plan(audioset):
    row = {"cpu_ms_per_clip": 18.0, "bytes_in": 250e3, "bytes_out": 320e3}
    assert audioset.plan(row, price=0.05, clips=2_000_000) == {
        "core_hours": pytest.approx(10),
        "dollars": pytest.approx(0.5),
        "bytes_in": 0.5e12,
        "bytes_out": 0.64e12,
    }


def test_run(run, capsys, tmp_path):
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs ffmpeg")
    options = ("--clips=10", "--formats=wav,flac", "--cores=1", f"--output={tmp_path}/out.json")
    assert run(*options) == 0, capsys.readouterr()
    results = json.loads((tmp_path / "out.json").read_text())["results"]
    assert [(x["format"], x["way"], x["cores"], x["clips"]) for x in results] == [
        ("wav", "threads", 1, 10),
        ("flac", "threads", 1, 10),
    ]
    for row in results:
        assert 320_000 < row["bytes_out"] < 320_200
    assert 1_764_000 < results[0]["bytes_in"] < 1_764_200
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[-2:]] == [
        ["wav,", "threads", "1"],
        ["flac,", "threads", "1"],
    ]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--formats=aiff", "expected some of wav, flac, m4a, opus"),
        ("--ways=dask", "expected some of threads, beam"),
        ("--cores=none", "expected whole numbers"),
    ],
)
def test_bad_input_gets_one_line(run, capsys, option, message):
    assert run(option) == 1
    text = capsys.readouterr()
    assert message in text.err + text.out
    assert "Traceback" not in text.err
