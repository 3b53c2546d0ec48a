"""`a2v_benchmark`: that it steps what it says it steps, counts per second of audio, and adb."""

import dataclasses
import itertools
import json
import os
import pathlib
import sys

import numpy as np
import pytest

from a2v_tf.errors import A2vError
from a2v_tf.export import flatbuffer as fb
from a2v_tf.export.benchmark import measure as measuring
from a2v_tf.export.benchmark import ops as op_profile
from a2v_tf.export.benchmark import phone
from a2v_tf.export.benchmark.command import ops_table, table
from a2v_tf.export.benchmark.measure import machine, machine_line, measure
from a2v_tf.export.benchmark.models import PEERS, Case, open_case
from a2v_tf.export.benchmark.ops import profile
from a2v_tf.export.benchmark.worker import run_block
from a2v_tf.runtime.embedder import Embedder
from tests.conftest import run_command
from tests.export.benchmark.files import write_file

RECORDED = pathlib.Path(__file__).parent / "benchmark_model"


@pytest.fixture
def tiny(tmp_path):
    return write_file(tmp_path / "tiny.tflite")


# What is stepped ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "state", "input"),
    [
        *itertools.product(["streaming"], ["internal", "external"], ["pcm", "log_mel"]),
        ("window", "internal", "pcm"),
        ("window", "internal", "log_mel"),
    ],
)
def test_steps_are_those_of_a_stream(form, tmp_path, mode, state, input):
    content = form("int8", mode=mode, state=state, input=input)
    (tmp_path / "x.tflite").write_bytes(content)
    # TensorFlow 2.16 runs a signature on builtin kernels whatever it is asked for.
    stepper = open_case(Case("x", str(tmp_path / "x.tflite"), "builtin"))
    embedder = Embedder(content, "builtin")
    assert stepper.streaming == (mode == "streaming")
    assert stepper.seconds() == (embedder.hop or embedder.window) / 16_000
    kept = f"{state} state" if mode == "streaming" else "window"
    assert stepper.form == f"int8, {input}, {kept}"
    assert stepper.file_bytes == len(content)
    seen = [(stepper.step(x)[0], embedder.embed(x[0])) for x in stepper.inputs[:5]]
    for here, there in seen:
        np.testing.assert_array_equal(here, there)
    assert len({here.tobytes() for here, _ in seen}) > 1


def test_band_levels_have_no_known_hop(tmp_path):
    path = write_file(tmp_path / "bands.tflite", (1, 32, 29))
    assert open_case(Case("bands", path)).seconds() is None
    (result,) = measure([Case("bands", path)], steps=1, rounds=1, block_seconds=0)
    assert result["hop_ms"] is result["cpu_us_per_second"] is result["real_time_factor"] is None
    assert result["cpu_us_per_step"] > 0
    assert table([result]).splitlines()[1].split().count("-") >= 3


def test_a_block_of_steps(tiny):
    stepper = open_case(Case("x", tiny))
    seen = []
    counted = dataclasses.replace(stepper, step=seen.append)
    block = run_block(counted, warmup=3, steps=40, seconds=0)
    assert len(block["latency_us"]) == 40
    assert len(seen) == 43
    assert {id(x) for x in seen} == {id(x) for x in stepper.inputs}
    longer = run_block(stepper, warmup=0, steps=1, seconds=0.02)
    assert 19_900 <= sum(longer["latency_us"]) < 1e6
    assert longer["cpu_us"] > 0


# What is made of it ------------------------------------------------------------------------------


class FakeWorker:
    """A model that takes 100 us in the first round, 200 us in the second, and so on."""

    seen = ()

    def __init__(self, case):
        self.case, self.round = case, 0
        self.facts = {"form": "f", "streaming": case.name != "window", "seconds": 0.1}
        self.facts |= {"file_bytes": 1, "memory_bytes": 2}

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def ask(self, order):
        FakeWorker.seen.append(self.case.name)
        self.round += 1
        return {"latency_us": [90.0, 110.0] * 5, "cpu_us": 10 * 100.0 * self.round}


def test_turns_and_figures(monkeypatch):
    monkeypatch.setattr(measuring, "_Worker", FakeWorker)
    monkeypatch.setattr(FakeWorker, "seen", [])
    results = measure([Case("stream", "x"), Case("window", "y")], rounds=3, window_hop=0.01)
    assert FakeWorker.seen == ["stream", "window", "window", "stream", "stream", "window"]
    stream, window = results
    assert (stream["hop_ms"], window["hop_ms"]) == (100, 10)
    assert stream["cpu_us_per_second_rounds"] == pytest.approx([1_000, 2_000, 3_000])
    assert stream["cpu_us_per_second"] == pytest.approx(2_000)
    assert window["cpu_us_per_second"] == pytest.approx(20_000)
    assert stream["cpu_us_per_step"] == window["cpu_us_per_step"] == pytest.approx(200)
    assert stream["steps"] == 30
    assert stream["latency_us"] == pytest.approx(
        {"median": 100, "p90": 110, "mean": 100, "min": 90, "max": 110}
    )
    assert stream["real_time_factor"] == pytest.approx(100e-6 / 0.1)
    (alone,) = measure([Case("window", "y")], rounds=1)
    assert alone["hop_ms"] == 100  # windows side by side


def test_machine():
    found = machine()
    line = machine_line(found)
    assert str(found["cpu"]) in line
    assert f"{os.cpu_count()} core" in line
    assert "numpy" in line


# The ops -----------------------------------------------------------------------------------------


def test_ops_alone(form, tmp_path, monkeypatch):
    monkeypatch.setattr(op_profile, "_BLOCKS", 2)
    monkeypatch.setattr(op_profile, "_BLOCK_SECONDS", 1e-4)
    path = tmp_path / "x.tflite"
    path.write_bytes(form("int8", mode="streaming", input="log_mel"))
    case = Case("x", str(path), "builtin")
    ops = profile(case, open_case(case))
    model = fb.read(path.read_bytes())
    kinds = [fb.kind(model, op) for op in model.subgraphs[0].operators]
    assert [op["op"] for op in ops] == [*kinds, "(rest)"]
    variables = {"CALL_ONCE", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"}
    assert {op["op"] for op in ops if op["us"] is None} == variables
    assert all(op["us"] > 0 for op in ops if op["op"] == "CONV_2D")
    tensors = model.subgraphs[0].tensors
    shapes = {op["output"]: tuple(op["shape"]) for op in ops if op["shape"]}
    assert shapes == {fb.text(t.name): fb.shape(t) for t in tensors if fb.text(t.name) in shapes}
    text = ops_table(ops)
    assert "CONV_2D" in text
    assert "a whole step" in text.splitlines()[-1]


def test_ops_table_sums_up():
    ops = [{"op": "A", "us": 60.0}, {"op": "A", "us": 30.0}, {"op": "B", "us": 9.5}]
    ops += [{"op": "C", "us": 0.5}, {"op": "D", "us": None}]
    lines = [line.split() for line in ops_table(ops).splitlines()]
    assert lines[1:] == [
        ["A", "2", "90.0", "90%"],
        ["B", "1", "9.5", "10%"],
        ["(others)", "2", "0.5"],
        ["a", "whole", "step", "100.0"],
    ]


# Peers -------------------------------------------------------------------------------------------


def test_peers_that_are_not_installed(monkeypatch):
    for package in ("pyopen_wakeword", "pymicro_wakeword"):
        monkeypatch.setitem(sys.modules, package, None)
    for name in PEERS:
        with pytest.raises(A2vError, match=r"is not installed: pip install '.\[benchmark\]'"):
            open_case(Case(name, name))


# The command -------------------------------------------------------------------------------------


def test_command(tmp_path, tiny):
    window = write_file(tmp_path / "window.tflite", (1, 15_600), streaming=False)
    output = tmp_path / "out.json"
    out = run_command(
        "a2v_benchmark",
        *(f"--model={tiny},{window}", "--threads=2", "--kernels=xnnpack,builtin", "--rounds=2"),
        *("--steps=3", "--window_hop_ms=10", "--profile", f"--output={output}"),
    ).stdout
    content = json.loads(output.read_text())
    results = content["results"]
    settings = [(x["name"], x["kernels"], x["threads"], x["hop_ms"]) for x in results]
    both = ("xnnpack", 2), ("builtin", 2)
    assert settings == [(n, *s, hop) for n, hop in (("tiny", 80), ("window", 10)) for s in both]
    for x in results:
        latency = x["latency_us"]
        assert 0 < latency["min"] <= latency["median"] <= latency["p90"] <= latency["max"]
        assert len(x["cpu_us_per_second_rounds"]) == 2
        assert x["cpu_us_per_second"] == pytest.approx(x["cpu_us_per_step"] * 1000 / x["hop_ms"])
        assert x["file_bytes"] == os.path.getsize(x["model"])
        assert x["memory_bytes"] is None or 0 <= x["memory_bytes"] < 20e6
        assert [op["op"] for op in x["ops"]] == ["SLICE", "(rest)"]
    lines = out.splitlines()
    assert lines[0] == machine_line(content["machine"])
    assert [line.split(":")[0] for line in lines[2:6]] == ["tiny"] * 2 + ["window"] * 2
    assert out.count("a whole step") == 4


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "expected --model, --peers or both"),
        (["--model=/no/such.tflite"], "error: cannot read '/no/such.tflite': No such file"),
        (["--model=JUNK"], "is not a TFLite model that runs here"),
        (["--model=OTHER"], "other.tflite has the signatures ['classify']: expected 'embed'"),
        (["--model=TINY", "--peers=siri"], "expected some of openwakeword,"),
        (["--model=TINY", "--kernels=gpu"], "expected some of xnnpack, builtin, reference"),
        (["--model=TINY", "--threads=1,none"], "expected whole numbers from 1"),
        (["--model=TINY", "--threads=0"], "expected whole numbers from 1"),
        (["--model=TINY", "--output=/no/such/x.json"], "no directory '/no/such'"),
        (["--model=TINY", "--adb"], "--adb and --benchmark_binary need each other"),
        (["--model=TINY", "--serial=x"], "--adb and --benchmark_binary need each other"),
        (["--model=TINY", "--adb", "--benchmark_binary=b", "--peers=openwakeword"], "no --peers"),
    ],
)
def test_bad_input_gets_one_line(tmp_path, tiny, flags, message):
    (tmp_path / "junk.tflite").write_bytes(b"junk" * 10)
    model = fb.read(pathlib.Path(tiny).read_bytes())
    model.signatureDefs = [fb.signature(model, "embed")]
    model.signatureDefs[0].signatureKey = "classify"
    (tmp_path / "other.tflite").write_bytes(fb.write(model))
    paths = {"TINY": tiny, "JUNK": tmp_path / "junk.tflite", "OTHER": tmp_path / "other.tflite"}
    for word, path in paths.items():
        flags = [flag.replace(word, str(path)) for flag in flags]
    run = run_command("a2v_benchmark", *flags, fails=True)
    assert message in run.stderr + run.stdout
    assert "Traceback" not in run.stderr


def test_a_process_that_dies(tmp_path, monkeypatch, tiny):
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho some line >&2\necho Illegal instruction >&2\nexit 132\n")
    script.chmod(0o755)
    monkeypatch.setattr(measuring.sys, "executable", str(script))
    with pytest.raises(
        A2vError, match=r"^x: its process ended with code 132: Illegal instruction$"
    ):
        measure([Case("x", tiny)])


# The phone ---------------------------------------------------------------------------------------


def recorded(name):
    return (RECORDED / f"{name}.txt").read_text()


def test_recorded_output():
    assert phone.parse(recorded("xnnpack")) == {
        **{"init_us": 5_512, "first_us": 1_204, "warmup_us": 159.482, "mean_us": 158.634},
        **{"runs": 6_274, "min_us": 150, "max_us": 493, "std_us": 9, "median_us": 157},
        "memory_bytes": round(4.5 * 2**20),
        "delegated": "partially executed by the delegate w/ 9 delegate kernels",
    }
    assert phone.parse(recorded("builtin")) == {
        **{"init_us": 1_093, "first_us": 1_250_000, "warmup_us": 1_250_000, "mean_us": 331.008},
        **{"runs": 3_013, "min_us": 321, "max_us": 612, "std_us": 14, "median_us": None},
        "memory_bytes": 2 * 2**20,
        "delegated": None,
    }


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (recorded("missing_op"), "it lacks the op RFFT2D: expected"),
        ("ERROR: Encountered unresolved custom op: FlexRFFT.\nx", "it lacks the op FlexRFFT: "),
        ("INFO: STARTING!\nERROR: Failed to mmap model\nERROR: 2", "ERROR: Failed to mmap model"),
        ("sh: ./benchmark_model: not executable: 64-bit ELF file", "not executable: 64-bit ELF"),
        ("", "benchmark_model failed: no output"),
        ("INFO: Inference timings in us: none", "benchmark_model printed unexpected output: "),
    ],
)
def test_failures_in_the_output(output, message):
    with pytest.raises(A2vError) as error:
        phone.parse(output)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


FAKE_ADB = """#!{python}
import os, pathlib, sys
arguments = sys.argv[1:]
with open({log!r}, "a") as log:
    log.write(" ".join(arguments) + "\\n")
if arguments[0] == "devices":
    print("* daemon not running; starting now at tcp:5037")
    print("List of devices attached\\n" + os.environ["PHONES"].replace("=", "\\t"))
    sys.exit(0)
assert arguments[0] == "-s", arguments
command, *rest = arguments[2:]
if command == "push":
    if os.environ.get("FULL"):
        print("adb: error: failed to copy: remote No space left on device", file=sys.stderr)
        sys.exit(1)
    assert pathlib.Path(rest[0]).is_file()
elif "getprop ro.product.model" in rest:
    print("Pixel 8")
elif "getprop" in rest[0]:
    sys.exit(1)
elif "benchmark_model --" in rest[0]:
    name = "xnnpack" if "--use_xnnpack=true" in rest[0] else "builtin"
    name = os.environ.get("OUTPUT", name)
    print((pathlib.Path({recorded!r}) / (name + ".txt")).read_text())
    sys.exit(name == "missing_op")
"""


@pytest.fixture
def adb(tmp_path, monkeypatch):
    """A fake `adb` on the PATH and a fake tool; gives the list of what adb was called with."""
    folder, log = tmp_path / "bin", tmp_path / "adb.log"
    folder.mkdir()
    script = FAKE_ADB.format(python=sys.executable, log=str(log), recorded=str(RECORDED))
    (folder / "adb").write_text(script)
    (folder / "adb").chmod(0o755)
    (tmp_path / "benchmark_model").write_bytes(b"ELF")
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setenv("PHONES", "R5CT1=device")
    return lambda: log.read_text().splitlines()


def test_phone(adb, tmp_path, tiny):
    output = tmp_path / "phone.json"
    binary = f"--benchmark_binary={tmp_path}/benchmark_model"
    flags = [f"--model={tiny}", "--adb", binary, "--threads=1,4", f"--output={output}"]
    lines = run_command("a2v_benchmark", *flags).stdout.splitlines()
    content = json.loads(output.read_text())
    assert content["machine"] == {"serial": "R5CT1", "phone": "Pixel 8"}
    assert lines[0] == "serial R5CT1, phone Pixel 8"
    results = content["results"]
    assert [(x["kernels"], x["threads"]) for x in results] == [
        *(("xnnpack", 1), ("xnnpack", 4), ("builtin", 1), ("builtin", 4)),
    ]
    assert results[0]["latency_us"]["median"] == 157
    assert results[0]["real_time_factor"] == pytest.approx(158.634 / 80_000)
    assert results[2]["on_phone"]["first_us"] == 1_250_000
    assert "CPU/s" in lines[1]
    assert len(lines) == 2 + 4
    calls = [call.removeprefix("-s R5CT1 ") for call in adb()]
    pushed = [call.split() for call in calls if call.startswith("push")]
    assert [(here.split("/")[-1], there.split("/")[-1]) for _, here, there in pushed] == [
        ("benchmark_model", "benchmark_model"),
        ("tiny.tflite", "0.tflite"),
    ]
    runs = [call for call in calls if "--graph" in call]
    assert len(runs) == 4
    assert all("--signature_to_run_for=embed" in x and "--num_runs=100" in x for x in runs)
    assert "--use_xnnpack=true" in runs[0]
    assert "--num_threads=4" in runs[1]
    assert calls[-1] == "shell rm -rf /data/local/tmp/a2v_benchmark"


@pytest.mark.parametrize(
    ("phones", "serial", "message"),
    [
        ("", None, "adb sees no phone: expected one, with USB debugging enabled"),
        ("A=unauthorized", None, "phone A is unauthorized: allow USB debugging on its screen"),
        ("A=offline", None, "phone A is in the state 'offline': expected 'device'"),
        ("A=no permissions (udev); see [url]", None, "phone A is in the state 'no permissions"),
        ("A=device\nB=device", None, "adb sees 2 phones, A, B: choose one with --serial"),
        ("A=device", "C", "--serial=C: adb sees A"),
    ],
)
def test_no_phone(adb, monkeypatch, tmp_path, phones, serial, message):
    monkeypatch.setenv("PHONES", phones)
    with pytest.raises(A2vError) as error:
        phone.find(str(tmp_path / "benchmark_model"), serial)
    assert str(error.value).startswith(message)


def test_one_of_two_phones(adb, monkeypatch, tmp_path):
    monkeypatch.setenv("PHONES", "A=unauthorized\nB=device")
    assert phone.find(str(tmp_path / "benchmark_model"), "B").serial == "B"


def test_what_goes_wrong_on_the_phone(adb, monkeypatch, tmp_path, tiny):
    found = phone.find(str(tmp_path / "benchmark_model"))
    monkeypatch.setenv("OUTPUT", "missing_op")
    with pytest.raises(
        A2vError, match=r"^tiny, xnnpack: benchmark_model failed: it lacks the op R"
    ):
        found.measure([tiny], threads=[1], runs=1)
    assert adb()[-1].endswith("rm -rf /data/local/tmp/a2v_benchmark")
    monkeypatch.setenv("FULL", "1")
    with pytest.raises(
        A2vError, match=r"^adb push .*benchmark_model failed: adb: error: failed to"
    ):
        found.measure([tiny], threads=[1], runs=1)
    with pytest.raises(A2vError, match="--benchmark_binary='/no/such': no such file"):
        phone.find("/no/such")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(A2vError, match="no 'adb' on the PATH"):
        phone.find(str(tmp_path / "benchmark_model"))
