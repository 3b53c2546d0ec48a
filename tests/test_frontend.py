"""The front end against golden vectors and an independent float64 reference."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from a2v_tf.frontend import FRONT_END, FrontEnd, log_mel, pcm_to_float
from tests.conftest import GOLDEN

GOLDEN_FILE = GOLDEN / "frontend.npz"
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


def reference_log_mel(pcm: np.ndarray) -> np.ndarray:
    """The definition in float64 NumPy: HTK mel scale, triangles on the mel axis."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    starts = range(0, len(pcm) - 400 + 1, 160)
    modulus = np.abs([np.fft.rfft(pcm[s : s + 400] * window, 512) for s in starts])

    def mel(hz: np.ndarray | float) -> np.ndarray:
        return 1127.0 * np.log1p(np.asarray(hz) / 700.0)

    edges = np.linspace(mel(60.0), mel(7_800.0), 66)
    bins = mel(np.arange(257) * 16_000 / 512)[:, np.newaxis]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    weights = np.maximum(0.0, np.minimum(rising, falling))
    return np.log(modulus @ weights + 1e-2)


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


def test_other_front_ends():
    spec = FrontEnd(mel_bins=29, log_offset=1e-3)
    assert log_mel(tf.zeros([2, 1_000]), spec).shape == (2, 4, 29)


def test_pcm_to_float_range():
    np.testing.assert_array_equal(
        pcm_to_float(np.array([-32_768, 0, 16_384], np.int16)), [-1.0, 0.0, 0.5]
    )
