"""The scripts of recipes/debian_audio as modules, and packages small enough for a test."""

import hashlib
import importlib
import pathlib
import shutil
import subprocess
import sys
import types
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import soundfile

FOLDER = pathlib.Path(__file__).parents[2] / "recipes" / "debian_audio"
SCRIPTS = [path.stem for path in FOLDER.glob("*.py")]


@pytest.fixture
def script() -> Iterator[Callable[[str], types.ModuleType]]:
    """`script("cut")`: that script as a module; they import one another as they do when started."""
    sys.path.insert(0, str(FOLDER))
    try:
        yield importlib.import_module
    finally:
        sys.path.remove(str(FOLDER))
        for name in SCRIPTS:
            sys.modules.pop(name, None)


def noise(seed: int, seconds: float) -> np.ndarray:
    return (0.2 * np.random.default_rng(seed).standard_normal(int(16_000 * seconds))).clip(-1, 1)


def write_sound(path: pathlib.Path, seed: int, seconds: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, noise(seed, seconds), 16_000, subtype="PCM_16")


def build_deb(repository: pathlib.Path, name: str, version: str, seed: int) -> str:
    """A package with one sound, a symbolic link to it, and a page; its SHA-256."""
    root = repository / f"{name}.root"
    write_sound(root / f"usr/share/{name}/sound.wav", seed, 0.1)
    (root / f"usr/share/{name}/link.wav").symlink_to("sound.wav")
    (root / f"usr/share/{name}/page.html").write_text("no sound")
    (root / f"usr/share/doc/{name}").mkdir(parents=True)
    (root / f"usr/share/doc/{name}/copyright").write_text(f"{name} is free\n")
    (root / "DEBIAN").mkdir()
    facts = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: a <a@b.c>\n"
    (root / "DEBIAN/control").write_text(f"{facts}Description: sounds\n")
    deb = repository / f"{name}.deb"
    subprocess.run(
        ["dpkg-deb", "--build", "--root-owner-group", "-Znone", root, deb],
        check=True,
        capture_output=True,
    )
    shutil.rmtree(root)
    content = deb.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    with (repository / "Packages").open("a") as file:
        file.write(f"{facts}Filename: ./{deb.name}\nSize: {len(content)}\nSHA256: {digest}\n")
        file.write("Description: sounds\n\n")
    return digest
