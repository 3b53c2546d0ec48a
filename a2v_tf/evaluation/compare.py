"""Compare models on downstream tasks: accuracies, their intervals, means, and a table."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from absl import logging

from a2v_tf.evaluation.downstream import Task
from a2v_tf.evaluation.embeddings import Embedder, embed_task
from a2v_tf.evaluation.probes import clip_accuracy

Z_95 = 1.959964  # standard deviations on each side of a 95 % interval
MEAN = "mean"  # the task name of the rows that average over tasks


def evaluate(
    models: Mapping[str, Embedder | Sequence[Embedder]],
    tasks: Sequence[Task],
    *,
    protocols: Sequence[str] = ("linear", "knn"),
    frames: int = 96,
    max_bad_fraction: float = 0.1,
) -> list[dict[str, Any]]:
    """Evaluate models on downstream tasks.

    Args:
      models: what to compare, by name; the accuracies of several embedders under one name (the
        seeds of Untrained) are averaged.
      tasks: each gets a probe per model and protocol.
      protocols: of `probes.PROBES`.
      frames: N, frames of a window.
      max_bad_fraction: of a task's clips that may be unreadable.

    Returns:
      A row for each task, model and protocol: task, model, protocol, accuracy, low, high (95 %
      interval for the finite number of test clips), n_test, classes. Then, with more than one task,
      rows whose task is `mean`.

    Raises:
      A2vError: a task cannot be used.
    """
    members = {
        name: [entry] if isinstance(entry, Embedder) else list(entry)
        for name, entry in models.items()
    }
    flat = {(name, i): member for name, group in members.items() for i, member in enumerate(group)}
    rows = []
    for task in tasks:
        embedded = embed_task(task, flat, frames, max_bad_fraction)
        skipped = len(task.clips) - len(embedded.clips)
        logging.info(
            "%s: %d clips (%d unreadable), %d windows",
            *(task.name, len(embedded.clips), skipped, len(embedded.window_clip)),
        )
        for protocol in protocols:
            for name, group in members.items():
                scores = [clip_accuracy(embedded, (name, i), protocol) for i in range(len(group))]
                accuracy = sum(score for score, _ in scores) / len(scores)
                n_test = scores[0][1]
                low, high = wilson(accuracy, n_test)
                rows.append(
                    {
                        **{"task": task.name, "model": name, "protocol": protocol},
                        **{"accuracy": accuracy, "low": low, "high": high, "n_test": n_test},
                        **{"classes": len({clip.label for clip in embedded.clips})},
                    }
                )
    return rows + (means(rows) if len(tasks) > 1 else [])


def wilson(accuracy: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a fraction seen in `n` trials (ICLR table 2's intervals)."""
    z2 = Z_95**2 / n
    centre = (accuracy + z2 / 2) / (1 + z2)
    margin = Z_95 / (1 + z2) * math.sqrt(accuracy * (1 - accuracy) / n + z2 / (4 * n))
    return max(0.0, centre - margin), min(1.0, centre + margin)


def means(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Average over tasks: one row per protocol and model.

    The tasks' errors are independent, so the distances to the ends of their intervals add in
    squares.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["protocol"], row["model"]), []).append(row)
    return [_mean_row(protocol, model, group) for (protocol, model), group in groups.items()]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Lay out the rows of `evaluate` for a terminal: a line per protocol and task."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    cells = {(row["protocol"], row["task"], row["model"]): row for row in rows}
    lines = [["task", "classes", "test clips", *models]]
    for protocol in dict.fromkeys(row["protocol"] for row in rows):
        lines.append([f"-- {protocol} --"])
        for task in dict.fromkeys(row["task"] for row in rows):
            first = cells[protocol, task, models[0]]
            counts = ["" if task == MEAN else str(first[key]) for key in ("classes", "n_test")]
            lines.append([task, *counts, *(_cell(cells[protocol, task, m]) for m in models)])
    return _align(lines) + "\naccuracy of test clips in %, with 95 % interval"


def _mean_row(protocol: str, model: str, group: list[dict[str, Any]]) -> dict[str, Any]:
    accuracy = sum(row["accuracy"] for row in group) / len(group)
    below = math.hypot(*(row["accuracy"] - row["low"] for row in group)) / len(group)
    above = math.hypot(*(row["high"] - row["accuracy"] for row in group)) / len(group)
    return {
        **{"task": MEAN, "model": model, "protocol": protocol, "accuracy": accuracy},
        **{"low": accuracy - below, "high": accuracy + above},
        **{"n_test": sum(row["n_test"] for row in group), "classes": None},
    }


def _cell(row: dict[str, Any]) -> str:
    accuracy, low, high = (100 * row[key] for key in ("accuracy", "low", "high"))
    return f"{accuracy:5.1f} [{low:4.1f}, {high:5.1f}]"


def _align(lines: list[list[str]]) -> str:
    columns = len(lines[0])
    full = [line for line in lines if len(line) == columns]
    widths = [max(len(line[i]) for line in full) for i in range(columns)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=False))
        ).rstrip()
        for line in lines
    )
