"""What each choice of the evaluation protocol changes, on the same embeddings and seeds.

  python benchmarks/protocols.py --model_dir=DIR --downstream=csv:a.csv,csv:b.csv --replicas=5

The first line is the linear layer `sgd` by ICLR's protocol: the encoder after its last step, heads
that learn from slices at random positions of the embeddings as they are, clips judged by naive
Bayes. Every other line differs from it in one point. Accuracies in %, mean of replicas; in brackets
the change from the first line. It has not been run on the development tasks yet.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from absl import flags, logging

from a2v_tf.commands.flag_types import define_channels
from a2v_tf.data.labelled import SPLITS, LabelledData, open_labelled
from a2v_tf.errors import run_app
from a2v_tf.evaluation.compare import check_single_label
from a2v_tf.evaluation.embeddings import embed_task, keras_embedder
from a2v_tf.evaluation.heads import sgd
from a2v_tf.evaluation.settings import CLIPS, LAST, SLICES, HeadSettings, Settings
from a2v_tf.evaluation.windows import Windows
from a2v_tf.files import write_json
from a2v_tf.text import align
from a2v_tf.training.model_dir import load_encoder, read_config

FLAGS = flags.FLAGS

Change = Callable[[Windows], Windows]


@dataclasses.dataclass(frozen=True)
class Variant:
    """A protocol.

    Attributes:
      name: what it differs in.
      settings: of the evaluation.
      select: which encoder.
      change: made to the windows before the head sees them.
    """

    name: str
    settings: Settings
    select: str = LAST
    change: Change = lambda windows: windows


def define_flags() -> None:
    """Define the command's flags."""
    flags.DEFINE_string("model_dir", None, "Model directory of a2v_train.", required=True)
    flags.DEFINE_string("downstream", None, "Labelled data, as in a2v_evaluate.", required=True)
    flags.DEFINE_integer("replicas", 5, "Seeds of the head to average over.", 1)
    flags.DEFINE_integer("head_steps", 10_000, "Steps of 256 slices.", 1)
    flags.DEFINE_float("head_learning_rate", 1e-3, "Learning rate of the head.", 0.0)
    flags.DEFINE_string("output", None, "JSON file for the figures.")
    define_channels()


def variants(heads: HeadSettings) -> list[Variant]:
    """ICLR's protocol, then one change each."""
    iclr = Settings(protocols=("sgd",), heads=heads, judge=CLIPS, select=LAST)
    smoothed = dataclasses.replace(heads, smoothing=0.01)
    return [
        Variant("ICLR", iclr),
        Variant("standardised inputs", iclr, change=standardised),
        Variant("all windows T/2 apart", dataclasses.replace(iclr, train_slices=0)),
        Variant("slices judged (SPL)", dataclasses.replace(iclr, judge=SLICES)),
        Variant("0.01 added to probabilities", dataclasses.replace(iclr, heads=smoothed)),
        Variant("encoder of the best round", iclr, select="best"),
    ]


def standardised(windows: Windows) -> Windows:
    """Each dimension with mean 0 and deviation 1 over the training windows."""
    train = windows.flat(windows.rows("train"))
    scale = np.where(train.std(axis=0) > 0, train.std(axis=0), 1.0)
    return windows.with_values((windows.values - train.mean(axis=0)) / scale)


def accuracy(variant: Variant, data: LabelledData, model_dir: str, replicas: int) -> float:
    """The mean accuracy of replicas on a task's test clips."""
    encoder = load_encoder(model_dir, last=variant.select == LAST)
    splits, draws = variant.settings.cuts(*SPLITS)
    frames = read_config(model_dir)["frames"]
    found = embed_task(data, {"": keras_embedder(encoder)}, frames, splits=splits, draws=draws)[""]
    windows = variant.change(dataclasses.replace(found, judge=variant.settings.judge))
    scores = [sgd(windows, seed, variant.settings.heads).accuracy for seed in range(replicas)]
    return float(np.mean(scores))


def table(names: Sequence[str], rows: dict[str, list[float]]) -> str:
    """Accuracies in %, and the changes from the first row."""
    first = next(iter(rows.values()))
    lines = [["protocol", *names, "mean"]]
    for name, values in rows.items():
        pairs = zip([*values, np.mean(values)], [*first, np.mean(first)], strict=True)
        change = values is not first
        cells = [f"{100 * x:.1f}" + f" ({100 * (x - y):+.1f})" * change for x, y in pairs]
        lines.append([name, *cells])
    return align(lines)


def main(_: list[str]) -> None:
    """Measure and print."""
    logging.set_verbosity(logging.INFO)
    datasets = open_labelled(FLAGS.downstream, channels=FLAGS.channels)
    check_single_label(datasets)
    heads = HeadSettings(FLAGS.head_steps, FLAGS.head_learning_rate)
    rows = {
        variant.name: [
            accuracy(variant, data, FLAGS.model_dir, FLAGS.replicas) for data in datasets
        ]
        for variant in variants(heads)
    }
    names = [data.name for data in datasets]
    print(table(names, rows))
    if FLAGS.output:
        write_json(FLAGS.output, {"tasks": names, "accuracy": rows})


if __name__ == "__main__":
    run_app(main, define_flags)
