"""a2v_evaluate: how good are an encoder's embeddings on downstream tasks?

    a2v_evaluate --model_dir=DIR --downstream=demo
    a2v_evaluate --model_dir=DIR --downstream=csv:keywords.csv,csv:speakers.csv

From Python, use `a2v_tf.evaluation.compare.evaluate`; this module defines the flags.
"""

import json
import pathlib
import platform
import sys
from typing import Any

import numpy as np
import sklearn
import tensorflow as tf
from absl import flags, logging

from a2v_tf import __version__
from a2v_tf.errors import A2vError, run_app
from a2v_tf.evaluation.compare import evaluate, table
from a2v_tf.evaluation.downstream import load_tasks
from a2v_tf.evaluation.embeddings import (
    Embedder,
    keras_embedder,
    spectrogram_embedder,
    tflite_embedder,
    untrained_embedder,
)
from a2v_tf.evaluation.probes import PROBES
from a2v_tf.model_dir import load_encoder, read_config

FLAGS = flags.FLAGS
BASELINES = ("untrained", "spectrogram")


def define_flags() -> None:
    """Define the command's flags; not on import, so that commands can be imported together."""
    flags.DEFINE_string("model_dir", None, "Directory that a2v_train wrote.", required=True)
    flags.DEFINE_string(
        "downstream",
        None,
        "Tasks: 'demo', or 'csv:PATH[,csv:PATH...]' with the columns path,label,split; paths are "
        "relative to the CSV, split is train, val (optional) or test.",
        required=True,
    )
    flags.DEFINE_string("output", None, "JSON file for the results.")
    flags.DEFINE_string(
        "model", None, "TFLite window model to evaluate instead of --model_dir's Keras encoder."
    )
    flags.DEFINE_list("baselines", list(BASELINES), "Baselines beside the model; may be empty.")
    flags.DEFINE_list("protocols", list(PROBES), "Probes to train: linear, knn.")
    flags.DEFINE_integer("seed", None, "First seed of the Untrained weights; default: training's.")
    flags.DEFINE_integer(
        "untrained_seeds",
        3,
        "Untrained encoders to average; one alone may lie 3 points from the mean of many.",
        lower_bound=1,
    )
    flags.DEFINE_float(
        "max_bad_fraction", 0.1, "Fraction of a task's clips that may be unreadable.", 0.0, 1.0
    )
    flags.register_validator(
        "baselines", lambda names: set(names) <= set(BASELINES), f"expected some of {BASELINES}"
    )
    flags.register_validator(
        "protocols",
        lambda names: bool(names) and set(names) <= set(PROBES),
        f"expected some of {tuple(PROBES)}",
    )


def main(argv: list[str]) -> None:
    """Evaluate, print the table, and write the JSON."""
    del argv
    logging.set_verbosity(logging.INFO)
    config = read_config(FLAGS.model_dir)
    output = _checked_output(FLAGS.output)
    models = _models(config)
    tasks = load_tasks(FLAGS.downstream)
    rows = evaluate(
        models,
        tasks,
        protocols=FLAGS.protocols,
        frames=config["frames"],
        max_bad_fraction=FLAGS.max_bad_fraction,
    )
    print(table(rows))
    if output:
        output.write_text(json.dumps({"results": rows, **_provenance(config)}, indent=2) + "\n")
        print(f"wrote {output}")


def _models(config: dict[str, Any]) -> dict[str, Embedder | list[Embedder]]:
    if FLAGS.model:
        path = pathlib.Path(FLAGS.model)
        name, model = path.name, tflite_embedder(path)
    else:
        name = pathlib.Path(FLAGS.model_dir).resolve().name
        model = keras_embedder(load_encoder(FLAGS.model_dir))
    models = {"trained" if name in BASELINES else name: model}
    if "untrained" in FLAGS.baselines:
        first = config.get("seed", 0) if FLAGS.seed is None else FLAGS.seed
        seeds = range(first, first + FLAGS.untrained_seeds)
        models["untrained"] = [untrained_embedder(config, seed) for seed in seeds]
    if "spectrogram" in FLAGS.baselines:
        models["spectrogram"] = spectrogram_embedder()
    return models


def _checked_output(output: str | None) -> pathlib.Path | None:
    """Say before the work, not after it, that the result cannot be written."""
    if output is None:
        return None
    path = pathlib.Path(output)
    if not path.parent.is_dir():
        raise A2vError(f"--output={output}: no directory {path.parent}")
    return path


def _provenance(config: dict[str, Any]) -> dict[str, Any]:
    versions = {
        "a2v_tf": __version__,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
    }
    return {"command": sys.argv, "config": config, "versions": versions}


def run() -> None:
    """Console script."""
    define_flags()
    run_app(main)


if __name__ == "__main__":
    run()
