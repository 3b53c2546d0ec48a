"""Compare models on downstream tasks: the rows of a2v_evaluate's results."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

import keras
from absl import logging

from a2v_tf.data.labelled import SPLITS, LabelledData
from a2v_tf.errors import A2vError
from a2v_tf.evaluation.cache import EmbeddingCache
from a2v_tf.evaluation.embeddings import Embedder, embed_task, keras_embedder
from a2v_tf.evaluation.finetune import FineTuned, fine_tune, held_out
from a2v_tf.evaluation.heads import Score, linear, sgd, two_layer
from a2v_tf.evaluation.judged import Judged
from a2v_tf.evaluation.keeping import HeadKeeper
from a2v_tf.evaluation.metrics import (
    CONDITIONS,
    HEADLESS,
    MEAN,
    MULTI_HEAD,
    SUPERVISED,
    Row,
    wilson,
)
from a2v_tf.evaluation.neighbours import knn, knn_clips
from a2v_tf.evaluation.settings import (
    ALL,
    ALL_CLIPS,
    FINETUNE,
    NONE,
    PROTOCOLS,
    Few,
    Settings,
    TrainingSettings,
)
from a2v_tf.evaluation.windows import Windows

HEADS = dict(zip(PROTOCOLS, (linear, sgd, two_layer, knn, knn_clips), strict=True))
_Name = TypeVar("_Name", bound=Hashable)
NOTHING = Judged()  # keeps nothing
RANDOM = ("sgd", "two_layer", "knn")  # protocols that depend on a seed


def frozen(
    models: Mapping[str, Embedder | Sequence[Embedder]],
    datasets: Sequence[LabelledData],
    settings: Settings,
    cache: EmbeddingCache | None = None,
    judged: Judged = NOTHING,
    keeper: HeadKeeper | None = None,
) -> list[Row]:
    """Heads on frozen embeddings.

    Args:
      models: what to compare, by name; several embedders of one name (the seeds of Untrained) are
        replicas.
      datasets: the tasks.
      settings: of the evaluation.
      cache: keeps embeddings for later evaluations.
      judged: keeps rows.
      keeper: keeps the heads of its model.

    Returns:
      A row for each task, protocol, limit of examples and model.

    Raises:
      A2vError: a task cannot be used.
    """
    members = {
        name: [entry] if isinstance(entry, Embedder) else list(entry)
        for name, entry in models.items()
    }
    flat = {(name, i): member for name, group in members.items() for i, member in enumerate(group)}
    rows = []
    for place, data in enumerate(datasets):
        embedded = functools.cache(functools.partial(_embedded, data, flat, settings, cache))

        def judge(
            data: LabelledData,
            embedded: Callable[[], dict[tuple[str, int], Windows]],
            protocol: str,
            few: Few,
            name: str,
        ) -> list[Row]:
            group = range(len(members[name]))
            windows = [_judged(embedded()[name, i], data, settings) for i in group]
            scores = _replicas(protocol, windows, few, settings)
            if keeper and keeper.keeps(name, protocol):
                keeper.keep_frozen(data, protocol, few, scores[0], windows[0])
            return [make_row(data, name, protocol, scores, settings, few=few)]

        for what in itertools.product(settings.protocols, settings.few, members):
            key = ("frozen", place, *what)
            protocol, few, name = what
            missing = (
                keeper is not None
                and keeper.keeps(name, protocol)
                and not keeper.has(data, protocol, NONE, few)
            )
            rows += judged.rows(key, functools.partial(judge, data, embedded, *what), again=missing)
    return rows


def fine_tuned(
    name: str,
    encoder: keras.Model,
    depths: Sequence[str],
    datasets: Sequence[LabelledData],
    training: TrainingSettings,
    settings: Settings,
    judged: Judged = NOTHING,
    keeper: HeadKeeper | None = None,
) -> list[Row]:
    """Fine-tune the upper layers of an encoder for each task (ICLR Figure 3).

    Args:
      name: of the model.
      encoder: the pretrained encoder.
      depths: some of `finetune.depths`; none is skipped.
      datasets: the tasks.
      training: steps, learning rate, batch size.
      settings: of the evaluation.
      judged: keeps rows.
      keeper: keeps heads, with their encoders.

    Returns:
      A row for each task, limit of examples and depth.
    """
    rows = []
    depths = [depth for depth in depths if depth != NONE]
    for place, data in enumerate(datasets):
        held = functools.cache(functools.partial(_held_out, data, settings))

        def judge(
            data: LabelledData, held: Callable[[], Windows], few: Few, depth: str
        ) -> list[Row]:
            tuned = [
                fine_tune(
                    *(encoder, depth, [data], {data.name: held()}, training, seed),
                    select=settings.select,
                    few=few,
                )
                for seed in _seeds(settings, settings.replicas)
            ]
            if keeper:
                keeper.keep_tuned(data, depth, few, tuned[0])
            return [_tuned_row(data, name, tuned, settings, depth, few)]

        for few, depth in itertools.product(settings.few, depths):
            key = ("fine-tuned", place, few, depth)
            missing = keeper is not None and not keeper.has(data, FINETUNE, depth, few)
            rows += judged.rows(
                key, functools.partial(judge, data, held, few, depth), again=missing
            )
    return rows


def _tuned_row(
    data: LabelledData,
    name: str,
    tuned: Sequence[FineTuned],
    settings: Settings,
    depth: str,
    few: Few,
) -> Row:
    scores = [each.scores[data.name] for each in tuned]
    curves = [each.curves.get(data.name, []) for each in tuned]
    row = make_row(data, name, FINETUNE, scores, settings, depth, few)
    return {**row, "curves": [curve for curve in curves if curve]}


def supervised(
    make_encoder: Callable[[int], keras.Model],
    datasets: Sequence[LabelledData],
    training: TrainingSettings,
    settings: Settings,
    judged: Judged = NOTHING,
) -> list[Row]:
    """The Supervised baseline: the same encoder trained from scratch on each task (ICLR section 4).

    Args:
      make_encoder: makes an untrained encoder from a seed.
      datasets: the tasks.
      training: steps, learning rate, batch size.
      settings: of the evaluation.
      judged: keeps rows.

    Returns:
      For each task and limit of examples a row with protocol finetune and depth all, and one for
      each protocol without a trained head (patent Table 3).
    """
    return [
        row
        for place, data in enumerate(datasets)
        for row in _from_scratch(
            (SUPERVISED, place), make_encoder, [data], training, settings, judged
        )
    ]


def multi_head(
    make_encoder: Callable[[int], keras.Model],
    datasets: Sequence[LabelledData],
    training: TrainingSettings,
    settings: Settings,
    judged: Judged = NOTHING,
) -> list[Row]:
    """The MultiHead baseline: as `supervised`, with one encoder and a head for each task."""
    return _from_scratch((MULTI_HEAD,), make_encoder, datasets, training, settings, judged)


def make_row(
    data: LabelledData,
    model: str,
    protocol: str,
    scores: Sequence[Score],
    settings: Settings,
    depth: str = NONE,
    few: Few = ALL_CLIPS,
) -> Row:
    """A row: the mean of replicas, with the 95 % interval for that number of test clips.

    It says by which protocol it was measured: `metrics.CONDITIONS`.
    """
    accuracy = sum(score.accuracy for score in scores) / len(scores)
    n_test = scores[0].n_test
    low, high = wilson(accuracy, n_test)
    what = [model, protocol if depth == NONE else f"fine-tuned from {depth}"]
    what += limits(few)
    logging.info("%s: %s: %.1f %%", data.name, ", ".join(what), 100 * accuracy)
    return {
        "task": data.name,
        "model": model,
        "protocol": protocol,
        "finetune": depth,
        "examples_per_class": few.per_class,
        "examples": few.total,
        "judge": settings.judge,
        "select": settings.select,
        "train_slices": settings.train_slices,
        "accuracy": accuracy,
        "low": low,
        "high": high,
        "n_test": n_test,
        "classes": len(data.classes),
        "replicas": [score.accuracy for score in scores],
        "task_parameters": scores[0].task_parameters,
        "curves": [],
    }


def means(rows: Iterable[Row]) -> list[Row]:
    """Average over tasks: one row for each model, protocol, depth and limit of examples.

    Errors of different tasks are independent, so the distances to the ends of their intervals are
    added in quadrature.
    """
    keys = ("model", "protocol", "finetune", *CONDITIONS)
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(key) for key in keys), []).append(row)
    return [_mean_row(group) for group in groups.values()]


def check_single_label(datasets: Iterable[LabelledData]) -> None:
    """Check that no task has clips with several labels.

    Raises:
      A2vError: a task has.
    """
    for data in datasets:
        if data.multi_label:
            raise A2vError(
                f"{data.name}: clips have several labels; expected data with one label per clip"
            )


def limits(few: Few) -> list[str]:
    """How many training clips are used, in words; empty for all."""
    words = {"train clips a class": few.per_class, "train clips": few.total}
    return [f"{count} {what}" for what, count in words.items() if count]


def _replicas(
    protocol: str, windows: Sequence[Windows], few: Few, settings: Settings
) -> list[Score]:
    """One protocol with each seed: replicas of the head, the model and the choice of clips."""
    chance = protocol in RANDOM or bool(few)
    count = max(len(windows), settings.replicas if chance else 1)
    return [
        HEADS[protocol](windows[i % len(windows)].limited(few, seed), seed, settings.heads)
        for i, seed in enumerate(_seeds(settings, count))
    ]


def _from_scratch(
    key: tuple,
    make_encoder: Callable[[int], keras.Model],
    datasets: Sequence[LabelledData],
    training: TrainingSettings,
    settings: Settings,
    judged: Judged,
) -> list[Row]:
    name = key[0]
    headless = [protocol for protocol in settings.protocols if protocol in HEADLESS]
    held = functools.cache(lambda: {data.name: _held_out(data, settings) for data in datasets})

    def judge(few: Few) -> list[Row]:
        rows = []
        scores: dict[tuple[str, str], list[Score]] = {}
        trained = []
        for seed in _seeds(settings, settings.replicas):
            trained.append(
                fine_tune(
                    *(make_encoder(seed), ALL, datasets, held(), training, seed),
                    select=settings.select,
                    few=few,
                )
            )
            for data in datasets:
                encoder = trained[-1].encoder
                for protocol, score in _headless(encoder, data, headless, few, seed, settings):
                    scores.setdefault((data.name, protocol), []).append(score)
        for data in datasets:
            rows.append(_tuned_row(data, name, trained, settings, ALL, few))
            for protocol in headless:
                found = scores[data.name, protocol]
                rows.append(make_row(data, name, protocol, found, settings, few=few))
        return rows

    return [
        row
        for few in settings.few
        for row in judged.rows((*key, few), functools.partial(judge, few))
    ]


def _headless(
    encoder: keras.Model,
    data: LabelledData,
    protocols: Sequence[str],
    few: Few,
    seed: int,
    settings: Settings,
) -> list[tuple[str, Score]]:
    if not protocols:
        return []
    windows = _embedded(data, {"": keras_embedder(encoder)}, settings)[""]
    windows = _judged(windows, data, settings)
    return [(protocol, HEADS[protocol](windows.limited(few, seed), seed)) for protocol in protocols]


def _embedded(
    data: LabelledData,
    models: Mapping[_Name, Embedder],
    settings: Settings,
    cache: EmbeddingCache | None = None,
) -> dict[_Name, Windows]:
    splits, draws = settings.cuts(*SPLITS)
    return embed_task(
        data,
        models,
        settings.frames,
        max_bad_fraction=settings.max_bad_fraction,
        splits=splits,
        draws=draws,
        cache=cache,
    )


def _held_out(data: LabelledData, settings: Settings) -> Windows:
    without = dataclasses.replace(settings, protocols=())  # kNN's windows are not needed here
    splits, draws = without.cuts("val", "test")
    windows = held_out(data, settings.frames, settings.max_bad_fraction, splits, draws)
    return _judged(windows, data, settings)


def _judged(windows: Windows, data: LabelledData, settings: Settings) -> Windows:
    if not windows.count(settings.split):
        raise A2vError(f"{data.name}: no readable {settings.split} clips to measure accuracy on")
    return dataclasses.replace(windows.judged_on(settings.split), judge=settings.judge)


def _seeds(settings: Settings, count: int) -> range:
    return range(settings.seed, settings.seed + count)


def _mean_row(group: list[Row]) -> Row:
    accuracy = sum(row["accuracy"] for row in group) / len(group)
    below = math.hypot(*(row["accuracy"] - row["low"] for row in group)) / len(group)
    above = math.hypot(*(row["high"] - row["accuracy"] for row in group)) / len(group)
    replicas = zip(*(row["replicas"] for row in group), strict=True)
    return {
        **group[0],
        "task": MEAN,
        "accuracy": accuracy,
        "low": accuracy - below,
        "high": accuracy + above,
        "n_test": sum(row["n_test"] for row in group),
        "classes": None,
        "replicas": [sum(values) / len(group) for values in replicas],
        "task_parameters": None,
        "curves": [],
    }
