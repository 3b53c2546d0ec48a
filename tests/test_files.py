"""Atomic writes, and the cache directory."""

import io
import json
import pathlib
import shutil
import zipfile

import numpy as np
import pytest

from a2v_tf.errors import A2vError
from a2v_tf.files import cache_dir, paths_of, read_npz, remove_partials, whole_file, write_json


def test_a_whole_file_replaces_the_old_one_and_leaves_no_other(tmp_path):
    path = tmp_path / "weights.h5"
    path.write_text("old")
    with whole_file(path) as partial:
        assert partial.suffix == path.suffix
        partial.write_text("new")
        assert path.read_text() == "old"
    assert [p.read_text() for p in tmp_path.iterdir()] == ["new"]


def test_an_error_while_writing_leaves_only_the_old_file(tmp_path):
    path = tmp_path / "weights.h5"
    path.write_text("old")

    def write_half():
        with whole_file(path) as partial:
            partial.write_text("half")
            raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        write_half()
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


def test_xdg_cache_home_moves_the_cache(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_dir() == pathlib.Path("/somewhere/a2v_tf")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir() == pathlib.Path.home() / ".cache" / "a2v_tf"


def test_json_is_written_atomically(tmp_path):
    path = tmp_path / "config.json"
    write_json(path, {"a": [1, None]})
    assert json.loads(path.read_text()) == {"a": [1, None]}
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert path.read_text() == '{\n  "a": [\n    1,\n    null\n  ]\n}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]


def test_a_file_that_cannot_be_written_is_an_error_of_one_line(tmp_path):
    with pytest.raises(A2vError, match=r"cannot write '.*none/s\.json': No such file"):
        write_json(tmp_path / "none" / "s.json", {})


def test_what_a_kill_left_is_removed_and_nothing_else(tmp_path):
    with whole_file(tmp_path / "weights.h5") as partial:
        partial.write_text("half")
        shutil.copy(partial, tmp_path / "kept")
    (tmp_path / "weights.h5").unlink()
    (tmp_path / "kept").rename(partial)
    (tmp_path / ".hidden.txt").touch()
    remove_partials(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".hidden.txt"]


def test_damaged_and_hostile_archives_are_one_line(tmp_path):
    whole = tmp_path / "whole.npz"
    np.savez(whole, x=np.arange(5))
    assert read_npz(whole)["x"].tolist() == [0, 1, 2, 3, 4]
    content = whole.read_bytes()
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", bytes(2**29))
    objects = io.BytesIO()
    np.savez(objects, x=np.array([{}], object))
    for name, changed in {
        "cut": content[:100],
        "empty": b"",
        "text": b"x" * 1000,
        "bits": content.replace(b"NUMPY", b"NUMPX"),
        "bomb": bomb.getvalue(),
        "objects": objects.getvalue(),
    }.items():
        path = tmp_path / f"{name}.npz"
        path.write_bytes(changed)
        with pytest.raises(A2vError, match=rf"{name}\.npz") as caught:
            read_npz(path)
        assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(A2vError, match=r"^cannot read '.*none\.npz': No such file"):
        read_npz(tmp_path / "none.npz")


def test_a_path_that_exists_may_have_a_comma(tmp_path):
    odd = tmp_path / "one,two"
    odd.mkdir()
    assert paths_of(str(odd)) == [str(odd)]
    assert paths_of("one, two") == ["one", "two"]
    assert paths_of("x" * 300) == ["x" * 300]
    assert paths_of("\0,x") == ["\0", "x"]
