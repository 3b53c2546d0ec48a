"""Streaming with hops from 320 to 10 ms is bit-exact with the offline encoder."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from a2v_tf.export import build, streaming
from a2v_tf.export import flatbuffer as fb
from a2v_tf.runtime.embedder import KERNELS, Embedder, make_interpreter
from a2v_tf.specs import ENCODERS
from tests.export.signals import random_frames

HOPS = (32, 16, 8, 4, 2, 1)
# Receptive field of an embedding: 96 frames, and two columns before the first one of each layer.
REACH = {
    "small": 96 + 2 * (1 + 2 + 4 + 8 + 16),
    "large": 96 + 2 * (1 + 2 + 4 + 8 + 16),
    "vgg6": 96 + 2 * (1 + 2 + 4 + 4 + 8 + 8),
    "multiscale": 96 + 2 * (1 + 2 + 4 + 4 + 8 + 8),
}
CASES = [(encoder, hop) for encoder in ENCODERS for hop in HOPS]
SHIFTED = [(encoder, hop) for encoder, hop in CASES if hop < ENCODERS[encoder].step_frames]


def offline(window: fb.Model, frames: np.ndarray, hop: int, kernels: str = "xnnpack") -> np.ndarray:
    content = fb.write(streaming.to_offline(window, len(frames), hop))
    runner = make_interpreter(content, kernels).get_signature_runner("embed")
    return runner(log_mel=frames[None])["embedding"]


def embedder_of(window: fb.Model, hop: int, state: str, kernels: str = "xnnpack") -> Embedder:
    model = build.build_form(window, mode="streaming", state=state, input="log_mel", hop_frames=hop)
    return Embedder(fb.write(model), kernels)


def embeddings(embedder: Embedder, frames: np.ndarray, hop: int) -> np.ndarray:
    return np.stack([embedder.embed(chunk) for chunk in np.split(frames, len(frames) // hop)])


@pytest.mark.parametrize(("encoder", "hop"), CASES)
def test_every_hop_is_bit_exact(window_of: Callable, encoder: str, hop: int) -> None:
    """For both kinds of state, from the first hop on and again after `reset`."""
    window, frames = window_of(encoder), random_frames(4)
    expected = offline(window, frames, hop)
    assert len(np.unique(expected)) > 10
    for state in ("internal", "external"):
        embedder = embedder_of(window, hop, state)
        np.testing.assert_array_equal(embeddings(embedder, frames, hop), expected)
        embedder.reset()
        np.testing.assert_array_equal(embeddings(embedder, frames[:96], hop), expected[: 96 // hop])


@pytest.mark.parametrize("kernels", [name for name in KERNELS if name != "xnnpack"])
@pytest.mark.parametrize("hop", HOPS)
def test_on_other_kernels(window_of: Callable, kernels: str, hop: int) -> None:
    window, frames = window_of("small"), random_frames(4)
    embedder = embedder_of(window, hop, "internal", kernels)
    expected = offline(window, frames, hop, kernels)
    np.testing.assert_array_equal(embeddings(embedder, frames, hop), expected)


@pytest.mark.parametrize(("encoder", "hop"), SHIFTED)
def test_a_hop_within_a_column_equals_the_encoder_on_the_shifted_stream(
    window_of: Callable, encoder: str, hop: int
) -> None:
    """Compared with the encoder as trained, with strided pools, on the stream from `shift` on."""
    window, frames = window_of(encoder), random_frames(8)
    step = ENCODERS[encoder].step_frames
    got = embeddings(embedder_of(window, hop, "internal"), frames, hop)
    compared = set()
    for shift in range(0, step, hop):
        whole = (len(frames) - shift) // step * step
        shifted = offline(window, frames[shift : shift + whole], step)
        ends = np.arange(shift + step, shift + whole + 1, step)
        # The shifted stream lacks the frames before `shift`.
        same = ends >= (REACH[encoder] + shift if shift else 0)
        np.testing.assert_array_equal(got[ends[same] // hop - 1], shifted[same])
        compared.update(ends[same].tolist())
    everywhere = [n for n in range(REACH[encoder] + step, len(frames) + 1) if n % hop == 0]
    assert compared.issuperset(everywhere)


@pytest.mark.parametrize("hop", HOPS)
def test_a_full_window_after_reset_is_the_window_model(window_of: Callable, hop: int) -> None:
    window, frames = window_of("small"), random_frames(3)
    expected = Embedder(fb.write(window)).embed(frames)
    got = embeddings(embedder_of(window, hop, "external"), frames, hop)
    np.testing.assert_array_equal(got[-1], expected)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    hop=st.sampled_from(HOPS),
    state=st.sampled_from(["internal", "external"]),
    sizes=st.lists(st.integers(0, 9_000), max_size=8),
)
def test_any_chunks_of_pcm(window_of: Callable, hop: int, state: str, sizes: list[int]) -> None:
    model = build.build_form(
        window_of("small"), mode="streaming", state=state, input="pcm", hop_frames=hop
    )
    embedder = Embedder(fb.write(model))
    pcm = np.random.default_rng(0).normal(0, 0.1, 3 * 5_120).astype(np.float32)
    expected = embedder.stream(pcm)
    assert len(expected) == 96 // hop
    embedder.reset()
    got = []
    for chunk in np.split(pcm, np.minimum(np.cumsum(sizes), len(pcm))):
        got += embedder.stream(chunk)
    np.testing.assert_array_equal(got, expected)
