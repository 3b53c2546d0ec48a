"""Intervals and normalised accuracies, on the papers' own numbers."""

import itertools
import math

import numpy as np
import pytest

from a2v_tf.evaluation.compare import means
from a2v_tf.evaluation.metrics import (
    CONDITIONS,
    bootstrap_interval,
    normalise,
    normalised,
    replica_interval,
    wilson,
)

TASKS = ("SPC", "LID", "LSP", "MUS", "TUT", "BSD")
# ICLR Table 2: accuracy and, in brackets, per cent of the way from Spectrogram to Supervised.
SPECTROGRAM = (0.16, 0.28, 0.97, 0.74, 0.36, 0.65)
SUPERVISED = (0.75, 0.90, 1.00, 0.99, 0.97, 0.79)
TABLE_2 = {
    "untrained": ((0.16, 0.48, 0.54, 0.93, 0.57, 0.70), (-1, 33, -1338, 77, 35, 31)),
    "autoencoder": ((0.28, 0.64, 0.99, 0.94, 0.59, 0.69), (21, 56, 55, 81, 38, 27)),
    "cbow": ((0.30, 0.57, 0.99, 0.98, 0.66, 0.71), (23, 47, 82, 97, 50, 40)),
    "skip_gram": ((0.28, 0.55, 1.00, 0.98, 0.67, 0.69), (21, 44, 85, 98, 52, 28)),
    "temporal_gap": ((0.23, 0.45, 0.97, 0.97, 0.63, 0.71), (12, 27, 11, 92, 44, 44)),
    "triplet": ((0.18, 0.62, 1.00, 0.97, 0.73, 0.73), (3, 55, 96, 95, 61, 55)),
    "multihead": ((0.72, 0.82, 1.00, 0.98, 0.94, 0.78), (95, 88, 99, 95, 96, 90)),
}


def row(task, model, accuracy, protocol="linear", finetune="none", per_class=None):
    return {
        "task": task,
        "model": model,
        "protocol": protocol,
        "finetune": finetune,
        "examples_per_class": per_class,
        "accuracy": accuracy,
        "low": accuracy - 0.1,
        "high": accuracy + 0.1,
        "n_test": 100,
        "classes": 4,
        "replicas": [accuracy],
        "task_parameters": 512,
    }


def test_wilson_against_textbook_values():
    """8 of 10: Wilson's interval is 0.490 to 0.943."""
    assert wilson(0.8, 10) == pytest.approx((0.490162, 0.943318), abs=1e-5)
    assert wilson(0.0, 5)[0] == pytest.approx(0.0)
    assert wilson(1.0, 5)[1] == pytest.approx(1.0)


@pytest.mark.parametrize("model", TABLE_2)
def test_the_percentages_of_table_2_follow_from_its_accuracies(model):
    """As far as two decimals tell: each percentage lies between those of the rounding's ends."""
    accuracies, percentages = TABLE_2[model]
    for i, (accuracy, percentage) in enumerate(zip(accuracies, percentages, strict=True)):
        ends = itertools.product((-0.005, 0.005), repeat=3)
        found = [
            100 * normalise(accuracy + a, SPECTROGRAM[i] + b, SUPERVISED[i] + c) for a, b, c in ends
        ]
        assert min(found) - 0.5 <= percentage <= max(found) + 0.5, TASKS[i]
        middle = 100 * normalise(accuracy, SPECTROGRAM[i], SUPERVISED[i])
        if SUPERVISED[i] - SPECTROGRAM[i] > 0.5:  # elsewhere rounding moves it by more
            assert middle == pytest.approx(percentage, abs=3)


def test_rows_are_normalised_by_both_formulas():
    """ICLR Table 2 and SPL formula (1), per task and averaged."""
    rows = [
        row(task, model, accuracy)
        for model, (accuracies, _) in TABLE_2.items()
        for task, accuracy in zip(TASKS, accuracies, strict=True)
        if model != "multihead"
    ]
    for i, task in enumerate(TASKS):
        rows.append(row(task, "spectrogram", SPECTROGRAM[i]))
        rows.append(row(task, "supervised", SUPERVISED[i], "finetune", "all"))
    found = normalised(rows)
    values = {(r["formula"], r["model"], r["task"]): r for r in found}
    assert values["iclr", "cbow", "SPC"]["value"] == pytest.approx(0.14 / 0.59)
    assert values["spl", "cbow", "TUT"]["value"] == pytest.approx(0.09 / 0.40)
    assert values["iclr", "cbow", "SPC"]["low"] == pytest.approx(0.04 / 0.59)
    for task in TASKS:
        assert values["iclr", "spectrogram", task]["value"] == 0.0
        assert values["spl", "untrained", task]["value"] == 0.0
        assert values["spl", "supervised", task]["value"] == 1.0
    cbow = [values["spl", "cbow", task]["value"] for task in TASKS]
    mean = values["spl", "cbow", "mean"]
    assert mean["value"] == pytest.approx(np.mean(cbow))
    assert (mean["low"], mean["high"]) == bootstrap_interval(cbow)


def test_a_row_is_compared_with_its_own_protocol_and_examples():
    rows = [
        row("t", "untrained", 0.2, "knn"),
        row("t", "supervised", 0.6, "knn"),  # the trained encoder's space: patent Table 3
        row("t", "mine", 0.5, "knn"),
        row("t", "untrained", 0.4, "sgd"),
        row("t", "mine", 0.6, "sgd"),
        row("t", "supervised", 0.8, "finetune", "all"),
        row("t", "mine", 0.9, "finetune", "conv5"),
        row("t", "untrained", 0.1, "sgd", per_class=5),
        row("t", "mine", 0.3, "sgd", per_class=5),
        row("t", "supervised", 0.5, "finetune", "all", per_class=5),
    ]
    found = {
        (r["model"], r["protocol"], r["finetune"], r["examples_per_class"]): r["value"]
        for r in normalised(rows)
    }
    assert found["mine", "knn", "none", None] == pytest.approx(0.75)
    assert found["mine", "sgd", "none", None] == pytest.approx(0.5)
    assert found["mine", "finetune", "conv5", None] == pytest.approx(1.25)
    assert found["mine", "sgd", "none", 5] == pytest.approx(0.5)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_row_is_compared_with_none_of_another_protocol(condition):
    rows = [
        {**row("t", "untrained", 0.2), condition: "other"},
        row("t", "mine", 0.5),
        row("t", "supervised", 0.8, "finetune", "all"),
    ]
    assert normalised(rows) == []
    same = [{**row, condition: "other"} for row in rows]
    assert [
        (row["value"], row[condition]) for row in normalised(same) if row["model"] == "mine"
    ] == [(pytest.approx(0.5), "other")]


def test_intervals_of_spl_figure_3_are_over_replicas():
    """Four replicas, normalised each: Student's interval of their mean, t(3) = 3.182."""
    replicas = [0.4, 0.5, 0.5, 0.6]
    mine = {**row("t", "mine", 0.5), "replicas": replicas}
    rows = [mine, row("t", "untrained", 0.2), row("t", "supervised", 0.8, "finetune", "all")]
    found = {r["model"]: r for r in normalised(rows) if r["formula"] == "spl"}
    scaled = [(value - 0.2) / 0.6 for value in replicas]
    half = 3.182446 * np.std(scaled, ddof=1) / 2
    assert found["mine"]["low"] == pytest.approx(0.5 - half, abs=1e-6)
    assert found["mine"]["high"] == pytest.approx(0.5 + half, abs=1e-6)
    assert found["untrained"]["low"] is None  # one replica says nothing of their variation
    assert replica_interval([0.3, 0.3]) == (0.3, 0.3)


def test_no_scale_without_baselines_or_upside_down(caplog):
    rows = [row("t", "untrained", 0.4), row("t", "mine", 0.5)]
    assert normalised(rows) == []
    assert normalised([*rows, row("t", "supervised", 0.3, "finetune", "all")]) == []
    assert "Supervised (0.300) is not above untrained (0.400)" in caplog.text
    with pytest.raises(ValueError, match="not above"):
        normalise(0.5, 0.4, 0.4)


def test_the_bootstrap_is_seeded_and_resamples_tasks():
    values = [0.1, 0.5, 0.9, 0.4]
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)
    low, high = bootstrap_interval(values, iterations=5_000)
    error = np.std(values) / math.sqrt(len(values))  # of a mean of four
    assert low == pytest.approx(np.mean(values) - 1.96 * error, abs=0.04)
    assert high == pytest.approx(np.mean(values) + 1.96 * error, abs=0.04)
    assert bootstrap_interval([0.3, 0.3]) == pytest.approx((0.3, 0.3))


def test_means_over_tasks():
    rows = [row("a", "mine", 0.7), row("b", "mine", 0.5), row("a", "mine", 0.2, "knn")]
    mean, other = means(rows)
    assert mean["task"] == "mean"
    assert mean["accuracy"] == pytest.approx(0.6)
    assert mean["accuracy"] - mean["low"] == pytest.approx(0.1 / math.sqrt(2))
    assert mean["replicas"] == pytest.approx([0.6])
    assert other["protocol"] == "knn"
