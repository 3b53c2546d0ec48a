"""The tables of a report, in the shape of the papers' tables."""

import itertools
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from a2v_tf.evaluation import metrics, paper
from a2v_tf.evaluation.metrics import LINEAR_HEADS, Conditions, Row
from a2v_tf.evaluation.paper import Figure
from a2v_tf.evaluation.settings import ALL, NONE, SLICES
from a2v_tf.reporting import document
from a2v_tf.reporting.document import BEST, WORSE, Cell, Table
from a2v_tf.reporting.models import Model, labels
from a2v_tf.reporting.results import (
    MODELS,
    Grid,
    Line,
    Protocol,
    Results,
    few,
    in_words,
    on_audioset,
    on_librispeech,
)

NOTHING = Cell("-")
IN_ALL = " in all"  # examples of all classes together, not of each


# ---- Accuracy: the shape of ICLR Tables 2 and 5 and of patent Table 3 ----


def accuracy_table(grid: Grid, results: Results) -> Table:
    """The accuracies of a grid, with a paper's figures in italics."""
    best = {task: _best(grid.lines, task) for task in grid.columns}
    means = _means(grid)
    rows, group = [], None
    for line in grid.lines:
        cells = [
            _accuracy_cell(grid, results, line, task, BEST if line is best[task] else "")
            for task in grid.columns
        ]
        cells += [Cell(_digits(means[line]) if line in means else "")] if means else []
        rows.append(document.Row(line.label, cells, group not in (None, line.group)))
        group = line.group
    head = [_column(task, grid.lines) for task in grid.columns]
    head += [Cell("mean")] if means else []

    words = ["± is half of the 95 % interval, which depends on the number of test examples (n)"]
    if _two_layers(grid):
        words.append("in brackets the relative change from a linear head")
    elif any(line.normalised for line in grid.lines):
        words.append("in brackets the accuracy normalised between Spectrogram and Supervised")
    if grid.fine_tunes:
        words.append("weights are those trained for the task alone")
    if grid.sources:
        words.append(f"in italics {' and '.join(grid.sources)}")
    if any(best.values()):
        words.append("bold is the best of the models")
    notes = [_sentence(words), *_abbreviations(grid.columns)]
    return Table(grid.title, grid.about, head, rows, notes)


def _accuracy_cell(grid: Grid, results: Results, line: Line, task: str, mark: str) -> Cell:
    if task not in line.rows:
        return NOTHING
    row, figure = line.rows[task], line.figure(task)
    if _two_layers(grid):
        bracket = _one_layer_change(results, line, task)
    else:
        bracket = line.normalised[task]["value"] if task in line.normalised else None
    small: tuple[str, ...] = () if bracket is None else (f"({_percent(bracket)})",)
    if grid.fine_tunes and row.get("task_parameters") is not None:
        small += (f"{_short(row['task_parameters'])} weights",)
    # The brackets of Tables 3 and 4 are changes, these are not.
    comparable = line.table not in (paper.ICLR_TABLE_3, paper.ICLR_TABLE_4)
    return Cell(
        _with_margin(row["accuracy"], half_interval(row)),
        small,
        _figure_text(figure, bracket=comparable),
        mark,
    )


def _two_layers(grid: Grid) -> bool:
    return grid.lines[0].protocol.name == "two_layer"


def half_interval(row: Row) -> float:
    """Half the width of a row's interval."""
    return (row["high"] - row["low"]) / 2


def _one_layer_change(results: Results, line: Line, task: str) -> float | None:
    """Relative change of an accuracy from that of a linear head (ICLR Table 5)."""
    for head in LINEAR_HEADS:
        row = results.rows(line.model, Protocol(head, how=line.protocol.how)).get(task)
        if row:
            return _change(line.rows[task], row)
    return None


def _best(lines: Sequence[Line], task: str) -> Line | None:
    """The best of several models that were trained without the task's labels."""
    able = [line for line in lines if line.group == MODELS and task in line.rows]
    return max(able, key=lambda line: line.rows[task]["accuracy"]) if len(able) > 1 else None


def _means(grid: Grid) -> dict[Line, float]:
    """The mean over tasks of each line that has all of them, if there are several tasks."""
    return {
        line: float(np.mean([line.rows[task]["accuracy"] for task in grid.columns]))
        for line in grid.lines
        if len(grid.columns) > 1 and set(grid.columns) <= line.rows.keys()
    }


def _column(task: str, lines: Iterable[Line]) -> Cell:
    """The heading of a column: the papers' name of the task, its classes, its test examples."""
    rows = [line.rows[task] for line in lines if task in line.rows]
    facts = [f"{rows[0]['classes']} classes"] if rows and rows[0].get("classes") else []
    if counts := {row["n_test"] for row in rows if row.get("n_test")}:
        facts.append(f"n = {max(counts):,}")
    return Cell(paper.DATASETS.get(task, task), facts)


def _abbreviations(columns: Sequence[str]) -> list[str]:
    """What the papers' abbreviations in the headings of columns stand for."""
    known = [f"{paper.DATASETS[task]} {task}" for task in columns if task in paper.DATASETS]
    return [_sentence([", ".join(known)])] if known else []


# ---- Changes: the shape of ICLR Tables 3 and 4 ----


def change_tables(results: Results) -> list[Table]:
    """Other training data (ICLR Table 3), then other encoders (Table 4), where runs have both."""
    found = []
    for head, how in itertools.product(LINEAR_HEADS, results.conditions):
        protocol = Protocol(head, how=how)
        models = [m for m in results.models if not m.is_baseline and results.rows(m, protocol)]
        found += [
            _change_table(results, protocol, *change)
            for change in (*_other_data(models), *_other_encoders(models))
        ]
    return [table for table in found if table.rows]


Change = tuple[str, list[tuple[Model, Model]], paper.PaperTable | None]  # title, pairs, source


def _other_data(models: Sequence[Model]) -> Iterator[Change]:
    for encoder in dict.fromkeys(model.encoder for model in models):
        by_data: dict[str, list[Model]] = {}
        for model in sorted(models, key=lambda model: not on_audioset(model)):
            if model.encoder == encoder:
                by_data.setdefault(model.data, []).append(model)
        (old, olds), *others = by_data.items()
        for new, news in others:
            known = on_librispeech(news[0]) and on_audioset(olds[0]) and encoder == "small"
            title = f"Trained on {new} instead of {old}: encoder {encoder}"
            yield title, _pairs(news, olds), paper.ICLR_TABLE_3 if known else None


def _other_encoders(models: Sequence[Model]) -> Iterator[Change]:
    small = [model for model in models if model.encoder == "small"]
    for encoder in dict.fromkeys(model.encoder for model in models if model not in small):
        pairs = _pairs([model for model in models if model.encoder == encoder], small)
        pairs = [(new, old) for new, old in pairs if new.data == old.data]
        source = paper.ICLR_TABLE_4 if encoder == "large" else None
        yield f"Encoder {encoder} instead of small", pairs, source


def _pairs(news: Sequence[Model], olds: Sequence[Model]) -> list[tuple[Model, Model]]:
    """Each new model with the most similar old model of the same task."""
    found = []
    for new in news:
        alike = [old for old in olds if (old.kind, old.variant) == (new.kind, new.variant)]
        steps = new.config.get("steps")
        alike.sort(key=lambda x: (x.data != new.data, x.config.get("steps") != steps))
        found += [(new, old) for old in alike[:1]]
    return found


def _change_table(
    results: Results,
    protocol: Protocol,
    title: str,
    pairs: Sequence[tuple[Model, Model]],
    source: paper.PaperTable | None,
) -> Table:
    """Accuracies of the first of each pair, and in brackets the change from the second."""
    rows_of = {pair: [results.rows(model, protocol) for model in pair] for pair in pairs}
    both = {pair: new.keys() & old.keys() for pair, (new, old) in rows_of.items()}
    columns = [task for task in results.tasks if any(task in tasks for tasks in both.values())]
    rows = []
    for pair, (new, old) in rows_of.items():
        figures = {task: source.get(pair[0].kind, task) if source else None for task in columns}
        cells = [
            _change_cell(new[task], old[task], figures[task]) if task in both[pair] else NOTHING
            for task in columns
        ]
        if both[pair]:
            rows.append(document.Row(pair[0].title, cells))
    notes = _abbreviations(columns)
    if source and any(cell.paper for row in rows for cell in row.cells):
        notes.insert(0, _sentence([f"in italics {source.source}"]))
    head = "Adam" if protocol.name == "sgd" else "logistic regression"
    lines = [line for new, _ in pairs for line in results.lines(new.encoder, protocol)]
    return Table(
        f"{title} (linear head, {head}{few(protocol.how)})",
        " ".join(
            [
                "Test accuracy after the change that the title names; in brackets its relative "
                "change.",
                *in_words(protocol.how),
            ]
        ),
        [_column(task, lines) for task in columns],
        rows,
        notes,
    )


def _change_cell(new: Row, old: Row, figure: Figure | None) -> Cell:
    change = _change(new, old)
    return Cell(
        _digits(new["accuracy"]),
        () if change is None else (f"({_percent(change)})",),
        _figure_text(figure),
        WORSE if change is not None and round(change, 2) < 0 else "",
    )


def _change(new: Row, old: Row) -> float | None:
    return new["accuracy"] / old["accuracy"] - 1 if old["accuracy"] else None


# ---- Normalised accuracy: the shape of SPL Table I ----

Means = Mapping[Model, Mapping[str, Row | None]]  # by model and scenario


def normalised_means(results: Results, encoder: str, protocol: Conditions) -> Means:
    """Mean normalised accuracies of the models with an encoder, by scenario of SPL Table I."""
    found = {
        model: {
            scenario(depth, how): results.mean_normalised(model, depth, how)
            for depth in (NONE, ALL)
            for how in results.conditions
            if how.protocol == protocol
        }
        for model in results.of_encoder(encoder)
        if not model.is_baseline
    }
    found = {model: means for model, means in found.items() if any(means.values())}
    used = [name for name in scenarios(found) if any(means[name] for means in found.values())]
    return {model: {name: means[name] for name in used} for model, means in found.items()}


def scenario(depth: str, how: Conditions) -> str:
    """The name of a column of SPL Table I, such as "frozen 1k"."""
    number = how.examples_per_class or how.examples
    count = "full" if number is None else str(number).removesuffix("000")
    thousands = "k" if number and number % 1000 == 0 else ""
    in_all = IN_ALL if how.examples else ""
    return f"{'frozen' if depth == NONE else 'fine-tuned'} {count}{thousands}{in_all}"


def scenarios(means: Means) -> list[str]:
    """The scenarios that means are given for."""
    return list(next(iter(means.values()), {}))


def normalised_table(means: Means, encoder: str, protocol: Conditions) -> Table:
    """The table of `normalised_means`."""
    names = labels(means)
    judge = protocol.judge
    rows = [
        document.Row(
            names[model], [_normalised_cell(model, *item, judge) for item in of_model.items()]
        )
        for model, of_model in means.items()
    ]
    tasks = {task for x in means.values() for mean in x.values() if mean for task in mean["tasks"]}
    words = [
        f"the mean is over {', '.join(sorted(tasks))}",
        f"± is half of the 95 % interval from {metrics.BOOTSTRAP_ITERATIONS} bootstrap iterations "
        "over these tasks",
    ]
    if any(cell.paper for row in rows for cell in row.cells):
        words.append(
            f"in italics {paper.SPL_TABLE_1.source}, with the encoder vgg6: the level of its ± is "
            "not stated"
        )
        if any(name.endswith(IN_ALL) for name in scenarios(means)):
            words.append(
                "SPL writes both of 1000 training examples and of 1k examples per class, so its "
                "figures stand beside both"
            )
    about = "Mean accuracy over tasks on a scale from Untrained (0) to Supervised (1)."
    return Table(
        f"Normalised accuracy{few(protocol)}: encoder {encoder}",
        " ".join([about, *in_words(protocol)]),
        [Cell(name) for name in scenarios(means)],
        rows,
        [_sentence(words)],
    )


def _normalised_cell(model: Model, name: str, mean: Row | None, judge: str | None) -> Cell:
    if mean is None:
        return NOTHING
    kind = paper.AUDIOSET_SUPERVISED if model.kind == "supervised" else model.kind
    comparable = set(mean["tasks"]) == set(paper.DATASETS) and model.variant == "plain"
    comparable = comparable and judge == SLICES  # as SPL does
    figure = paper.SPL_TABLE_1.get(kind, name.removesuffix(IN_ALL)) if comparable else None
    text = _with_margin(mean["value"], half_interval(mean))
    return Cell(text, paper=_figure_text(figure))


# ---- Runs and exported files ----


def runs_table(models: Sequence[Model], logs: Mapping[Model, pd.DataFrame]) -> Table:
    """The training runs, their settings, and the best validation loss."""
    head = ("directory", "encoder", "data", "steps", "batch", "learning rate", "best validation")
    rows = []
    for model in models:
        numbers = [_number(model.config.get(x)) for x in ("steps", "batch_size", "learning_rate")]
        best = f"{logs[model]['val_loss'].min():.3f}" if model in logs else ""
        cells = [model.name, model.encoder, model.data, *numbers, best]
        rows.append(document.Row(model.title, [Cell(text) for text in cells]))
    return Table(
        "Training runs",
        "One row per run, with its lowest validation loss; losses can be compared between runs of "
        "the same task and data only.",
        [Cell(text) for text in head],
        rows,
    )


def exports_table(summaries: Iterable[Mapping[str, Any]]) -> Table:
    """The exported files, and whether they compute exactly what the offline encoder does."""
    rows = []
    for summary in summaries:
        state = [f"{summary['state']} state"] if summary.get("state") else []
        cells = [
            ", ".join([summary["mode"], *state, "int8" if summary.get("quantized") else "float"]),
            f"{summary['file_bytes'] / 1000:,.0f} kB",
            f"{summary['state_bytes']:,} B" if summary.get("state_bytes") else "-",
            f"{summary['hop_ms']:.0f} ms" if summary.get("hop_ms") else "-",
            _exactness(summary.get("exactness")),
        ]
        name = pathlib.PurePath(summary["output"]).name
        rows.append(document.Row(name, [Cell(text) for text in cells]))
    return Table(
        "TFLite files",
        "One row per exported file; bit-exact means that it gives exactly the embeddings of the "
        "offline encoder with the same weights.",
        [Cell(text) for text in ("form", "size", "state", "hop", "equals offline")],
        rows,
    )


def _exactness(exact: Mapping[str, Any] | None) -> str:
    if not exact:
        return "not compared"
    return "bit-exact" if exact["bit_exact"] else f"within {exact['max_abs_difference']:.2g}"


# ---- Numbers ----


def _with_margin(value: float, margin: float) -> str:
    return f"{_digits(value)} ± {_digits(margin).removeprefix('0')}"


def _digits(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"  # + 0.0: no -0.00


def _percent(value: float) -> str:
    return f"{round(100 * value):+d}%"


def _figure_text(figure: Figure | None, *, bracket: bool = True) -> str:
    """A figure of a paper as the paper prints it."""
    if figure is None:
        return ""
    text = _digits(figure.value)
    if figure.margin is not None:
        text = _with_margin(figure.value, figure.margin)
    if bracket and figure.bracket is not None:
        text += f" ({_percent(figure.bracket)})"
    return text


def _short(count: int) -> str:
    if count >= 1_000_000:
        return f"{count / 1e6:.1f}M"
    return f"{count / 1e3:.1f}k" if count >= 1000 else str(count)


def _number(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _sentence(words: Sequence[str]) -> str:
    text = "; ".join(words)
    return f"{text[0].upper()}{text[1:]}."
