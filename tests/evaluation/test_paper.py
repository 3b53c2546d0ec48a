"""The papers' figures, against what the papers say of them elsewhere, and against each other."""

import itertools

import pytest

from a2v_tf.data.builders import LABELLED
from a2v_tf.evaluation import paper

HALF = 0.005  # figures are rounded to two digits


def between(value, corners, slack=HALF):
    return min(corners) - slack <= value <= max(corners) + slack


def around(value):
    return value - HALF, value + HALF


def test_data_sets_are_those_of_this_project():
    assert set(paper.DATASETS) == set(LABELLED) - {"audioset"}


@pytest.mark.parametrize("table", [paper.ICLR_TABLE_2, paper.PATENT_TABLE_3])
def test_brackets_are_normalised_accuracies(table):
    """Each follows from the accuracies, as far as these are known."""
    for model, figures in table.figures.items():
        for task, figure in figures.items():
            zero, one = (
                around(table.get(name, task).value) for name in ("spectrogram", "supervised")
            )
            if model in ("spectrogram", "supervised"):
                assert figure.bracket == (model == "supervised")
                continue
            corners = [
                (a - z) / (o - z) for a, z, o in itertools.product(around(figure.value), zero, one)
            ]
            assert between(figure.bracket, corners, 0.011), (model, task)


@pytest.mark.parametrize("table", [paper.ICLR_TABLE_3, paper.ICLR_TABLE_4])
def test_brackets_are_changes_from_table_2(table):
    for model, figures in table.figures.items():
        for task, figure in figures.items():
            before = around(paper.ICLR_TABLE_2.get(model, task).value)
            corners = [a / b - 1 for a, b in itertools.product(around(figure.value), before)]
            assert between(figure.bracket, corners), (model, task)


def test_what_the_text_says():
    """ICLR section 4 and SPL section IV, "Main results"."""
    recovered = [
        figure.bracket
        for model in ("autoencoder", "cbow", "skip_gram", "temporal_gap", "triplet")
        for task, figure in paper.ICLR_TABLE_2.figures[model].items()
        if task in ("musan", "librispeech_speakers")
    ]
    assert (min(recovered), max(recovered)) == (0.11, 0.98)
    # The text says of 1,000 examples that they lie between 0.10 and 0.68; the table says 0.12.
    frozen = [
        row[column].value
        for row in paper.SPL_TABLE_1.figures.values()
        for column in ("frozen full", "frozen 1k")
    ]
    assert (min(frozen), max(frozen)) == (0.10, 0.68)
    tuned = [row["fine-tuned 1k"].value for row in paper.SPL_TABLE_1.figures.values()]
    assert (min(tuned), max(tuned)) == (0.95, 1.07)


def test_what_is_not_there_is_none():
    assert paper.ICLR_TABLE_4.get("cbow", "musan") is None
    assert paper.ICLR_TABLE_2.get("cbow", "nsynth_pitch") is None
    assert paper.ICLR_TABLE_2.get("untrained", "librispeech_speakers") == paper.Figure(
        0.54, 0.02, -13.38
    )
