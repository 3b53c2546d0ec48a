"""Forms of `pretrained` and of an untrained `small` encoder, for other runtimes than LiteRT's."""

import functools
from collections.abc import Callable

import numpy as np
import pytest

from a2v_tf.export import build, convert, metadata
from a2v_tf.export import flatbuffer as fb
from a2v_tf.export.check import probe_signal
from a2v_tf.frontend import FRONT_END, log_mel
from a2v_tf.pretrained import NAME, resolve
from tests.export.conftest import calibration, window_of  # noqa: F401  (fixtures)

Form = Callable[..., bytes]


@pytest.fixture(scope="session")
def form(window_of: Callable[[str], fb.Model]) -> Form:  # noqa: F811
    """`form(encoder, mode, input, state, hop_ms)`: the content of an int8 file."""

    @functools.cache
    def content(
        encoder: str, mode: str, input: str, state: str = "external", hop_ms: int = 80
    ) -> bytes:
        if encoder == NAME:
            window = fb.read((resolve(NAME) / convert.QUANTIZED_CORE).read_bytes())
        else:
            window = window_of(encoder)
        hop = hop_ms // 10
        model = build.build_form(window, mode=mode, state=state, input=input, hop_frames=hop)
        streaming = mode == "streaming"
        facts = {
            "encoder": encoder,
            "front_end": vars(FRONT_END),
            "hop_ms": hop_ms if streaming else None,
            "input": input,
            "mode": mode,
            "quantized": True,
            "state": state if streaming else None,
            "window_ms": 975.0,
        }
        metadata.attach(model, {**facts, "author": "Somebody", "config": {"seed": 7}})
        return fb.write(model)

    return content


def steps_of(input: str, hop_ms: int, seconds: float = 2.0) -> list[np.ndarray]:
    """Inputs of successive calls of a streaming file: the probe signal, then quiet noise."""
    hop, rng = FRONT_END.hop_length * hop_ms // 10, np.random.default_rng(0)
    count = round(seconds * FRONT_END.sample_rate / hop)
    noise = rng.normal(0, 0.003, count // 4 * hop)
    pcm = np.concatenate([probe_signal((count - count // 4) * hop), noise]).astype(np.float32)
    if input == "pcm":
        return np.split(pcm, count)
    silence = np.zeros(FRONT_END.overlap, np.float32)
    return np.split(log_mel(np.concatenate([silence, pcm])).numpy(), count)


def windows_of(input: str, count: int = 12) -> list[np.ndarray]:
    """Windows of 975 ms of a signal as of `steps_of`."""
    samples = FRONT_END.samples(96)
    pcm = np.concatenate(steps_of("pcm", 10, seconds=0.6 * count + 1))
    windows = [pcm[9_600 * i : 9_600 * i + samples] for i in range(count)]
    return windows if input == "pcm" else [log_mel(window).numpy() for window in windows]
