"""Every format, container and codec: length, position, and crops that equal parts of the whole."""

import functools
import pathlib
from collections.abc import Callable

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from a2v_tf.audio import by_av, decode
from tests.audio.conftest import write_av

SECONDS = 7
_ROUNDING = 1e-6  # of the resampler; the decoders are exact


def sound(rate: int, channels: int = 2) -> np.ndarray:
    """A sweep that no two moments of have in common, float32 `[samples, channels]`."""
    t = np.arange(rate * SECONDS) / rate
    sweep = 0.3 * np.sin(2 * np.pi * (150 + 70 * t) * t) * (0.6 + 0.4 * np.sin(2 * np.pi * 1.3 * t))
    noise = 0.02 * np.random.default_rng(0).standard_normal((len(t), channels))
    return (sweep[:, np.newaxis] + noise).astype(np.float32)


def by_soundfile(format: str, subtype: str, endian: str = "FILE", rate: int = 44_100, channels=2):
    def make(path: pathlib.Path) -> None:
        pcm = sound(rate, channels)
        with soundfile.SoundFile(path, "w", rate, channels, subtype, endian, format) as file:
            for start in range(0, len(pcm), 4096):
                file.write(pcm[start : start + 4096])

    return make, rate


def by_ffmpeg(codec: str, format: str, rate: int = 44_100, channels: int = 2, **options):
    def make(path: pathlib.Path) -> None:
        with path.open("wb") as file:
            write_av(file, sound(rate, channels), rate, codec, format, **options)

    return make, rate


def changed(kind: tuple[Callable, int], change: Callable[[bytes], bytes]):
    def make(path: pathlib.Path) -> None:
        kind[0](path)
        path.write_bytes(change(path.read_bytes()))

    return make, kind[1]


def without_data_size(wav: bytes) -> bytes:
    """A recorder that died leaves zeros where the sizes should be."""
    data = wav.index(b"data")
    return wav[:4] + bytes(4) + wav[8 : data + 4] + bytes(4) + wav[data + 8 :]


def without_total(flac: bytes) -> bytes:
    """As written to a pipe: the 36 bits of the total are 0."""
    return flac[:21] + bytes([flac[21] & 0xF0]) + bytes(4) + flac[26:]


def twice(content: bytes) -> bytes:
    return content * 2


NO_XING = {"container_options": {"write_xing": "0"}}
TELEPHONE = {"rate": 8_000, "channels": 1}

# Name of the file: how to make it and its rate. Files that `ALONE` leaves out hold `sound` alone.
KINDS = {
    "pcm16.wav": by_soundfile("WAV", "PCM_16"),
    "pcm24.wav": by_soundfile("WAV", "PCM_24", rate=48_000),
    "float.wav": by_soundfile("WAV", "FLOAT", rate=22_050),
    "mulaw.wav": by_soundfile("WAV", "ULAW", **TELEPHONE),
    "ms_adpcm.wav": by_soundfile("WAV", "MS_ADPCM"),
    "ima_adpcm.wav": by_soundfile("WAV", "IMA_ADPCM"),
    "g721.wav": by_soundfile("WAV", "G721_32", **TELEPHONE),
    "gsm.wav": by_soundfile("WAV", "GSM610", **TELEPHONE),
    "nms.wav": by_soundfile("WAV", "NMS_ADPCM_32", **TELEPHONE),
    "g726.wav": by_ffmpeg("g726", "wav", **TELEPHONE),
    "mp3_in.wav": by_ffmpeg("libmp3lame", "wav"),
    "no_size.wav": changed(by_soundfile("WAV", "PCM_16"), without_data_size),
    "big_endian.wav": by_soundfile("WAV", "PCM_16", "BIG"),
    "rf64.wav": by_soundfile("RF64", "PCM_16"),
    "pcm.w64": by_soundfile("W64", "PCM_16"),
    "pcm.aif": by_soundfile("AIFF", "PCM_16"),
    "pcm.au": by_soundfile("AU", "PCM_16"),
    "pcm.caf": by_soundfile("CAF", "PCM_16"),
    "pcm.sox": by_ffmpeg("pcm_s32le", "sox"),
    "pcm.flac": by_soundfile("FLAC", "PCM_16"),
    "no_total.flac": changed(by_soundfile("FLAC", "PCM_16"), without_total),
    "two.flac": changed(by_soundfile("FLAC", "PCM_16"), twice),
    "flac.oga": by_ffmpeg("flac", "ogg"),
    "alac.m4a": by_ffmpeg("alac", "ipod"),
    "wavpack.wv": by_ffmpeg("wavpack", "wv"),
    "true_audio.tta": by_ffmpeg("tta", "tta"),
    "vorbis.ogg": by_soundfile("OGG", "VORBIS"),
    "two_vorbis.ogg": changed(by_soundfile("OGG", "VORBIS"), twice),
    "opus.opus": by_ffmpeg("libopus", "ogg", 48_000),
    "opus.webm": by_ffmpeg("libopus", "webm", 48_000),
    "aac.m4a": by_ffmpeg("aac", "ipod"),
    "aac.aac": by_ffmpeg("aac", "adts"),
    "aac.mp4": by_ffmpeg("aac", "mp4", 48_000),
    "aac.mkv": by_ffmpeg("aac", "matroska"),
    "m4a named.mp3": by_ffmpeg("aac", "ipod"),
    "layer2.mp2": by_ffmpeg("mp2", "mp2"),
    "cbr.mp3": by_ffmpeg("libmp3lame", "mp3", b=128_000),
    "vbr.mp3": by_ffmpeg("libmp3lame", "mp3", global_quality=4 * 118, flags="+qscale"),
    "low.mp3": by_ffmpeg("libmp3lame", "mp3", 16_000, 1, b=8_000),
    "mpeg2.mp3": by_ffmpeg("libmp3lame", "mp3", 22_050),
    "no_xing.mp3": by_ffmpeg("libmp3lame", "mp3", **NO_XING),
    "abr_no_xing.mp3": by_ffmpeg("libmp3lame", "mp3", abr=1, b=100_000, **NO_XING),
    "two.mp3": changed(by_ffmpeg("libmp3lame", "mp3"), twice),
    "cut.mp3": changed(by_ffmpeg("libmp3lame", "mp3"), lambda mp3: mp3[5_000:-5_000]),
    "ac3.ac3": by_ffmpeg("ac3", "ac3", 48_000),
    "eac3.mka": by_ffmpeg("eac3", "matroska", 48_000),
    "wma.wma": by_ffmpeg("wmav2", "asf", bit_rate=128_000),
    "amr.amr": by_ffmpeg("libopencore_amrnb", "amr", **TELEPHONE),
}
ALONE = sorted(set(KINDS) - {"two.mp3", "two.flac", "two_vorbis.ogg", "cut.mp3"})

# Encoders delay the sound, and some containers do not say by how much: the most samples.
DELAYS = {
    **dict.fromkeys(("mp3_in.wav", "no_xing.mp3", "abr_no_xing.mp3"), 1_105),
    **{"aac.aac": 1_024, "layer2.mp2": 481, "ac3.ac3": 256, "wma.wma": -2_048, "amr.amr": 40},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Callable[[str], pathlib.Path]:
    """A file of a kind, made once; blocks are short, so that there are several."""
    folder = tmp_path_factory.mktemp("formats")

    @functools.cache
    def path(name: str) -> pathlib.Path:
        KINDS[name][0](folder / name)
        return folder / name

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(by_av, "_BLOCK_SECONDS", 2)
        patch.setattr(by_av, "_MP3_STRIDE", 8)
        yield path


@functools.cache
def opened(path: pathlib.Path) -> tuple[decode.Header, np.ndarray]:
    return decode.probe(path), decode.whole(path)


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_a_crop_is_that_part_of_the_whole(made, name, data):
    path = made(name)
    header, whole = opened(path)
    assert header.samples == len(whole)
    start = data.draw(st.integers(0, len(whole) - 1))
    samples = data.draw(st.integers(1, len(whole) - start))
    crop = decode.read(path, header, start, samples)
    np.testing.assert_allclose(crop, whole[start : start + samples], rtol=0, atol=_ROUNDING)


@pytest.mark.parametrize("name", ["two.mp3", "two.flac", "two_vorbis.ogg"])
def test_joined_files_are_read_to_their_end(made, name):
    header, _ = opened(made(name))
    assert header.length == pytest.approx(2 * SECONDS * header.rate, rel=0.01)


def test_a_title_that_is_no_utf8_does_not_matter(made, tmp_path):
    mp3 = made("cbr.mp3").read_bytes()
    frame = b"TIT2\0\0\0\4\0\0\3\xff\xfe\xe9"
    tagged = tmp_path / "tagged.mp3"
    tagged.write_bytes(b"ID3\4\0\0\0\0\0" + bytes([len(frame)]) + frame + mp3)
    assert by_av.Recording(tagged).is_mp3
    np.testing.assert_array_equal(decode.whole(tagged), decode.whole(made("cbr.mp3")))


@pytest.mark.parametrize("name", ALONE)
def test_sound_is_where_it_was(made, name):
    rate = KINDS[name][1]
    header, whole = opened(made(name))
    assert header.rate == rate
    delay = DELAYS.get(name, 0)
    assert abs(header.length - rate * SECONDS) <= 3_600  # whole frames
    clip = sound(rate).mean(axis=1)
    original = np.interp(np.arange(16_000 * SECONDS) / 16_000, np.arange(len(clip)) / rate, clip)
    late = _lag(whole, original)
    assert late == pytest.approx(delay * 16_000 / rate, abs=1.0 if delay else 0.5)


def _lag(late: np.ndarray, early: np.ndarray) -> int:
    """By how many samples `late` is later, by the maximum of the cross-correlation."""
    size = 2 ** int(np.ceil(np.log2(len(late) + len(early))))
    product = np.fft.rfft(late, size) * np.fft.rfft(early, size).conj()
    shift = int(np.fft.irfft(product, size).argmax())
    return shift if shift < size // 2 else shift - size
