"""A file of every format, container and codec, made by soundfile and PyAV."""

import pathlib
from collections.abc import Callable

import numpy as np
import soundfile

from tests.audio.conftest import write_av

SECONDS = 7


def sound(rate: int, channels: int = 2, seconds: float = SECONDS) -> np.ndarray:
    """A sweep that no two moments of have in common, float32 `[samples, channels]`."""
    t = np.arange(round(rate * seconds)) / rate
    sweep = 0.3 * np.sin(2 * np.pi * (150 + 70 * t) * t) * (0.6 + 0.4 * np.sin(2 * np.pi * 1.3 * t))
    noise = 0.02 * np.random.default_rng(0).standard_normal((len(t), channels))
    return (sweep[:, np.newaxis] + noise).astype(np.float32)


def by_soundfile(format: str, subtype: str, endian: str = "FILE", rate: int = 44_100, channels=2):
    def make(path: pathlib.Path, seconds: float = SECONDS) -> None:
        pcm = sound(rate, channels, seconds)
        with soundfile.SoundFile(path, "w", rate, channels, subtype, endian, format) as file:
            for start in range(0, len(pcm), 4096):
                file.write(pcm[start : start + 4096])

    return make, rate


def by_ffmpeg(codec: str, format: str, rate: int = 44_100, channels: int = 2, **options):
    def make(path: pathlib.Path, seconds: float = SECONDS) -> None:
        with path.open("wb") as file:
            write_av(file, sound(rate, channels, seconds), rate, codec, format, **options)

    return make, rate


def changed(kind: tuple[Callable, int], change: Callable[[bytes], bytes]):
    def make(path: pathlib.Path, seconds: float = SECONDS) -> None:
        kind[0](path, seconds)
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

# Name of the file: how to make it, with how many seconds of `sound`, and its rate.
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
