"""Sound files for the tests of the sources."""

import pathlib
from collections.abc import Callable

import numpy as np
import pytest
import soundfile

# Name of a format in the tests -> (extension, soundfile's format, soundfile's subtype).
FORMATS = {
    "wav": ("wav", "WAV", "PCM_16"),
    "wav24": ("wav", "WAV", "PCM_24"),
    "wavfloat": ("wav", "WAV", "FLOAT"),
    "flac": ("flac", "FLAC", "PCM_16"),
    "ogg": ("ogg", "OGG", "VORBIS"),
    "mp3": ("mp3", "MP3", "MPEG_LAYER_III"),
    "opus": ("opus", "OGG", "OPUS"),
}


@pytest.fixture
def write(tmp_path: pathlib.Path) -> Callable[..., pathlib.Path]:
    """Write `pcm`, `[samples]` or `[samples, channels]`, below a folder: write(name, pcm, ...)."""

    def write(name: str, pcm: np.ndarray, rate: int = 16_000, kind: str = "wav") -> pathlib.Path:
        extension, container, subtype = FORMATS[kind]
        path = tmp_path / f"{name}.{extension}"
        path.parent.mkdir(parents=True, exist_ok=True)
        channels = 1 if pcm.ndim == 1 else pcm.shape[1]
        with soundfile.SoundFile(
            path, "w", rate, channels, format=container, subtype=subtype
        ) as file:
            # libsndfile overflows its stack when writing much Vorbis at once.
            for start in range(0, len(pcm), 4096):
                file.write(pcm[start : start + 4096])
        return path

    return write


@pytest.fixture
def noise() -> Callable[..., np.ndarray]:
    """int16 noise, `[samples]`, different for every seed: noise(samples, seed)."""

    def noise(samples: int, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).integers(-9000, 9000, samples).astype(np.int16)

    return noise


def frame_numbers(frames: int) -> np.ndarray:
    """int16 `[160 * frames]`; all samples of frame i are i + 1, which identifies a crop's start."""
    return np.repeat(np.arange(1, frames + 1, dtype=np.int16), 160)


def frame_of(crop: np.ndarray) -> int:
    """The frame at which a crop of `frame_numbers` starts."""
    return round(float(crop[0]) * 32_768) - 1
