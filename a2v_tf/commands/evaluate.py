"""a2v_evaluate: how good are an encoder's embeddings on downstream tasks?

    a2v_evaluate --model_dir=DIR --downstream=demo
    a2v_evaluate --model_dir=DIR --downstream=speech_commands,musan --protocols=sgd,knn --replicas=5
    a2v_evaluate --model_dir=DIR --downstream=csv:a.csv,csv:b.csv \\
        --finetune=none,fc,conv5,conv4,all --baselines=untrained,spectrogram,supervised,multihead

From Python, use `a2v_tf.evaluation.compare`; this module defines the flags.
"""

import functools
import pathlib
import platform
import sys
from typing import Any

import keras
import numpy as np
import sklearn
import tensorflow as tf
from absl import flags, logging

from a2v_tf import __version__
from a2v_tf.data.builders import LABELLED
from a2v_tf.data.labelled import open_labelled
from a2v_tf.errors import A2vError, run_app
from a2v_tf.evaluation import compare, metrics
from a2v_tf.evaluation.cache import DIRECTORY, EmbeddingCache
from a2v_tf.evaluation.embeddings import (
    WindowEmbedder,
    keras_embedder,
    spectrogram_embedder,
    tflite_embedder,
    untrained_encoder,
)
from a2v_tf.evaluation.finetune import NONE, TrainingSettings, check_depths
from a2v_tf.evaluation.heads import HeadSettings
from a2v_tf.evaluation.metrics import BASELINES, MULTI_HEAD, SPECTROGRAM, SUPERVISED, UNTRAINED
from a2v_tf.evaluation.tables import table
from a2v_tf.files import cache_dir, write_json
from a2v_tf.pretrained import is_packaged, resolve
from a2v_tf.specs import MAX_BAD_FRACTION
from a2v_tf.training.model_dir import load_encoder, read_config

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Define the command's flags; not on import, so that commands can be imported together."""
    flags.DEFINE_string(
        "model_dir", None, "Directory that a2v_train wrote, or 'pretrained'.", required=True
    )
    flags.DEFINE_string(
        "downstream",
        None,
        "Labelled data sets, separated by commas. Each is 'demo'; 'csv:PATH', a file with the "
        "columns path,label,split (paths relative to it; split: train, val or test); "
        "'tfds:NAME[/CONFIG][:VERSION]', any data set with audio and label; 'MODULE:NAME', a "
        "LabelledData of an installed package, or a function that returns one; or one "
        f"of the papers', prepared with its builder: {', '.join(sorted(LABELLED))}.",
        required=True,
    )
    flags.DEFINE_string("output", None, "JSON file for the results.")
    flags.DEFINE_string(
        "model",
        None,
        "TFLite window model to evaluate instead of --model_dir's Keras encoder; 'pretrained' too.",
    )

    # ---- What is measured
    flags.DEFINE_list(
        "protocols",
        ["linear", "knn"],
        f"How frozen embeddings are judged, some of {', '.join(compare.PROTOCOLS)}. linear: "
        "logistic regression; sgd: the papers' linear layer, trained with Adam; two_layer: sgd "
        "with a hidden layer; knn: 10 nearest neighbours of windows; knn_clips: of whole clips.",
    )
    flags.DEFINE_enum(
        "split",
        "test",
        ["test", "val"],
        "Whose clips judge. val: to choose between models without looking at test clips; then "
        "nothing is tuned on val, so the penalty of linear is fixed.",
    )
    flags.DEFINE_list(
        "finetune",
        [NONE],
        "From which layer upwards the encoder is retrained for each task, some of none,fc,conv5,"
        "conv4,...,all. none is the frozen encoder of --protocols; leave it out to skip those.",
    )
    flags.DEFINE_list(
        "baselines",
        [UNTRAINED, SPECTROGRAM],
        f"Beside the model, some of {', '.join(BASELINES)}, or empty. The last two train encoders "
        "from scratch, on each task and on all at once; normalised accuracies need supervised.",
    )
    flags.DEFINE_list(
        "examples_per_class",
        ["0"],
        "Train clips of each class to use, chosen by seed; 0 for all. Several are evaluated one "
        "by one; SPL: 0,1000.",
    )
    flags.DEFINE_integer(
        "replicas",
        1,
        "Seeds to average over, wherever there is randomness; papers: 5 (ICLR), 4 (SPL).",
        lower_bound=1,
    )
    flags.DEFINE_integer("seed", None, "The first of those seeds; default: training's.")
    flags.DEFINE_integer(
        "untrained_seeds",
        3,
        "Untrained encoders to average; one alone may lie 3 points from the mean of many.",
        lower_bound=1,
    )
    flags.DEFINE_float(
        "max_bad_fraction",
        MAX_BAD_FRACTION,
        "Fraction of a task's clips that may be unreadable.",
        lower_bound=0.0,
        upper_bound=1.0,
    )

    # ---- How heads and encoders are trained
    flags.DEFINE_integer(
        "head_steps", 10_000, "Steps of 256 windows for sgd and two_layer; SPL: 100000.", 1
    )
    flags.DEFINE_float("head_learning_rate", 1e-4, "For sgd and two_layer; SPL: 1e-4.", 0.0)
    flags.DEFINE_integer(
        "head_hidden", 128, "Hidden units of two_layer; ICLR Table 5 does not say how many.", 1
    )
    flags.DEFINE_integer(
        "finetune_steps",
        1_000,
        "Steps for each task of --finetune, supervised and multihead; SPL: 100000.",
        lower_bound=1,
    )
    flags.DEFINE_integer("finetune_batch_size", 256, "Crops a step of the same; papers: 256.", 1)
    flags.DEFINE_float("finetune_learning_rate", 1e-4, "For --finetune; SPL: 1e-4.", 0.0)
    flags.DEFINE_float(
        "supervised_learning_rate", 1e-3, "For supervised and multihead; ICLR: 1e-3.", 0.0
    )
    flags.DEFINE_string(
        "cache_dir",
        None,
        f"Keeps embeddings for the next time, and may be deleted; default: {DIRECTORY} in "
        "--model_dir, or for 'pretrained' in the user's cache; empty: nowhere.",
    )

    for name, known in (("protocols", compare.PROTOCOLS), ("baselines", BASELINES)):
        flags.register_validator(
            name, lambda names, known=known: set(names) <= set(known), _some_of(known)
        )
    flags.register_validator("protocols", bool, _some_of(compare.PROTOCOLS))
    flags.register_validator("finetune", bool, "expected some of none,fc,conv5,conv4,...,all")
    flags.register_validator(
        "examples_per_class",
        lambda counts: bool(counts) and all(count.strip().isdecimal() for count in counts),
        "expected whole numbers, 0 for all",
    )


def main(argv: list[str]) -> None:
    """Evaluate, print the table, and write the JSON."""
    del argv
    logging.set_verbosity(logging.INFO)
    config = read_config(FLAGS.model_dir)
    output = _checked_output(FLAGS.output)
    encoder = None if FLAGS.model else load_encoder(FLAGS.model_dir)
    _check_finetune(encoder)
    datasets = open_labelled(FLAGS.downstream, needs=("train", FLAGS.split))
    compare.check_single_label(datasets)
    settings = compare.Settings(
        protocols=FLAGS.protocols,
        frames=config["frames"],
        replicas=FLAGS.replicas,
        seed=_seed(config),
        examples_per_class=[int(count) or None for count in FLAGS.examples_per_class],
        max_bad_fraction=FLAGS.max_bad_fraction,
        heads=HeadSettings(FLAGS.head_steps, FLAGS.head_learning_rate, FLAGS.head_hidden),
        split=FLAGS.split,
    )
    fine_tuning = TrainingSettings(
        FLAGS.finetune_steps, FLAGS.finetune_learning_rate, FLAGS.finetune_batch_size
    )
    from_scratch = TrainingSettings(
        FLAGS.finetune_steps, FLAGS.supervised_learning_rate, FLAGS.finetune_batch_size
    )
    untrained = functools.partial(untrained_encoder, config)

    # ---- Heads on frozen embeddings, parts of the encoder, the whole encoder
    rows = []
    if NONE in FLAGS.finetune:
        models = _models(config, encoder)
        rows += compare.frozen(models, datasets, settings, _cache())
    if encoder:
        name = _model_name()
        rows += compare.fine_tuned(name, encoder, FLAGS.finetune, datasets, fine_tuning, settings)
    if SUPERVISED in FLAGS.baselines:
        rows += compare.supervised(untrained, datasets, from_scratch, settings)
    if MULTI_HEAD in FLAGS.baselines:
        rows += compare.multi_head(untrained, datasets, from_scratch, settings)

    # ---- Results
    normalised = metrics.normalised(rows, seed=settings.seed)
    if len(datasets) > 1:
        rows += compare.means(rows)
    if FLAGS.split == "val":
        print("Judged by val clips; test clips played no part. Below, test means them.")
    print(table(rows, normalised))
    if output:
        results = {"results": rows, "normalised": normalised, **_provenance(config)}
        write_json(output, results)
        print(f"wrote {output}")


def _check_finetune(encoder: keras.Model | None) -> None:
    if encoder:
        check_depths(FLAGS.finetune, encoder)
    elif set(FLAGS.finetune) != {NONE}:
        raise A2vError(f"--finetune={','.join(FLAGS.finetune)}: a TFLite --model cannot be trained")


def _models(
    config: dict[str, Any], encoder: keras.Model | None
) -> dict[str, WindowEmbedder | list[WindowEmbedder]]:
    """The frozen models to compare; without an encoder, --model stands for it."""
    model = keras_embedder(encoder) if encoder else tflite_embedder(pathlib.Path(FLAGS.model))
    models = {_model_name(): model}
    if UNTRAINED in FLAGS.baselines:
        seeds = range(_seed(config), _seed(config) + FLAGS.untrained_seeds)
        models[UNTRAINED] = [keras_embedder(untrained_encoder(config, seed)) for seed in seeds]
    if SPECTROGRAM in FLAGS.baselines:
        models[SPECTROGRAM] = spectrogram_embedder()
    return models


def _model_name() -> str:
    name = pathlib.Path(FLAGS.model or FLAGS.model_dir).resolve().name
    return "trained" if name in BASELINES else name


def _seed(config: dict[str, Any]) -> int:
    return config.get("seed", 0) if FLAGS.seed is None else FLAGS.seed


def _cache() -> EmbeddingCache | None:
    if FLAGS.cache_dir is not None:
        return EmbeddingCache(FLAGS.cache_dir) if FLAGS.cache_dir else None
    if is_packaged(resolve(FLAGS.model_dir)):
        return EmbeddingCache(cache_dir() / DIRECTORY)
    try:
        return EmbeddingCache(pathlib.Path(FLAGS.model_dir) / DIRECTORY)
    except A2vError as error:  # somebody else's model
        logging.warning("%s: embeddings are not kept", error)
        return None


def _checked_output(output: str | None) -> pathlib.Path | None:
    """Say before the work, not after it, that the result cannot be written."""
    if output is None:
        return None
    path = pathlib.Path(output)
    if not path.parent.is_dir():
        raise A2vError(f"--output={output}: no directory {path.parent}")
    return path


def _some_of(names: Any) -> str:
    return f"expected some of {', '.join(names)}"


def _provenance(config: dict[str, Any]) -> dict[str, Any]:
    versions = {
        "a2v_tf": __version__,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
    }
    module = FLAGS.find_module_defining_flag("downstream")  # "__main__" under python -m
    settings = {flag.name: flag.value for flag in FLAGS.flags_by_module_dict()[module]}
    return {"command": sys.argv, "config": config, "settings": settings, "versions": versions}


def run() -> None:
    """Console script."""
    define_flags()
    run_app(main)


if __name__ == "__main__":
    run()
