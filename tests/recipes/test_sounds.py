"""`recipes/debian_audio/sounds.py`: decoding and excerpts."""

import shutil
import subprocess

import numpy as np
import pytest
import soundfile

from tests.recipes.conftest import noise, write_sound


@pytest.fixture
def sounds(script):
    return script("sounds")


def test_bytes_without_a_header(sounds, tmp_path):
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(11_025) / 11_025)
    path = tmp_path / "D1.ALS"
    path.write_bytes(np.round(128 + 127 * wave).astype(np.uint8).tobytes())
    pcm = sounds.decode(path)
    assert len(pcm) == 16_000
    spectrum = np.abs(np.fft.rfft(pcm.astype(float)))
    assert np.argmax(spectrum) == 440


def test_mp3_is_decoded_to_its_end(sounds, tmp_path):
    path = tmp_path / "speech.mp3"
    soundfile.write(path, noise(0, 2), 16_000, format="MP3")
    assert len(sounds.decode(path)) == pytest.approx(32_000, abs=2_400)


def test_unreadable_files_are_empty(sounds, tmp_path):
    for name in ("a.mp3", "a.ogg", "a.ALS"):
        (tmp_path / name).write_bytes(b"")
        assert len(sounds.decode(tmp_path / name)) == 0


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="no ffmpeg")
def test_ffmpeg_decodes_many_files_at_once(sounds, tmp_path, monkeypatch):
    paths = [tmp_path / f"{i}.au" for i in range(3)]
    for i, path in enumerate(paths):
        path.write_bytes(bytes([200]) * 800 * (i + 1))
    started, original = [], subprocess.run
    monkeypatch.setattr(
        subprocess, "run", lambda *a, **k: (started.append(a), original(*a, **k))[1]
    )
    sounds.decode_by_ffmpeg(paths)
    assert len(started) == 1
    assert not any(map(sounds.needs_ffmpeg, paths))
    assert [len(sounds.decode(path)) for path in paths] == [1_600, 3_200, 4_800]
    assert len(started) == 1


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="no ffmpeg")
def test_a_damaged_file_does_not_spoil_the_others(sounds, tmp_path):
    good, bad = tmp_path / "good.au", tmp_path / "bad.gsm"
    good.write_bytes(bytes([200]) * 800)
    bad.write_bytes(b"")
    sounds.decode_by_ffmpeg([bad, good])
    assert len(sounds.decode(good)) == 1_600
    assert len(sounds.decode(bad)) == 0


def test_excerpts_are_spread_over_the_recording(sounds, tmp_path):
    path = tmp_path / "track.wav"
    write_sound(path, 0, 10.5)
    pcm = sounds.decode(path)
    excerpts = sounds.excerpts(path, 1, 4)
    assert list(excerpts) == [0, 2, 5, 7]
    for i, excerpt in excerpts.items():
        np.testing.assert_array_equal(excerpt, pcm[i * 16_000 : (i + 1) * 16_000])


def test_a_short_recording_has_fewer_excerpts(sounds, tmp_path):
    write_sound(tmp_path / "short.wav", 0, 2.5)
    assert list(sounds.excerpts(tmp_path / "short.wav", 1, 4)) == [0, 1]
    assert not sounds.excerpts(tmp_path / "short.wav", 3, 4)
    (tmp_path / "broken.ogg").write_bytes(b"no sound")
    assert not sounds.excerpts(tmp_path / "broken.ogg", 1, 4)


@pytest.mark.parametrize(("seconds", "expected"), [(5, True), (3, False), (0, False)])
def test_a_clip_that_is_mostly_silent_is_not_busy(sounds, seconds, expected):
    pcm = np.zeros(160_000, np.int16)
    pcm[: 16_000 * seconds] = np.round(32_767 * noise(0, seconds))
    assert sounds.is_busy(pcm) is expected
