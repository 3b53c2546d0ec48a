"""Audio files below a folder."""

import logging
import pathlib

import pytest

from a2v_tf.audio.find import find_audio
from a2v_tf.errors import A2vError


def touch(folder: pathlib.Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def found(folder: pathlib.Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_audio(folder)]


def test_names_of_sound_and_films(tmp_path):
    names = [
        *("a.aif", "b.AIFF", "c.au", "d.caf", "e.w64", "f.webm", "g.wma", "h.opus", "i.oga"),
        *("j.m4b", "k.mkv", "l.mp4", "m.amr", "n.wv", "sub/o.snd", "sub/sub/p.wave"),
    ]
    touch(tmp_path, *names)
    assert found(tmp_path) == sorted(names)


def test_hidden_files_and_folders_are_left_out(tmp_path, caplog):
    touch(tmp_path, "a.wav", "._a.wav", ".Trash-1000/files/b.wav", "sub/.cache/c.wav", ".notes")
    assert found(tmp_path) == ["a.wav"]
    assert not caplog.messages


def test_other_files_are_counted(tmp_path, caplog):
    touch(tmp_path, "a.wav", "a.txt", "sub/b.txt", "list.csv", "sub/README", "cover.JPG")
    with caplog.at_level(logging.WARNING):
        assert found(tmp_path) == ["a.wav"]
    (message,) = caplog.messages
    assert message.startswith(f"{tmp_path}: 5 files are not named as audio and not read: 2 .txt, ")
    assert all(f"1 {kind}" in message for kind in (".csv", ".jpg", "no suffix"))


def test_nothing_but_other_files(tmp_path):
    touch(tmp_path, "a.txt")
    with pytest.raises(A2vError, match=r"no audio files there or below; looked for .*flac.*wma"):
        find_audio(tmp_path)
