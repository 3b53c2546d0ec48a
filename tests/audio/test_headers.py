"""Headers that lie, files that were cut, and other files that are counted, not read."""

import pathlib
import struct
import tracemalloc

import numpy as np
import pytest
import soundfile

from a2v_tf.audio import by_av, decode, measured
from tests.audio.formats import NO_XING, by_ffmpeg, by_soundfile

PCM = (0.1 * np.random.default_rng(0).standard_normal(64_000)).astype(np.float32)


def refused(path: pathlib.Path, reason: str) -> None:
    """Both ways of reading give the reason, and take no memory for what a header promises."""
    tracemalloc.start()
    try:
        for read in (decode.probe, decode.whole):
            with pytest.raises(decode.DecodeError, match=reason) as error:
                read(path)
            assert "\n" not in str(error.value)
            assert str(path) not in str(error.value)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("rate", [0, 1, 499, 1_000_001, 2**31 - 1])
def test_rates_that_no_recording_has(tmp_path, rate):
    path = tmp_path / "a.wav"
    soundfile.write(path, PCM, 16_000)
    content = bytearray(path.read_bytes())
    content[24:28] = struct.pack("<I", rate)
    path.write_bytes(content)
    refused(path, f"sample rate of {rate} Hz" if rate else ".")


@pytest.mark.parametrize("total", [2**36 - 1, 2**30, 10**7])
def test_flac_that_promises_more_than_it_holds(tmp_path, total):
    path = tmp_path / "a.flac"
    soundfile.write(path, PCM, 16_000)
    content = bytearray(path.read_bytes())
    content[21] = content[21] & 0xF0 | total >> 32
    content[22:26] = struct.pack(">I", total & 0xFFFF_FFFF)
    path.write_bytes(content)
    refused(path, f"promises {total} samples, more than its \\d+ bytes hold")


def test_mp3_that_promises_more_than_it_holds_is_measured(tmp_path):
    path = tmp_path / "a.mp3"
    by_ffmpeg("libmp3lame", "mp3")[0](path)
    length = decode.probe(path).length
    content = bytearray(path.read_bytes())
    frames = content.index(b"Info") + 8
    content[frames : frames + 4] = struct.pack(">I", 2**32 - 1)
    path.write_bytes(content)
    assert abs(decode.probe(path).length - length) < 3_000


@pytest.mark.parametrize("format", ["WAV", "AIFF"])
def test_wavs_that_were_joined(tmp_path, format):
    path = tmp_path / "a"
    soundfile.write(path, PCM, 16_000, "PCM_16", format=format)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes() * 2)
    refused(path, f"is two files in one: the second begins at byte {size}$")
    path.write_bytes(path.read_bytes()[:size] + b"TAG" + bytes(125))  # ID3v1 is no file
    assert decode.probe(path).length == len(PCM)


def test_mp3_that_lost_some_frames(tmp_path):
    path = tmp_path / "a.mp3"
    by_ffmpeg("libmp3lame", "mp3")[0](path)
    content = path.read_bytes()
    path.write_bytes(content[:20_000] + content[22_000:])  # its header still fits its size
    with pytest.raises(decode.DecodeError, match="is cut short: ends at sample"):
        decode.whole(path)


def test_m4a_that_was_cut(tmp_path):
    path = tmp_path / "a.m4a"
    by_ffmpeg("aac", "ipod", container_options={"movflags": "faststart"})[0](path)
    path.write_bytes(path.read_bytes()[:-30_000])
    refused(path, "is cut short: ends at sample|damaged")


def test_damage_in_the_middle_of_compressed_audio(tmp_path):
    path = tmp_path / "a.ac3"
    by_ffmpeg("ac3", "ac3", 48_000)[0](path)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 6_000] = np.random.default_rng(0).bytes(6_000)
    path.write_bytes(content)
    refused(path, r"is damaged 3\.\d s after its start: ")


@pytest.mark.parametrize("name", ["a.mp3", "a.m4a", "a.aac", "a.webm", "a.wav", "a.flac", "a.ogg"])
@pytest.mark.parametrize("content", [b"\0" * 4_000, b"text. " * 900, bytes(range(256)) * 40])
def test_files_that_hold_no_audio(tmp_path, name, content, capfd):
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, ".")
    assert capfd.readouterr() == ("", "")


def test_playlists_name_no_other_files(tmp_path):
    """ffmpeg would read the files that a playlist names, wherever they are."""
    soundfile.write(tmp_path / "a.wav", PCM, 16_000)
    for name, text in {
        "hls.mp3": "#EXTM3U\n#EXTINF:4,\na.wav\n#EXT-X-ENDLIST\n",
        "concat.mp3": "ffconcat version 1.0\nfile a.wav\n",
    }.items():
        (tmp_path / name).write_text(text)
        refused(tmp_path / name, "is not audio")


def test_good_mp3s_are_read_in_silence(tmp_path, capfd):
    for i, options in enumerate([{}, NO_XING, {"b": 32_000}]):
        path = tmp_path / f"{i}.mp3"
        by_ffmpeg("libmp3lame", "mp3", **options)[0](path)
        header = decode.probe(path)
        for start in range(0, header.samples - 8_000, 8_000):
            decode.read(path, header, start, 8_000)
        decode.whole(path)
    assert capfd.readouterr() == ("", "")


def test_names_that_are_not_utf_8(tmp_path):
    kinds = {"wav": by_soundfile("WAV", "PCM_16"), "mp3": by_ffmpeg("libmp3lame", "mp3")}
    for kind, (make, _) in kinds.items():
        make(tmp_path / f"a.{kind}")
        path = tmp_path / f"caf\udce9 - a:b.{kind}"
        (tmp_path / f"a.{kind}").rename(path)
        header = decode.probe(path)
        assert len(decode.read(path, header, 0, 1_000)) == 1_000
        assert len(decode.whole(path)) == header.samples
    path = tmp_path / "caf\udce9.flac"
    path.write_bytes(b"fLaC and no more")
    refused(path, ".")


# What is measured is kept ------------------------------------------------------------------------


def test_a_recording_is_measured_once(tmp_path, monkeypatch):
    path = tmp_path / "a.mp3"
    by_ffmpeg("libmp3lame", "mp3", **NO_XING)[0](path)
    first = decode.probe(path)
    decoded = []
    blocks = by_av.Recording.blocks
    monkeypatch.setattr(
        by_av.Recording, "blocks", lambda self, *args: decoded.append(1) or blocks(self, *args)
    )
    again = decode.probe(path)
    assert not decoded
    assert again.length == first.length
    np.testing.assert_array_equal(again.points.keys, first.points.keys)
    path.write_bytes(path.read_bytes() * 2)
    assert decode.probe(path).length > 1.9 * first.length
    assert decoded


def test_measurements_that_cannot_be_kept_cost_one_warning(tmp_path, monkeypatch, caplog):
    by_ffmpeg("aac", "adts")[0](tmp_path / "a.aac")
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    measured._warn.cache_clear()
    lengths = {decode.probe(tmp_path / "a.aac").length for _ in range(3)}
    assert len(lengths) == 1
    assert sum("lengths of compressed audio are not kept" in line for line in caplog.messages) == 1


def test_a_damaged_database_is_no_obstacle(tmp_path, monkeypatch):
    by_ffmpeg("aac", "adts")[0](tmp_path / "a.aac")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "a2v_tf").mkdir()
    (tmp_path / "a2v_tf" / "recordings.sqlite").write_bytes(b"no database" * 100)
    assert decode.probe(tmp_path / "a.aac").length > 0
