"""Classifiers: heads behind the encoder, in every form, and the files' checks and errors."""

import functools
import itertools
import json
import pathlib
import shutil
from collections.abc import Callable

import keras
import numpy as np
import pytest
import scipy.special

from a2v_tf.errors import A2vError
from a2v_tf.evaluation.saved_heads import (
    Head,
    HeadOrigin,
    HeadStore,
    read_head,
    weights_key,
)
from a2v_tf.evaluation.settings import Few
from a2v_tf.export import build, check, convert
from a2v_tf.export import flatbuffer as fb
from a2v_tf.export.classifier import ClassifierPart
from a2v_tf.export.part import Origin
from a2v_tf.export.quantize import Quantization
from a2v_tf.runtime import metadata
from a2v_tf.runtime.classifier import Classified, Classifier
from a2v_tf.runtime.embedder import KERNELS, Embedder, make_interpreter
from tests.conftest import run_command
from tests.export.signals import STEPS, frames_of, stream_of, with_silence

LABELS = ("dog", "cat", "rain")
STATES = ("internal", "external")
Save = Callable[..., pathlib.Path]


@pytest.fixture(scope="module")
def saved(
    tmp_path_factory: pytest.TempPathFactory,
    encoder: keras.Model,
    windows: dict[str, fb.Model],
    calibration: np.ndarray,
) -> Save:
    """`saved(layers=, tuned=)`: the directory of a head with random weights."""
    embeddings = convert.embeddings_of(windows["float"], calibration)

    @functools.cache
    def save(layers: int = 1, tuned: bool = False) -> pathlib.Path:
        rng = np.random.default_rng(layers)
        sizes = [128, *([8] if layers == 2 else []), 3]
        x, weights = embeddings, []
        for size in sizes[1:]:  # logits of about the same size
            kernel = rng.normal(0, 2 / x.std(axis=0).mean() / len(x[0]) ** 0.5, (len(x[0]), size))
            weights.append((kernel, -x.mean(axis=0) @ kernel))
            x = np.maximum(x @ kernel + weights[-1][1], 0)
        origin = HeadOrigin("pets", "linear", "none", Few(), {"encoder": weights_key(encoder)})
        directory = tmp_path_factory.mktemp("heads")
        config = {"frames": 96, "bins": 64, "encoder": "small"}
        config["front_end"] = vars(check.FRONT_END)
        HeadStore(directory, config).save(
            *(origin, Head(LABELS, tuple(weights)), 0.9, embeddings),
            encoder=encoder if tuned else None,
            slices=calibration if tuned else None,
        )
        return directory / origin.name

    return save


@pytest.fixture(scope="module")
def classifier(
    saved: Save, windows: dict[str, fb.Model], model_dir: pathlib.Path, calibration: np.ndarray
) -> Callable[..., bytes]:
    """`classifier(numbers, mode, input, state, layers)`: the content of a file, hop 320 ms."""

    @functools.cache
    def content(numbers: str, mode: str, input: str, state: str = "", layers: int = 1) -> bytes:
        part, window = _part(numbers, layers)
        form = build.build_form(window, mode=mode, state=state, input=input, hop_frames=32)
        form = part.signed(form, mode)
        facts = dict.fromkeys(build.metadata.NEEDED, None)
        facts |= {"encoder": "small", "quantized": numbers == "int8", "input": input}
        facts |= {"window_ms": 975.0, "front_end": vars(check.FRONT_END), "mode": mode}
        build.metadata.attach(form, {**facts, **part.facts})
        return fb.write(form)

    @functools.cache
    def _part(numbers: str, layers: int) -> tuple[ClassifierPart, fb.Model]:
        slices = (lambda: calibration) if numbers == "int8" else None
        head = read_head(saved(layers))
        part = ClassifierPart(
            Origin(model_dir, {}, windows[numbers], slices, Quantization(), head=head)
        )
        return part, part.extended(windows[numbers])

    content.window = lambda numbers, layers=1: _part(numbers, layers)[1]
    return content


def run_offline(window: fb.Model, kernels: str, input: str, values: np.ndarray) -> np.ndarray:
    offline = fb.write(build.build_offline(window, STEPS, input=input, hop_frames=32))
    return make_interpreter(offline, kernels).get_signature_runner("embed")(
        **{input: values[None]}
    )["scores"]


@pytest.mark.parametrize(
    ("kernels", "input", "state", "layers"),
    [
        *itertools.product(KERNELS, ["pcm", "log_mel"], STATES, [1]),
        ("xnnpack", "log_mel", "internal", 2),
    ],
)
def test_int8_scores_of_stream_window_and_offline_are_equal(
    classifier: Callable, kernels: str, input: str, state: str, layers: int
) -> None:
    pcm = stream_of("bursts_and_silence")
    values = pcm if input == "pcm" else frames_of(pcm)
    whole = with_silence(pcm) if input == "pcm" else values
    expected = run_offline(classifier.window("int8", layers), kernels, input, whole)
    assert np.ptp(expected, axis=0).min() > 0.1  # every score changes in time
    streaming = Classifier(classifier("int8", "streaming", input, state, layers), kernels)
    window = Classifier(classifier("int8", "window", input, "", layers), kernels)
    first = 15_600 if input == "pcm" else 96
    for _ in range(2):  # the second time after `reset`
        got = [streaming.classify(chunk) for chunk in np.split(values, STEPS)]
        np.testing.assert_array_equal([found.scores for found in got], expected)
        np.testing.assert_array_equal(got[2].scores, window.classify(whole[:first]).scores)
        streaming.reset()


@pytest.mark.parametrize("state", STATES)
def test_any_chunks_give_the_same_scores(classifier: Callable, state: str) -> None:
    pcm = stream_of("chirp")
    rng = np.random.default_rng(0)
    model = Classifier(classifier("int8", "streaming", "pcm", state))
    expected = model.classify_stream(pcm)
    assert len(expected) == STEPS
    for _ in range(3):
        model.reset()
        cuts = np.sort(rng.integers(0, len(pcm), 20))
        got = [found for chunk in np.split(pcm, cuts) for found in model.classify_stream(chunk)]
        for one, other in zip(got, expected, strict=True):
            assert (one.label, one.score) == (other.label, other.score)
            np.testing.assert_array_equal(one.scores, other.scores)
            np.testing.assert_array_equal(one.embedding, other.embedding)


@pytest.mark.parametrize("numbers", ["int8", "float"])
def test_a_classifier_is_an_encoder_file_with_equal_embeddings(
    classifier: Callable, form: Callable, numbers: str
) -> None:
    pcm = stream_of("chirp")
    expected = Embedder(form(numbers, "streaming", "pcm")).stream(pcm)
    content = classifier(numbers, "streaming", "pcm", "internal")
    np.testing.assert_array_equal(Embedder(content).stream(pcm), expected)
    found = Classifier(content).classify_stream(pcm)
    np.testing.assert_array_equal([each.embedding for each in found], expected)


def test_both_signatures_advance_one_stream(classifier: Callable) -> None:
    hops = np.split(stream_of("chirp"), STEPS)
    model = Classifier(classifier("int8", "streaming", "pcm", "internal"))
    expected = [model.classify(hop).embedding for hop in hops]
    model.reset()
    got = [
        model.embed(hop) if i % 2 else model.classify(hop).embedding for i, hop in enumerate(hops)
    ]
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("layers", [1, 2])
def test_scores_are_the_softmax_of_the_head(classifier: Callable, saved: Save, layers: int) -> None:
    """Float: of the head in NumPy; int8: nearly so, and mostly with the same label."""
    head = read_head(saved(layers)).head
    frames = frames_of(stream_of("bursts_and_silence"))
    for numbers, tolerance in (("float", 1e-4), ("int8", 0.1)):
        model = Classifier(classifier(numbers, "streaming", "log_mel", "internal", layers))
        found = [model.classify(step) for step in np.split(frames, STEPS)]
        logits = head.logits(np.stack([each.embedding for each in found]))
        expected = scipy.special.softmax(logits, axis=-1)
        scores = np.stack([each.scores for each in found])
        np.testing.assert_allclose(scores, expected, atol=tolerance)
        np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)
        assert [each.label for each in found] == [LABELS[i] for i in scores.argmax(axis=1)]
        assert [each.score for each in found] == [float(row.max()) for row in scores]


def test_the_head_takes_the_encoders_integers(classifier: Callable) -> None:
    """One QUANTIZE, of the log-mel; the embedding and the logits are dequantised."""
    content = classifier("int8", "streaming", "log_mel", "external")
    facts = check.check_file(fb.read(content), quantized=True)
    assert (facts["ops"]["QUANTIZE"], facts["ops"]["DEQUANTIZE"]) == (1, 2)
    assert facts["ops"]["SOFTMAX"] == 1
    plain = fb.read(content)
    plain.signatureDefs = [s for s in plain.signatureDefs if s.signatureKey == b"embed"]
    with pytest.raises(A2vError, match="has the op SOFTMAX in its encoder"):
        check.check_file(plain, quantized=True)


@pytest.mark.parametrize(
    "options",
    [
        {"quantize": True, "hop_ms": 80},
        {"quantize": True, "mode": "window"},
        {"quantize": True, "activations": "int16", "state": "external", "input": "log_mel"},
        {"quantize": True, "ranges": "mse", "mode": "window", "input": "log_mel"},
        {},
    ],
)
def test_export(model_dir: pathlib.Path, saved: Save, tmp_path: pathlib.Path, options) -> None:
    output = tmp_path / "pets.tflite"
    summary = build.export_file(
        model_dir, output, part="classifier", head=saved(), calibration_slices=8, **options
    )
    assert json.loads(json.dumps(summary)) == summary
    assert summary["exactness"]["bit_exact"] or not options
    assert summary["labels"] == list(LABELS)
    facts = metadata.read(output)["facts"]
    assert (facts["part"], facts["labels"]) == ("classifier", list(LABELS))
    assert facts["trained_on"] == {
        "dataset": "pets",
        "protocol": "linear",
        "finetune": "none",
        "accuracy": 0.9,
    }
    described = {each["name"]: each for each in metadata.read(output)["outputs"]}
    assert described["scores"]["dimension_names"] == ["batch", "label"]
    plain = build.export_file(model_dir, output, calibration_slices=8, **options)
    assert plain["weights_and_scales"] == facts["encoder_weights_and_scales"]
    assert plain["weights_and_scales"] != summary["weights_and_scales"]
    assert plain["labels"] is None


def test_a_fine_tuned_head_brings_its_encoder_and_calibration(
    model_dir: pathlib.Path, saved: Save, tmp_path: pathlib.Path
) -> None:
    output = tmp_path / "pets.tflite"
    flags = [f"--output={output}", "--part=classifier", f"--head={saved(tuned=True)}"]
    run = run_command("export_tflite", *flags, "--quantize", here=True)
    assert "pcm -> scores [3], embedding [128]" in run.stdout
    assert "labels           dog, cat, rain" in run.stdout
    assert "steps equal the offline encoder's bit for bit" in run.stdout
    found = Classifier(output).classify_stream(stream_of("chirp"))
    assert isinstance(found[0], Classified)
    failed = run_command("export_tflite", *flags, f"--model_dir={model_dir}", fails=True)
    assert "has an encoder of its own, fine-tuned with it; expected no --model_dir" in failed.stderr


def test_errors(model_dir: pathlib.Path, saved: Save, tmp_path: pathlib.Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(saved(), other)
    facts = json.loads((other / "head.json").read_text())
    facts["depends_on"]["encoder"] = "another"
    (other / "head.json").write_text(json.dumps(facts))
    wrong = tmp_path / "wrong"
    shutil.copytree(saved(), wrong)
    (wrong / "head.json").write_text(json.dumps({**facts, "labels": ["dog", "cat"]}))
    directory = [f"--model_dir={model_dir}"]
    head = [f"--head={saved()}", "--part=classifier"]
    for flags, message in (
        ([*directory, "--part=classifier"], "--part=classifier: expected --head, a directory"),
        ([*directory, head[0]], "is for --part=classifier only, not encoder"),
        (head, "expected --model_dir of the encoder on which --head="),
        ([], "expected --model_dir: a directory that a2v_train wrote"),
        ([*directory, f"--head={model_dir}", head[1]], "is no head: expected a directory that"),
        ([*directory, f"--head={other}", head[1]], "was trained on another encoder than that of"),
        ([*directory, f"--head={wrong}", head[1]], "do not lead from embeddings [16, 128] to 2"),
        ([*directory, "--part=ear"], "--part"),
    ):
        run = run_command("export_tflite", *flags, f"--output={tmp_path}/x.tflite", fails=True)
        assert message in run.stderr
        assert "Traceback" not in run.stderr
        assert len(run.stderr.strip().splitlines()) == 1 or message == "--part"
    assert not list(tmp_path.glob("*.tflite"))


def test_runtime_errors(classifier: Callable, form: Callable) -> None:
    with pytest.raises(A2vError, match="expected 'classify', as a file of export_tflite --part"):
        Classifier(form("int8", "streaming", "pcm"))
    content = classifier("int8", "window", "pcm")
    with pytest.raises(A2vError, match="a window model cannot stream"):
        Classifier(content).classify_stream(np.zeros(10, np.float32))
    model = fb.read(content)
    build.metadata.attach(
        model,
        {
            **dict.fromkeys(build.metadata.NEEDED, None),
            **{"encoder": "small", "input": "pcm", "quantized": True, "window_ms": 975.0},
            **{"mode": "window", "front_end": vars(check.FRONT_END), "labels": ["a", "b"]},
        },
    )
    with pytest.raises(A2vError, match=r"scores are \[1, 3\] for the labels \['a', 'b'\]"):
        Classifier(fb.write(model))
