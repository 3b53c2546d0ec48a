"""The probes and what they are made of, against small references."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a2v_tf.evaluation.compare import evaluate, means, table, wilson
from a2v_tf.evaluation.downstream import read_csv
from a2v_tf.evaluation.embeddings import Embedder, embed_task, spectrogram_embedder
from a2v_tf.evaluation.probes import PROBES, SMOOTHING, aggregate


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_naive_bayes_equals_a_loop(seed):
    rng = np.random.default_rng(seed)
    clips, classes = rng.integers(1, 5), rng.integers(2, 6)
    window_clip = np.concatenate([np.arange(clips), rng.integers(0, clips, 7)])
    probabilities = rng.dirichlet(np.ones(classes), len(window_clip))
    want = []
    for clip in range(clips):
        score = np.zeros(classes)
        for p, c in zip(probabilities, window_clip, strict=True):
            if c == clip:
                score += [math.log(x + SMOOTHING) for x in p]
        want.append(np.argmax(score))
    np.testing.assert_array_equal(aggregate(probabilities, window_clip, clips), want)


def test_wilson_against_textbook_values():
    """8 of 10: Wilson's interval is 0.490 to 0.943."""
    assert wilson(0.8, 10) == pytest.approx((0.490162, 0.943318), abs=1e-5)
    assert wilson(0.0, 5)[0] == pytest.approx(0.0)
    assert wilson(1.0, 5)[1] == pytest.approx(1.0)


@pytest.mark.parametrize("protocol", PROBES)
def test_separable_classes_are_separated_and_noise_is_not(protocol, task_csv):
    rng = np.random.default_rng(0)
    models = {
        "spectrogram": spectrogram_embedder(),
        "noise": Embedder(lambda batch: rng.normal(size=(len(batch), 8))),
    }
    rows = evaluate(models, [read_csv(task_csv)], protocols=[protocol])
    by_model = {row["model"]: row for row in rows}
    assert by_model["spectrogram"]["accuracy"] == 1.0
    assert by_model["spectrogram"]["n_test"] == 4
    assert by_model["noise"]["accuracy"] < 1.0


def test_windows_of_clips(task_csv):
    """A clip of 1.5 s has two windows of 975 ms half a window apart, in float32 log-mel."""
    shapes = []

    def embed(batch):
        shapes.append(batch.shape[1:])
        return batch.mean(axis=(1, 2))[:, np.newaxis]

    embedded = embed_task(read_csv(task_csv), {"mean": Embedder(embed)})
    assert shapes[0] == (96, 64)
    assert np.bincount(embedded.window_clip).tolist() == [2] * 14


def test_seeds_are_averaged_and_means_too(task_csv):
    rng = np.random.default_rng(0)
    noise = Embedder(lambda batch: rng.normal(size=(len(batch), 2)))
    rows = evaluate({"two": [noise, noise]}, [read_csv(task_csv)], protocols=["knn"])
    assert rows[0]["accuracy"] in {i / 8 for i in range(9)}
    other = {**rows[0], "task": "other", "accuracy": 0.5, "low": 0.4, "high": 0.6}
    (mean,) = means([{**other, "accuracy": 0.7, "low": 0.6, "high": 0.8}, other])
    assert mean["accuracy"] == pytest.approx(0.6)
    assert mean["accuracy"] - mean["low"] == pytest.approx(0.1 / math.sqrt(2))


def test_table_lines_up():
    row = {"accuracy": 0.5, "low": 0.4, "high": 0.6, "n_test": 10, "classes": 2}
    rows = [
        {"task": task, "model": model, "protocol": "knn", **row}
        for task in ("birds", "a longer name")
        for model in ("mine", "untrained")
    ]
    lines = table(rows).splitlines()
    assert "50.0 [40.0,  60.0]" in lines[2]
    assert len(lines[2]) == len(lines[3])
