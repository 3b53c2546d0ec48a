"""Outputs that cannot be written: one line before the work, and nothing else is touched."""

import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from tests.conftest import command, run_here

ROOT = pathlib.Path(__file__).parents[2]
SOUND = "--audio=sound.wav"
# Of each output: the command, its other options, the flag, and a name for the file or folder.
OUTPUTS = {
    "npz": ("a2v_embed", ["--model=pretrained", SOUND], "output", "x.npz"),
    "csv": ("a2v_embed", ["--model=pretrained", SOUND], "output", "x.csv"),
    "parquet": ("a2v_embed", ["--model=pretrained", SOUND], "output", "x.parquet"),
    "plot": ("a2v_stream", ["--model=pretrained", SOUND], "plot", "x.png"),
    "benchmark": ("a2v_benchmark", ["--model=pretrained", "--steps=1"], "output", "x.json"),
    "html": ("a2v_report", ["x.json"], "output", "x.html"),
    "markdown": ("a2v_report", ["x.json", "--output=y.html"], "markdown", "x.md"),
    "results": (
        "a2v_evaluate",
        ["--model_dir=pretrained", "--downstream=demo"],
        "output",
        "x.json",
    ),
    "tflite": ("export_tflite", ["--model_dir=pretrained"], "output", "x.tflite"),
    "summary": (
        "export_tflite",
        ["--model_dir=pretrained", "--output=y.tflite"],
        "summary",
        "x.json",
    ),
    "pictures": (
        "a2v_reconstruct",
        ["--model_dir=pretrained", SOUND, "--at=1"],
        "output",
        "x",
    ),
    "model_dir": ("a2v_train", ["--data=demo", "--steps=1"], "model_dir", "x"),
}
FILES = sorted(set(OUTPUTS) - {"model_dir", "pictures"})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with a sound and a file that is none of the outputs."""
    noise = np.random.default_rng(0).normal(0, 0.1, 32_000)
    soundfile.write(tmp_path / "sound.wav", noise, 16_000)
    (tmp_path / "file").write_text("old")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(output: str, place: str) -> str:
    """The line that the command of an output says; the file would be in the folder `place`."""
    name, options, flag, file = OUTPUTS[output]
    run = run_here(name, [command(name), *options, f"--{flag}={place}/{file}"])
    lines = run.stderr.strip().splitlines()
    assert run.returncode == 1, run
    assert len(lines) == 1, run.stderr
    assert lines[0].startswith("error: "), run.stderr
    assert f"--{flag}={place!r}"[:-1] in lines[0], run.stderr
    return lines[0]


@pytest.mark.parametrize("output", OUTPUTS)
def test_below_a_file_or_where_nothing_can_be_created(output, folder):
    before = sorted(folder.iterdir())
    refused(output, "file")
    refused(output, "/proc")
    assert (folder / "file").read_text() == "old"
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("output", FILES)
def test_a_directory_or_a_device_in_place_of_the_file(output, folder):
    name = OUTPUTS[output][3]
    (folder / "a" / name).mkdir(parents=True)
    assert "is a directory" in refused(output, "a")
    (folder / "b").mkdir()
    (folder / "b" / name).symlink_to("/dev/null")
    assert "is a device" in refused(output, "b")
    assert (folder / "b" / name).is_char_device()


@pytest.mark.parametrize("output", FILES)
def test_a_name_that_is_too_long(output, folder):
    name, options, flag, file = OUTPUTS[output]
    run = run_here(name, [command(name), *options, f"--{flag}={'x' * 245}{file[1:]}"])
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert "File name too long" in run.stderr


def in_a_small_disk(folder: pathlib.Path, setting: str, call: str) -> list[str]:
    """Evaluate a call of this module where `folder / "disk"` is a file system of its own."""
    if not shutil.which("unshare"):
        pytest.skip("no unshare")
    (folder / "disk").mkdir()
    mounted = f"mount -t tmpfs -o size=64k none disk && echo old > disk/file && {setting}"
    code = f"import json\nfrom tests.commands.test_outputs import *\nprint(json.dumps({call}))"
    run = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f'{mounted} && exec "$@"', "sh", sys.executable, "-c", code],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "HOME": str(folder), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"},
        capture_output=True,
        text=True,
    )
    if run.stderr.startswith(("unshare:", "mount:")):
        pytest.skip(f"no file systems for users: {run.stderr.strip()}")
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def test_a_read_only_disk(folder):
    lines = in_a_small_disk(
        folder, "mount -o remount,ro disk", "[refused(output, 'disk') for output in OUTPUTS]"
    )
    assert len(lines) == len(OUTPUTS)
    assert all("Read-only file system" in line for line in lines)


def written_to_a_full_disk(output: str) -> str:
    name, options, flag, file = OUTPUTS[output]
    path = pathlib.Path("disk", file)
    path.symlink_to("file")  # an old file, which takes no room of its own
    run = run_here(name, [command(name), *options, f"--{flag}={path}"])
    assert run.returncode == 1, run
    line = run.stderr.strip().splitlines()[-1]
    assert "Traceback" not in run.stderr
    assert path.read_text() == "old\n"
    left = sorted(str(p) for p in path.parent.rglob("*"))
    assert left == sorted(f"disk/{x}" for x in ["file", "full", file]), left
    path.unlink()
    return line


def test_a_full_disk(folder):
    outputs = ["npz", "csv", "parquet", "plot", "benchmark"]
    lines = in_a_small_disk(
        folder,
        "{ cat /dev/zero > disk/full 2> /dev/null; true; }",
        f"[written_to_a_full_disk(output) for output in {outputs}]",
    )
    assert len(lines) == len(outputs)
    for line in lines:
        assert line.startswith("error: cannot write"), line
        assert "No space left on device" in line, line
