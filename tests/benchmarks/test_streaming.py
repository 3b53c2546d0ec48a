"""`benchmarks/streaming.py`: what it exports, compares and prints."""

import json
import pathlib
import re
import sys

import pytest

from a2v_tf.errors import run_app
from a2v_tf.export.benchmark.measure import measure
from a2v_tf.export.benchmark.models import PEERS, Case
from tests.conftest import forgotten_flags, load_script
from tests.export.benchmark.files import write_file

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks/streaming.py"


@pytest.fixture
def streaming():
    """The script as a module."""
    return load_script(SCRIPT)


@pytest.fixture
def run(streaming, monkeypatch):
    """Run the script in this process; returns its exit code."""

    def start(*options):
        monkeypatch.setattr(sys, "argv", ["streaming", *map(str, options)])
        with forgotten_flags(), pytest.raises(SystemExit) as exit:
            run_app(streaming.main, streaming.define_flags)
        return exit.value.code or 0

    return start


@pytest.fixture
def exported(streaming, monkeypatch):
    """Instead of exporting, write tiny files of the right size; gives what was asked for."""
    asked = []

    def export_file(model_dir, output, *, calibration, mode="streaming", hop_ms=None, **settings):
        assert calibration.shape == (32, 96, 64)
        asked.append({"mode": mode, "hop_ms": hop_ms, **settings})
        if settings.get("input") == "log_mel":
            shape = (1, 96 if mode == "window" else hop_ms // 10, 64)
        else:
            shape = (1, 15_600 if mode == "window" else 16 * hop_ms)
        write_file(output, shape, streaming=mode == "streaming")

    monkeypatch.setattr(streaming, "export_file", export_file)
    return asked


@pytest.fixture
def quick(streaming, monkeypatch):
    """Measure ours only, and for no longer than --steps asks."""
    monkeypatch.setattr(streaming, "PEERS", ())
    monkeypatch.setattr(
        streaming, "measure", lambda cases, **x: measure(cases, **x, block_seconds=0)
    )


def result(name, rounds, file_bytes=240_000):
    return {
        **{"name": name, "hop_ms": 80.0, "file_bytes": file_bytes, "memory_bytes": 1_250_000},
        "latency_us": {"median": 66.4, "p90": 74.0},
        **{"cpu_us_per_second": sorted(rounds)[1], "cpu_us_per_second_rounds": rounds},
    }


def test_ratios_and_targets(streaming):
    results = [
        result("small 80 ms int8 internal", [100.0, 200.0, 50.0], file_bytes=400_001),
        result("openwakeword", [2_600.0, 4_000.0, 2_000.0]),
        result("small 320 ms int8 internal", [10.0, 10.0, 10.0]),
        result("openwakeword_320", [101.0, 99.0, 98.0]),
        result("large 80 ms int8 internal", [1_000.0, 1_000.0, 1_000.0]),
    ]
    found = streaming.summary(results, ["small", "large"])
    compared = [(x["ours"], x["median"], x["min"], x["max"], x["met"]) for x in found["ratios"]]
    assert compared == [
        ("small 80 ms int8 internal", 26, 20, 40, True),
        ("small 320 ms int8 internal", pytest.approx(9.9), pytest.approx(9.8), 10.1, False),
        ("large 80 ms int8 internal", pytest.approx(2.6), 2, 4, None),
    ]
    assert found["files"] == [
        {"name": "small 80 ms int8 internal", "bytes": 400_001, "met": False},
    ]
    settings = {"kernels": "xnnpack", "threads": 1, "rounds": 3}
    where = {"cpu": "CPU", "architecture": "a", "cores": 2, "os": "OS", "python": "3"}
    content = {"command": "x", "machine": where, "settings": settings, "results": results, **found}
    text = streaming.markdown(content)
    cells = [[x.strip() for x in line.split("|")[1:-1]] for line in text.splitlines()[2:] if line]
    assert {len(row) for row in cells[:7]} == {6}
    assert {len(row) for row in cells[7:]} == {4}
    assert cells[2] == [
        *("small 80 ms int8 internal", "80 ms", "100 us (50-200)", "66 us, 74 us"),
        *("1.2 MB", "400 kB"),
    ]
    assert cells[9][1:] == ["26.0 (20.0-40.0)", ">= 25", "met"]
    assert cells[10][1:] == ["9.9 (9.8-10.1)", ">= 10", "not met"]
    assert cells[11][1:] == ["2.6 (2.0-4.0)", "", ""]
    assert cells[12][1:] == ["400 kB", "<= 400 kB", "not met"]


def test_everything_that_is_compared_is_measured(streaming):
    for encoder in ("small", "vgg6"):
        names = [name for name, _ in streaming.forms(encoder, streaming.HOPS)]
        assert len(names) == len(set(names)) == 6 * 4 + 2 + 2
        for ratio in streaming.ratios(encoder):
            assert {ratio.ours, ratio.theirs} <= {*names, *streaming.PEERS}
    assert set(streaming.PEERS) == set(PEERS)


def test_run(run, streaming, exported, quick, capsys, tmp_path):
    options = ("--hops=10,80", "--rounds=1", "--steps=2", f"--output={tmp_path}/out.json")
    assert run(*options) == 0
    pcm = [x for x in exported if x.get("input") != "log_mel" and x["mode"] == "streaming"]
    assert [(x["hop_ms"], x["quantize"], x["state"]) for x in pcm] == [
        (ms, quantize, state)
        for ms in (80, 10)
        for quantize in (True, False)
        for state in ("internal", "external")
    ]
    content = json.loads((tmp_path / "out.json").read_text())
    names = [x["name"] for x in content["results"]]
    assert names == [name for name, _ in streaming.forms("small", [80, 10])]
    hops = {x["name"]: x["hop_ms"] for x in content["results"]}
    assert hops["small 80 ms float external"] == 80
    assert hops["small window int8"] == hops["small 10 ms int8 internal log_mel"] == 10
    assert content["command"] == " ".join(["python benchmarks/streaming.py", *options])
    assert [x["ours"] for x in content["ratios"]] == [
        "small 10 ms int8 internal",
        "small 10 ms int8 internal log_mel",
    ]
    assert content["files"][0]["met"]
    out = capsys.readouterr().out
    assert out.count("\n| small ") == len(names) + 1  # and the ratio of the two windows
    assert re.search(
        r"^`python benchmarks/streaming.py .*core.*; xnnpack, threads: 1; 1 rounds", out
    )


def test_a_trained_encoder_is_left_alone(run, streaming, exported, quick, capsys, tmp_path):
    streaming.random_model_dir("vgg6", tmp_path / "model")
    before = {x: x.stat().st_mtime_ns for x in (tmp_path / "model").rglob("*")}
    assert run(f"--model_dir={tmp_path}/model", "--hops=80", "--rounds=1", "--steps=1") == 0
    assert "| vgg6 80 ms int8 internal | 80 ms |" in capsys.readouterr().out
    assert {x: x.stat().st_mtime_ns for x in (tmp_path / "model").rglob("*")} == before


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--hops=30", "expected some of 320, 160, 80, 40, 20, 10"),
        ("--encoders=huge", "expected some of small, large, vgg6, multiscale"),
        ("--model_dir=/no/such", "no config.json in '/no/such'"),
    ],
)
def test_bad_input_gets_one_line(run, exported, capsys, option, message):
    assert run(option) == 1
    text = capsys.readouterr()
    assert message in text.err + text.out
    assert "Traceback" not in text.err
    assert not exported


@pytest.mark.slow
def test_for_real(run, streaming, capsys, tmp_path):
    """The small encoder at two hops, and the peers: only what does not depend on the machine."""
    pytest.importorskip("pyopen_wakeword")
    pytest.importorskip("pymicro_wakeword")
    options = ("--hops=80,10", "--rounds=2", "--steps=10", f"--output={tmp_path}/out.json")
    assert run(*options) == 0, capsys.readouterr().err[-2000:]
    content = json.loads((tmp_path / "out.json").read_text())
    by_name = {x["name"]: x for x in content["results"]}
    assert {*streaming.PEERS} < set(by_name)
    assert by_name["openwakeword"]["file_bytes"] > 2_000_000
    assert [x["theirs"].split()[0] for x in content["ratios"]] == ["openwakeword", "small", "small"]
    assert content["files"][0]["met"]
    form = "int8, pcm, internal state"
    assert by_name["small 80 ms int8 internal"]["form"] == form
    assert measure([Case("x", "openwakeword")], steps=1, rounds=1)[0]["hop_ms"] == 80
