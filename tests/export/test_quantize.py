"""Ranges of int8 activations: their choice, and the resulting model."""

import keras
import numpy as np
import pytest

from a2v_tf.export import build, check, convert, quantize, streaming
from a2v_tf.export import flatbuffer as fb
from a2v_tf.export.quantize import RANGES, Quantization, scale_of
from a2v_tf.frontend import FRONT_END, log_mel
from a2v_tf.runtime.embedder import KERNELS, Embedder, make_interpreter
from tests.export.signals import frames_of, stream_of


def histogram(values: np.ndarray) -> quantize.Histogram:
    return np.histogram(values, 2_048)


def test_an_outlier_extends_only_min_max() -> None:
    values = np.random.default_rng(0).normal(size=100_000)
    values[0] = 50.0
    ranges = {name: choose(histogram(values)) for name, choose in RANGES.items()}
    assert ranges["min_max"][1] == 50.0
    assert 3.5 < ranges["percentile"][1] < 4.5
    assert ranges["percentile"][1] < ranges["mse"][1] < 45.0


@pytest.mark.parametrize("choice", RANGES)
def test_a_range_of_relu_outputs_starts_at_zero(choice: str) -> None:
    values = np.maximum(np.random.default_rng(0).normal(size=10_000), 0)
    low, high = RANGES[choice](histogram(values))
    assert low == pytest.approx(0.0, abs=1e-6)
    assert high > 2.0
    assert scale_of((low, high))[1] == -128


def test_mse_has_the_least_error() -> None:
    values = np.random.default_rng(0).standard_t(3, size=20_000)

    def error(choice: str) -> float:
        scale, zero_point = scale_of(RANGES[choice](histogram(values)))
        integers = np.clip(np.round(values / scale) + zero_point, -128, 127)
        return float(np.mean((values - scale * (integers - zero_point)) ** 2))

    assert error("mse") < min(error("min_max"), error("percentile"))


@pytest.mark.parametrize(("low", "high"), [(1.0, 2.0), (-3.0, -1.0), (0.0, 0.0), (-1e9, 1e-9)])
def test_every_range_includes_zero(low: float, high: float) -> None:
    scale, zero_point = scale_of((low, high))
    assert scale > 0
    assert -128 <= zero_point <= 127
    for bound in (low, high):
        rounded = scale * (np.clip(np.round(bound / scale) + zero_point, -128, 127) - zero_point)
        assert abs(rounded - bound) <= scale


def scales(model: fb.Model) -> list[tuple[str, float, int]]:
    graph = fb.single_graph(model)
    found = []
    for op in graph.subgraph.operators:
        scale, zero_point = fb.scales(graph.tensor(int(op.outputs[0])))
        if scale:
            found.append((fb.kind(model, op), scale[0], zero_point[0]))
    return found


def test_min_max_equals_the_converters_ranges(
    encoder: keras.Model, calibration: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Except before a bias, where the converter extends the range by the values before it."""
    ours = scales(convert.window_model(encoder, calibration))
    monkeypatch.setattr(convert, "with_ranges", lambda quantized, *_: quantized)
    converters = scales(convert.window_model(encoder, calibration))
    assert [kind for kind, *_ in ours] == [kind for kind, *_ in converters]
    same = 0
    for (_, scale, zero_point), (_, theirs, their_zero_point) in zip(ours, converters, strict=True):
        assert scale <= theirs * (1 + 1e-6)
        same += np.isclose(scale, theirs, rtol=1e-6) and zero_point == their_zero_point
    assert same == len(ours) - 5  # the five convolutions along frequency


@pytest.mark.parametrize(
    "how",
    [Quantization(ranges="mse"), Quantization(activations="int16")],
    ids=["int8, other ranges", "int16"],
)
def test_close_to_float_and_bit_exact_in_streams(
    encoder: keras.Model,
    calibration: np.ndarray,
    windows: dict[str, fb.Model],
    how: Quantization,
) -> None:
    window = convert.window_model(encoder, calibration, how)
    frames = frames_of(stream_of("noise"))[:96]
    check.check_file(window, quantized=True)
    real = Embedder(fb.write(windows["float"])).embed(frames)
    got = Embedder(fb.write(window)).embed(frames)
    cosine = got @ real / np.linalg.norm(got) / np.linalg.norm(real)
    assert cosine > (0.9999 if how.activations == "int16" else 0.99)
    for hop in (32, 1):
        model = build.build_form(
            window, mode="streaming", state="internal", input="log_mel", hop_frames=hop
        )
        check.check_file(model, quantized=True)
        offline = fb.write(streaming.to_offline(window, 96, hop))
        for kernels in KERNELS:
            embedder = Embedder(fb.write(model), kernels)
            streamed = [embedder.embed(chunk) for chunk in np.split(frames, 96 // hop)]
            runner = make_interpreter(offline, kernels).get_signature_runner("embed")
            np.testing.assert_array_equal(streamed, runner(log_mel=frames[None])["embedding"])


def test_the_input_range_includes_silence_and_the_loudest_sound(
    encoder: keras.Model, calibration: np.ndarray
) -> None:
    """Even if the calibration data has only quiet sounds."""
    silent, loudest = build.silent_and_loudest(FRONT_END)
    faint = np.minimum(calibration, -2.0)
    model = convert.window_model(encoder, faint, Quantization(loudest=(silent, loudest)))
    graph = fb.single_graph(model)
    (op,) = (op for op in graph.subgraph.operators if fb.kind(model, op) == "QUANTIZE")
    (scale,), (zero_point,) = fb.scales(graph.tensor(int(op.outputs[0])))
    stats = encoder.get_layer("standardise")
    ends = scale * (np.array([-128, 127]) - zero_point) * float(stats.input_variance) ** 0.5
    ends += float(stats.input_mean)
    assert ends[0] <= silent + scale
    assert ends[1] >= loudest - scale

    time = np.arange(400) / 16_000
    tones = np.sin(2 * np.pi * np.arange(60, 7_800, 7)[:, None] * time)
    clipped = np.sign(tones)
    for sounds in (tones, clipped):
        assert log_mel(sounds.astype(np.float32)).numpy().max() < loudest
    assert log_mel(np.zeros((1, 400), np.float32)).numpy().max() == pytest.approx(silent)
