"""Files that are there whole or not at all."""

import json
import pathlib

import pytest

from a2v_tf.files import cache_dir, whole_file, write_json


def test_a_whole_file_takes_the_place_of_the_old_one_and_nothing_else_stays(tmp_path):
    path = tmp_path / "weights.h5"
    path.write_text("old")
    with whole_file(path) as partial:
        assert partial.suffix == path.suffix
        partial.write_text("new")
        assert path.read_text() == "old"
    assert [p.read_text() for p in tmp_path.iterdir()] == ["new"]


def test_an_error_half_way_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "weights.h5"
    path.write_text("old")

    def write_half():
        with whole_file(path) as partial:
            partial.write_text("half")
            raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        write_half()
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


def test_the_environment_moves_the_cache(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_dir() == pathlib.Path("/somewhere/a2v_tf")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir() == pathlib.Path.home() / ".cache" / "a2v_tf"


def test_json_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "config.json"
    write_json(path, {"a": [1, None]})
    assert json.loads(path.read_text()) == {"a": [1, None]}
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert path.read_text() == '{\n  "a": [\n    1,\n    null\n  ]\n}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]
