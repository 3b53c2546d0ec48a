"""The tables of a report, in the shape of the papers'."""

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from a2v_tf.evaluation import metrics, paper
from a2v_tf.evaluation.metrics import LINEAR_HEADS, MEAN, Row
from a2v_tf.evaluation.paper import Figure
from a2v_tf.reporting.document import BEST, WORSE, Cell, Table
from a2v_tf.reporting.document import Row as TableRow
from a2v_tf.reporting.results import (
    MODELS,
    NO_TRAINING,
    WHOLE,
    Grid,
    Line,
    Protocol,
    Results,
    on_audioset,
    on_librispeech,
)
from a2v_tf.reporting.runs import Model, labels

NOTHING = Cell("-")


# ---- Accuracy: the shape of ICLR Tables 2 and 5 and of patent Table 3 ----


def accuracy_table(grid: Grid, results: Results) -> Table:
    """The accuracies of a grid, and in italics what a paper has there."""
    two_layers = grid.lines[0].protocol.name == "two_layer"
    best = {task: _best(grid.lines, task) for task in grid.columns}
    means = _means(grid)
    rows = []
    for before, line in zip([None, *grid.lines], grid.lines, strict=False):
        cells = []
        for task in grid.columns:
            bracket = one_layer_change(results, line, task) if two_layers else _share(line, task)
            mark = BEST if line is best[task] else ""
            cells.append(_accuracy_cell(line, task, bracket, mark, parameters=grid.fine_tunes))
        cells += [Cell(_digits(means[line]) if line in means else "")] if means else []
        rows.append(TableRow(line.label, cells, bool(before) and before.group != line.group))
    head = [_column(task, grid.lines) for task in grid.columns]
    head += [Cell("mean")] if means else []
    return Table(grid.title, head, rows, _accuracy_notes(grid, two_layers))


def _accuracy_cell(
    line: Line, task: str, bracket: float | None, mark: str, *, parameters: bool
) -> Cell:
    if task not in line.rows:
        return NOTHING
    row = line.rows[task]
    small = () if bracket is None else (f"({_percent(bracket)})",)
    if parameters and row.get("task_parameters") is not None:
        small += (f"{_short(row['task_parameters'])} weights",)
    figure = line.figure(task)
    # The brackets of Tables 3 and 4 are changes, these are not.
    comparable = line.table not in (paper.ICLR_TABLE_3, paper.ICLR_TABLE_4)
    return Cell(
        _with_margin(row["accuracy"], half_interval(row)),
        small,
        _figure_text(figure, bracket=comparable) if figure else "",
        mark,
    )


def _accuracy_notes(grid: Grid, two_layers: bool) -> list[str]:
    what = "windows" if grid.lines[0].protocol.name == "knn" else "clips"
    words = [f"± is half of the 95 % interval that the number of test {what} leaves"]
    if two_layers:
        words.append("in brackets the change from one layer")
    elif any(line.normalised for line in grid.lines):
        words.append("in brackets the accuracy normalised between Spectrogram and Supervised")
    if grid.fine_tunes:
        words.append("weights are those that the task has for itself")
    if grid.sources:
        words.append(f"in italics {' and '.join(grid.sources)}")
    if any(_best(grid.lines, task) for task in grid.columns):
        words.append("bold is the best of the models")
    return [_sentence(words), *_abbreviations(grid.columns)]


def half_interval(row: Row) -> float:
    """Half the width of a row's interval."""
    return (row["high"] - row["low"]) / 2


def one_layer_change(results: Results, line: Line, task: str) -> float | None:
    """Relative change of an accuracy from that of a linear head (ICLR Table 5)."""
    for head in LINEAR_HEADS:
        row = results.rows(line.model, Protocol(head, per_class=line.protocol.per_class)).get(task)
        if row and task in line.rows:
            return _change(line.rows[task], row)
    return None


def _share(line: Line, task: str) -> float | None:
    row = line.normalised.get(task)
    return row["value"] if row else None


def _best(lines: Sequence[Line], task: str) -> Line | None:
    """The best of several models that learned without labels."""
    able = [line for line in lines if line.group == MODELS and task in line.rows]
    return max(able, key=lambda line: line.rows[task]["accuracy"]) if len(able) > 1 else None


def _means(grid: Grid) -> dict[Line, float]:
    """The mean over tasks of each line that has them all, if there are several tasks."""
    if len(grid.columns) < 2:
        return {}
    return {
        line: float(np.mean([line.rows[task]["accuracy"] for task in grid.columns]))
        for line in grid.lines
        if set(grid.columns) <= line.rows.keys()
    }


def _column(task: str, lines: Iterable[Line]) -> Cell:
    """The head of a column: what the papers call the task, its classes, what it is judged by."""
    rows = [line.rows[task] for line in lines if task in line.rows]
    facts = [f"{rows[0]['classes']} classes"] if rows and rows[0].get("classes") else []
    if counts := {row["n_test"] for row in rows if row.get("n_test")}:
        facts.append(f"n = {max(counts):,}")
    return Cell(paper.DATASETS.get(task, task), facts)


def _abbreviations(columns: Sequence[str]) -> list[str]:
    """What the heads of columns stand for, if they are the papers' abbreviations."""
    known = [f"{paper.DATASETS[task]} {task}" for task in columns if task in paper.DATASETS]
    return [_sentence([", ".join(known)])] if known else []


# ---- Changes: the shape of ICLR Tables 3 and 4 ----


def change_tables(results: Results) -> list[Table]:
    """Other training data (ICLR Table 3), then other encoders (Table 4), where runs have both."""
    tables = []
    for head in LINEAR_HEADS:
        for per_class in results.per_class:
            protocol = Protocol(head, per_class=per_class)
            models = [m for m in results.models if not m.is_baseline and results.rows(m, protocol)]
            tables += _data_tables(results, models, protocol)
            tables += _encoder_tables(results, models, protocol)
    return tables


def _data_tables(results: Results, models: Sequence[Model], protocol: Protocol) -> list[Table]:
    tables = []
    for encoder in dict.fromkeys(model.encoder for model in models):
        group = [model for model in models if model.encoder == encoder]
        first, *others = sorted(dict.fromkeys(m.data for m in group), key=_audioset_first)
        for data in others:
            pairs = _pairs(
                [model for model in group if model.data == data],
                [model for model in group if model.data == first],
            )
            known = all(on_librispeech(new) and on_audioset(old) for new, old in pairs)
            source = paper.ICLR_TABLE_3 if known and encoder == "small" else None
            title = f"Trained on {data} instead of {first}: encoder {encoder}"
            tables.append(_change_table(results, title, pairs, protocol, source))
    return [table for table in tables if table.rows]


def _encoder_tables(results: Results, models: Sequence[Model], protocol: Protocol) -> list[Table]:
    tables = []
    small = [model for model in models if model.encoder == "small"]
    for encoder in dict.fromkeys(model.encoder for model in models if model not in small):
        others = [model for model in models if model.encoder == encoder]
        pairs = [(new, old) for new, old in _pairs(others, small) if new.data == old.data]
        source = paper.ICLR_TABLE_4 if encoder == "large" else None
        title = f"Encoder {encoder} instead of small"
        tables.append(_change_table(results, title, pairs, protocol, source))
    return [table for table in tables if table.rows]


def _pairs(news: Sequence[Model], olds: Sequence[Model]) -> list[tuple[Model, Model]]:
    """Each new model, and the old one that learned the same task most like it."""

    def distance(new: Model, old: Model) -> tuple[bool, bool]:
        return new.data != old.data, new.config.get("steps") != old.config.get("steps")

    found = []
    for new in news:
        alike = [old for old in olds if _alike(new, old)]
        if alike:
            found.append((new, min(alike, key=lambda old, new=new: distance(new, old))))
    return found


def _audioset_first(data: str) -> bool:
    return "audioset" not in data.lower()


def _alike(one: Model, other: Model) -> bool:
    return one.kind == other.kind and one.variant == other.variant


def _change_table(
    results: Results,
    title: str,
    pairs: Sequence[tuple[Model, Model]],
    protocol: Protocol,
    source: paper.PaperTable | None,
) -> Table:
    """Accuracies of the first of each pair, and in brackets the change from the second."""
    common = {
        pair: results.rows(pair[0], protocol).keys() & results.rows(pair[1], protocol).keys()
        for pair in pairs
    }
    columns = [task for task in results.tasks if any(task in tasks for tasks in common.values())]
    rows, any_figure = [], False
    for (new, old), tasks in common.items():
        cells = []
        for task in columns:
            figure = source.get(new.kind, task) if source else None
            new_row, old_row = (results.rows(model, protocol).get(task) for model in (new, old))
            cells.append(_change_cell(new_row, old_row, figure) if task in tasks else NOTHING)
            any_figure |= figure is not None and task in tasks
        if tasks:
            rows.append(TableRow(new.title, cells))
    words = ["in brackets the relative change"]
    words += [f"in italics {source.source}"] if any_figure else []
    head = "Adam" if protocol.name == "sgd" else "logistic regression"
    few = f", {protocol.per_class:,} examples per class" if protocol.per_class else ""
    lines = [results.line(new, protocol, new.encoder) for new, _ in pairs]
    return Table(
        f"{title} (linear head, {head}{few})",
        [_column(task, lines) for task in columns],
        rows,
        [_sentence(words), *_abbreviations(columns)],
    )


def _change_cell(new: Row, old: Row, figure: Figure | None) -> Cell:
    change = _change(new, old)
    return Cell(
        _digits(new["accuracy"]),
        () if change is None else (f"({_percent(change)})",),
        _figure_text(figure) if figure else "",
        WORSE if change is not None and round(change, 2) < 0 else "",
    )


def _change(new: Row, old: Row) -> float | None:
    return new["accuracy"] / old["accuracy"] - 1 if old["accuracy"] else None


# ---- Normalised accuracy: the shape of SPL Table I ----


def normalised_table(results: Results, encoder: str) -> Table:
    """The mean normalised accuracies of the models with an encoder; its rows may be none."""
    models = [m for m in results.of_encoder(encoder) if not m.is_baseline]
    columns = [
        (depth, per_class)
        for depth in (NO_TRAINING, WHOLE)
        for per_class in results.per_class
        if any(mean_normalised(results, model, depth, per_class) for model in models)
    ]
    averaged: set[str] = set()
    rows = []
    names = labels(models)
    for model in models:
        means = [mean_normalised(results, model, *column) for column in columns]
        if any(means):
            averaged |= {task for mean in means if mean for task in mean[1]}
            cells = [_normalised_cell(model, *args) for args in zip(columns, means, strict=True)]
            rows.append(TableRow(names[model], cells))
    words = [
        f"0 is Untrained, 1 is Supervised; the mean over {', '.join(sorted(averaged))}",
        f"± is half of the 95 % interval from {metrics.BOOTSTRAP_ITERATIONS} bootstrap iterations "
        "over these tasks",
    ]
    if any(cell.paper for row in rows for cell in row.cells):
        words.append(f"in italics {paper.SPL_TABLE_1.source}, with the encoder vgg6")
    head = [Cell(scenario(*column)) for column in columns]
    return Table(f"Normalised accuracy: encoder {encoder}", head, rows, [_sentence(words)])


def mean_normalised(
    results: Results, model: Model, depth: str, per_class: int | None
) -> tuple[Row, list[str]] | None:
    """A model's mean normalised accuracy by SPL's formula, and the tasks that it is over."""
    names = LINEAR_HEADS if depth == NO_TRAINING else ("finetune",)
    for name in names:
        rows = results.normalised(model, Protocol(name, depth, per_class), "spl", model.encoder)
        if MEAN in rows:
            return rows[MEAN], [task for task in rows if task != MEAN]
    return None


def _normalised_cell(
    model: Model, column: tuple[str, int | None], mean: tuple[Row, list[str]] | None
) -> Cell:
    if mean is None:
        return NOTHING
    row, tasks = mean
    kind = paper.AUDIOSET_SUPERVISED if model.kind == "supervised" else model.kind
    figure = None
    if set(tasks) == set(paper.DATASETS) and model.variant == "plain":
        figure = paper.SPL_TABLE_1.get(kind, scenario(*column))
    text = _with_margin(row["value"], half_interval(row))
    return Cell(text, paper=_figure_text(figure) if figure else "")


def scenario(depth: str, per_class: int | None) -> str:
    """A column of SPL Table I in words, as it is called there."""
    return f"{'frozen' if depth == NO_TRAINING else 'fine-tuned'} {_count(per_class)}"


def _count(per_class: int | None) -> str:
    if per_class is None:
        return "full"
    return f"{per_class // 1000}k" if per_class % 1000 == 0 else str(per_class)


# ---- Runs and exported files ----


def runs_table(
    models: Sequence[Model],
    logs: Mapping[Model, Mapping[str, np.ndarray]],
) -> Table:
    """What was trained, on what, and how far."""
    heads = ("directory", "encoder", "data", "steps", "batch", "learning rate", "best validation")
    rows = []
    for model in models:
        config = model.config
        loss = logs.get(model, {}).get("val_loss")
        values = (
            model.name,
            model.encoder,
            model.data,
            _number(config.get("steps")),
            _number(config.get("batch_size")),
            _number(config.get("learning_rate")),
            "" if loss is None else f"{np.nanmin(loss):.3f}",
        )
        rows.append(TableRow(model.title, [Cell(value) for value in values]))
    return Table("What was trained", [Cell(head) for head in heads], rows)


def exports_table(summaries: Iterable[Mapping[str, Any]]) -> Table:
    """What was exported, and whether it computes exactly what the encoder computes."""
    heads = ("form", "size", "state", "hop", "equals offline")
    rows = []
    for summary in summaries:
        kind = [summary["mode"], summary.get("state") and f"{summary['state']} state"]
        numbers = "int8" if summary.get("quantized") else "float"
        values = (
            ", ".join(filter(None, [*kind, numbers])),
            f"{summary['file_bytes'] / 1000:,.0f} kB",
            f"{summary['state_bytes']:,} B" if summary.get("state_bytes") else "-",
            f"{summary['hop_ms']:.0f} ms" if summary.get("hop_ms") else "-",
            _exactness(summary.get("exactness")),
        )
        name = pathlib.PurePath(summary["output"]).name
        rows.append(TableRow(name, [Cell(value) for value in values]))
    return Table("TFLite files", [Cell(head) for head in heads], rows)


def _exactness(exact: Mapping[str, Any] | None) -> str:
    if not exact:
        return "not compared"
    if exact["bit_exact"]:
        return "bit for bit"
    return f"within {exact['max_abs_difference']:.2g}"


# ---- Numbers ----


def _with_margin(value: float, margin: float) -> str:
    return f"{_digits(value)} ± {_digits(margin).removeprefix('0')}"


def _digits(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"  # + 0.0: no -0.00


def _percent(value: float) -> str:
    return f"{round(100 * value):+d}%"


def _figure_text(figure: Figure, *, bracket: bool = True) -> str:
    """A figure of a paper as the paper prints it."""
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
