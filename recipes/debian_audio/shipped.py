"""The encoders that are shipped: which candidates may become which, and what is expected of them.

Nothing here looks at test clips except `criteria`, which judges an encoder after it was packed.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from judging import LINEAR, NEAREST, means

from a2v_tf.errors import A2vError
from a2v_tf.evaluation.metrics import MEAN, UNTRAINED, Row
from a2v_tf.tasks import DISTILL, SUPERVISED, task_names
from a2v_tf.training.model_dir import read_config, runs

PRETRAINED, SELF_SUPERVISED = "pretrained", "pretrained_self_supervised"
LARGE = "pretrained_large"
MOST_WEIGHTS = 200_000  # of the first two
LARGE_GAIN = 0.03  # in the score on val clips, for which a large encoder is worth its size
STATISTICS = "log_mel_statistics"
WINDOW, STREAMING, FLOAT = "int8 window", "int8 streaming", "float"  # rows of evaluate.py
# Licences of teachers, by SPDX identifier, that allow commercial use. The modules of the teachers
# quote the words that do.
LICENCES = ("Apache-2.0", "BSD-3-Clause", "CC-BY-4.0", "CC0-1.0", "ISC", "MIT")


# Choosing ----------------------------------------------------------------------------------------


def learns_alone(config: Mapping[str, Any]) -> bool:
    """Whether an encoder learned without labels and without any teacher, in all its runs."""
    learned = set()
    for run in runs(config):
        learned |= {run["task"], *task_names(run["task"], run.get("heads") or ())}
    return not learned & {SUPERVISED, DISTILL}


def choices(
    scores: Mapping[str, float],
    configs: Mapping[str, Mapping[str, Any]],
    weights: Mapping[str, int],
) -> dict[str, str]:
    """The best candidate for each encoder that is shipped, by name.

    Args:
      scores: of the candidates on val clips.
      configs: their config.json.
      weights: their numbers of weights.

    Raises:
      A2vError: no candidate is small enough.
    """

    def best(names: Sequence[str]) -> str | None:
        return max(names, key=lambda name: scores[name], default=None)

    small = [name for name in scores if weights[name] <= MOST_WEIGHTS]
    chosen = {
        PRETRAINED: best(small),
        SELF_SUPERVISED: best([name for name in small if learns_alone(configs[name])]),
        LARGE: best([name for name in scores if weights[name] > MOST_WEIGHTS]),
    }
    if chosen[PRETRAINED] is None:
        raise A2vError(f"no candidate of up to {MOST_WEIGHTS:,} weights: {dict(weights)}")
    found = {name: choice for name, choice in chosen.items() if choice}
    if LARGE in found and scores[found[LARGE]] < scores[found[PRETRAINED]] + LARGE_GAIN:
        del found[LARGE]
    if found.get(SELF_SUPERVISED) == found[PRETRAINED]:  # once is enough
        del found[SELF_SUPERVISED]
    return found


def foreign_teachers(config: Mapping[str, Any]) -> list[str]:
    """The teachers of an encoder in all its runs, and of the models of this project among them."""
    found: list[str] = []
    for name in [name for run in runs(config) for name in run.get("teachers") or ()]:
        kind, _, path = name.partition(":")
        found += foreign_teachers(read_config(path)) if kind == "model" else [name]
    return list(dict.fromkeys(found))


def check_weights(name: str, weights: int) -> None:
    """Raise `A2vError` if an encoder has too many weights for its name."""
    if name in (PRETRAINED, SELF_SUPERVISED) and weights > MOST_WEIGHTS:
        raise A2vError(f"{name}: {weights:,} weights; expected at most {MOST_WEIGHTS:,}")


def check_licence(teacher: str, licence: str) -> None:
    """Raise `A2vError` if what was learned from a teacher may not be used commercially."""
    if licence not in LICENCES:
        raise A2vError(
            f"teacher {teacher}: licence {licence}; expected one that allows commercial use: "
            f"{', '.join(LICENCES)}"
        )


# Judging -----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Criterion:
    """What an encoder is expected to reach.

    Attributes:
      what: in words.
      needed: the least or greatest value, as text.
      found: what was measured, as text; "not measured" without the rows.
      passed: whether it is reached; None if it was not measured.
    """

    what: str
    needed: str
    found: str = "not measured"
    passed: bool | None = None


def criteria(
    name: str, rows: Sequence[Row], teachers: Sequence[str], aims: tuple[float, float]
) -> list[Criterion]:
    """Judge a packed encoder by its rows; accuracies are of test clips.

    Args:
      name: of the encoder.
      rows: of evaluate.py, with all training clips.
      teachers: that it learned from.
      aims: least means of the linear probe and of nearest neighbours, in %.
    """
    linear, nearest = (_percent(means(rows, protocol)) for protocol in (LINEAR, NEAREST))
    by_task = {
        (row["model"], row["task"]): row["accuracy"]
        for row in rows
        if row["protocol"] == LINEAR and row["task"] != MEAN and not row["examples_per_class"]
    }
    found = []
    if name == SELF_SUPERVISED:
        found += _gains(linear, nearest)
    else:
        for what, of, aim in (("linear", linear, aims[0]), ("nearest", nearest, aims[1])):
            needed = f"at least {aim:g}"
            found.append(Criterion(f"mean, {what}", needed, f"{of[WINDOW]:.1f}", of[WINDOW] >= aim))
        found += _above_teachers(linear, nearest, teachers)
        found.append(_tasks_below(by_task))
    for what, of in (("linear", linear), ("nearest", nearest)):
        criterion = Criterion(f"streaming less window, {what}", "within 1")
        if STREAMING in of:
            less = of[STREAMING] - of[WINDOW]
            criterion = dataclasses.replace(criterion, found=f"{less:+.1f}", passed=abs(less) <= 1)
        found.append(criterion)
    return found


def _gains(linear: Mapping[str, float], nearest: Mapping[str, float]) -> Iterator[Criterion]:
    for what, of in (("linear", linear), ("nearest", nearest)):
        criterion = Criterion(f"mean less that of Untrained, {what}", "at least 4")
        if UNTRAINED in of:
            gain = of[WINDOW] - of[UNTRAINED]
            criterion = dataclasses.replace(criterion, found=f"{gain:+.1f}", passed=gain >= 4)
        yield criterion


def _above_teachers(
    linear: Mapping[str, float], nearest: Mapping[str, float], teachers: Sequence[str]
) -> Iterator[Criterion]:
    ours = f"{linear[WINDOW]:.1f} / {nearest[WINDOW]:.1f}"
    for teacher in teachers:
        what = f"means, linear / nearest, above {teacher}"
        if teacher not in linear:
            yield Criterion(what, "above both")
            continue
        passed = linear[WINDOW] > linear[teacher] and nearest[WINDOW] > nearest[teacher]
        yield Criterion(what, f"{linear[teacher]:.1f} / {nearest[teacher]:.1f}", ours, passed)


def _tasks_below(by_task: Mapping[tuple[str, str], float]) -> Criterion:
    """At most one task on which a baseline has a better linear probe."""
    criterion = Criterion("tasks below Untrained or log-mel statistics, linear", "at most 1")
    models = {model for model, _ in by_task}
    if not {UNTRAINED, STATISTICS} <= models:
        return criterion
    tasks = dict.fromkeys(task for _, task in by_task)
    below = [
        task
        for task in tasks
        if by_task[WINDOW, task] < max(by_task[x, task] for x in (UNTRAINED, STATISTICS))
    ]
    words = f"{len(below)}" + (f" ({', '.join(below)})" if below else "")
    return dataclasses.replace(criterion, found=words, passed=len(below) <= 1)


def _percent(accuracies: Mapping[str, float]) -> dict[str, float]:
    return {name: 100 * accuracy for name, accuracy in accuracies.items()}
