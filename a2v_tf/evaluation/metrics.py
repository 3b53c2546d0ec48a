"""Intervals, and the normalised accuracies of both papers."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from a2v_tf.evaluation.settings import ALL, FINETUNE, NONE

Z_95 = 1.959964  # standard deviations on each side of a 95 % interval
BOOTSTRAP_ITERATIONS = 50  # SPL section IV, Table I
MEAN = "mean"  # the task name of rows that average over tasks
# The papers' baselines (ICLR section 4).
UNTRAINED, SPECTROGRAM = "untrained", "spectrogram"
SUPERVISED, MULTI_HEAD = "supervised", "multihead"
BASELINES = (UNTRAINED, SPECTROGRAM, SUPERVISED, MULTI_HEAD)
# Each formula's model whose accuracy counts as 0; that of Supervised counts as 1.
FORMULAS = {"iclr": SPECTROGRAM, "spl": UNTRAINED}
# Protocols without a trained head, so that Supervised can be evaluated with them too (patent
# Table 3).
HEADLESS = ("knn", "knn_clips")
# The heads on frozen embeddings that fine-tuning is compared with, in order of preference.
LINEAR_HEADS = ("sgd", "linear")

Row = dict[str, Any]


class Conditions(NamedTuple):
    """What rows have to agree in to be compared; None for what a row does not state.

    Attributes:
      examples_per_class: training clips of each class.
      examples: training clips of all classes together.
      judge: one of `settings.JUDGES`.
      select: one of `settings.SELECTIONS`.
      train_slices: as in `settings.Settings`.
    """

    examples_per_class: int | None = None
    examples: int | None = None
    judge: str | None = None
    select: str | None = None
    train_slices: int | None = None

    @property
    def protocol(self) -> "Conditions":
        """Without the numbers of clips."""
        return self._replace(examples_per_class=None, examples=None)


CONDITIONS = Conditions._fields


def wilson(accuracy: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a fraction of `n` trials (the intervals of ICLR Table 2)."""
    z2 = Z_95**2 / n
    centre = (accuracy + z2 / 2) / (1 + z2)
    margin = Z_95 / (1 + z2) * math.sqrt(accuracy * (1 - accuracy) / n + z2 / (4 * n))
    return max(0.0, centre - margin), min(1.0, centre + margin)


def normalise(accuracy: float, zero: float, one: float) -> float:
    """Accuracy on a scale from a baseline (0) to Supervised (1).

    ICLR Table 2 takes Spectrogram as the baseline; SPL formula (1) takes Untrained.

    Raises:
      ValueError: `one` is not above `zero`, so that there is no such scale.
    """
    if one <= zero:
        raise ValueError(f"no scale from {zero} to {one}: Supervised is not above the baseline")
    return (accuracy - zero) / (one - zero)


def bootstrap_interval(
    values: Sequence[float], iterations: int = BOOTSTRAP_ITERATIONS, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile interval of the mean over tasks, from bootstrap samples of the tasks.

    It shows how much the mean depends on the choice of tasks (SPL section IV).
    """
    chosen = np.random.default_rng(seed).integers(0, len(values), (iterations, len(values)))
    low, high = np.quantile(np.asarray(values)[chosen].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def normalised(
    rows: Iterable[Row], iterations: int = BOOTSTRAP_ITERATIONS, seed: int = 0
) -> list[Row]:
    """Normalise the rows of an evaluation with both formulas, where rows of their baselines exist.

    A row is compared with baselines of the same protocol and `CONDITIONS`. Supervised is
    trained end to end with its own head, so its fine-tuning row counts as 1 for heads and
    fine-tuning. For fine-tuning, the baseline's linear head counts as 0.

    Args:
      rows: with the keys task, model, protocol, finetune, accuracy, low, high, replicas, and
        `CONDITIONS`.
      iterations: of the bootstrap over tasks.
      seed: of the bootstrap.

    Returns:
      Rows with the keys model, protocol, finetune, formula, task, value, low, high, and
      `CONDITIONS`. The interval of a task's value is with ICLR's formula that of its accuracy on
      the new scale; with SPL's, that of the mean over replicas (SPL Figure 3), or None with only
      one. That of `mean`, present where there are several tasks, comes from the bootstrap.
    """
    rows = [row for row in rows if row["task"] != MEAN]
    index = {
        (row["task"], row["model"], row["protocol"], row["finetune"], conditions(row)): (
            row["accuracy"]
        )
        for row in rows
    }
    found = []
    upside_down = {}
    for formula, baseline in FORMULAS.items():
        for row in rows:
            scale = _scale(row, baseline, index)
            if scale is None:
                continue
            if scale[0] < scale[1]:
                found.append(_normalised_row(row, formula, *scale))
            else:
                upside_down[row["task"], row["protocol"], baseline] = scale
    for (task, protocol, baseline), (zero, one) in upside_down.items():
        logging.warning(
            "%s, %s: Supervised (%.3f) is not above %s (%.3f): not normalised",
            *(task, protocol, one, baseline, zero),
        )
    return found + _means(found, iterations, seed)


def _scale(row: Row, baseline: str, index: Mapping[tuple, float]) -> tuple[float, float] | None:
    """The accuracies that count as 0 and 1 for a row, or None where there are no such rows."""
    task, protocol, same = row["task"], row["protocol"], conditions(row)
    heads = LINEAR_HEADS if protocol == FINETUNE else (protocol,)
    zeros = [index.get((task, baseline, head, "none", same)) for head in heads]
    own = (protocol, NONE) if protocol in HEADLESS else (FINETUNE, ALL)
    one = index.get((task, SUPERVISED, *own, same))
    zero = next((value for value in zeros if value is not None), None)
    return None if zero is None or one is None else (zero, one)


def conditions(row: Row) -> Conditions:
    """The conditions of a row."""
    return Conditions(*(row.get(key) for key in CONDITIONS))


def replica_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Student's 95 % interval of the mean of replicas; None with only one.

    SPL Figure 3 has "confidence intervals [that] represent the variation across replicas"; their
    level and kind are not stated.
    """
    if len(values) < 2:
        return None
    from scipy import stats  # the light install has none, and the command's flags need this module

    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    mean = float(np.mean(values))
    return mean - float(half), mean + float(half)


def _normalised_row(row: Row, formula: str, zero: float, one: float) -> Row:
    interval: tuple[float, float] | None = row["low"], row["high"]
    if formula == "spl":
        interval = replica_interval(row["replicas"])
    low, high = (normalise(end, zero, one) for end in interval) if interval else (None, None)
    return {
        **{key: row[key] for key in ("model", "protocol", "finetune")},
        **conditions(row)._asdict(),
        "formula": formula,
        "task": row["task"],
        "value": normalise(row["accuracy"], zero, one),
        "low": low,
        "high": high,
    }


def _means(rows: Iterable[Row], iterations: int, seed: int) -> list[Row]:
    keys = ("model", "protocol", "finetune", *CONDITIONS, "formula")
    groups: dict[tuple, list[float]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row["value"])
    means = []
    for group, values in groups.items():
        if len(values) > 1:
            low, high = bootstrap_interval(values, iterations, seed)
            row = {"task": MEAN, "value": float(np.mean(values)), "low": low, "high": high}
            means.append({**dict(zip(keys, group, strict=True)), **row})
    return means
