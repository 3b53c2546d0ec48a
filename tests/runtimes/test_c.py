"""The example in C, with TFLite's C library, prints the bits of `a2v_stream`."""

import json
import pathlib
import shutil
import subprocess

import numpy as np
import pymicro_wakeword
import pytest
import soundfile

from a2v_tf.pretrained import STREAMING, resolve
from tests.conftest import run_command
from tests.runtimes.conftest import steps_of

SOURCE = pathlib.Path(__file__).parents[2] / "examples/c/embed.c"
LIBRARIES = pathlib.Path(pymicro_wakeword.__file__).parent / "lib"  # TFLite 2.17.1


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    made = tmp_path_factory.mktemp("c") / "embed"
    warnings = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O2"]
    library = ["-L", str(LIBRARIES), "-l:libtensorflowlite_c.so", f"-Wl,-rpath,{LIBRARIES}"]
    subprocess.run([compiler, *warnings, str(SOURCE), "-o", str(made), *library], check=True)
    return made


def test_it_prints_the_bits_of_a2v_stream(program: pathlib.Path, tmp_path: pathlib.Path) -> None:
    pcm = np.concatenate(steps_of("pcm", 80, seconds=3))
    samples = (np.clip(pcm, -1, 32_767 / 32_768) * 32_768).astype(np.int16)
    soundfile.write(tmp_path / "sound.wav", samples, 16_000)
    streamed = run_command(
        "a2v_stream",
        f"--audio={tmp_path}/sound.wav",
        "--model=pretrained",
        "--format=jsonl",
        here=True,
    )
    model = resolve("pretrained", STREAMING)
    run = subprocess.run([program, model], input=samples.tobytes(), capture_output=True, check=True)
    expected = [json.loads(line)["embedding"] for line in streamed.stdout.splitlines()]
    got = [[float(value) for value in line.split()] for line in run.stdout.splitlines()]
    assert len(got) > 30
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [([], "expected one argument"), (["/none.tflite"], "not a TFLite file")],
)
def test_it_says_what_is_wrong(program: pathlib.Path, arguments: list[str], message: str) -> None:
    run = subprocess.run([program, *arguments], stdin=subprocess.DEVNULL, capture_output=True)
    assert run.returncode == 1
    assert f"error: {message}".encode() in run.stderr


def test_a_window_file_is_refused(program: pathlib.Path) -> None:
    model = resolve("pretrained", "window.tflite")
    run = subprocess.run([program, model], stdin=subprocess.DEVNULL, capture_output=True)
    assert run.returncode == 1
    assert b"expected a streaming file with internal state" in run.stderr
