"""Which files are the same data, wherever they lie."""

import pathlib
import shutil

import pytest

from a2v_tf.data.fingerprint import fingerprint, same_place


@pytest.fixture
def folder(tmp_path):
    directory = tmp_path / "a"
    (directory / "deep").mkdir(parents=True)
    for i, name in enumerate(["x.wav", "y.flac", "deep/z.mp3"]):
        (directory / name).write_bytes(bytes([i]) * (10_000 + i))
    return directory


def test_moved_files_are_the_same(folder, tmp_path):
    first = fingerprint(str(folder))
    assert first
    moved = tmp_path / "b" / "c"
    shutil.copytree(folder, moved)
    (moved / "notes.txt").write_text("no audio")
    assert fingerprint(f"{moved}/") == first


@pytest.mark.parametrize("change", ["name", "size", "content", "more", "fewer"])
def test_other_files_are_not(folder, change):
    first = fingerprint(str(folder))
    x = folder / "x.wav"
    if change == "name":
        x.rename(folder / "w.wav")
    elif change == "size":
        x.write_bytes(x.read_bytes() + b"0")
    elif change == "content":
        x.write_bytes(b"\\xff" * x.stat().st_size)
    elif change == "more":
        shutil.copy(x, folder / "v.wav")
    else:
        x.unlink()
    assert fingerprint(str(folder)) != first


def test_other_kinds_of_data(folder, tmp_path):
    assert fingerprint("demo") is None
    assert fingerprint("tfds:speech_commands") is None
    assert fingerprint(str(tmp_path / "none")) is None
    assert fingerprint(str(folder / "x.wav")) is None
    (tmp_path / "levels").mkdir()
    (tmp_path / "levels" / "one.csv").write_text("t,a\\n0,1\\n")
    (tmp_path / "labels.csv").write_text("path,label\\n")
    for data in (f"spectrogram:{tmp_path}/levels", f"csv:{tmp_path}/labels.csv"):
        assert fingerprint(data)
    assert fingerprint(f"csv:{tmp_path}/none.csv") is None


def test_spellings(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(folder)
    for spelling in ("a", "./a/", "a/deep/..", "link"):
        assert same_place(spelling, str(folder))
    assert not same_place("b", "b")
    assert not same_place("a/deep", str(folder))
    assert pathlib.Path("a").is_dir()
