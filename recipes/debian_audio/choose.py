"""Choose which trained encoders to ship, by the validation clips of the labelled tasks.

  python recipes/debian_audio/choose.py --models=work/cbow,work/skip_gram --corpus=work/corpus \\
      --output=work/choice.json

For each task, a head is trained on the embeddings of the training clips, and its accuracy measured
on the validation clips; test clips are not used. A model's score is the mean accuracy of its linear
probe and its ten nearest neighbours over all tasks. `pretrained` is the best with up to 200,000
weights, `pretrained_self_supervised` the best of these that learned without any teacher or label,
and `pretrained_large` the best larger one, if its score is at least 3 points above. The JSON has
all scores and rows, and these choices.
"""

import dataclasses
import pathlib
from typing import Any

from absl import flags, logging
from judging import PROTOCOL, csv_spec, judge
from shipped import choices

from a2v_tf.data.labelled import open_labelled
from a2v_tf.errors import A2vError, run_app
from a2v_tf.evaluation.cache import EmbeddingCache
from a2v_tf.evaluation.embeddings import keras_embedder
from a2v_tf.evaluation.heads import kernel_weights
from a2v_tf.evaluation.metrics import MEAN, Row
from a2v_tf.evaluation.tables import table
from a2v_tf.files import write_json
from a2v_tf.text import align
from a2v_tf.training.model_dir import load_encoder, read_config

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Define the command's flags."""
    flags.DEFINE_list("models", None, "Model directories written by a2v_train.", required=True)
    flags.DEFINE_string("corpus", None, "Directory with the tasks' CSVs.", required=True)
    flags.DEFINE_string("output", None, "JSON file to write.", required=True)
    flags.DEFINE_string("cache_dir", None, "Directory that keeps embeddings for later runs.")


def main(_: list[str]) -> None:
    logging.set_verbosity(logging.INFO)
    names = [pathlib.Path(path).name for path in FLAGS.models]
    if len(set(names)) < len(names):
        raise A2vError(f"--models={','.join(FLAGS.models)}: expected directories of unique names")
    configs = {name: read_config(path) for name, path in zip(names, FLAGS.models, strict=True)}
    frames = {config["frames"] for config in configs.values()}
    if len(frames) > 1:
        raise A2vError(f"--models: slices of {sorted(frames)} frames; expected one length")
    directories = dict(zip(names, FLAGS.models, strict=True))
    encoders = {name: load_encoder(path) for name, path in directories.items()}
    weights = {name: kernel_weights(encoder) for name, encoder in encoders.items()}
    models = {name: keras_embedder(encoder) for name, encoder in encoders.items()}
    datasets = open_labelled(csv_spec(pathlib.Path(FLAGS.corpus)), needs=("train", "val"))
    cache = EmbeddingCache(FLAGS.cache_dir) if FLAGS.cache_dir else None
    settings = dataclasses.replace(PROTOCOL, frames=frames.pop(), split="val")
    rows = judge(models, datasets, settings, cache)
    found = scores(rows)
    chosen = choices(found, configs, weights)
    content = {"choices": chosen, "directories": directories, "weights": weights}
    content |= {"split": "val", "scores": found, "results": rows, "configs": configs}
    write_json(FLAGS.output, content)
    print(table(rows))
    lines = [[name, f"{weights[name]:,}", f"{100 * score:.1f}"] for name, score in found.items()]
    print(align([["model", "weights", "score on val"], *lines]))
    for name, choice in chosen.items():
        print(f"{name}: {choice}")
    print(f"Wrote {FLAGS.output}")


def scores(rows: list[Row]) -> dict[str, float]:
    """Each model's mean accuracy over tasks and protocols, in descending order."""
    of: dict[str, list[Any]] = {}
    for row in rows:
        if row["task"] == MEAN:
            of.setdefault(row["model"], []).append(row["accuracy"])
    means = {name: sum(values) / len(values) for name, values in of.items()}
    return dict(sorted(means.items(), key=lambda item: -item[1]))


if __name__ == "__main__":
    run_app(main, define_flags)
