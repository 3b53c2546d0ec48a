"""The results of an evaluation as text for a terminal."""

from collections.abc import Callable, Iterable, Sequence

from a2v_tf.evaluation.metrics import BASELINES, FORMULAS, MEAN, Conditions, Row, conditions
from a2v_tf.evaluation.settings import BEST, CLIPS, LAST, NONE, SLICES
from a2v_tf.text import align

MAX_COLUMNS = 5  # models side by side; more go below
_JUDGES = {
    CLIPS: "clips are judged, from windows T/2 apart joined by naive Bayes (ICLR, patent)",
    SLICES: "slices at random positions are judged (SPL)",
}
_SELECTIONS = {
    LAST: "encoder and fine-tuning after the last step (both papers)",
    BEST: "encoder and fine-tuning of the best round by validation (not the papers')",
}


def table(rows: Sequence[Row], normalised: Sequence[Row] = ()) -> str:
    """Format the rows of an evaluation: a block for each protocol, then normalised accuracies.

    Args:
      rows: of `compare`.
      normalised: of `metrics.normalised`.
    """
    parts = _blocks(rows, _title, _accuracy)
    if rows:
        parts.append(
            f"accuracy in % with its 95 % interval: of {_judged(rows)}, for knn of windows"
        )
        known = dict.fromkeys(protocol(conditions(row)) for row in rows)
        parts += ["\n  ".join(["protocol:", *words]) for words in known if words]
    parts += _blocks(normalised, _normalised_title, _normalised)
    if normalised:
        parts.append(
            "normalised: 0 is the baseline, 1 is Supervised\n"
            "intervals: of tasks with ICLR's formula from their accuracy, with SPL's from "
            "replicas; of the mean from bootstrap samples of tasks"
        )
    return "\n".join(parts)


def protocol(how: Conditions) -> tuple[str, ...]:
    """How rows were measured, in words; empty for rows that do not say so."""
    if how.judge is None or how.select is None:
        return ()
    count = how.train_slices
    slices = (
        f"up to {count} slices at random positions"
        if count
        else "all windows T/2 apart (not the papers')"
    )
    heads = f"heads learn from {slices} of each training clip"
    return _JUDGES[how.judge], heads, _SELECTIONS[how.select]


def _judged(rows: Sequence[Row]) -> str:
    judges = {row.get("judge") for row in rows}
    words = ["slices of test clips"] if SLICES in judges else []
    return " and ".join([*(["test clips"] if judges != {SLICES} else []), *words])


def _blocks(
    rows: Sequence[Row], title: Callable[[Row], str], cell: Callable[[Row], str]
) -> list[str]:
    """A block for each title."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(title(row), []).append(row)
    tasks = sorted(dict.fromkeys(row["task"] for row in rows), key=lambda task: task == MEAN)
    parts = []
    for name, group in groups.items():
        parts.append(f"-- {name} --")
        columns = list(dict.fromkeys(map(_column, group)))
        for start in range(0, len(columns), MAX_COLUMNS):
            parts.append(_block(group, tasks, columns[start : start + MAX_COLUMNS], cell))
    return parts


def _block(
    rows: Iterable[Row], tasks: Sequence[str], columns: Sequence[str], cell: Callable[[Row], str]
) -> str:
    cells = {(row["task"], _column(row)): row for row in rows}
    counted = any("n_test" in row for row in cells.values())
    lines = [["task", *(["classes", "test"] if counted else []), *columns]]
    for task in tasks:
        found = [cells.get((task, column)) for column in columns]
        row = next(filter(None, found), None)
        if row is None:
            continue
        counts = ["" if task == MEAN else str(row.get(key, "")) for key in ("classes", "n_test")]
        values = [cell(value) if value else "" for value in found]
        lines.append([task, *(counts if counted else []), *values])
    return align(lines)


def _title(row: Row) -> str:
    per_class, total = row["examples_per_class"], row.get("examples")
    words = [f"{per_class} examples per class"] if per_class else []
    return ", ".join([row["protocol"], *words, *([f"{total} examples"] if total else [])])


def _normalised_title(row: Row) -> str:
    return f"{_title(row)}, normalised ({row['formula'].upper()}: 0 is {FORMULAS[row['formula']]})"


def _column(row: Row) -> str:
    """The model, and unless it is a baseline, from which layer it was fine-tuned."""
    trained = row["finetune"] != NONE and row["model"] not in BASELINES
    return f"{row['model']} {row['finetune']}" if trained else row["model"]


def _accuracy(row: Row) -> str:
    accuracy, low, high = (100 * row[key] for key in ("accuracy", "low", "high"))
    return f"{accuracy:5.1f} [{low:4.1f}, {high:5.1f}]"


def _normalised(row: Row) -> str:
    interval = "" if row["low"] is None else f" [{row['low']:5.2f}, {row['high']:5.2f}]"
    return f"{row['value']:5.2f}{interval}"
