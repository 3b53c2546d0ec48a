"""`benchmarks/startup.py`: the table, and the promises that it shows."""

import pathlib
import re
import subprocess
import sys

import pytest

from tests.conftest import load_script

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks" / "startup.py"


@pytest.fixture(scope="module")
def startup():
    return load_script(SCRIPT)


def test_every_command_is_measured(startup):
    assert len(startup.COMMANDS) == 10
    assert "export_tflite" in startup.COMMANDS


def test_help_needs_a_tenth_of_tensorflow():
    """Memory, since time depends on what else runs: TensorFlow alone takes 780 MB.

    Measured from a new process: Linux counts the memory of a process as its child's peak, too.
    """
    code = "import startup; print(*startup.measure(['a2v_stream', '--help'], runs=1))"
    run = subprocess.run([sys.executable, "-c", code], cwd=SCRIPT.parent, capture_output=True)
    seconds, megabytes = map(float, run.stdout.split())
    assert seconds > 0
    assert 10 < megabytes < 100


def test_a_command_that_fails_is_told(startup):
    with pytest.raises(RuntimeError, match="a2v_stream --modl=x ended with status 256"):
        startup.measure(["a2v_stream", "--modl=x"], runs=1)


def test_the_light_install_is_the_runtime_only(startup):
    sizes = startup.installed_sizes()
    assert {"a2v_tf", "numpy", "ai-edge-litert", "soundfile", "soxr", "absl-py"} <= set(sizes)
    assert not any(re.match("tensorflow|keras|pandas|scikit|matplotlib", name) for name in sizes)
    assert 50e6 < sum(sizes.values()) < 200e6
