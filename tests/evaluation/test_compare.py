"""Rows of all kinds, and the table of them."""

import dataclasses

import numpy as np
import pytest

from a2v_tf.errors import A2vError
from a2v_tf.evaluation import compare, finetune
from a2v_tf.evaluation.embeddings import WindowEmbedder, keras_embedder, spectrogram_embedder
from a2v_tf.evaluation.judged import Judged
from a2v_tf.evaluation.metrics import normalised
from a2v_tf.evaluation.settings import (
    ALL_CLIPS,
    Few,
    HeadSettings,
    Settings,
    TrainingSettings,
)
from a2v_tf.evaluation.tables import table
from tests.evaluation.conftest import Tones, tiny_encoder

TRAINING = TrainingSettings(steps=10, learning_rate=1e-2, batch_size=8)
COMMON = Settings(frames=48, heads=HeadSettings(steps=10))
TRAINED = ("supervised", "multihead")
KEYS = {
    "task",
    "model",
    "protocol",
    "finetune",
    "examples_per_class",
    "examples",
    "judge",
    "select",
    "train_slices",
    "curves",
    "accuracy",
    "low",
    "high",
    "n_test",
    "classes",
    "replicas",
    "task_parameters",
}


def noise(seed):
    rng = np.random.default_rng(seed)
    return WindowEmbedder(lambda batch: rng.normal(size=(len(batch), 4)).astype(np.float32))


@pytest.fixture(scope="module")
def rows():
    """The whole grid on two tasks, with few steps."""
    one, other = datasets = [Tones("a"), Tones("b")]
    models = {
        "mine": keras_embedder(tiny_encoder(frames=48)),
        "untrained": [noise(0), noise(1)],
        "spectrogram": spectrogram_embedder(),
    }
    settings = dataclasses.replace(
        COMMON,
        protocols=("linear", "sgd", "knn"),
        replicas=3,
        few=(ALL_CLIPS, Few(per_class=2), Few(total=5)),
    )
    few = dataclasses.replace(settings, replicas=1, few=(ALL_CLIPS,))

    def make(seed):
        return tiny_encoder(seed, 48)

    return [
        *compare.frozen(models, [one], dataclasses.replace(COMMON, protocols=["linear"])),
        *compare.frozen(models, [other], settings),
        *compare.fine_tuned("mine", make(0), ["none", "fc"], [other], TRAINING, few),
        *compare.supervised(make, [other], TRAINING, few),
        *compare.multi_head(make, datasets, TRAINING, few),
    ]


def test_kept_rows_are_not_judged_again(tmp_path, monkeypatch):
    datasets, settings = (
        [Tones("a"), Tones("a")],
        dataclasses.replace(COMMON, protocols=("linear",)),
    )
    models = {"mine": keras_embedder(tiny_encoder(frames=48)), "noise": [noise(0), noise(1)]}

    def grid():
        judged = Judged(tmp_path / "kept", {})
        encoder = tiny_encoder(frames=48)
        common = (TRAINING, settings, judged)
        return [
            *compare.frozen(models, datasets, settings, None, judged),
            *compare.fine_tuned("mine", encoder, ["fc"], datasets, *common),
            *compare.supervised(lambda seed: encoder, datasets, *common),
            *compare.multi_head(lambda seed: encoder, datasets[:1], *common),
        ]

    first = grid()
    assert len((tmp_path / "kept").read_text().splitlines()) == 1 + 4 + 2 + 2 + 1
    for name in ("_embedded", "_held_out", "fine_tune"):
        monkeypatch.setattr(compare, name, lambda *_, **__: pytest.fail("judged again"))
    assert grid() == first


def test_every_row_has_every_key(rows):
    assert all(set(row) == KEYS for row in rows)
    for row in rows:
        assert row["low"] <= row["accuracy"] <= row["high"] + 1e-9
        assert row["accuracy"] == pytest.approx(np.mean(row["replicas"]))


def test_rows_of_the_grid(rows):
    found = [
        (
            *(row["model"], row["protocol"], row["finetune"]),
            Few(row["examples_per_class"], row["examples"]),
        )
        for row in rows
        if row["task"] == "b"
    ]
    frozen = {
        (model, protocol, "none", few)
        for model in ("mine", "untrained", "spectrogram")
        for protocol in ("linear", "sgd", "knn")
        for few in (ALL_CLIPS, Few(per_class=2), Few(total=5))
    }
    trained = {
        ("mine", "finetune", "fc", ALL_CLIPS),
        *((model, "finetune", "all", ALL_CLIPS) for model in TRAINED),
        *((model, "knn", "none", ALL_CLIPS) for model in TRAINED),
    }
    assert set(found) == frozen | trained
    assert len(found) == len(set(found))


def test_replicas_where_there_is_randomness(rows):
    counts = {
        (row["model"], row["protocol"], row["examples_per_class"]): len(row["replicas"])
        for row in rows
        if row["finetune"] == "none" and not row["examples"]
    }
    assert counts["mine", "linear", None] == 1  # logistic regression has none
    assert counts["mine", "linear", 2] == 3  # but the choice of clips has
    assert counts["mine", "sgd", None] == counts["mine", "knn", None] == 3
    assert counts["untrained", "linear", None] == 2  # its seeds
    assert counts["untrained", "sgd", None] == 3


def test_task_parameters(rows):
    found = {row["model"]: row["task_parameters"] for row in rows if row["protocol"] == "finetune"}
    assert found["multihead"] == 5 * 2  # its encoder is no task's own
    assert found["supervised"] > found["mine"] == 5 * 2 + 4 * 5


def test_the_table_shows_all_and_lines_up(rows):
    text = table(rows + compare.means(rows))
    for title in ("-- linear --", "-- sgd, 2 examples per class --", "-- knn --"):
        assert title in text
    blocks = text.split("-- ")
    finetune = next(block for block in blocks if block.startswith("finetune --")).splitlines()
    assert finetune[1].split() == ["task", "classes", "test", "mine", "fc", *TRAINED]
    assert [line.split()[0] for line in finetune[2:5]] == ["a", "b", "mean"]
    assert len(finetune[1]) == len(finetune[2]) == len(finetune[3])
    assert max(map(len, text.splitlines())) < 130
    assert "-- sgd, 5 examples --" in text
    words = " ".join(text.split("protocol:")[1].split())
    assert "clips are judged" in words
    assert "up to 8 slices at random positions of each training clip" in words
    assert "of the best round by validation" in words


def row(model, protocol="knn", finetune="none", accuracy=0.5):
    return {
        "task": "birds",
        "model": model,
        "protocol": protocol,
        "finetune": finetune,
        "examples_per_class": None,
        "accuracy": accuracy,
        "low": accuracy - 0.1,
        "high": accuracy + 0.1,
        "n_test": 10,
        "classes": 2,
        "replicas": [accuracy - 0.01, accuracy + 0.01],
    }


def test_many_models_go_below_one_another():
    text = table([row(f"model{i}") for i in range(8)])
    assert text.count("birds") == 2
    assert "50.0 [40.0,  60.0]" in text


def test_normalised_blocks_follow():
    rows = [
        row("mine", "sgd"),
        row("untrained", "sgd", accuracy=0.4),
        row("supervised", "finetune", "all", 0.8),
    ]
    text = table(rows, normalised(rows))
    head, block = text.split("-- sgd, normalised (SPL: 0 is untrained) --")
    assert "50.0 [40.0,  60.0]" in head
    lines = block.splitlines()
    assert lines[1].split() == ["task", "mine", "untrained"]
    assert lines[2].split("  ")[0] == "birds"
    assert " 0.25 [-0.07,  0.57]" in lines[2]  # t(1) = 12.7 times 0.01, of 0.4


def test_val_clips_judge_and_test_clips_play_no_part():
    """With `split="val"` nothing changes when test clips do, and as many clips as val has count."""

    class OtherTests(Tones):
        def clips(self, max_bad_fraction=0.1):
            for clip, pcm in super().clips(max_bad_fraction):
                yield clip, pcm[::-1] * 0.1 if clip.split == "test" else pcm

    models = {"mine": keras_embedder(tiny_encoder(frames=48))}
    settings = dataclasses.replace(COMMON, protocols=("linear", "knn", "knn_clips"), split="val")
    rows, same = (compare.frozen(models, [data], settings) for data in (Tones(), OtherTests()))
    assert rows == same
    assert [row["n_test"] for row in rows if row["protocol"] != "knn"] == [2, 2]
    with pytest.raises(A2vError, match="no readable val clips"):
        compare.frozen(models, [Tones(val=False)], settings)


def test_slices_are_judged_of_what_is_trained_end_to_end_too(monkeypatch):
    """SPL section IV: during training and evaluation, slices uniformly at random."""
    judges = []
    plain = finetune.accuracy_of

    def spy(classifier, name, judge, split):
        judges.append((judge.judge, bool(judge.drawn.all())))
        return plain(classifier, name, judge, split)

    monkeypatch.setattr(finetune, "accuracy_of", spy)
    settings = dataclasses.replace(COMMON, protocols=("sgd",), judge="slices", select="last")
    encoder = tiny_encoder(frames=48)
    rows = [
        *compare.frozen({"mine": keras_embedder(encoder)}, [Tones()], settings),
        *compare.fine_tuned("mine", encoder, ["fc"], [Tones()], TRAINING, settings),
        *compare.supervised(lambda seed: encoder, [Tones()], TRAINING, settings),
    ]
    assert {(row["judge"], row["select"], row["n_test"]) for row in rows} == {("slices", "last", 4)}
    assert set(judges) == {("slices", True)}
    assert [len(row["curves"]) for row in rows] == [0, 1, 1]
    ((*_, (steps, accuracy)),) = rows[1]["curves"]
    assert steps == 10
    assert 0 <= accuracy <= 1
