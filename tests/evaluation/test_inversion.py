"""`invert`: log-mel to sound and back again."""

import sys

import numpy as np
import pytest

from a2v_tf.errors import A2vError
from a2v_tf.evaluation.inversion import invert
from a2v_tf.frontend import FRONT_END, log_mel
from tests.front_ends import OTHERS

SECOND = np.arange(16_000) / 16_000


def spectrogram(pcm):
    return log_mel(pcm.astype(np.float32)).numpy()


def rms(values):
    return np.sqrt(np.mean(np.square(values)))


@pytest.mark.parametrize("hz", [200, 440, 1_000, 3_000, 6_000])
def test_a_tone_stays_where_it_is(hz):
    """Within half the distance to the next mel bin, which is all that log-mel knows of it."""
    tone = invert(spectrogram(0.3 * np.sin(2 * np.pi * hz * SECOND)))
    peak = np.abs(np.fft.rfft(tone * np.hanning(len(tone)))).argmax() * 16_000 / len(tone)
    octaves = (7_800 + 700) / (60 + 700)
    spacing = (hz + 700) * np.log(octaves) / (FRONT_END.mel_bins + 1)
    assert abs(peak - hz) < spacing / 2
    # Softer the wider the bin: many frequencies share what one had, and moduli add up linearly.
    assert 0.5 < rms(tone) / (0.3 / np.sqrt(2)) < 1.05


@pytest.mark.parametrize(
    ("pcm", "error"),
    [
        (0.1 * np.random.default_rng(0).standard_normal(16_000), 0.1),
        (0.001 * np.random.default_rng(0).standard_normal(16_000), 0.1),
        (0.3 * np.sin(2 * np.pi * (200 + 1_500 * SECOND) * SECOND), 0.3),
        (0.1 * sum(np.sin(2 * np.pi * hz * SECOND) for hz in (220, 277, 330, 880)), 0.4),
    ],
    ids=["noise", "quiet", "sweep", "chord"],
)
def test_log_mel_of_the_inversion_is_the_original(pcm, error):
    """`error` is natural logarithms: 0.1 is 0.9 dB. The sounds' own deviation is 0.6 to 2.4."""
    want = spectrogram(pcm)
    pcm_again = invert(want)
    assert rms(spectrogram(pcm_again) - want) < error
    for edge in (pcm_again[:400], pcm_again[-400:]):  # neither faded nor a click
        assert rms(edge) == pytest.approx(rms(pcm_again), rel=0.35)


@pytest.mark.parametrize("frames", [1, 2, 7, 96])
def test_length(frames):
    pcm = invert(np.zeros((frames, 64)))
    assert pcm.dtype == np.float32
    assert pcm.shape == (FRONT_END.samples(frames),)


def test_silence_is_silence():
    silence = spectrogram(np.zeros(4_000))
    np.testing.assert_array_equal(invert(silence), 0.0)
    np.testing.assert_array_equal(invert(silence - 5.0), 0.0)  # a guess may lie below the floor


def test_the_same_every_time():
    noise = spectrogram(0.1 * np.random.default_rng(0).standard_normal(4_000))
    np.testing.assert_array_equal(invert(noise), invert(noise))


def test_bad_input(monkeypatch):
    for bad, message in (
        (np.zeros((4, 29)), r"shape \(4, 29\): expected \(frames, 64\)"),
        (np.zeros((0, 64)), r"shape \(0, 64\)"),
        (np.zeros(64), r"shape \(64,\)"),
        (np.full((4, 64), np.nan), "NaN"),
    ):
        with pytest.raises(A2vError, match=message):
            invert(bad)
    monkeypatch.setitem(sys.modules, "librosa", None)
    with pytest.raises(A2vError, match="needs librosa: pip install librosa"):
        invert(np.zeros((4, 64)))


@pytest.mark.parametrize("name", OTHERS)
def test_other_front_ends(name):
    spec = OTHERS[name]
    noise = 0.1 * np.random.default_rng(0).standard_normal(spec.samples(60)).astype(np.float32)
    want = log_mel(noise, spec).numpy()
    again = invert(want, spec)
    assert again.shape == noise.shape
    # The Fourier transform's own bins are not what any phase gives exactly.
    assert rms(log_mel(again, spec).numpy() - want) < (0.15 if spec.is_mel else 0.6)
