import pathlib
import sys

import av
import numpy as np
import pytest
import soundfile
import soxr

from a2v_tf.audio import decode
from a2v_tf.audio.errors import DecodeError

_ROUNDING = 1e-6  # of the resampler; the decoders are exact


def _read_at_once(path: pathlib.Path) -> tuple[np.ndarray, int]:
    """Decode a whole file by its library's simplest means."""
    if path.suffix not in (".mp3", ".opus"):
        return soundfile.read(path, dtype="float32")
    with av.open(path) as container:
        rate = container.streams.audio[0].rate
        return np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)]), rate


def _tones(rate: int, seconds: float, *frequencies: float) -> np.ndarray:
    t = np.arange(round(rate * seconds)) / rate
    return sum(0.2 * np.sin(2 * np.pi * f * t) for f in frequencies).astype(np.float32)


@pytest.mark.parametrize("kind", ["wav", "wav24", "wavfloat", "flac", "ogg", "mp3", "opus"])
@pytest.mark.parametrize("rate", [16_000, 24_000, 48_000])
def test_a_crop_equals_the_same_part_of_the_whole_file(write, kind, rate):
    rng = np.random.default_rng(0)
    path = write("a", (0.1 * rng.standard_normal(rate * 4)).astype(np.float32), rate, kind)
    header = decode.probe(path)
    whole, native_rate = _read_at_once(path)
    if native_rate != 16_000:
        whole = soxr.resample(whole, native_rate, 16_000, quality="HQ")
    assert header.samples == len(whole) == 4 * 16_000
    for start in (0, 160 * 7, 160 * 101, len(whole) - 20_000):
        crop = decode.read(path, header, start, 20_000)
        assert crop.dtype == np.float32
        np.testing.assert_allclose(crop, whole[start : start + 20_000], rtol=0, atol=_ROUNDING)
    np.testing.assert_allclose(decode.read(path, header), whole, rtol=0, atol=_ROUNDING)


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_16_bit_at_16_khz_is_exactly_the_integers(write, noise, kind):
    pcm = noise(50_000)
    path = write("a", pcm, kind=kind)
    crop = decode.read(path, decode.probe(path), 4_800, 30_000)
    np.testing.assert_array_equal(crop, pcm[4_800:34_800].astype(np.float32) / 32_768)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_056, 44_100, 96_000])
def test_resampling_keeps_time_and_leaves_no_alias(write, rate):
    nyquist_safe = [f for f in (1_000, 10_000, 15_900) if f < 0.45 * rate]
    path = write("a", _tones(rate, 3, *nyquist_safe), rate, "wavfloat")
    start, samples = 160 * 31, 24_000
    crop = decode.read(path, decode.probe(path), start, samples)
    # Only the tone below 8 kHz is left, in the phase that it has at that time.
    expected = _tones(16_000, 3, 1_000)[start : start + samples]
    np.testing.assert_allclose(crop, expected, rtol=0, atol=2e-4)


def test_channels_are_averaged(write, noise):
    pcm = np.stack([noise(40_000, seed) for seed in range(3)], axis=1)
    path = write("a", pcm)
    crop = decode.read(path, decode.probe(path), 160, 20_000)
    expected = (pcm[160:20_160].astype(np.float32) / 32_768).mean(axis=1)
    np.testing.assert_allclose(crop, expected, rtol=0, atol=1e-7)


def test_only_the_crop_is_read(write, noise, monkeypatch):
    path = write("a", np.tile(noise(441_000), 20), 44_100)  # 200 s
    header = decode.probe(path)
    counts = []
    read = soundfile.SoundFile.read

    def counting(self, frames=-1, *args, **kwargs):
        counts.append(frames)
        return read(self, frames, *args, **kwargs)

    monkeypatch.setattr(soundfile.SoundFile, "read", counting)
    decode.read(path, header, 16_000 * 100, 16_000)
    assert len(counts) == 1
    assert 44_100 < counts[0] < 1.1 * 44_100


def test_probe_says_what_is_wrong(tmp_path, write, noise):
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.flac").write_text("this is not audio")
    write("nothing", np.zeros(0, np.int16))
    for name, reason in [
        ("empty.wav", "is empty"),
        ("text.flac", "."),
        ("nothing.wav", "holds no samples"),
        ("missing.ogg", "No such file"),
    ]:
        with pytest.raises(decode.DecodeError, match=reason) as error:
            decode.probe(tmp_path / name)
        assert "\n" not in str(error.value)
        assert str(tmp_path) not in str(error.value)


def test_the_light_install_says_what_a_file_needs(write, noise, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    assert len(decode.whole(write("x", noise(16_000), kind="flac"))) == 16_000
    with pytest.raises(DecodeError, match=r"needs PyAV: pip install 'a2v_tf\[formats\]'"):
        decode.probe(write("x", noise(16_000), kind="mp3"))


def test_a_body_that_is_cut_short_is_an_error(write, noise):
    path = write("a", noise(160_000), kind="flac")
    header = decode.probe(path)
    path.write_bytes(path.read_bytes()[:100_000])
    decode.read(path, header, 0, 16_000)
    with pytest.raises(decode.DecodeError):
        decode.read(path, header, 120_000, 16_000)
