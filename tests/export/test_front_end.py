"""The front end's graph agrees with its definition, for any number of frames and all kernels."""

import pathlib
import re
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from a2v_tf.export import flatbuffer as fb
from a2v_tf.export import front_end
from a2v_tf.frontend import (
    FRONT_END,
    FrontEnd,
    hann_window,
    log_mel,
    mel_matrix,
    pcm_to_float,
)
from a2v_tf.runtime.embedder import KERNELS, make_interpreter
from tests.conftest import load_script
from tests.export.signals import SIGNALS
from tests.front_ends import OTHERS
from tests.test_frontend import (
    GOLDEN_FILE,
    OTHERS_GOLDEN_FILE,
    golden_signals,
    reference_log_mel,
    sweep_and_noise,
)

SAMPLES = 15_600  # 96 frames


def extremes() -> dict[str, np.ndarray]:
    """Extreme PCM: full scale, very quiet, and silent signals."""
    rng = np.random.default_rng(5)
    impulse = np.zeros(SAMPLES)
    impulse[SAMPLES // 2] = 1.0
    return {
        "noise at -90 dB": rng.normal(0, 10**-4.5, SAMPLES),
        "noise at -600 dB": rng.normal(0, 1e-30, SAMPLES),  # its squares underflow
        "constant": np.ones(SAMPLES),
        "full-scale sine": np.sin(2 * np.pi * 1_000 * np.arange(SAMPLES) / 16_000),
        "square wave": np.sign(np.sin(2 * np.pi * 440 * np.arange(SAMPLES) / 16_000 + 0.1)),
        "impulse": impulse,
    }


SOUNDS = {
    **{name: make(SAMPLES).astype(np.float32) for name, make in SIGNALS.items()},
    **{name: pcm.astype(np.float32) for name, pcm in extremes().items()},
}


class Runner:
    """Runs the front end for any number of frames with one kind of kernels."""

    def __init__(self, kernels: str, spec: FrontEnd = FRONT_END) -> None:
        self._kernels, self._spec, self._interpreters = kernels, spec, {}

    def __call__(self, pcm: np.ndarray) -> np.ndarray:
        """float32 `[samples]` -> `[frames, F]`."""
        frames = self._spec.frames(len(pcm))
        if frames not in self._interpreters:
            content = fb.write(front_end.front_end_model(frames, self._spec))
            interpreter = make_interpreter(content, self._kernels)
            self._interpreters[frames] = interpreter.get_signature_runner("embed")
        return self._interpreters[frames](pcm=pcm[np.newaxis])["log_mel"][0]


@pytest.fixture(scope="module")
def runners() -> dict[str, Runner]:
    return {kernels: Runner(kernels) for kernels in KERNELS}


def float64_modulus(pcm: np.ndarray, spec: FrontEnd = FRONT_END) -> np.ndarray:
    """The modulus in float64, with the float32 window of the definition, `[frames, bins]`."""
    window, length = hann_window(spec).astype(np.float64), spec.window_length
    starts = range(0, len(pcm) - length + 1, spec.hop_length)
    frames = [pcm[start : start + length].astype(np.float64) * window for start in starts]
    return np.abs(np.fft.rfft(frames, spec.fft_length))


def float64_values(pcm: np.ndarray, spec: FrontEnd = FRONT_END) -> np.ndarray:
    """The values before the logarithm, in float64 with the definition's float32 matrix."""
    modulus = float64_modulus(pcm, spec)
    values = modulus @ mel_matrix(spec) if spec.is_mel else modulus[:, list(spec.stft_bins)]
    return values + spec.log_offset


def assert_near(log_mel: np.ndarray, pcm: np.ndarray, spec: FrontEnd = FRONT_END) -> None:
    """Compare before the logarithm, which would magnify a loud bin's rounding in quiet bins."""
    loudest, want = float64_modulus(pcm, spec).max(), float64_values(pcm, spec)
    np.testing.assert_allclose(np.exp(log_mel), want, rtol=3e-6, atol=2e-7 * loudest)


@pytest.mark.parametrize("kernels", KERNELS)
def test_golden_vectors(runners: dict[str, Runner], kernels: str) -> None:
    with np.load(GOLDEN_FILE) as golden:
        for name in golden_signals():
            got = runners[kernels](np.asarray(pcm_to_float(golden[f"{name}.pcm"])))
            expected = np.exp(golden[f"{name}.log_mel"])
            np.testing.assert_allclose(np.exp(got), expected, atol=5e-5, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", golden_signals())
def test_equals_the_independent_reference(runners: dict[str, Runner], name: str) -> None:
    pcm = golden_signals()[name] / 32_768.0
    want = np.exp(reference_log_mel(pcm))
    got = np.exp(runners["xnnpack"](pcm.astype(np.float32)))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=5e-7 * want.max())


@pytest.mark.parametrize("name", SOUNDS)
@pytest.mark.parametrize("kernels", KERNELS)
def test_equals_the_definition(runners: dict[str, Runner], kernels: str, name: str) -> None:
    got = runners[kernels](SOUNDS[name])
    assert got.shape == (96, 64)
    assert_near(got, SOUNDS[name])
    assert np.all(got >= np.float32(np.log(FRONT_END.log_offset)) - 1e-6)


@pytest.mark.parametrize("name", SOUNDS)
def test_is_at_least_as_exact_as_tensorflow(runners: dict[str, Runner], name: str) -> None:
    want = float64_values(SOUNDS[name])
    ours, theirs = runners["xnnpack"](SOUNDS[name]), log_mel(SOUNDS[name]).numpy()
    error, of_tensorflow = (np.abs(np.exp(x) - want).max() for x in (ours, theirs))
    assert error < 2 * of_tensorflow + 1e-7


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 7, 8, 16, 32, 48])
@pytest.mark.parametrize("kernels", KERNELS)
def test_a_frame_does_not_depend_on_the_number_of_frames(
    runners: dict[str, Runner], kernels: str, frames: int
) -> None:
    run, length = runners[kernels], FRONT_END.samples(frames)
    for name, pcm in SOUNDS.items():
        whole = run(pcm)
        starts = range(0, 96 - frames + 1, frames)
        parts = [run(pcm[160 * start : 160 * start + length]) for start in starts]
        got = np.concatenate(parts)
        np.testing.assert_array_equal(got, whole[: len(got)], err_msg=name)


@settings(max_examples=30, deadline=None)
@given(frames=st.integers(1, 12), level=st.floats(-5, 0), seed=st.integers(0, 2**32 - 1))
def test_any_sound_of_any_length(
    runners: dict[str, Runner], frames: int, level: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    pcm = np.clip(rng.normal(0, 10**level, FRONT_END.samples(frames)), -1, 1).astype(np.float32)
    assert_near(runners["xnnpack"](pcm), pcm)


def test_rows_contain_each_bin_once_next_to_its_neighbours() -> None:
    bins = front_end.bins_in_rows()
    np.testing.assert_array_equal(np.sort(bins, axis=1), np.arange(256).reshape(16, 16))


def test_cost() -> None:
    """Far fewer products than a Fourier matrix, only ops that XNNPACK supports, and few bytes."""
    model = front_end.front_end_model(8)
    ops = Counter(fb.kind(model, op) for op in fb.single_graph(model).subgraph.operators)
    assert not ops.keys() & {"RFFT2D", "GATHER", "COMPLEX_ABS", "BATCH_MATMUL", "PAD"}
    assert ops.total() < 30
    assert len(fb.write(model)) < 95_000


# Other front ends ---------------------------------------------------------------------------------

ODD = FrontEnd(44_100, 882, 441, 1_024, 64, 60.0, 16_000.0, 2e-2)  # nothing divides its hop


@pytest.mark.parametrize("spec", [*OTHERS.values(), ODD], ids=[*OTHERS, "odd"])
@pytest.mark.parametrize("kernels", KERNELS)
def test_other_front_ends(kernels: str, spec: FrontEnd) -> None:
    """They equal the definition, and a frame does not depend on the number of frames."""
    pcm = np.asarray(pcm_to_float(sweep_and_noise(spec)))
    run = Runner(kernels, spec)
    whole = run(pcm)
    assert_near(whole, pcm, spec)
    for frames in (1, 2, 5):
        hops = range(0, 12 - frames + 1, frames)
        parts = [pcm[spec.hop_length * i :][: spec.samples(frames)] for i in hops]
        got = np.concatenate([run(part) for part in parts])
        if spec is OTHERS["birds"] and tf.__version__ < "2.17":
            # That runtime sums its larger matrices in another order for another number of frames.
            np.testing.assert_allclose(got, whole[: len(got)], rtol=0, atol=1e-6)
        else:
            np.testing.assert_array_equal(got, whole[: len(got)])


@pytest.mark.parametrize("name", OTHERS)
def test_golden_vectors_of_other_front_ends(name: str) -> None:
    with np.load(OTHERS_GOLDEN_FILE) as golden:
        got = Runner("xnnpack", OTHERS[name])(np.asarray(pcm_to_float(golden[f"{name}.pcm"])))
        np.testing.assert_allclose(np.exp(got), np.exp(golden[f"{name}.log_mel"]), 1e-4, 1e-4)


@pytest.mark.parametrize("spec", [*OTHERS.values(), ODD], ids=[*OTHERS, "odd"])
def test_rows_of_other_front_ends_contain_each_bin_once(spec: FrontEnd) -> None:
    bins = front_end.bins_in_rows(spec)
    np.testing.assert_array_equal(np.sort(bins.ravel()), np.arange(spec.fft_length // 2))
    np.testing.assert_array_equal(np.sort(bins, axis=1).ravel(), np.sort(bins.ravel()))


def test_benchmark_prints_both_tables() -> None:
    benchmark = load_script(pathlib.Path(__file__).parents[2] / "benchmarks/front_end.py")
    number = r"[\d,.]+ \[[\d,.]+ - [\d,.]+\]"
    times = benchmark.times_table([1], "xnnpack", 2).splitlines()
    assert re.fullmatch(rf"1 +{number} +{number} +{number}", times[1])
    facts = [line.split() for line in benchmark.facts_table("xnnpack").splitlines()[1:]]
    assert [line[0] for line in facts] == ["matrices", "rfft2d", "TensorFlow"]
    assert all(float(line[-1]) < 3e-6 for line in facts)
