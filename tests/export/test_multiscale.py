"""The multiscale encoder's files: streams are bit-exact at every hop and for every chunking."""

import dataclasses
import functools
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from a2v_tf.errors import A2vError
from a2v_tf.export import build, check, convert, streaming
from a2v_tf.export import flatbuffer as fb
from a2v_tf.export.arithmetic import multiply_accumulates
from a2v_tf.export.quantize import RANGES, Quantization
from a2v_tf.models.encoder import build_encoder, build_stream_encoder
from a2v_tf.runtime.embedder import KERNELS, Embedder, make_interpreter
from a2v_tf.specs import ENCODERS, InputStats, Level, MultiscaleConfig
from tests.export.conftest import randomise_batch_norm

STATS = InputStats(-3.0, 4.0)
# Every kind of layer and reading; a slice has 12, 6 and 3 columns. 16 is a multiple of the SIMD
# width, see test_streaming.py.
TINY = MultiscaleConfig(
    levels=(
        Level((4,), kernel=(3, 5), pool=(2, 1), reads=("max",)),
        Level((6, 6), kernel=(3, 7), reads=("mean", "max")),
        Level((8,), reads=("mean",)),
    ),
    embedding_dim=16,
)
FRAMES, BINS = 24, 29
HOPS = (24, 8, 4, 2, 1)
STATES = ("internal", "external")


def values(frames: int, seed: int = 0) -> np.ndarray:
    """Random log-mel values, partly outside the calibrated range."""
    return np.random.default_rng(seed).normal(-3, 3, (frames, BINS)).astype(np.float32)


@functools.cache
def encoder_of(config: MultiscaleConfig = TINY) -> keras.Model:
    keras.utils.set_random_seed(0)
    encoder = build_encoder(config, FRAMES, BINS, STATS)
    randomise_batch_norm(encoder)
    return encoder


@functools.cache
def window_of(config: MultiscaleConfig = TINY, how: Quantization | None = None) -> fb.Model:
    """The int8 window model, or the float one without `how`."""
    slices = np.stack([values(FRAMES, seed) * 0.7 for seed in range(8)])
    if how is None:
        return convert.window_model(encoder_of(config), None)
    return convert.window_model(encoder_of(config), slices, how)


INT8 = Quantization()


@functools.cache
def stream_file(hop: int, state: str, input: str = "log_mel") -> bytes:
    model = build.build_form(
        window_of(how=INT8), mode="streaming", state=state, input=input, hop_frames=hop
    )
    check.check_file(model, quantized=True)
    return fb.write(model, shared=True)


@functools.cache
def offline_runner(steps: int, hop: int, kernels: str):
    model = streaming.to_offline(window_of(how=INT8), steps * hop, hop)
    return make_interpreter(fb.write(model), kernels).get_signature_runner("embed")


def embeddings(embedder: Embedder, frames: np.ndarray, hop: int) -> np.ndarray:
    return np.stack([embedder.embed(chunk) for chunk in np.split(frames, len(frames) // hop)])


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("hop", HOPS)
def test_every_hop_is_bit_exact(hop: int, state: str, kernels: str) -> None:
    """With the offline form from the first hop on, with the window, and again after `reset`."""
    frames = values(2 * FRAMES)
    expected = offline_runner(len(frames) // hop, hop, kernels)(log_mel=frames[None])["embedding"]
    whole = Embedder(fb.write(window_of(how=INT8)), kernels).embed(frames[:FRAMES])
    embedder = Embedder(stream_file(hop, state), kernels)
    for _ in range(2):
        got = embeddings(embedder, frames, hop)
        np.testing.assert_array_equal(got, expected)
        np.testing.assert_array_equal(got[FRAMES // hop - 1], whole)
        embedder.reset()
    assert len(np.unique(expected)) > 10


@settings(max_examples=30, deadline=None)
@given(
    hop=st.sampled_from(HOPS),
    steps=st.integers(1, 60),
    seed=st.integers(0, 2**32 - 1),
    state=st.sampled_from(STATES),
    kernels=st.sampled_from(list(KERNELS)),
)
def test_any_stream_is_bit_exact(hop: int, steps: int, seed: int, state: str, kernels: str) -> None:
    frames = values(hop * steps, seed)
    expected = offline_runner(steps, hop, kernels)(log_mel=frames[None])["embedding"]
    embedder = Embedder(stream_file(hop, state), kernels)
    np.testing.assert_array_equal(embeddings(embedder, frames, hop), expected)


@pytest.mark.parametrize("kernels", KERNELS)
def test_the_encoder_itself_at_its_hops(calibration: np.ndarray, kernels: str) -> None:
    """96 frames, 64 bins, from PCM in any chunks, with the float statistics of real levels."""
    window = _multiscale_window(calibration.tobytes())
    pcm = np.random.default_rng(0).normal(0, 0.1, 12 * 1_280).astype(np.float32)
    model = build.build_form(window, mode="streaming", state="internal", input="pcm", hop_frames=8)
    embedder = Embedder(fb.write(model, shared=True), kernels)
    expected = embedder.stream(pcm)
    offline = fb.write(build.build_offline(window, 12, input="pcm", hop_frames=8))
    runner = make_interpreter(offline, kernels).get_signature_runner("embed")
    whole = np.concatenate([np.zeros(240, np.float32), pcm])
    np.testing.assert_array_equal(expected, runner(pcm=whole[None])["embedding"])
    one = Embedder(fb.write(build.build_form(window, mode="window", input="pcm")), kernels)
    np.testing.assert_array_equal(expected[-1], one.embed(whole[:15_600]))
    embedder.reset()
    got = []
    for chunk in np.split(pcm, [1, 700, 1_280, 5_000, 5_001]):
        got += embedder.stream(chunk)
    np.testing.assert_array_equal(got, expected)


@functools.cache
def _multiscale_window(calibration: bytes) -> fb.Model:
    keras.utils.set_random_seed(0)
    encoder = build_encoder(ENCODERS["multiscale"], 96, 64, STATS)
    randomise_batch_norm(encoder)
    slices = np.frombuffer(calibration, np.float32).reshape(-1, 96, 64)
    return convert.window_model(encoder, slices[:4])


@pytest.mark.xfail(
    tf.__version__ < "2.17",
    run=False,
    reason="oneDNN of TensorFlow 2.16 divides by zero in Keras' maximum over one column",
)
def test_float_files_equal_keras() -> None:
    frames = values(3 * FRAMES)
    stream_encoder = build_stream_encoder(TINY, FRAMES, BINS, STATS)
    stream_encoder.set_weights(encoder_of().get_weights())
    model = build.build_form(
        window_of(), mode="streaming", state="internal", input="log_mel", hop_frames=8
    )
    check.check_file(model, quantized=False)
    got = embeddings(Embedder(fb.write(model)), frames, 8)
    np.testing.assert_allclose(got, stream_encoder(frames[None])[0], rtol=1e-3, atol=1e-4)
    window = Embedder(fb.write(window_of())).embed(frames[:FRAMES])
    np.testing.assert_allclose(window, encoder_of()(frames[None, :FRAMES])[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "how", [*(Quantization(ranges) for ranges in RANGES), Quantization(activations="int16")]
)
def test_integers_are_close_to_float(how: Quantization) -> None:
    frames = values(FRAMES, seed=3) * 0.7
    window = window_of(how=how)
    check.check_file(window, quantized=True)
    real, got = (Embedder(fb.write(model)).embed(frames) for model in (window_of(), window))
    cosine = got @ real / np.linalg.norm(got) / np.linalg.norm(real)
    assert cosine > (0.9999 if how.activations == "int16" else 0.99)
    model = streaming.to_streaming(window, 4)
    streamed = embeddings(Embedder(fb.write(model)), frames, 4)
    np.testing.assert_array_equal(streamed[-1], got)


def test_parts_of_the_features_share_one_scale(calibration: np.ndarray) -> None:
    """The encoder's six parts are concatenated in two steps, of at most five: XNNPACK's limit."""
    for model, steps in ((window_of(how=INT8), 1), (_multiscale_window(calibration.tobytes()), 2)):
        graph = fb.single_graph(model)
        ops = [x for x in check.encoder_ops(graph) if fb.kind(model, x) == "CONCATENATION"]
        parts = [[int(i) for i in op.inputs] for op in ops]
        assert len(ops) == steps
        assert max(map(len, parts)) <= 5
        tensors = {*itertools.chain(*parts), *(int(op.outputs[0]) for op in ops)}
        assert len({fb.scales(graph.tensor(index)) for index in tensors}) == 1


def test_states_and_their_names() -> None:
    facts = check.check_file(fb.read(stream_file(4, "external")), quantized=True)
    states = {state["name"]: (state["shape"], state["dtype"]) for state in facts["states"]}
    assert states == {
        "state_log_mel": ([1, 20, 29], "float32"),
        "state_conv1": ([1, 2, 29, 1], "int8"),
        "state_level1_columns": ([1, 10, 1, 4], "int8"),
        "state_conv2": ([1, 2, 15, 4], "int8"),
        "state_conv3": ([1, 2, 15, 6], "int8"),
        "state_level2_columns": ([1, 5, 1, 6], "int8"),
        "state_conv4": ([1, 2, 8, 6], "int8"),
        "state_conv4_pool": ([1, 1, 8, 8], "int8"),
        "state_level3_columns": ([1, 5, 1, 8], "int8"),
    }


@pytest.mark.parametrize("hop", HOPS)
def test_multiply_accumulates(hop: int) -> None:
    """Each layer's columns of a hop times a column's cost; no column is computed twice."""
    one, two, four, eight = (max(hop // stride, 1) for stride in (1, 2, 4, 8))
    layers = (
        one * 15 * 4 * 3 * 5  # a stride of 2 leaves 15 of 29 bins
        + two * 15 * 4 * (3 * 7 + 6)
        + two * 15 * 6 * (3 * 7 + 6)
        + four * 8 * 6 * (3 * 3 + 8)
    )
    columns = two * 15 * 4 + four * 8 * 6 + eight * 4 * 8
    means_and_maxima = 4 + (6 * 6 + 6) + 3 * 8
    last = 16 * (2 * 29 + 4 + 6 + 6 + 8)
    counted = multiply_accumulates(fb.read(stream_file(hop, "external")))
    assert counted == {"front_end": 0, "encoder": layers + columns + means_and_maxima + last}


def test_weights_and_scales_are_the_same_in_every_file() -> None:
    files = [fb.read(stream_file(hop, state)) for hop in (8, 1) for state in STATES]
    prints = {check.fingerprint(model) for model in [window_of(how=INT8), *files]}
    assert len(prints) == 1
    changed = files[0]  # a constant of the float statistics
    graph = check.embed_graph(changed)
    scale = next(
        changed.buffers[graph.tensor(op.inputs[1]).buffer]
        for op in graph.subgraph.operators
        if fb.kind(changed, op) == "MUL" and fb.shape(graph.tensor(op.inputs[1])) == (2 * BINS,)
    )
    scale.data = scale.data.copy()
    scale.data[0] ^= 1
    assert check.fingerprint(changed) not in prints


def test_shared_vectors_make_a_smaller_file_with_the_same_values() -> None:
    model = fb.read(stream_file(8, "internal"))
    plain, shared = fb.write(model), fb.write(model, shared=True)
    assert len(shared) < 0.9 * len(plain)
    frames = values(FRAMES)
    np.testing.assert_array_equal(
        *(embeddings(Embedder(content), frames, 8) for content in (plain, shared))
    )


@pytest.mark.parametrize(
    "config",
    [
        dataclasses.replace(TINY, log_mel_statistics=False),
        MultiscaleConfig((Level((4,), reads=("mean",)),), 16, 1, log_mel_statistics=False),
        MultiscaleConfig((Level((4,), pool=(24, 2), reads=("mean", "max")),), 16),
    ],
    ids=["no statistics", "one reading", "one column"],
)
def test_other_readings_stream(config: MultiscaleConfig) -> None:
    window, hop = window_of(config, INT8), config.step_frames
    frames = values(2 * FRAMES)
    offline = fb.write(streaming.to_offline(window, len(frames), hop))
    runner = make_interpreter(offline).get_signature_runner("embed")
    embedder = Embedder(fb.write(streaming.to_streaming(window, hop)))
    got = embeddings(embedder, frames, hop)
    np.testing.assert_array_equal(got, runner(log_mel=frames[None])["embedding"])
    whole = Embedder(fb.write(window)).embed(frames[:FRAMES])
    np.testing.assert_array_equal(got[FRAMES // hop - 1], whole)


def test_refuses_a_window_that_is_not_a_whole_number_of_hops() -> None:
    with pytest.raises(A2vError, match="window of 24 frames is not a multiple of the hop of 16"):
        streaming.to_streaming(window_of(how=INT8), 16)
