"""How commands end: with what cannot be written, by signals, and without hanging."""

import pathlib
import signal
import subprocess
import sys
import time

import pytest

from a2v_tf.ending import GRACE_S, Interrupted
from tests.conftest import command, run_command

HEADER = "import sys, time\nfrom a2v_tf.errors import run_app\n"


@pytest.fixture
def script(tmp_path):
    """Start a command whose `main` has some body."""

    def start(body, **options):
        path = tmp_path / "command.py"
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        path.write_text(f"{HEADER}def main(argv):\n{lines}run_app(main)\n")
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([sys.executable, path], **{**pipes, **options})

    return start


def wait_for_line(process):
    assert process.stdout.readline() == "ready\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_command_in_one_line(script, number):
    process = script("print('ready', flush=True)\ntime.sleep(60)")
    wait_for_line(process)
    process.send_signal(number)
    assert process.communicate(timeout=30) == ("", "interrupted\n")
    assert process.returncode == 128 + number


BUSY = """
while True:
  try:
    print('ready', flush=True)
    time.sleep(60)
  except BaseException:
    pass
"""


def test_a_command_that_does_not_see_the_signal_ends_too(script):
    process = script(BUSY)
    wait_for_line(process)
    start = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30)[1] == "interrupted\n"
    assert GRACE_S - 0.1 < time.monotonic() - start < 5 + 5  # the machine may be busy
    assert process.returncode == 143


def test_a_second_signal_ends_it_at_once(script):
    process = script(BUSY)
    wait_for_line(process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.7)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert time.monotonic() - start < GRACE_S - 1
    assert process.returncode == 130


def test_an_end_that_takes_its_time(script):
    process = script(
        "from a2v_tf.ending import no_hurry\n"
        "try:\n"
        "  print('ready', flush=True)\n"
        "  time.sleep(60)\n"
        "except KeyboardInterrupt:\n"
        "  no_hurry()\n"
        f"  time.sleep({GRACE_S} + 1)\n"
        "  print('done')"
    )
    wait_for_line(process)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30) == ("done\n", "")
    assert process.returncode == 0


def test_interruptions_are_keyboard_interrupts():
    assert isinstance(Interrupted(signal.SIGTERM), KeyboardInterrupt)
    assert Interrupted(signal.SIGTERM).code == 143


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("body", ["print('x')", "print('x', flush=True)"])
def test_a_full_disk_behind_the_output_is_one_line(script, body):
    with open("/dev/full", "w") as full:
        process = script(body, stdout=full)
        assert process.communicate()[1] == (
            "error: cannot write the output: No space left on device\n"
        )
    assert process.returncode == 1


def test_a_reader_that_stops_is_no_error_message(script):
    process = script("for i in range(100_000):\n  print(i)", bufsize=1)
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=30) == 1
    assert process.stderr.read() == ""


def test_tensorflow_ends_without_finalising_python(script):
    """Threads of tf.data that enter Python code then hang: here, one that nothing else ends."""
    process = script(
        "import threading, types\n"
        "sys.modules.setdefault('tensorflow', types.ModuleType('tensorflow'))\n"
        "class Waits:\n"
        "  def __del__(self, sleep=time.sleep):\n"
        "    sleep(60)\n"
        "globals()['waits'] = Waits()\n"  # deleted while Python finalises
        "import atexit\n"
        "atexit.register(print, 'handlers run', flush=True)\n"
        "from a2v_tf.errors import A2vError\n"
        "raise A2vError('the reason')"
    )
    assert process.communicate(timeout=30) == ("handlers run\n", "error: the reason\n")
    assert process.returncode == 1


def test_an_error_while_data_is_read_ends_the_command(tmp_path):
    """Without the exit above, some runs in a hundred never end."""
    import numpy as np
    import soundfile

    for i in range(3):
        soundfile.write(tmp_path / f"{i}.wav", np.zeros(48_000), 16_000)
    options = ["--model_dir=pretrained", "--quantize", f"--calibration_data={tmp_path}"]
    for _ in range(2):
        run = subprocess.run(
            [command("export_tflite"), *options, f"--output={tmp_path}/x.tflite"],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert run.returncode == 1
        assert "a whole epoch gave no usable crop" in run.stderr
        assert "Traceback" not in run.stderr


def test_an_unusable_path_is_one_line(tmp_path):
    long = tmp_path / ("x" * 300)
    run = run_command("a2v_summary", f"--model_dir={long}", fails=True)
    assert run.stderr.startswith("error: ")
    assert len(run.stderr.splitlines()) == 1
