"""Converted files in ONNX Runtime give the bits of the TFLite files in XNNPACK."""

import functools
import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
import pytest

from a2v_tf.errors import A2vError
from a2v_tf.export import build
from a2v_tf.export import onnx as ours
from a2v_tf.runtime.embedder import Embedder
from tests.conftest import run_command
from tests.runtimes.conftest import Form, steps_of, windows_of


@functools.cache
def _converted(content: bytes) -> bytes:
    return ours.to_onnx(content)


def _both(content: bytes, steps: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings in ONNX Runtime and in LiteRT, `[steps, d]`."""
    return tuple(
        np.stack([each.embed(step) for step in steps])
        for each in (ours.OnnxEmbedder(_converted(content)), Embedder(content))
    )


@pytest.mark.parametrize(
    ("encoder", "hop_ms"), [("small", 10), ("small", 80), ("pretrained", 10), ("pretrained", 80)]
)
def test_a_stream_of_log_mel_is_bit_exact(form: Form, encoder: str, hop_ms: int) -> None:
    got, expected = _both(
        form(encoder, "streaming", "log_mel", hop_ms=hop_ms), steps_of("log_mel", hop_ms)
    )
    np.testing.assert_array_equal(got, expected)
    assert len(np.unique(got, axis=0)) > len(got) / 2  # the states advance


@pytest.mark.parametrize("encoder", ["small", "pretrained"])
def test_windows_of_log_mel_are_bit_exact(form: Form, encoder: str) -> None:
    got, expected = _both(form(encoder, "window", "log_mel"), windows_of("log_mel"))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("mode", ["streaming", "window"])
def test_pcm_differs_by_rounding_in_the_float_front_end_only(form: Form, mode: str) -> None:
    """The front ends differ in a last bit: some values lie between two int8 values, and change."""
    steps = steps_of("pcm", 80) if mode == "streaming" else windows_of("pcm")
    got, expected = _both(form("small", mode, "pcm"), steps)
    step = np.diff(np.unique(expected)).min()
    assert np.abs(got - expected).max() < 1.5 * step
    assert (got != expected).mean() < 0.05


def test_the_front_end_differs_by_a_last_bit(form: Form) -> None:
    """A state of `multiscale` is the front end's result, standardised."""
    content = form("pretrained", "streaming", "pcm")
    other, embedder = ours.OnnxEmbedder(_converted(content)), Embedder(content)
    for step in steps_of("pcm", 80):
        other.embed(step)
        embedder.embed(step)
        theirs, mine = (each["state_log_mel"] for each in (other.states, embedder._states))
        np.testing.assert_allclose(theirs, mine, rtol=0, atol=4e-6)


def test_states_start_at_their_zero_points_and_the_metadata_say_so(form: Form) -> None:
    content = form("small", "streaming", "log_mel")
    converted = onnx.load_from_string(_converted(content))
    onnx.checker.check_model(converted)
    told = {entry.key: entry.value for entry in converted.metadata_props}
    assert told["author"] == "Somebody"
    facts = json.loads(told["a2v_tf.facts"])
    assert (facts["encoder"], facts["hop_ms"], facts["embedding_dim"]) == ("small", 80, 128)
    assert json.loads(told["a2v_tf.training"]) == {"seed": 7}
    starts = {name: state["start"] for name, state in json.loads(told["a2v_tf.states"]).items()}
    details = Embedder(content)._embed.get_input_details()
    assert starts == {  # as uint8
        name: detail["quantization"][1] + 128
        for name, detail in details.items()
        if name != "log_mel"
    }
    outputs = [output.name for output in converted.graph.output]
    assert sorted(outputs) == sorted(["embedding", *(f"next_{name}" for name in starts)])


def test_reset_starts_a_new_stream(form: Form) -> None:
    embedder = ours.OnnxEmbedder(_converted(form("small", "streaming", "log_mel")))
    steps = steps_of("log_mel", 80)[:5]
    first = [embedder.embed(step) for step in steps]
    embedder.reset()
    np.testing.assert_array_equal([embedder.embed(step) for step in steps], first)


def test_internal_state_cannot_be_converted(form: Form) -> None:
    with pytest.raises(A2vError, match="external state"):
        ours.to_onnx(form("small", "streaming", "log_mel", "internal"))


def test_export_converts_and_checks(tmp_path: pathlib.Path) -> None:
    output = tmp_path / "model.onnx"
    summary = build.export_file(
        "pretrained", output, quantize=True, input="log_mel", hop_ms=80, format="onnx"
    )
    assert summary["state"] == "external"
    assert summary["file_bytes"] == output.stat().st_size
    assert summary["onnx_runtime"]["bit_exact"]
    session = onnxruntime.InferenceSession(output)
    assert json.loads(session.get_modelmeta().custom_metadata_map["a2v_tf.training"])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--output=m.tflite"], "expected a name ending in .onnx"),
        (["--output=m.onnx", "--state=internal"], "expected no --state=internal"),
        (["--output=m.onnx", "--part=reconstruct"], "expected --part=encoder"),
        (
            ["--output=m.onnx", "--quantize", "--activations=int16"],
            "ONNX Runtime has no int16 convolutions: expected int8",
        ),
    ],
)
def test_command_refuses_in_one_line(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    usual = ["--model_dir=pretrained", "--format=onnx"]
    run = run_command("export_tflite", *usual, *flags, fails=True, here=True)
    assert message in run.stderr
    assert "Traceback" not in run.stderr


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(A2vError, match=r"pip install 'a2v_tf\[onnx\]'"):
        ours.check_possible()
