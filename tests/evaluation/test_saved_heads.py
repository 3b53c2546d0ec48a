"""Kept heads: their probabilities are those that were judged, and nothing overwrites them."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import scipy.special

from a2v_tf.errors import A2vError
from a2v_tf.evaluation import saved_heads
from a2v_tf.evaluation.compare import HEADS
from a2v_tf.evaluation.heads import sgd
from a2v_tf.evaluation.saved_heads import Head, HeadOrigin, HeadStore, read_head, weights_key
from a2v_tf.evaluation.settings import TRAINED_HEADS, Few, HeadSettings
from tests.commands.test_embed import model_dir as model_dir  # an untrained model
from tests.conftest import run_command
from tests.evaluation.conftest import blobs, tiny_encoder, write_task

QUICK = HeadSettings(steps=50, learning_rate=1e-2, hidden=8)
ORIGIN = HeadOrigin("tones", "linear", "none", Few(per_class=5), {"seed": 0, "data": "abc"})
EMBEDDINGS = np.ones((3, 6), np.float32)


def probabilities(head: Head, embeddings: np.ndarray) -> np.ndarray:
    return scipy.special.softmax(head.logits(embeddings), axis=-1)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("protocol", TRAINED_HEADS)
def test_the_head_classifies_as_it_was_judged(protocol, classes):
    """Clips by naive Bayes, from the probabilities of the head that is kept."""
    windows = blobs(separation=0.3, classes=classes, clips=40)
    score = HEADS[protocol](windows, 0, QUICK)
    assert score.head.labels == windows.classes
    assert 0.4 < score.accuracy < 1.0  # one that another head would not have
    predict = lambda rows: probabilities(score.head, windows.flat(rows))  # noqa: E731
    assert windows.accuracy("test", predict) == score.accuracy


def test_two_classes_have_two_scores():
    windows = blobs(separation=0.3, classes=2, clips=40)
    head = HEADS["linear"](windows).head
    found = probabilities(head, windows.flat(windows.rows("test")))
    assert found.shape[1] == 2
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert 0.0 < found.min() < 0.4


def test_labels_are_the_classes_that_have_training_clips():
    windows = blobs(classes=3)
    splits = np.where(windows.labels == 1, "test", windows.splits)
    head = HEADS["linear"](dataclasses.replace(windows, splits=splits)).head
    assert head.labels == ("class0", "class2")


def test_what_is_saved_is_read(tmp_path):
    head = sgd(blobs(), 0, QUICK).head
    store = HeadStore(tmp_path / "new" / "heads", {})
    assert not store.has(ORIGIN)
    store.save(ORIGIN, head, 0.75, EMBEDDINGS)
    assert store.has(ORIGIN)
    assert store.names == ["tones-linear-5_per_class"]
    path = tmp_path / "new" / "heads" / "tones-linear-5_per_class"
    assert sorted(file.name for file in path.iterdir()) == ["head.json", "head.npz"]
    found = read_head(path)
    assert found.head.labels == head.labels
    np.testing.assert_array_equal(found.head.logits(EMBEDDINGS), head.logits(EMBEDDINGS))
    np.testing.assert_array_equal(found.embeddings, EMBEDDINGS)
    assert not found.has_encoder
    assert found.facts["accuracy"] == 0.75
    assert found.facts["depends_on"] == {"seed": 0, "data": "abc"}


def test_a_fine_tuned_head_is_a_model_directory(tmp_path):
    encoder = tiny_encoder(frames=48)
    head = Head(("a", "b"), ((np.ones((5, 2), np.float32), np.zeros(2, np.float32)),))
    origin = dataclasses.replace(ORIGIN, protocol="finetune", depth="conv3", few=Few())
    slices = np.zeros((300, 48, 64), np.float32)
    HeadStore(tmp_path, {"frames": 48}).save(
        origin, head, 1.0, np.ones((300, 5)), encoder=encoder, slices=slices
    )
    path = tmp_path / "tones-finetune-conv3"
    found = read_head(path)
    assert found.has_encoder
    assert found.slices.shape == (256, 48, 64)
    assert found.embeddings.shape == (256, 5)
    config = json.loads((path / "config.json").read_text())
    assert (config["frames"], config["task"], config["data"]) == (48, "supervised", "tones")
    loaded = keras.models.load_model(path / "encoder.keras", compile=False)
    assert weights_key(loaded) == weights_key(encoder)


def test_a_head_of_another_evaluation_is_not_overwritten(tmp_path):
    head = sgd(blobs(), 0, QUICK).head
    store = HeadStore(tmp_path, {})
    store.save(ORIGIN, head, 0.75, EMBEDDINGS)
    path = tmp_path / ORIGIN.name / "head.npz"
    before = path.stat().st_mtime_ns
    store.save(ORIGIN, head, 0.75, EMBEDDINGS)  # the same again: kept
    assert path.stat().st_mtime_ns == before
    other = dataclasses.replace(ORIGIN, depends_on={"seed": 1, "data": "abd"})
    with pytest.raises(A2vError, match=r"is a head of another evaluation \(seed, data\)") as error:
        store.save(other, head, 0.75, EMBEDDINGS)
    assert "\n" not in str(error.value)
    assert path.stat().st_mtime_ns == before


def test_what_a_kill_leaves_is_removed(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    head = sgd(blobs(), 0, QUICK).head
    store = HeadStore(tmp_path, {})
    monkeypatch.setattr(saved_heads, "write_json", stop)
    with pytest.raises(KeyboardInterrupt):
        store.save(ORIGIN, head, 0.75, EMBEDDINGS)
    assert not list(tmp_path.iterdir())
    (tmp_path / ".0123456789ab.tones-linear").mkdir()
    HeadStore(tmp_path, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("facts", "arrays", "message"),
    [
        (None, {}, "is no head: expected a directory that a2v_evaluate --save_heads wrote"),
        ({"labels": "ab"}, {}, "is no head: expected"),
        ({"labels": ["a", "b"]}, {}, "is damaged: its layers  do not lead"),
        (
            {"labels": ["a", "b"]},
            {"kernel0": np.ones((6, 3)), "bias0": np.ones(3)},
            r"its layers \[6, 3\] do not lead from embeddings \[3, 6\] to 2 labels",
        ),
        (
            {"labels": ["a", "b"]},
            {"kernel0": np.ones((6, 2)), "bias0": np.full(2, np.nan)},
            "is damaged",
        ),
    ],
)
def test_damaged_heads(tmp_path, facts, arrays, message):
    if facts is not None:
        (tmp_path / "head.json").write_text(json.dumps(facts))
    np.savez(tmp_path / "head.npz", embeddings=EMBEDDINGS, **arrays)
    with pytest.raises(A2vError, match=message) as error:
        read_head(tmp_path)
    assert "\n" not in str(error.value)


def test_command(model_dir, tmp_path):
    heads = tmp_path / "heads"
    command = [
        "a2v_evaluate",
        f"--model_dir={model_dir}",
        f"--downstream=csv:{write_task(tmp_path)}",
        *("--protocols=linear,two_layer,knn", "--baselines=spectrogram", "--cache_dir="),
        *("--head_steps=5", "--finetune=none,fc", "--finetune_steps=2"),
        *("--finetune_batch_size=4", "--replicas=2", f"--save_heads={heads}"),
        f"--output={tmp_path}/results.json",
    ]
    names = ["tones-finetune-fc", "tones-linear", "tones-two_layer"]
    run = run_command(*command, here=True)
    for name in names:
        assert f"Head in {heads / name}\n" in run.stdout
    assert sorted(path.name for path in heads.iterdir()) == names
    for name, layers in zip(names, (1, 1, 2), strict=True):
        head = read_head(heads / name).head
        assert (head.labels, len(head.layers)) == (("high", "low"), layers)
    rows = json.loads((tmp_path / "results.json").read_text())["results"]
    judged = next(row for row in rows if row["protocol"] == "two_layer")
    assert read_head(heads / names[2]).facts["accuracy"] == judged["replicas"][0]

    failed = run_command(*command, "--seed=5", fails=True)
    assert "is a head of another evaluation (seed): expected another directory" in failed.stderr
    for flag, message in (
        ("--select=last", "export_tflite takes the best encoder; expected --select=best"),
        (f"--model_dir={model_dir},{model_dir}", "heads on several models are not kept"),
    ):
        failed = run_command(*command, "--finetune=none", flag, fails=True)
        assert message in failed.stderr


def test_a_stopped_evaluation_makes_up_for_heads_that_are_missing(model_dir, tmp_path, monkeypatch):
    heads = tmp_path / "heads"
    command = [
        "a2v_evaluate",
        f"--model_dir={model_dir}",
        f"--downstream=csv:{write_task(tmp_path)}",
        *("--protocols=linear,sgd", "--baselines=", "--cache_dir=", "--head_steps=5"),
        *(f"--save_heads={heads}", f"--output={tmp_path}/results.json"),
    ]
    save = HeadStore.save

    def fail_at_sgd(self, origin, *arguments, **options):
        if origin.protocol == "sgd":
            raise A2vError("stopped")
        save(self, origin, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(HeadStore, "save", fail_at_sgd)
        assert "stopped" in run_command(*command, fails=True).stderr
    assert (tmp_path / "results.json.unfinished").exists()
    before = (heads / "tones-linear" / "head.npz").stat().st_mtime_ns
    run_command(*command, here=True)
    assert (heads / "tones-linear" / "head.npz").stat().st_mtime_ns == before
    assert read_head(heads / "tones-sgd").head.labels == ("high", "low")
