"""What C++ libraries write: chatter is dropped, all else passes, even at a crash."""

import os
import pathlib
import subprocess
import sys

import pytest
import soundfile

from a2v_tf import pretrained
from a2v_tf.export.check import probe_signal
from a2v_tf.quiet import CHATTER
from tests.conftest import command

pytestmark = pytest.mark.skipif(os.name != "posix", reason="descriptors of other systems")

DROPPED = [
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "I0000 00:00:1795813808.714874    6358 port.cc:153] oneDNN custom operations are on.",
    "2026-01-31 10:11:12.131415: I tensorflow/core/platform/cpu_feature_guard.cc:210] This",
    "To enable the following instructions: AVX2 AVX512F FMA, in other operations, rebuild",
    "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.",
    "W0000 00:00:17.2  63 tf_tfl_flatbuffer_helpers.cc:364] Ignored output_format.",
    "[src/libmpg123/layer3.c:INT123_do_layer3():1774] error: part2_3_length (960) too large for",
    "Note: Illegal Audio-MPEG-Header 0x00000000 at offset 33361.",
]
PASSED = [
    "E0000 00:00:1795813808.714874    6358 cuda_executor.cc:1] out of memory",
    "F0000 00:00:1795813808.714874    6358 check.cc:1] Check failed: x",
    "W0000 00:00:1795813808.714874    6358 cpu_allocator_impl.cc:84] Allocation of 9 exceeds 10%",
    "2026-01-31 10:11:12.131415: E tensorflow/core/x.cc:210] no device",
    "2026-01-31 10:11:12.131415: W tensorflow/core/x.cc:210] low memory",
    "ERROR: didn't find op for builtin opcode 'CONV_2D' version '9'",
    "INFOrmation that is no library's",
    "terminate called after throwing an instance of 'std::bad_alloc'",
    "free(): invalid pointer",
]


def test_what_is_chatter():
    assert [line for line in DROPPED if not CHATTER.fullmatch(line.encode())] == []
    assert [line for line in PASSED if CHATTER.fullmatch(line.encode())] == []


def in_quiet(code, **options):
    program = f"import os, sys, time\nfrom a2v_tf.quiet import quiet\nwith quiet():\n    {code}"
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, **options
    )


def test_lines_pass_whole_and_in_order():
    lines = [f"{line}\n" for pair in zip(PASSED, DROPPED, strict=False) for line in pair]
    run = in_quiet(f"for line in {lines!r}: os.write(2, line.encode())")
    assert run.stderr.splitlines() == PASSED[: len(DROPPED)]
    run = in_quiet("for i in range(20_000): os.write(2, b'%d\\n' % i)")
    assert run.stderr.split() == [str(i) for i in range(20_000)]


def test_bad_input_is_logged_by_the_command_alone():
    traceback = ["Traceback (most recent call last):", '  File "x.py", line 1, in f', ""]
    logged = [
        "W0000 00:00:1795831921.188341   26563 op_kernel.cc:1845] UNKNOWN: A2vError: no crop",
        *traceback,
        "a2v_tf.errors.A2vError: no crW0000 00:00:1 26 op_kernel.cc:1845] UNKNOWN: A2vError: no",
        *["op", *traceback],
        *["", "", PASSED[0], *traceback],
    ]
    run = in_quiet(f"for line in {logged!r}: os.write(2, line.encode() + b'\\n')")
    assert run.stderr.splitlines() == [PASSED[0], *traceback]


@pytest.mark.parametrize("line", [DROPPED[1], "INFO: Created TensorFlow Lite XNNPACK delegate"])
def test_the_end_of_a_log_line_may_come_late(line):
    line = line.encode()
    halves = f"os.write(2, {line[:30]!r}); time.sleep(0.5); os.write(2, {line[30:]!r} + b'\\n')"
    assert in_quiet(halves).stderr == ""


def test_a_line_without_its_end_is_not_held_back():
    run = in_quiet(
        "os.write(2, b'Password: '); time.sleep(0.5); os.write(2, b'INFO: x\\nINFO: y\\n')"
    )
    assert run.stderr == "Password: INFO: x\n"
    assert in_quiet("os.write(2, b'last words')").stderr == "last words"


@pytest.mark.parametrize("end", ["os.abort()", "os.kill(os.getpid(), 9)", "os._exit(3)"])
def test_a_crash_loses_nothing(end):
    run = in_quiet(f"os.write(2, b'free(): invalid pointer\\nCheck failed'); {end}")
    assert run.returncode != 0
    assert run.stderr == "free(): invalid pointer\nCheck failed"


def test_python_writes_past_it_and_all_is_as_before_afterwards():
    run = in_quiet(
        "from absl import logging; print('INFO: mine', file=sys.stderr); logging.warning('w')\n"
        "os.write(2, b'INFO: after\\n')"
    )
    mine, warning, after = run.stderr.splitlines()
    assert (mine, warning[-2:], after) == ("INFO: mine", ":w", "INFO: after")


def test_without_a_standard_error_nothing_happens():
    code = "from a2v_tf.quiet import quiet\nwith quiet(): print('done')"
    shell = ["/bin/sh", "-c", '"$0" -c "$1" 2>&-', sys.executable, code]
    assert subprocess.run(shell, stdout=subprocess.PIPE, text=True).stdout == "done\n"


# Commands in processes of their own --------------------------------------------------------------


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "sound.mp3"
    soundfile.write(path, probe_signal(64_000), 16_000)
    return path


def stderr_of(name, *options):
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    run = subprocess.run(
        [command(name), *options], capture_output=True, text=True, env=environment, timeout=300
    )
    assert run.returncode == 0, run.stderr
    return run.stderr


def test_streaming_says_its_summary_only(sound):
    (line,) = stderr_of("a2v_stream", "--model=pretrained", f"--audio={sound}").splitlines()
    assert line.startswith("4.00 s of audio: 50 embeddings")
    shown = stderr_of("a2v_stream", "--model=pretrained", f"--audio={sound}", "--verbosity=0")
    assert "INFO: Created TensorFlow Lite XNNPACK delegate" in shown


def test_embedding_says_nothing(sound, tmp_path):
    options = [f"--audio={sound}", f"--output={tmp_path}/x.csv"]
    assert stderr_of("a2v_embed", "--model=pretrained", *options) == ""
    keras = str(pretrained.resolve("pretrained"))  # as a directory: its Keras encoder
    assert stderr_of("a2v_embed", f"--model={keras}", *options) == ""


def test_export_says_nothing(tmp_path):
    output = tmp_path / "x.tflite"
    assert stderr_of("export_tflite", "--model_dir=pretrained", f"--output={output}") == ""


def test_a_command_that_builds_an_encoder_says_nothing():
    assert stderr_of("a2v_summary") == ""


def test_benchmark_says_nothing():
    assert stderr_of("a2v_benchmark", "--model=pretrained", "--steps=5", "--rounds=1") == ""


def test_a_crash_of_a_command_shows_where(tmp_path):
    script = tmp_path / "fails.py"
    script.write_text(
        "from a2v_tf.errors import run_app\n"
        "def main(argv):\n"
        "    import ctypes\n"
        "    import tensorflow\n"
        "    ctypes.string_at(0)\n"
        "run_app(main)\n"
    )
    run = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert run.returncode < 0
    assert run.stdout == ""
    assert "Fatal Python error: Segmentation fault" in run.stderr
    assert pathlib.Path(script).name in run.stderr
    assert "oneDNN" not in run.stderr


def test_chatter_after_an_error_is_dropped_up_to_the_end():
    """Threads of TensorFlow still log while the process ends."""
    code = "\n".join(
        [
            "import atexit, os, sys",
            "from a2v_tf.quiet import quiet",
            f"atexit.register(os.write, 2, {DROPPED[1].encode()!r} + b'\\nkept\\n')",
            "with quiet(ends_with_process=True):",
            "    sys.exit('the error')",
        ]
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert sorted(run.stderr.splitlines()) == ["kept", "the error"]
    assert run.returncode == 1
