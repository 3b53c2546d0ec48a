"""Check what `make dist` built: contents of sdist and wheel, and the wheel in a new environment.

  python tests/check_dist.py dist

The wheel is installed without any extra into a new virtual environment, which then has no
TensorFlow. The commands for TFLite files must run there, and every other command must say in one
line what to install. Needs a network, or a pip that finds the packages.
"""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import wave
import zipfile

import numpy as np
import soundfile

ROOT = pathlib.Path(__file__).parents[1]
MOST_BYTES = 150_000_000  # of the light install, without byte code
SHIPPED = {
    *("streaming.tflite", "window.tflite", "quantized_core.tflite", "encoder.keras", "golden.npz"),
    *("card.md", "config.json", "SHA256SUMS"),
}
NEED_TENSORFLOW = {
    "a2v_train": ["--data=demo", "--model_dir=mine"],
    "a2v_evaluate": ["--model_dir=pretrained", "--downstream=demo", "--output=results.json"],
    "a2v_report": ["mine", "--output=report.html"],
    "a2v_summary": [],
    "a2v_reconstruct": ["--model_dir=mine", "--audio=a.wav", "--at=1", "--output=x.png"],
    "a2v_gap": ["--model_dir=mine", "--audio=a.wav", "--first=0", "--second=1"],
    "export_tflite": ["--model_dir=pretrained", "--output=x.tflite"],
}
LACKS_TENSORFLOW = """
import a2v_tf
try:
    a2v_tf.load_encoder
except ModuleNotFoundError as error:
    assert "a2v_tf.load_encoder needs TensorFlow: pip install" in str(error), error
else:
    raise AssertionError
"""


def main(dist: pathlib.Path) -> None:
    (sdist,), (wheel,) = dist.glob("*.tar.gz"), dist.glob("*.whl")
    check_contents(wheel, sdist)
    with tempfile.TemporaryDirectory() as folder:
        temporary = pathlib.Path(folder)
        check_built_alike(wheel, temporary)
        check_light_install(wheel, temporary)


# Contents ----------------------------------------------------------------------------------------


def check_contents(wheel: pathlib.Path, sdist: pathlib.Path) -> None:
    """All that is needed is in, and nothing else."""
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    with tarfile.open(sdist) as file:
        sources = {name.partition("/")[2] for name in file.getnames()}
    info = next(name.partition("/")[0] for name in names if ".dist-info/" in name)
    assert {name.partition("/")[0] for name in names} == {"a2v_tf", info}, "a second package"
    folder = "a2v_tf/pretrained/"
    shipped = {name.removeprefix(folder) for name in names if name.startswith(folder)}
    beside = {path.parent.name for path in (ROOT / folder).glob("*/config.json")}
    expected = {f"{part}{name}" for part in ("", *(f"{x}/" for x in beside)) for name in SHIPPED}
    assert shipped == {*expected, "__init__.py"}, shipped ^ expected
    assert any(re.fullmatch(rf"{info}/(licenses/)?LICENSE", name) for name in names), "no LICENSE"
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "a2v_tf").rglob("*.py")}
    modules |= {f"a2v_tf/{path.relative_to(ROOT)}" for path in (ROOT / "export").rglob("*.py")}
    assert modules <= names, modules - names
    assert "a2v_tf/py.typed" in names, "no py.typed: type checkers would ignore the type hints"
    assert "a2v_tf/evaluation/papers.txt" in names
    assert sum(name.endswith("/CITATIONS.bib") for name in names) == 8, "not all data sets' own"
    needed = {"setup.py", "pyproject.toml", "README.md", "LICENSE", "export/export_tflite.py"}
    assert needed <= sources, needed - sources
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, {len(names)} files")


def check_built_alike(wheel: pathlib.Path, temporary: pathlib.Path) -> None:
    """The wheel, which `build` makes from the sdist, is the one that the checkout gives."""
    shutil.rmtree(ROOT / "build", ignore_errors=True)  # setuptools would pack old files from it
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(temporary), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (direct,) = temporary.glob("*.whl")
    different = {name for name, _ in hashes(direct) ^ hashes(wheel)}
    assert not different, f"the sdist gives others: {sorted(different)}"


def hashes(wheel: pathlib.Path) -> set[tuple[str, str]]:
    with zipfile.ZipFile(wheel) as file:
        return {(x, hashlib.sha256(file.read(x)).hexdigest()) for x in file.namelist()}


# The light install -------------------------------------------------------------------------------


def check_light_install(wheel: pathlib.Path, temporary: pathlib.Path) -> None:
    environment = temporary / "light"
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    tested = ["-c", str(ROOT / "constraints.txt")]
    subprocess.run([*pip, "install", "--quiet", *tested, str(wheel)], check=True)
    sizes = {path: path.stat().st_size for path in environment.rglob("*") if path.is_file()}
    size = sum(sizes.values())
    code = sum(size for path, size in sizes.items() if path.suffix == ".pyc")
    print(f"light install: {size / 1e6:.0f} MB, {code / 1e6:.0f} MB of them byte code")
    assert size - code < MOST_BYTES, size

    write_sounds(temporary)

    def run(*command: str, fails: bool = False) -> subprocess.CompletedProcess[str]:
        return run_in(temporary, environment, *command, fails=fails)

    run("python", "-c", "import importlib.util as u; assert u.find_spec('tensorflow') is None")
    run("python", "-c", "import a2v_tf; assert a2v_tf.load('pretrained').hop == 1280")
    run("python", "-c", LACKS_TENSORFLOW)
    sound = "--audio=sounds/hum/a.wav"
    said = run("a2v_stream", "--model=pretrained", sound, "--examples=sounds")
    assert said.stdout.count(" hum ") == 25, said.stdout
    assert len(said.stderr.splitlines()) == 1, said.stderr
    said = run("a2v_embed", "--model=pretrained", "--audio=sounds", "--output=x.npz")
    assert "x.npz: 8 embeddings of 2 files" in said.stdout, said.stdout
    with np.load(temporary / "x.npz") as table:
        assert table["embeddings"].shape == (8, 128)
    run("a2v_embed", "--model=pretrained", "--audio=sounds", "--output=x.csv", "--stream")
    said = run("a2v_benchmark", "--model=pretrained", "--steps=10", "--rounds=1")
    assert "int8, pcm, internal state" in said.stdout, said.stdout
    (temporary / "mine").mkdir()
    (temporary / "mine" / "config.json").write_text("{}")
    for extra in (["--output=x.parquet"], ["--output=x.npz", "--model=mine"]):
        run("a2v_embed", "--model=pretrained", "--audio=sounds", *extra, fails=True)
    run("a2v_stream", "--model=pretrained", sound, "--plot=x.png", fails=True)
    run("a2v_stream", "--model=pretrained", "--audio=x.mp3", fails=True)
    for name, options in NEED_TENSORFLOW.items():
        said = run(name, *options, fails=True)
        expected = f"error: {name} needs TensorFlow: pip install 'a2v_tf[cpu]' (or [gpu], [tf])\n"
        assert said.stderr == expected, said.stderr
        run(name, "--help")
    print("light commands run; the others say what to install")


def run_in(
    folder: pathlib.Path, environment: pathlib.Path, *command: str, fails: bool
) -> subprocess.CompletedProcess[str]:
    """Run a command of an environment in a folder, from which the checkout is not imported."""
    path = f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
    variables = {"HOME": str(folder), "PATH": path}
    program = str(environment / "bin" / command[0])
    said = subprocess.run(
        [program, *command[1:]], cwd=folder, env=variables, capture_output=True, text=True
    )
    assert said.returncode == int(fails), f"{command}: {said.stdout}{said.stderr}"
    if fails:
        assert re.fullmatch(r"error: .* needs .*: pip install 'a2v_tf\[.*\n", said.stderr), (
            said.stderr
        )
    return said


def write_sounds(folder: pathlib.Path) -> None:
    """Two labelled sounds of 2 s, `sounds/LABEL/a.wav`."""
    time = np.arange(32_000) / 16_000
    noise = np.random.default_rng(0).normal(0, 0.1, len(time))
    for label, pcm in {"hum": 0.3 * np.sin(2 * np.pi * 220 * time), "noise": noise}.items():
        (folder / "sounds" / label).mkdir(parents=True)
        with wave.open(str(folder / "sounds" / label / "a.wav"), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            file.writeframes((pcm * 32_767).astype("<i2").tobytes())
    soundfile.write(folder / "x.mp3", noise, 16_000)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
