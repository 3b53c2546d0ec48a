"""Check what `make dist` built: contents of sdist and wheel, and the wheel in a new environment.

  python tests/check_dist.py dist
  python tests/check_dist.py dist --light --oldest --python=python3.10 --python=python3.13

The wheel is installed without any extra into a new virtual environment, which then has no
TensorFlow. The commands for TFLite files must run there, and every other command must say in one
line what to install. Needs a network, or a pip that finds the packages. --light is that part alone,
with each --python, and the packages are the newest, or, with --oldest, the oldest that setup.py
allows, with those of the extras that the commands use without TensorFlow.
"""

import argparse
import email.parser
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import wave
import zipfile
from collections.abc import Callable

import numpy as np
import soundfile

ROOT = pathlib.Path(__file__).parents[1]
LIGHT_EXTRAS = ("formats", "parquet", "plot")
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


def main(options: argparse.Namespace) -> None:
    (sdist,), (wheel,) = options.dist.glob("*.tar.gz"), options.dist.glob("*.whl")
    if not options.light:
        check_contents(wheel, sdist)
        with tempfile.TemporaryDirectory() as folder:
            check_built_alike(wheel, pathlib.Path(folder))
    for python in options.python or [sys.executable]:
        with tempfile.TemporaryDirectory() as folder:
            temporary = pathlib.Path(folder)
            if options.oldest:
                check_oldest(wheel, temporary, python)
            else:
                check_light_install(wheel, temporary, python, tested=not options.light)


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


def install(environment: pathlib.Path, python: str, *what: str) -> None:
    """Make a virtual environment, and say what is in it."""
    subprocess.run([python, "-m", "venv", "--without-pip", str(environment)], check=True)
    program = str(environment / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", program, "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", *what], check=True)
    version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout.strip()
    listed = subprocess.run([*pip, "list", "--format=freeze"], capture_output=True, text=True)
    print(f"{version}: {', '.join(listed.stdout.split())}", flush=True)


def check_oldest(wheel: pathlib.Path, temporary: pathlib.Path, python: str) -> None:
    """The commands for TFLite files with the oldest packages that are allowed."""
    environment, pins = temporary / "oldest", temporary / "pins.txt"
    pins.write_text("\n".join(oldest(wheel)))
    install(environment, python, "-c", str(pins), f"{wheel}[{','.join(LIGHT_EXTRAS)}]")
    write_sounds(temporary)

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return run_in(temporary, environment, *command, fails=False)

    check_light_commands(run, temporary)
    for name in ("x.parquet", "x.csv"):
        run("a2v_embed", "--model=pretrained", "--audio=x.mp3", f"--output={name}")
    run("a2v_stream", "--model=pretrained", "--audio=x.mp3", "--plot=x.png")
    print("light commands run with the oldest packages")


def oldest(wheel: pathlib.Path) -> list[str]:
    """The oldest versions of what the light install and its extras need, as pip's constraints."""
    with zipfile.ZipFile(wheel) as file:
        (name,) = (x for x in file.namelist() if x.endswith(".dist-info/METADATA"))
        metadata = email.parser.Parser().parsestr(file.read(name).decode())
    pins = []
    for requirement in metadata.get_all("Requires-Dist"):
        extra = re.search(r"extra == ['\"](.*)['\"]", requirement)
        if extra is None or extra[1] in LIGHT_EXTRAS:
            found = re.match(r"([\w.-]+)>=([\w.]+)", requirement)
            assert found, f"{requirement}: no oldest version"
            pins.append(f"{found[1]}=={found[2]}")
    return pins


def check_light_install(
    wheel: pathlib.Path, temporary: pathlib.Path, python: str, *, tested: bool
) -> None:
    """The install without extras; of the versions in constraints.txt, or the newest."""
    environment = temporary / "light"
    constraints = ["-c", str(ROOT / "constraints.txt")] if tested else []
    install(environment, python, *constraints, str(wheel))
    sizes = {path: path.stat().st_size for path in environment.rglob("*") if path.is_file()}
    size = sum(sizes.values())
    code = sum(size for path, size in sizes.items() if path.suffix == ".pyc")
    print(f"light install: {size / 1e6:.0f} MB, {code / 1e6:.0f} MB of them byte code")
    assert size - code < MOST_BYTES, size

    write_sounds(temporary)

    def run(*command: str, fails: bool = False) -> subprocess.CompletedProcess[str]:
        return run_in(temporary, environment, *command, fails=fails)

    run("python", "-c", "import importlib.util as u; assert u.find_spec('tensorflow') is None")
    run("python", "-c", LACKS_TENSORFLOW)
    check_light_commands(run, temporary)
    sound = "--audio=sounds/hum/a.wav"
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


def check_light_commands(
    run: Callable[..., subprocess.CompletedProcess[str]], temporary: pathlib.Path
) -> None:
    """What works without TensorFlow, works."""
    run("python", "-c", "import a2v_tf; assert a2v_tf.load('pretrained').hop == 1280")
    sound = "--audio=sounds/hum/a.wav"
    said = run("a2v_stream", "--model=pretrained", sound, "--examples=sounds")
    lines = said.stdout.splitlines()
    assert len(lines) == 25, said.stdout
    assert all(" hum " in line for line in lines[12:]), said.stdout  # since the first whole window
    assert len(said.stderr.splitlines()) == 1, said.stderr
    said = run("a2v_embed", "--model=pretrained", "--audio=sounds", "--output=x.npz")
    assert "x.npz: 8 embeddings of 2 files" in said.stdout, said.stdout
    with np.load(temporary / "x.npz") as table:
        assert table["embeddings"].shape == (8, 256)
    run("a2v_embed", "--model=pretrained", "--audio=sounds", "--output=x.csv", "--stream")
    said = run("a2v_benchmark", "--model=pretrained", "--steps=10", "--rounds=1")
    assert "int8, pcm, internal state" in said.stdout, said.stdout


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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dist", type=pathlib.Path)
    parser.add_argument("--light", action="store_true", help="the light install alone")
    parser.add_argument("--oldest", action="store_true", help="with the oldest packages")
    parser.add_argument("--python", action="append", help="interpreters for it")
    main(parser.parse_args())
