"""benchmarks/reading.py on small files."""

import pathlib

import pytest

from a2v_tf.audio import decode
from tests.conftest import load_script

reading = load_script(pathlib.Path(__file__).parents[2] / "benchmarks" / "reading.py")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "files"
    folder.mkdir()
    reading.make_files(folder, 10)
    return folder


def test_measures_every_format(folder):
    names = [*reading.FORMATS, reading.NO_LENGTH]
    assert decode.probe(folder / "mp3").points is None  # its header says its length
    assert decode.probe(folder / reading.NO_LENGTH).points is not None
    found = reading.measure(folder)
    assert sorted(found) == sorted(names)
    assert all(value >= 0 for values in found.values() for value in values)
    assert max(values[2] for values in found.values()) > 0


def test_table_of_ratios():
    here = reading.least([{"wav": [2.0, 1.0, 4.0]}, {"wav": [1.0, 2.0, 4.0]}])
    lines = reading.table(here, {"wav": [2.0, 1.0, 2.0]})
    assert lines[1] == ["wav", "1.00 (x2.00)", "1.00 (x1.00)", "4.00 (x0.50)"]


def test_memory_of_a_short_file(tmp_path):
    sound = reading.long_file(tmp_path, 0.01)
    megabytes, seconds = reading.peak_memory("a2v_stream", sound)
    assert 20 < megabytes < 400
    assert seconds > 0
