"""The front end against golden vectors and an independent float64 reference."""

import contextlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from a2v_tf.errors import A2vError
from a2v_tf.frontend import FRONT_END, FrontEnd, log_mel, mel_matrix, pcm_to_float
from tests.conftest import GOLDEN
from tests.front_ends import BATS, BIRDS, OTHERS, STFT, TELEPHONE

GOLDEN_FILE = GOLDEN / "frontend.npz"
OTHERS_GOLDEN_FILE = GOLDEN / "front_ends.npz"
SAMPLES = 15_600  # one slice: 975 ms


def golden_signals() -> dict[str, np.ndarray]:
    """int16 signals of one slice each that cover the front end's range."""
    rng = np.random.default_rng(7)
    t = np.arange(SAMPLES) / 16_000
    click = np.zeros(SAMPLES)
    click[8_000] = 1.0
    signals = {
        "silence": np.zeros(SAMPLES),
        "full_scale_sine": np.sin(2 * np.pi * 1_000 * t),
        "sweep": 0.5 * np.sin(2 * np.pi * (60 * t + 3_900 * t**2)),
        "noise": 0.1 * rng.standard_normal(SAMPLES),
        "quiet_noise": 2e-4 * rng.standard_normal(SAMPLES),
        "click": click,
    }
    return {k: np.round(32_767 * np.clip(v, -1, 1)).astype(np.int16) for k, v in signals.items()}


def reference_log_mel(pcm: np.ndarray, spec: FrontEnd = FRONT_END) -> np.ndarray:
    """The definition in float64 NumPy: HTK mel scale, triangles on the mel axis."""
    length, rate = spec.window_length, spec.sample_rate
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    starts = range(0, len(pcm) - length + 1, spec.hop_length)
    modulus = np.abs([np.fft.rfft(pcm[s : s + length] * window, spec.fft_length) for s in starts])
    hz = np.arange(spec.fft_length // 2 + 1) * rate / spec.fft_length
    if not spec.mel_bins:
        within = (hz >= spec.mel_low_hz) & (hz <= spec.mel_high_hz)
        return np.log(modulus[:, within] + spec.log_offset)

    def mel(hz: np.ndarray | float) -> np.ndarray:
        return 1127.0 * np.log1p(np.asarray(hz) / 700.0)

    edges = np.linspace(mel(spec.mel_low_hz), mel(spec.mel_high_hz), spec.mel_bins + 2)
    bins = mel(hz)[:, np.newaxis]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    weights = np.maximum(0.0, np.minimum(rising, falling))
    return np.log(modulus @ weights + spec.log_offset)


def test_golden_vectors(update_golden):
    if update_golden:
        arrays = {}
        for name, pcm in golden_signals().items():
            arrays[f"{name}.pcm"] = pcm
            arrays[f"{name}.log_mel"] = log_mel(pcm_to_float(pcm)).numpy()
        GOLDEN.mkdir(exist_ok=True)
        np.savez_compressed(GOLDEN_FILE, **arrays)
    with np.load(GOLDEN_FILE) as golden:
        for name, pcm in golden_signals().items():
            np.testing.assert_array_equal(golden[f"{name}.pcm"], pcm)
            np.testing.assert_allclose(
                log_mel(pcm_to_float(pcm)).numpy(),
                golden[f"{name}.log_mel"],
                atol=2e-4,  # float32 FFTs of other builds; the quietest bins are log(1e-2)
                err_msg=name,
            )


@pytest.mark.parametrize("name", golden_signals())
def test_equals_float64_reference(name):
    pcm = golden_signals()[name]
    ours = log_mel(pcm_to_float(pcm)).numpy()
    assert ours.shape == (96, 64)
    assert ours.dtype == np.float32
    want = np.exp(reference_log_mel(pcm / 32_768.0))
    # The error of a float32 FFT is about 1e-7 of the loudest bin, visible in bins 120 dB below.
    np.testing.assert_allclose(np.exp(ours), want, rtol=1e-4, atol=5e-7 * want.max())


def test_batched_equals_unbatched_and_traced():
    pcm = np.stack([pcm_to_float(x) for x in golden_signals().values()])
    batched = log_mel(pcm).numpy()
    traced = tf.function(log_mel, input_signature=[tf.TensorSpec([None, None])])(pcm).numpy()
    np.testing.assert_allclose(traced, batched, atol=1e-5)
    for one, row in zip(pcm, batched, strict=True):
        np.testing.assert_allclose(log_mel(one).numpy(), row, atol=1e-5)


@given(st.integers(400, 20_000))
@settings(max_examples=20, deadline=None)
def test_number_of_frames(samples):
    frames = log_mel(tf.zeros([samples])).shape[0]
    assert frames == FRONT_END.frames(samples)
    assert FRONT_END.samples(frames) <= samples < FRONT_END.samples(frames + 1)


def test_signals_shorter_than_one_window():
    assert FRONT_END.frames(399) == FRONT_END.frames(0) == FRONT_END.samples(0) == 0
    with pytest.raises(ValueError, match=r"399 samples.*at least 400"):
        log_mel(tf.zeros([399]))


def test_slice_is_975_ms():
    assert FRONT_END.samples(96) == SAMPLES
    assert FRONT_END.seconds(96) == 0.975


# Other front ends ---------------------------------------------------------------------------------


def sweep_and_noise(spec: FrontEnd) -> np.ndarray:
    """int16 PCM of 12 frames: a sweep through the whole band, and noise 60 dB below it."""
    samples = spec.samples(12)
    t = np.arange(samples) / spec.sample_rate
    sweep = np.sin(np.pi * spec.sample_rate / 2 / t[-1] * t**2)
    noise = 1e-3 * np.random.default_rng(8).standard_normal(samples)
    return np.round(32_000 * np.clip(0.9 * sweep + noise, -1, 1)).astype(np.int16)


def test_golden_vectors_of_other_front_ends(update_golden):
    if update_golden:
        arrays = {}
        for name, spec in OTHERS.items():
            pcm = arrays[f"{name}.pcm"] = sweep_and_noise(spec)
            arrays[f"{name}.log_mel"] = log_mel(pcm_to_float(pcm), spec).numpy()
        np.savez_compressed(OTHERS_GOLDEN_FILE, **arrays)
    with np.load(OTHERS_GOLDEN_FILE) as golden:
        for name, spec in OTHERS.items():
            pcm, want = golden[f"{name}.pcm"], golden[f"{name}.log_mel"]
            np.testing.assert_array_equal(sweep_and_noise(spec), pcm)
            ours = log_mel(pcm_to_float(pcm), spec).numpy()
            np.testing.assert_allclose(ours, want, atol=2e-4, err_msg=name)


@pytest.mark.parametrize("name", OTHERS)
def test_other_front_ends_equal_the_float64_reference(name):
    spec = OTHERS[name]
    pcm = pcm_to_float(sweep_and_noise(spec)).numpy()
    ours = log_mel(pcm, spec).numpy()
    assert ours.shape == (12, spec.bins)
    want = np.exp(reference_log_mel(pcm, spec))
    # TensorFlow computes mel filters in float32.
    np.testing.assert_allclose(np.exp(ours), want, rtol=2e-4, atol=2e-6 * want.max())


def test_sizes_of_other_front_ends():
    assert [spec.seconds(96) for spec in (TELEPHONE, BIRDS, BATS)] == [0.975, 0.97, 0.194]
    assert (STFT.bins, STFT.stft_bins) == (248, range(2, 250))
    whole_band = FrontEnd(mel_bins=0, mel_low_hz=0, mel_high_hz=8_000)
    assert whole_band.stft_bins == range(256)  # without half the sample rate


@pytest.mark.parametrize("spec", [FRONT_END, *OTHERS.values()])
def test_facts_restore_a_front_end(spec):
    assert FrontEnd.of(vars(spec)) == spec


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample_rate": 7_999}, r"a sample rate of 7999 Hz: expected 8000 to 96000"),
        ({"hop_length": 400}, "400 samples every 400 samples: expected a hop .* shorter"),
        ({"hop_length": 0}, "every 0 samples"),
        ({"fft_length": 400}, "transform of 400 samples: expected a power of two"),
        ({"fft_length": 256}, "transform of 256 samples: expected .* from the window's 400"),
        ({"mel_high_hz": 8_001.0}, "60 to 8001 Hz: expected limits between 0 and 8000 Hz"),
        ({"mel_low_hz": 7_800.0}, "from 7800 to 7800 Hz"),
        ({"mel_high_hz": float("nan")}, "from 60 to nan Hz"),
        ({"log_offset": 0.0}, "offset of the logarithm of 0.0"),
        ({"mel_bins": -1}, "-1 mel bins"),
        ({"mel_bins": 200}, r"200 mel bins .*: number \d+ contains no frequency of .* 512 samples"),
        ({"mel_bins": 0, "mel_low_hz": 100, "mel_high_hz": 120}, "no frequency of 512 between"),
    ],
)
def test_impossible_front_ends_are_refused(change, message):
    with pytest.raises(A2vError, match=message):
        FrontEnd(**change)


@given(st.integers(1, 200), st.floats(0, 3_000), st.sampled_from([512, 1_024, 4_096]))
@settings(max_examples=50, deadline=None)
def test_a_front_end_is_refused_if_and_only_if_a_filter_is_empty(bins, low, fft):
    weights = tf.signal.linear_to_mel_weight_matrix(bins, fft // 2 + 1, 16_000, low, 7_800.0)
    least = weights.numpy().max(axis=0).min()
    with contextlib.suppress(A2vError):
        assert mel_matrix(FrontEnd(fft_length=fft, mel_bins=bins, mel_low_hz=low)).shape[1] == bins
        assert least > 0
        return
    assert least < 1e-3  # rounding of float32


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({}, r"\[\]: expected sample_rate, window_length"),
        ({**vars(FRONT_END), "sample_rate": "16000"}, "sample_rate is '16000': expected a number"),
        ({**vars(FRONT_END), "hop_length": 160.0}, "hop_length is 160.0"),
        ({**vars(FRONT_END), "mel_bins": True}, "mel_bins is True"),
        ({**vars(FRONT_END), "hop_length": 500}, "expected a hop"),
    ],
)
def test_facts_of_no_front_end_are_refused(facts, message):
    with pytest.raises(A2vError, match=message):
        FrontEnd.of(facts)


def test_pcm_to_float_range():
    np.testing.assert_array_equal(
        pcm_to_float(np.array([-32_768, 0, 16_384], np.int16)), [-1.0, 0.0, 0.5]
    )
