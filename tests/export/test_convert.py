"""Converted models: close to Keras, int8 throughout, with common weights and scales."""

import itertools
import pathlib
from collections.abc import Callable

import keras
import numpy as np
import pytest

from a2v_tf.errors import A2vError
from a2v_tf.export import build, check, convert
from a2v_tf.export import flatbuffer as fb
from a2v_tf.export.quantize import Quantization
from a2v_tf.models.encoder import build_stream_encoder
from a2v_tf.runtime.embedder import Embedder, make_interpreter
from a2v_tf.specs import ENCODERS, InputStats
from tests.export.signals import frames_of, stream_of

STREAMING_FORMS = list(itertools.product(build.INPUTS, build.STATES))


def all_forms(form: Callable, numbers: str) -> list[bytes]:
    files = [form(numbers, "window", input) for input in build.INPUTS]
    return files + [form(numbers, "streaming", *choice) for choice in STREAMING_FORMS]


def encoder_tensors(model: fb.Model) -> list[tuple]:
    """Scales and constants of every layer of the encoder, in order."""
    graph = fb.Graph(model, model.subgraphs[0])
    found = []
    for op in check.encoder_ops(graph):
        if fb.kind(model, op) in ("CONV_2D", "ADD", "FULLY_CONNECTED"):
            for index in [*op.inputs, *op.outputs]:
                if index >= 0:
                    tensor = graph.tensor(index)
                    found.append((fb.scales(tensor), fb.constant(model, tensor)))
    return found


def test_float_window_equals_keras(encoder: keras.Model, form: Callable) -> None:
    slices = np.stack([frames_of(stream_of(name, 3)) for name in ("noise", "chirp", "silence")])
    embedder = Embedder(form("float", "window", "log_mel"))
    got = [embedder.embed(frames) for frames in slices]
    expected = encoder(slices, training=False).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-4, rtol=1e-4)


def test_float_stream_equals_keras(encoder: keras.Model, form: Callable) -> None:
    stats = InputStats(-3.0, 4.0)
    stream_encoder = build_stream_encoder(ENCODERS["small"], 96, 64, stats)
    stream_encoder.set_weights(encoder.get_weights())
    pcm = stream_of("bursts_and_silence")
    expected = stream_encoder(frames_of(pcm)[None], training=False).numpy()[0]
    got = Embedder(form("float", "streaming", "log_mel")).stream(pcm)
    np.testing.assert_allclose(got, expected, atol=1e-4, rtol=1e-4)


def test_int8_window_is_close_to_keras(encoder: keras.Model, form: Callable) -> None:
    frames = frames_of(stream_of("bursts_and_silence", 3))
    got = Embedder(form("int8", "window", "log_mel")).embed(frames)
    expected = encoder(frames[None], training=False).numpy()[0]
    cosine = got @ expected / np.linalg.norm(got) / np.linalg.norm(expected)
    assert cosine > 0.99


@pytest.mark.parametrize("numbers", ["int8", "float"])
def test_all_files_share_every_weight_and_scale(
    form: Callable, offline: Callable, numbers: str
) -> None:
    files = [*all_forms(form, numbers), offline(numbers, 4, "log_mel")]
    first, *others = [encoder_tensors(fb.read(content)) for content in files]
    assert len(first) > 60
    for other in others:
        assert len(other) == len(first)
        for (scales, value), (other_scales, other_value) in zip(first, other, strict=True):
            assert other_scales == scales
            np.testing.assert_array_equal(other_value, value)
    assert len({check.fingerprint(fb.read(content)) for content in files}) == 1


def test_fingerprint_depends_on_scales_and_weights(form: Callable) -> None:
    content = form("int8", "streaming", "log_mel")
    changed_scale, changed_weight = fb.read(content), fb.read(content)
    graph = fb.Graph(changed_scale, changed_scale.subgraphs[0])
    add = next(op for op in graph.subgraph.operators if fb.kind(graph.model, op) == "ADD")
    graph.tensor(add.outputs[0]).quantization.scale = [0.123]
    largest = max(changed_weight.buffers, key=lambda b: 0 if b.data is None else len(b.data))
    largest.data = largest.data.copy()
    largest.data[0] ^= 1
    fingerprints = {check.fingerprint(m) for m in (changed_scale, changed_weight)}
    assert len(fingerprints | {check.fingerprint(fb.read(content))}) == 3


@pytest.mark.parametrize("choice", STREAMING_FORMS)
def test_checks_pass_and_count_the_state(form: Callable, choice: tuple[str, str]) -> None:
    facts = check.check_file(fb.read(form("int8", "streaming", *choice)), quantized=True)
    assert facts["ops"]["CONV_2D"] == 15
    assert facts["ops"]["ADD"] == 5  # the residuals: batch norm left nothing behind
    states = {state["name"]: state for state in facts["states"]}
    expected = {f"state_conv{i}" for i in range(1, 6)} | {"state_global_pool"}
    assert set(states) == expected | ({"state_pcm"} if choice[0] == "pcm" else set())
    assert all(states[name]["dtype"] == "int8" and states[name]["scale"] for name in expected)
    pcm_bytes = 4 * 240 if choice[0] == "pcm" else 0
    assert facts["state_bytes"] == 2 * (64 + 32 * 8 + 16 * 16 + 8 * 32 + 4 * 64 + 128) + pcm_bytes


def test_external_states_have_one_name_and_one_scale_at_both_ends(form: Callable) -> None:
    content = form("int8", "streaming", "pcm", "external")
    runner = make_interpreter(content).get_signature_runner("embed")
    before, after = runner.get_input_details(), runner.get_output_details()
    assert set(before) - {"pcm"} == set(after) - {"embedding"}
    for name in set(before) - {"pcm"}:
        for key in ("dtype", "quantization"):
            assert before[name][key] == after[name][key]
        assert tuple(before[name]["shape"]) == tuple(after[name]["shape"])
    assert make_interpreter(content).get_signature_list().keys() == {"embed"}


def test_internal_state_adds_only_the_signature_reset(form: Callable) -> None:
    signatures = make_interpreter(form("int8", "streaming", "pcm")).get_signature_list()
    assert signatures == {
        "embed": {"inputs": ["pcm"], "outputs": ["embedding"]},
        "reset": {"inputs": ["trigger"], "outputs": ["done"]},
    }


def test_check_finds_a_float_encoder_labelled_int8(form: Callable) -> None:
    with pytest.raises(A2vError, match="QUANTIZE"):
        check.check_file(fb.read(form("float", "streaming", "pcm")), quantized=True)


def test_check_finds_a_state_whose_scales_differ(form: Callable) -> None:
    model = fb.read(form("int8", "streaming", "log_mel", "external"))
    outputs = fb.names(fb.signature(model, "embed").outputs)
    model.subgraphs[0].tensors[outputs["state_conv2"]].quantization.scale = [0.5]
    with pytest.raises(A2vError, match="state_conv2: the input is"):
        check.check_file(model, quantized=True)


def test_check_finds_an_unexpected_op(form: Callable) -> None:
    model = fb.read(form("int8", "streaming", "log_mel"))
    for code in model.operatorCodes:
        if code.builtinCode == fb.schema.BuiltinOperator.MAX_POOL_2D:
            code.builtinCode = code.deprecatedBuiltinCode = fb.schema.BuiltinOperator.CUSTOM
            code.customCode = "FlexMaxPool"
    with pytest.raises(A2vError, match="custom op CUSTOM:FlexMaxPool"):
        check.check_file(model, quantized=True)


def test_check_finds_other_embeddings(form: Callable, offline: Callable) -> None:
    model = fb.read(form("int8", "streaming", "log_mel"))
    largest = max(model.buffers, key=lambda b: 0 if b.data is None else len(b.data))
    largest.data = np.roll(largest.data, 1)
    reference = offline("int8", 4, "log_mel")
    with pytest.raises(A2vError, match="differs from the offline encoder by"):
        check.check_exactness(fb.write(model), reference, 4, quantized=True)


def test_quantised_encoder_is_reused_until_the_encoder_or_the_calibration_changes(
    model_dir: pathlib.Path, calibration: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted = []

    def count(encoder: keras.Model, slices: np.ndarray, how: Quantization) -> fb.Model:
        converted.append(len(slices))
        return fb.empty_model()

    monkeypatch.setattr(convert, "window_model", count)
    for settings in ({"seed": 0}, {"seed": 0}, {"seed": 1}):
        convert.model_of(model_dir, lambda: calibration, settings)
    assert len(converted) == 2
    for _ in range(2):
        convert.model_of(model_dir, lambda: calibration, {"seed": 1}, Quantization("mse"))
    assert len(converted) == 3
    encoder = model_dir / "encoder.keras"
    content = encoder.read_bytes()
    try:
        encoder.write_bytes(content + b"\0")
        convert.model_of(model_dir, lambda: calibration, {"seed": 1}, Quantization("mse"))
    finally:
        encoder.write_bytes(content)
        (model_dir / convert.QUANTIZED_CORE).unlink()
    assert len(converted) == 4


@pytest.mark.parametrize(
    ("slices", "message"),
    [
        (np.zeros((0, 96, 64), np.float32), r"\[0, 96, 64\]: expected \[at least 1, 96, 64\]"),
        (np.zeros((4, 90, 64), np.float32), r"\[4, 90, 64\]"),
        (np.full((4, 96, 64), np.nan, np.float32), "not finite"),
    ],
)
def test_refuses_calibration_slices_of_another_shape(
    encoder: keras.Model, slices: np.ndarray, message: str
) -> None:
    with pytest.raises(A2vError, match=message):
        convert.window_model(encoder, slices)
