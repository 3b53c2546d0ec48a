"""One channel of several, in whole files and crops."""

import numpy as np
import pytest
import soundfile

from a2v_tf.audio import decode
from a2v_tf.audio.read import AudioFileError, read_audio
from a2v_tf.errors import A2vError

RATE = 16_000
T = np.arange(4 * RATE) / RATE
TONE = 0.3 * np.sin(2 * np.pi * 440 * T)
QUIET = 0.1 * np.sin(2 * np.pi * 700 * T)


def write(path, *channels):
    soundfile.write(path, np.stack(channels, axis=1), RATE, subtype="FLOAT")
    return path


def crop(path, channels):
    return decode.read(path, decode.probe(path, channels), 5_000, 30_000)


@pytest.mark.parametrize("suffix", ["wav", "webm"])
def test_the_choices(tmp_path, encode, suffix):
    stereo = np.stack([QUIET, TONE], axis=1)
    if suffix == "wav":
        path = write(tmp_path / "a.wav", *stereo.T)
    else:
        path = encode("a.webm", np.repeat(stereo, 3, axis=0), 48_000, "libopus")
    for channels, expected in {
        "mix": stereo.mean(axis=1),
        "left": QUIET,
        "loudest": TONE,
    }.items():
        whole = read_audio(path, channels)
        if suffix == "wav":
            np.testing.assert_allclose(whole, expected, rtol=0, atol=1e-6)
        else:
            strongest = np.abs(np.fft.rfft(whole)).argmax() / len(whole) * RATE
            assert strongest == pytest.approx(700 if channels == "left" else 440, abs=1)
        np.testing.assert_allclose(crop(path, channels), whole[5_000:35_000], rtol=0, atol=1e-6)


def test_the_loudest_of_a_file_is_the_same_in_every_crop(tmp_path):
    louder_late = np.where(T < 3, QUIET, 3 * TONE)
    path = write(tmp_path / "a.wav", louder_late, TONE)
    np.testing.assert_allclose(crop(path, "loudest"), louder_late[5_000:35_000], atol=1e-6)


CANCELLING = [(TONE, -TONE), (TONE, -0.999 * TONE), (TONE, QUIET, -TONE - QUIET)]


@pytest.mark.parametrize("channels", CANCELLING)
def test_channels_that_cancel_each_other(tmp_path, channels):
    path = write(tmp_path / "a.wav", *channels)
    with pytest.raises(AudioFileError, match=r"a\.wav: its channels cancel .*--channels=left"):
        read_audio(path)
    with pytest.raises(decode.DecodeError, match="its channels cancel each other"):
        crop(path, "mix")
    np.testing.assert_allclose(read_audio(path, "left"), TONE, atol=1e-6)
    loudest = max(channels, key=np.linalg.norm)
    np.testing.assert_allclose(crop(path, "loudest"), loudest[5_000:35_000], atol=1e-6)


def test_silence_and_moments_that_cancel_are_no_errors(tmp_path):
    silence = np.zeros_like(TONE)
    assert not read_audio(write(tmp_path / "silence.wav", silence, silence)).any()
    path = write(tmp_path / "half.wav", TONE, np.where(T < 2, TONE, -TONE))
    assert read_audio(path)[: 2 * RATE].any()


def test_other_choices(tmp_path):
    with pytest.raises(A2vError, match="channels='right': expected one of mix, left, loudest"):
        read_audio(write(tmp_path / "a.wav", TONE), "right")
