"""The audio files of the tests of the data sources, and files that PyAV writes."""

import fractions
import pathlib
from collections.abc import Callable

import av
import numpy as np
import pytest

from tests.data.conftest import noise, write  # noqa: F401


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Measured lengths are kept apart from the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def encode(tmp_path: pathlib.Path) -> Callable[..., pathlib.Path]:
    """Encode sound with ffmpeg's libraries: encode(name, pcm, rate, codec, format=None)."""

    def encode(name, pcm, rate, codec, format=None, **options) -> pathlib.Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            write_av(file, pcm, rate, codec, format or path.suffix[1:], **options)
        return path

    return encode


def write_av(
    file, pcm, rate, codec, format, container_options=None, bit_rate=None, **options
) -> None:
    """Encode float32 `[samples]` or `[samples, channels]` to a file object."""
    pcm = np.atleast_2d(np.asarray(pcm, np.float32).T)
    layout = "mono" if len(pcm) == 1 else "stereo"
    with av.open(file, "w", format=format, options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        if bit_rate:
            stream.bit_rate = bit_rate
        stream.options = {key: str(value) for key, value in options.items()}
        stream.time_base = fractions.Fraction(1, rate)
        resampler = av.AudioResampler(format=stream.format, layout=layout, rate=rate)
        fifo = av.AudioFifo()
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm), "fltp", layout)
        frame.sample_rate, frame.pts = rate, 0
        frame.time_base = fractions.Fraction(1, rate)
        for part in resampler.resample(frame):
            fifo.write(part)
        container.start_encoding()
        size = stream.codec_context.frame_size or 4_096
        while piece := fifo.read(size, partial=True):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
