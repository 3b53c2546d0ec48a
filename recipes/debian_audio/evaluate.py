"""The model card's evaluation: a packed encoder and what it is compared with, on test clips.

  python recipes/debian_audio/evaluate.py --model_dir=pretrained --corpus=work/corpus \\
      --compare=work/models/cbow,work/models/skip_gram --output=work/evaluation.json

Models: the float encoder; the directory's int8 files, window.tflite and streaming*.tflite; the same
network untrained, mean of five seeds; each teacher that the encoder learned from, alone; log-mel
statistics, 192 numbers per slice; Google's speech_embedding from PyPI's pyopen-wakeword, with all
of a clip's embeddings at its own hop of 80 ms, or with their mean; and the model directories of
--compare. Heads: logistic regression, and the ten nearest windows of training clips; with all
training clips, and with few (--per_class), mean of --draws. Accuracy is the fraction of test clips
that are classified correctly, with 95 % intervals.

The JSON also has each model's cost, what the teachers' modules say of their licences and data, and
whether the encoder reaches what is expected of it, which is printed.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from absl import flags, logging
from judging import (
    LINEAR,
    PROTOCOL,
    cpu_times,
    csv_spec,
    judge,
    speech_embedding,
    stream_call,
    streaming_file,
    teacher_embedder,
    teacher_facts,
    window_call,
)
from shipped import (
    FLOAT,
    LARGE,
    PRETRAINED,
    SELF_SUPERVISED,
    STATISTICS,
    STREAMING,
    WINDOW,
    Criterion,
    criteria,
)

from a2v_tf import __version__, pretrained
from a2v_tf.commands.flag_types import define_counts, define_some_of
from a2v_tf.data.labelled import open_labelled
from a2v_tf.errors import run_app
from a2v_tf.evaluation import embeddings
from a2v_tf.evaluation.cache import EmbeddingCache
from a2v_tf.evaluation.embeddings import keras_embedder, tflite_embedder, untrained_encoder
from a2v_tf.evaluation.heads import kernel_weights
from a2v_tf.evaluation.metrics import UNTRAINED, Row
from a2v_tf.evaluation.settings import Few
from a2v_tf.evaluation.tables import table
from a2v_tf.export.benchmark.measure import machine
from a2v_tf.files import write_json
from a2v_tf.teachers import Teacher, find_teacher
from a2v_tf.text import align
from a2v_tf.training.model_dir import load_encoder, read_config

FLAGS = flags.FLAGS

SEEDS = 5  # of Untrained
BASELINES = (UNTRAINED, "teachers", STATISTICS, "speech_embedding", "speech_embedding_mean")
Models = dict[str, embeddings.Embedder | list[embeddings.Embedder]]


def define_flags() -> None:
    """Define the command's flags."""
    flags.DEFINE_string("model_dir", None, "Packed encoder: its name or folder.", required=True)
    names = [PRETRAINED, SELF_SUPERVISED, LARGE]
    flags.DEFINE_enum("name", PRETRAINED, names, "What it is, or is meant to be: sets the aims.")
    flags.DEFINE_string("corpus", None, "Directory with the tasks' CSVs.", required=True)
    flags.DEFINE_string("output", None, "JSON file to write.", required=True)
    flags.DEFINE_enum("split", "test", ["test", "val"], "Which clips accuracy is measured on.")
    text = f"Some of {', '.join(BASELINES)}, or empty."
    define_some_of("baselines", BASELINES, BASELINES, text, empty=True)
    flags.DEFINE_list("compare", [], "Model directories of a2v_train to compare with.")
    text = "Few training clips of each class, comma-separated; 0: not measured."
    define_counts("per_class", [1, 5, 20], text, least=0)
    flags.DEFINE_integer("draws", 20, "Draws of these clips to average over.", 1)
    text = "Means in % that are expected, of the linear probe and of nearest neighbours."
    define_counts("aims", [90, 82], text, least=0)
    flags.DEFINE_string(
        "cache_dir", None, "Directory that keeps embeddings. Default: beside --output."
    )


def main(_: list[str]) -> None:
    logging.set_verbosity(logging.INFO)
    directory = pretrained.resolve(FLAGS.model_dir)
    config = read_config(directory)
    encoder = load_encoder(directory)
    teachers = [find_teacher(name) for name in config.get("taught_by") or ()]
    models = _models(directory, config, encoder, teachers)
    compared = {pathlib.Path(path).name: read_config(path) for path in FLAGS.compare}

    # ---- Accuracy
    needs = ("train", FLAGS.split)
    datasets = open_labelled(csv_spec(pathlib.Path(FLAGS.corpus)), needs=needs)
    cache = EmbeddingCache(FLAGS.cache_dir or pathlib.Path(FLAGS.output).parent / "embeddings")
    settings = dataclasses.replace(PROTOCOL, frames=config["frames"], split=FLAGS.split)
    rows = judge(models, datasets, settings, cache)
    if counts := [Few(per_class=int(count)) for count in FLAGS.per_class if int(count)]:
        few = dataclasses.replace(settings, few=counts, replicas=FLAGS.draws)
        whole = {name: model for name, model in models.items() if name not in (FLOAT, STREAMING)}
        rows += judge(whole, datasets, few, cache)

    # ---- Everything else
    aims = float(FLAGS.aims[0]), float(FLAGS.aims[1])
    alone = [teacher.name for teacher in teachers]
    judged = criteria(FLAGS.name, rows, alone, aims)
    content = {
        "results": rows,
        "split": FLAGS.split,
        "draws": FLAGS.draws,
        "config": config,
        "compared": compared,
        "costs": _costs(directory, encoder, teachers, models, rows),
        "teachers": {teacher.name: teacher_facts(teacher) for teacher in teachers},
        "criteria": [dataclasses.asdict(criterion) for criterion in judged],
        "machine": machine(),
    }
    write_json(FLAGS.output, {**content, "command": sys.argv, "a2v_tf": __version__})
    print(table(rows))
    print(verdict(judged))
    print(f"Wrote {FLAGS.output}")


def _models(
    directory: pathlib.Path,
    config: Mapping[str, Any],
    encoder: keras.Model,
    teachers: Sequence[Teacher],
) -> Models:
    models: Models = {FLOAT: keras_embedder(encoder)}
    if (directory / pretrained.WINDOW).is_file():
        models[WINDOW] = tflite_embedder(directory / pretrained.WINDOW)
    for path in sorted(directory.glob("streaming*.tflite")):
        models[f"int8 {path.stem.replace('_', ' ')}"] = streaming_file(path)
    if UNTRAINED in FLAGS.baselines:
        untrained = [untrained_encoder(config, seed) for seed in range(SEEDS)]
        models[UNTRAINED] = [keras_embedder(encoder) for encoder in untrained]
    for path in FLAGS.compare:
        models[pathlib.Path(path).name] = keras_embedder(load_encoder(path))
    if STATISTICS in FLAGS.baselines:
        models[STATISTICS] = teacher_embedder(find_teacher(STATISTICS))
    if "teachers" in FLAGS.baselines:
        models |= {teacher.name: teacher_embedder(teacher) for teacher in teachers}
    for name in ("speech_embedding", "speech_embedding_mean"):
        if name in FLAGS.baselines and name not in models:  # it may be a teacher
            models[name] = speech_embedding(mean=name.endswith("mean"))
    return models


def _costs(
    directory: pathlib.Path,
    encoder: keras.Model,
    teachers: Sequence[Teacher],
    models: Models,
    rows: Sequence[Row],
) -> dict[str, dict[str, Any]]:
    """Of each model its numbers, weights, bytes of its file, and CPU time where it can be compared.

    Keras models have no CPU time: calls from Python would take most of it.
    """
    costs: dict[str, dict[str, Any]] = {name: {} for name in models}
    for row in rows:
        if row["protocol"] == LINEAR and row["classes"]:
            costs[row["model"]]["numbers"] = row["task_parameters"] // row["classes"]
    for name in (FLOAT, WINDOW, STREAMING, UNTRAINED):
        costs.get(name, {})["weights"] = kernel_weights(encoder)
    for path in FLAGS.compare:
        costs[pathlib.Path(path).name]["weights"] = kernel_weights(load_encoder(path))

    calls = {}
    for name, file in ((WINDOW, pretrained.WINDOW), (STREAMING, pretrained.STREAMING)):
        if name in models:
            costs[name]["bytes"] = (directory / file).stat().st_size
    if WINDOW in models:
        calls[WINDOW] = window_call(tflite_embedder(directory / pretrained.WINDOW).embed)
    if STREAMING in models:
        calls[STREAMING] = stream_call(directory / pretrained.STREAMING)
    for teacher in teachers:
        if teacher.name in models:
            costs[teacher.name]["bytes"] = teacher_facts(teacher)["bytes"]
            calls[teacher.name] = window_call(teacher.embed)
    for name, milliseconds in cpu_times(calls).items():
        costs[name]["cpu_ms"] = milliseconds
    return costs


def verdict(judged: Sequence[Criterion]) -> str:
    """A table of what is reached and what is not."""
    words = {True: "passed", False: "FAILED", None: "not measured"}
    lines = [["criterion", "needed", "found", ""]]
    lines += [[each.what, each.needed, each.found, words[each.passed]] for each in judged]
    return align(lines)


if __name__ == "__main__":
    run_app(main, define_flags)
