"""Streaming and offline embeddings agree: int8 bit-exactly, float within 1e-5."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from a2v_tf.runtime.embedder import KERNELS, Embedder, make_interpreter
from tests.export.signals import (
    HOP,
    SIGNALS,
    STEPS,
    frames_of,
    random_frames,
    stream_of,
    with_silence,
)

STATES = ("internal", "external")


def run_offline(content: bytes, kernels: str, **values: np.ndarray) -> np.ndarray:
    runner = make_interpreter(content, kernels).get_signature_runner("embed")
    return runner(**{name: value[None] for name, value in values.items()})["embedding"]


def inputs(name: str) -> np.ndarray:
    return random_frames(STEPS) if name == "random_frames" else frames_of(stream_of(name))


@pytest.mark.parametrize("name", [*SIGNALS, "random_frames"])
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("kernels", KERNELS)
def test_int8_from_log_mel_is_bit_exact(
    form: Callable, offline: Callable, kernels: str, state: str, name: str
) -> None:
    frames = inputs(name)
    expected = run_offline(offline("int8", STEPS, "log_mel"), kernels, log_mel=frames)
    window = Embedder(form("int8", "window", "log_mel"), kernels).embed(frames[:96])
    embedder = Embedder(form("int8", "streaming", "log_mel", state), kernels)
    for _ in range(2):  # the second time after `reset`
        got = [embedder.embed(step) for step in np.split(frames, STEPS)]
        np.testing.assert_array_equal(got, expected)
        np.testing.assert_array_equal(got[2], window)
        embedder.reset()


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("kernels", KERNELS)
def test_int8_from_pcm_is_bit_exact(
    form: Callable, offline: Callable, kernels: str, state: str, name: str
) -> None:
    pcm = stream_of(name)
    embedder = Embedder(form("int8", "streaming", "pcm", state), kernels)
    expected = run_offline(offline("int8", STEPS, "pcm"), kernels, pcm=with_silence(pcm))
    window = Embedder(form("int8", "window", "pcm"), kernels).embed(with_silence(pcm)[:15_600])
    for _ in range(2):
        got = [embedder.embed(step) for step in np.split(pcm, STEPS)]
        np.testing.assert_array_equal(got, expected)
        np.testing.assert_array_equal(got[2], window)
        embedder.reset()


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("input", ["pcm", "log_mel"])
@pytest.mark.parametrize("kernels", KERNELS)
def test_float_is_equal_within_1e_5(
    form: Callable, offline: Callable, kernels: str, state: str, input: str
) -> None:
    pcm = stream_of("bursts_and_silence")
    values = pcm if input == "pcm" else frames_of(pcm)
    whole = with_silence(pcm) if input == "pcm" else values
    embedder = Embedder(form("float", "streaming", input, state), kernels)
    expected = run_offline(offline("float", STEPS, input), kernels, **{input: whole})
    got = [embedder.embed(step) for step in np.split(values, STEPS)]
    np.testing.assert_allclose(got, expected, atol=1e-5, rtol=1e-5)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.integers(1, 9), seed=st.integers(0, 2**32 - 1), state=st.sampled_from(STATES))
def test_any_number_of_steps_is_bit_exact(
    form: Callable, offline: Callable, steps: int, seed: int, state: str
) -> None:
    frames = random_frames(steps, seed)
    embedder = Embedder(form("int8", "streaming", "log_mel", state))
    got = [embedder.embed(step) for step in np.split(frames, steps)]
    expected = run_offline(offline("int8", steps, "log_mel"), "xnnpack", log_mel=frames)
    np.testing.assert_array_equal(got, expected)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sizes=st.lists(st.integers(0, 3 * HOP), min_size=1, max_size=8),
    input=st.sampled_from(["pcm", "log_mel"]),
    state=st.sampled_from(STATES),
)
def test_any_chunks_give_the_same_embeddings(
    form: Callable, sizes: list[int], input: str, state: str
) -> None:
    pcm = stream_of("noise", steps=5)
    embedder = Embedder(form("int8", "streaming", input, state))
    expected = embedder.stream(pcm)
    assert len(expected) == 5
    embedder.reset()
    got = []
    for chunk in np.split(pcm, np.minimum(np.cumsum(sizes), len(pcm))):
        got += embedder.stream(chunk)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("state", STATES)
def test_files_on_pcm_and_on_log_mel_agree(form: Callable, state: str) -> None:
    """TFLite's and TensorFlow's front ends differ by rounding, so int8 values may differ by 1."""
    pcm = stream_of("bursts_and_silence")
    on_pcm, on_log_mel = (
        np.array(Embedder(form("int8", "streaming", input, state)).stream(pcm))
        for input in ("pcm", "log_mel")
    )
    step = np.diff(np.unique(on_pcm)).min()
    np.testing.assert_allclose(on_pcm, on_log_mel, atol=2.5 * step)


def test_first_call_starts_from_zeros_without_a_reset(form: Callable) -> None:
    frames = frames_of(stream_of("chirp"))[:32]
    runner = make_interpreter(form("int8", "streaming", "log_mel")).get_signature_runner("embed")
    first = runner(log_mel=frames[None])["embedding"]
    external = Embedder(form("int8", "streaming", "log_mel", "external")).embed(frames)
    np.testing.assert_array_equal(first[0], external)


@pytest.mark.parametrize("state", STATES)
def test_embeddings_depend_on_the_state_and_reset_clears_it(form: Callable, state: str) -> None:
    frames = np.split(frames_of(stream_of("bursts_and_silence")), STEPS)
    embedder = Embedder(form("int8", "streaming", "log_mel", state))
    fresh = embedder.embed(frames[3])
    embedder.reset()
    for step in frames[:3]:
        embedder.embed(step)
    assert not np.array_equal(embedder.embed(frames[3]), fresh)
    embedder.reset()
    np.testing.assert_array_equal(embedder.embed(frames[3]), fresh)


def test_two_interpreters_of_one_file_share_no_state(form: Callable) -> None:
    frames = np.split(frames_of(stream_of("chirp")), STEPS)
    one, other = (Embedder(form("int8", "streaming", "log_mel")) for _ in range(2))
    expected = [one.embed(step) for step in frames]
    one.reset()
    for step, want in zip(frames, expected, strict=True):
        np.testing.assert_array_equal(one.embed(step), want)
        other.embed(np.zeros_like(step))
