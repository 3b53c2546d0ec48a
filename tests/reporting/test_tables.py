"""The tables, from results with known accuracies."""

import pytest

from a2v_tf.evaluation import paper
from a2v_tf.evaluation.metrics import Conditions
from a2v_tf.reporting import inputs, tables
from a2v_tf.reporting.results import Results, grids
from tests.reporting.results_files import ICLR, SPL, config, row, write

SPL_CONDITIONS = Conditions(**SPL)
LIBRISPEECH = "tfds:librispeech_speakers:train"


@pytest.fixture
def read(tmp_path):
    """From lists of rows and settings to `Results`."""

    def results(*evaluations):
        files = [write(tmp_path / f"{i}.json", *args) for i, args in enumerate(evaluations)]
        return Results(inputs.read(files).results)

    return results


def table_of(results, title):
    (grid,) = [grid for grid in grids(results) if grid.title == title]
    return tables.accuracy_table(grid, results)


def cells(table):
    return {
        (line.label, column.text): cell
        for line in table.rows
        for column, cell in zip(table.head, line.cells, strict=True)
    }


def baselines(task, protocol="sgd"):
    return [
        row(task, "spectrogram", 0.2, protocol),
        row(task, "untrained", 0.3, protocol),
        row(task, "supervised", 0.7, "finetune", "all"),
    ]


def test_shape_of_iclr_table_2(read):
    results = read(
        ([*baselines("musan"), row("musan", "one", 0.45), row("pitch", "one", 0.5)], config()),
        ([row("musan", "two", 0.5)], config("triplet")),
    )
    table = table_of(results, "Linear head, trained with Adam: encoder small")
    assert [line.label for line in table.rows] == [
        "Spectrogram",
        "Untrained",
        "A2V(CBoW)",
        "TripletLoss",
        "Supervised",
    ]
    assert [line.opens for line in table.rows] == [False, False, True, False, True]
    assert [(column.text, *column.small) for column in table.head] == [
        ("MUS", "3 classes", "n = 1,000"),
        ("pitch", "3 classes", "n = 1,000"),
        ("mean",),
    ]
    found = cells(table)
    mine = found["A2V(CBoW)", "MUS"]
    assert (mine.text, mine.small) == ("0.45 ± .03", ("(+50%)",))
    assert mine.paper == "0.98 ± .00 (+97%)"
    assert (found["TripletLoss", "MUS"].mark, mine.mark) == ("best", "")
    assert found["Supervised", "MUS"].small == ("(+100%)",)
    assert found["TripletLoss", "pitch"].text == "-"
    assert found["A2V(CBoW)", "pitch"].paper == ""
    assert found["A2V(CBoW)", "pitch"].mark == ""  # the only one is not the best
    assert found["A2V(CBoW)", "mean"].text == "0.47"
    assert found["TripletLoss", "mean"].text == ""
    assert "in italics ICLR Table 2" in table.notes[0]
    assert "normalised between Spectrogram and Supervised" in table.notes[0]


def test_only_the_baseline_supervised_stands_in_the_papers(read):
    rows = [row("musan", "own", 0.8), row("musan", "own", 0.9, "finetune", "all")]
    for grid in grids(read((rows, config("supervised")))):
        assert grid.lines[0].label.startswith("Supervised on audioset:unbalanced")
        assert not grid.sources


def test_only_what_the_rows_allow(read):
    results = read(([row("birds", "one", 0.5, "linear")], config()))
    (grid,) = grids(results)
    table = tables.accuracy_table(grid, results)
    assert table.title == "Linear head, logistic regression: encoder small"
    assert cells(table)["A2V(CBoW)", "birds"].small == ()
    assert "normalised" not in table.notes[0]
    assert tables.change_tables(results) == []
    assert tables.normalised_means(results, "small", Conditions()) == {}
    assert grids(read(([row("birds", "untrained", 0.5)], config()))) == []


def test_patent_table_3_and_iclr_table_5(read):
    rows = [
        row("musan", "one", 0.4),
        row("musan", "one", 0.5, "two_layer"),
        row("musan", "one", 0.6, "knn"),
        row("musan", "spectrogram", 0.5, "knn"),
        row("musan", "supervised", 0.9, "knn"),
    ]
    results = read((rows, config("skip_gram")))
    two = cells(table_of(results, "Head with two layers: encoder small"))["A2V(SG)", "MUS"]
    assert (two.small, two.paper) == (("(+25%)",), "0.99 (+1%)")
    knn = cells(table_of(results, "10 nearest neighbours, of windows: encoder small"))
    assert knn["A2V(SG)", "MUS"].small == ("(+25%)",)
    assert knn["A2V(SG)", "MUS"].paper == "0.96 ± .01 (+99%)"
    assert knn["Supervised", "MUS"].paper == "0.97 ± .01 (+100%)"


def test_changes_of_data_and_encoder(read):
    results = read(
        ([row("musan", "speech", 0.4)], config(data=LIBRISPEECH)),
        ([row("musan", "all", 0.5)], config()),
        ([row("musan", "wide", 0.6)], config("skip_gram", "large")),
        ([row("musan", "narrow", 0.5)], config("skip_gram")),
        ([row("musan", "alone", 0.5)], config("triplet", "large")),
    )
    data, encoder = tables.change_tables(results)
    assert data.title.startswith(
        "Trained on librispeech_speakers:train instead of audioset:unbalanced: encoder small"
    )
    (line,) = data.rows
    cell = line.cells[0]
    assert (line.label, cell.text, cell.small, cell.mark) == (
        "A2V(CBoW)",
        "0.40",
        ("(-20%)",),
        "worse",
    )
    assert cell.paper == "0.96 (-2%)"
    assert encoder.title.startswith("Encoder large instead of small")
    (line,) = encoder.rows  # TripletLoss has nothing to be compared with
    assert (line.label, line.cells[0].small) == ("A2V(SG)", ("(+20%)",))
    assert line.cells[0].paper == "0.99 (+1%)"
    # In the table of accuracies the brackets of those tables would mean something else.
    table = table_of(results, "Linear head, trained with Adam: encoder small")
    own = cells(table)["A2V(CBoW), librispeech_speakers:train", "MUS"]
    assert own.paper == "0.96"


def test_fine_tuned_from_little_to_much(read):
    rows = [
        *baselines("musan"),
        row("musan", "one", 0.4, parameters=384),
        *[
            row("musan", "one", 0.5, "finetune", depth, parameters=weights)
            for depth, weights in (
                ("all", 2_000_000),
                ("conv4", 99_300),
                ("fc", 16_768),
                ("conv5", 9),
            )
        ],
        row("pitch", "one", 0.4),
    ]
    results = read((rows, config("skip_gram")))
    table = table_of(results, "Fine-tuned: encoder small")
    assert [line.label for line in table.rows] == [
        "A2V(SG), head alone",
        "A2V(SG), from fc",
        "A2V(SG), from conv5",
        "A2V(SG), from conv4",
        "A2V(SG), all of it",
        "Supervised",
    ]
    assert [column.text for column in table.head] == ["MUS"]  # pitch was not fine-tuned
    small = [line.cells[0].small[-1] for line in table.rows[:-1]]
    assert small == ["384 weights", "16.8k weights", "9 weights", "99.3k weights", "2.0M weights"]


def test_shape_of_spl_table_1(read):
    rows = []
    for task in paper.DATASETS:
        for few in ({}, {"per_class": 1000}, {"examples": 1000}):
            rows += [
                row(task, "untrained", 0.2, **few, **SPL),
                row(task, "supervised", 0.7, "finetune", "all", **few, **SPL),
                row(task, "one", 0.45, **few, **SPL),
                row(task, "one", 0.75, "finetune", "all", **few, **SPL),
            ]
    table = spl_table(read, rows)
    assert [column.text for column in table.head] == [
        *("frozen full", "frozen 1k", "frozen 1k in all"),
        *("fine-tuned full", "fine-tuned 1k", "fine-tuned 1k in all"),
    ]
    assert {column.text.removesuffix(tables.IN_ALL) for column in table.head} == set(
        paper.SPL_COLUMNS
    )
    (line,) = table.rows
    assert [cell.text for cell in line.cells] == [*["0.50 ± .00"] * 3, *["1.10 ± .00"] * 3]
    assert [cell.paper for cell in line.cells] == [
        *("0.58 ± .06", "0.68 ± .05", "0.68 ± .05"),
        *("1.00 ± .01", "1.07 ± .03", "1.07 ± .03"),
    ]
    (note,) = table.notes
    assert "the level of its ± is not stated" in note
    assert "both of 1000 training examples and of 1k examples per class" in note
    assert "slices at random positions are judged (SPL)" in table.about
    (line,) = spl_table(read, [row for row in rows if row["task"] != "musan"]).rows
    assert [cell.paper for cell in line.cells] == [""] * 6  # the paper's mean is over all eight


def spl_table(read, rows, how=SPL_CONDITIONS):
    means = tables.normalised_means(read((rows, config(encoder="vgg6"))), "vgg6", how)
    return tables.normalised_table(means, "vgg6", how)


def test_a_papers_figures_stand_beside_its_own_protocol_only(read):
    """SPL judges slices, ICLR and the patent clips; and rows of two protocols share no table."""
    rows = [
        row(task, model, accuracy, *how, **judge)
        for judge in (SPL, ICLR)
        for task in paper.DATASETS
        for model, accuracy, how in (
            ("untrained", 0.2, ()),
            ("supervised", 0.7, ("finetune", "all")),
            ("one", 0.45, ()),
        )
    ]
    (line,) = spl_table(read, rows, Conditions(**ICLR)).rows
    assert line.cells[0].paper == ""
    small = grids(read((rows, config())))
    titles = {grid.title: grid for grid in small if grid.title.startswith("Linear")}
    ours = titles["Linear head, trained with Adam: encoder small"]
    assert ours.sources == ["ICLR Table 2"]
    assert "joined by naive Bayes (ICLR, patent)" in ours.about
    assert "after the last step (both papers)" in ours.about
    slices = titles["Linear head, trained with Adam, judged by slices: encoder small"]
    assert slices.sources == []
    assert "slices at random positions are judged (SPL)" in slices.about


def test_baselines_count_for_their_own_encoder(read):
    """Supervised of one encoder is no yardstick for another; Spectrogram is one for all."""
    results = read(
        ([*baselines("musan"), row("musan", "one", 0.45)], config()),
        ([row("musan", "two", 0.45)], config(encoder="large")),
    )
    small, large = (
        cells(table_of(results, f"Linear head, trained with Adam: encoder {encoder}"))
        for encoder in ("small", "large")
    )
    assert small["A2V(CBoW)", "MUS"].small == ("(+50%)",)
    assert large["A2V(CBoW)", "MUS"].small == ()
    assert ("Supervised", "MUS") not in large
    assert large["Spectrogram", "MUS"].small == ()


def test_exports():
    summary = {
        **{"output": "a/b/streaming.tflite", "mode": "streaming", "state": "internal"},
        **{"quantized": True, "file_bytes": 240_928, "state_bytes": 3_392, "hop_ms": 320.0},
        **{"exactness": {"bit_exact": True, "max_abs_difference": 0.0}},
    }
    window = {
        **{"output": "w.tflite", "mode": "window", "state": None, "quantized": False},
        **{"file_bytes": 500_400, "state_bytes": 0, "hop_ms": None},
        **{"exactness": {"bit_exact": False, "max_abs_difference": 1e-5}},
    }
    first, second = tables.exports_table([summary, window]).rows
    assert [cell.text for cell in first.cells] == [
        *("streaming, internal state, int8", "241 kB", "3,392 B", "320 ms", "bit-exact")
    ]
    assert [cell.text for cell in second.cells] == [
        "window, float",
        "500 kB",
        "-",
        "-",
        "within 1e-05",
    ]
