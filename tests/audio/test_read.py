"""Whole files and windows."""

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from a2v_tf.audio.read import read_audio, window_batches, windows
from a2v_tf.errors import A2vError


def test_16_khz_mono_is_exact(tmp_path):
    pcm = np.random.default_rng(0).integers(-32_768, 32_768, 1_000).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", pcm, 16_000)
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav"), pcm / np.float32(32_768))


def test_other_rates_and_channels(tmp_path):
    t = np.arange(44_100) / 44_100
    tone, treble = np.sin(2 * np.pi * 1_000 * t), np.sin(2 * np.pi * 12_000 * t)
    soundfile.write(tmp_path / "a.wav", 0.4 * np.stack([tone + treble, tone], 1), 44_100)
    pcm = read_audio(tmp_path / "a.wav")
    assert pcm.shape == (16_000,)
    spectrum = np.abs(np.fft.rfft(pcm[2_000:10_000])) / 4_000
    assert spectrum[500] == pytest.approx(0.4, abs=0.01)  # 1 kHz at 2 Hz a bin: both channels
    assert np.delete(spectrum, range(495, 506)).max() < 1e-3  # 12 kHz does not fold to 4 kHz


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "no such file"), (b"", "is empty"), (b"noise" * 99, "")]
)
def test_bad_files(content, reason, tmp_path):
    path = tmp_path / "bad.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(A2vError, match=rf"bad\.wav: .*{reason}") as error:
        read_audio(path)
    assert "\n" not in str(error.value)


def test_nan(tmp_path):
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), 16_000, subtype="FLOAT")
    with pytest.raises(A2vError, match="NaN"):
        read_audio(tmp_path / "nan.wav")


@given(samples=st.integers(1, 200), hop=st.integers(1, 50), length=st.integers(1, 60))
@settings(deadline=None)
def test_windows_equal_a_loop(samples, hop, length):
    pcm = np.arange(1, samples + 1, dtype=np.float32)
    padded = np.pad(pcm, (0, max(0, length - samples)))
    want = [padded[s : s + length] for s in range(0, len(padded) - length + 1, hop)]
    np.testing.assert_array_equal(windows(pcm, hop, length), want)


@given(
    samples=st.integers(0, 300),
    hop=st.integers(1, 50),
    length=st.integers(1, 60),
    count=st.integers(1, 5),
    cuts=st.sets(st.integers(0, 300), max_size=6),
)
@settings(deadline=None)
def test_batches_of_blocks_are_the_windows_of_the_whole(samples, hop, length, count, cuts):
    pcm = np.arange(1, samples + 1, dtype=np.float32)
    batches = list(window_batches(np.split(pcm, sorted(cuts)), hop, length, count))
    assert all(len(batch) == count for batch in batches[:-1])
    np.testing.assert_array_equal(np.concatenate(batches), windows(pcm, hop, length))


def test_infinity_in_two_channels_is_one_error_and_no_warning(tmp_path, recwarn):
    pcm = np.array([[np.inf, -np.inf], [1e38, 3e38]])
    soundfile.write(tmp_path / "a.wav", pcm, 16_000, subtype="FLOAT")
    with pytest.raises(A2vError, match="has NaN or infinite samples"):
        read_audio(tmp_path / "a.wav")
    assert not recwarn.list
