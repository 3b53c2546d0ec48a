"""Measure how useful an encoder's embeddings are for downstream tasks: the `a2v_evaluate` command.

    a2v_evaluate --model_dir=DIR --downstream=demo
    a2v_evaluate --model_dir=DIR --downstream=speech_commands,musan --protocols=sgd,knn --replicas=5
    a2v_evaluate --model_dir=DIR --downstream=csv:a.csv,csv:b.csv \\
        --finetune=none,fc,conv5,conv4,all --baselines=untrained,spectrogram,supervised,multihead

With --output, what was judged is kept: after a kill, the same command goes on where it was.

From Python, use `a2v_tf.evaluation.evaluate` or `a2v_tf.evaluation.compare`.
"""

import pathlib
import sys

from absl import flags, logging

from a2v_tf.commands.flag_types import define_channels, define_counts, define_some_of
from a2v_tf.errors import A2vError, run_app
from a2v_tf.evaluation.metrics import BASELINES, SPECTROGRAM, UNTRAINED
from a2v_tf.evaluation.paper import DATASETS
from a2v_tf.evaluation.settings import (
    BEST,
    CACHE,
    CLIPS,
    JUDGES,
    NONE,
    PROTOCOLS,
    SELECTIONS,
    SLICES_A_CLIP,
    EvaluationSettings,
    Few,
    HeadSettings,
    Settings,
    TrainingSettings,
)
from a2v_tf.files import checked_output, write_json
from a2v_tf.pretrained import in_words, names
from a2v_tf.specs import MAX_BAD_FRACTION
from a2v_tf.specs import SPECTROGRAM as SPECTROGRAM_DATA

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Define the command's flags; not on import, so that commands can be imported together."""
    flags.DEFINE_string(
        "model_dir",
        None,
        f"Model directory of a2v_train, or {in_words()}. Several, separated by commas, are judged "
        "with their embeddings side by side; baselines are then those of the first.",
        required=True,
    )
    flags.DEFINE_string(
        "downstream",
        None,
        "Labelled data sets, separated by commas. Each is 'demo'; 'csv:PATH', a file with the "
        "columns path,label,split (paths relative to it; split: train, val or test); "
        "'tfds:NAME[/CONFIG][:VERSION]', any data set with audio and label; 'MODULE:NAME', a "
        "LabelledData of an installed package, or a function that returns one; or one of the "
        f"papers' data sets, prepared with its builder: {', '.join(sorted(DATASETS))}. Or, for a "
        "model of band levels, spectrogram:DIR[:SPLIT]: the losses of its tasks on the splits of "
        "the corpus, and what --labels asks for; SPLIT is judged, test by default.",
        required=True,
    )
    flags.DEFINE_string(
        "labels",
        None,
        "For spectrogram:DIR, a CSV file with the columns path,start,end,label: stretches of time "
        "in its files, which --protocols are to tell apart.",
    )
    flags.DEFINE_string(
        "write_matrix",
        None,
        "For spectrogram:DIR, an .npz file to write: of each split a matrix whose columns are "
        "slices of the model's length, with frames times bands rows.",
    )
    flags.DEFINE_string("output", None, "JSON file for the results.")
    flags.DEFINE_string(
        "save_heads",
        None,
        "Directory that keeps the trained heads of --model_dir (linear, sgd, two_layer; those of "
        "--finetune with their encoders), each in its own directory, for export_tflite "
        "--part=classifier. Of several replicas, the first. A head that is there is not written "
        "again.",
    )
    flags.DEFINE_string(
        "model",
        None,
        f"TFLite window model to evaluate instead of --model_dir's Keras encoder, or {in_words()}.",
    )

    # ---- What is measured
    define_some_of(
        "protocols",
        ["linear", "knn"],
        PROTOCOLS,
        f"Evaluation protocols for frozen embeddings, some of {', '.join(PROTOCOLS)}. linear: "
        "logistic regression; sgd: the papers' linear layer, trained with Adam; two_layer: sgd "
        "with a hidden layer; knn: 10 nearest neighbours of windows; knn_clips: of whole clips. "
        "With fewer than 10 training clips of a class, the nearest neighbour alone.",
    )
    flags.DEFINE_enum(
        "split",
        "test",
        ["test", "val"],
        "Which clips accuracy is measured on. val: to choose between models without using the test "
        "clips; nothing is then tuned on val, so the penalty of linear is fixed.",
    )
    flags.DEFINE_list(
        "finetune",
        [NONE],
        "From which layer upwards the encoder is fine-tuned for each task, some of none,fc,conv5,"
        "conv4,...,all. none is the frozen encoder of --protocols; without it, these are skipped.",
    )
    baselines = (*BASELINES, *names())
    define_some_of(
        "baselines",
        [UNTRAINED, SPECTROGRAM],
        baselines,
        f"Baselines to compare with, some of {', '.join(baselines)}, or empty. supervised and "
        "multihead train encoders from scratch, on each task and on all tasks at once. Normalised "
        f"accuracies need supervised. {in_words()}: int8, comes with this package.",
        empty=True,
    )
    define_counts(
        "examples_per_class",
        [0],
        "Number of training clips of each class, drawn at random; 0 for all. Several values are "
        "evaluated one after another; SPL: 0,1000. With few, average over many draws, as in "
        "--examples_per_class=1,5,20 --replicas=20. Nothing is then tuned on val clips.",
        least=0,
    )
    flags.DEFINE_list(
        "examples",
        [],
        "Number of training clips of all classes together, drawn at random, besides "
        "--examples_per_class. SPL writes both of '1000 training examples' and of '1k examples per "
        "class'.",
    )
    flags.register_validator(
        "examples",
        lambda counts: all(count.isdecimal() and int(count) > 1 for count in counts),
        "expected whole numbers from 2",
    )
    flags.DEFINE_enum(
        "judge",
        CLIPS,
        list(JUDGES),
        "What accuracy is that of. clips: of test clips, from their windows half a window apart, "
        "joined by naive Bayes (ICLR). slices: of slices at random positions in test clips (SPL).",
    )
    flags.DEFINE_integer(
        "train_slices",
        SLICES_A_CLIP,
        "Slices at random positions of each training clip, at most, that heads and nearest "
        "neighbours learn from; heads weigh clips alike (both papers). 0: all windows half a "
        "window apart, which uses all of long recordings.",
        lower_bound=0,
    )
    flags.DEFINE_enum(
        "select",
        BEST,
        list(SELECTIONS),
        "Which encoder of --model_dir is evaluated, and where fine-tuning ends. best: the best "
        "round by validation; last: after the last step, as in both papers.",
    )
    flags.DEFINE_integer(
        "replicas",
        1,
        "Number of seeds, and of draws of --examples_per_class, to average over where there is "
        "randomness; ICLR: 5, SPL: 4.",
        lower_bound=1,
    )
    flags.DEFINE_integer("seed", None, "The first of these seeds. Default: the training run's.")
    flags.DEFINE_integer(
        "untrained_seeds",
        3,
        "Number of untrained encoders to average; a single one may be 3 points off the mean.",
        lower_bound=1,
    )
    flags.DEFINE_float(
        "max_bad_fraction",
        MAX_BAD_FRACTION,
        "Maximum fraction of a task's clips that may be unreadable.",
        lower_bound=0.0,
        upper_bound=1.0,
    )

    # ---- How heads and encoders are trained
    flags.DEFINE_integer(
        "head_steps", 10_000, "Steps of 256 windows for sgd and two_layer; SPL: 100000.", 1
    )
    flags.DEFINE_float(
        "head_learning_rate",
        1e-4,
        "Learning rate of sgd and two_layer; SPL: 1e-4, ICLR: 1e-3.",
        0.0,
    )
    flags.DEFINE_integer(
        "head_hidden", 128, "Hidden units of two_layer; ICLR Table 5 does not give a number.", 1
    )
    flags.DEFINE_integer(
        "finetune_steps",
        1_000,
        "Steps on each task for --finetune, supervised and multihead; SPL: 100000.",
        lower_bound=1,
    )
    flags.DEFINE_integer(
        "finetune_batch_size", 256, "Crops per step of the same; the papers give none.", 1
    )
    flags.DEFINE_integer(
        "finetune_rounds",
        5,
        "Times that accuracy on val clips is measured during the same, for --select=best and for "
        "the curves in the report.",
        lower_bound=1,
    )
    flags.DEFINE_float(
        "finetune_learning_rate", 1e-4, "For --finetune; SPL: 1e-4, ICLR: 1e-3.", 0.0
    )
    flags.DEFINE_float(
        "supervised_learning_rate",
        1e-3,
        "For supervised and multihead; SPL: 1e-4, ICLR: 1e-3.",
        0.0,
    )
    flags.DEFINE_string(
        "cache_dir",
        None,
        f"Directory that keeps embeddings for the next evaluation. Default: {CACHE} in "
        "--model_dir, or the user's cache directory for an encoder of this package; empty: none.",
    )

    flags.register_validator("finetune", bool, "expected some of none,fc,conv5,conv4,...,all")
    define_channels()


def main(_: list[str]) -> None:
    """Evaluate, print the tables, and write the JSON."""
    logging.set_verbosity(logging.INFO)
    output = FLAGS.output and checked_output("output", FLAGS.output)
    is_levels = FLAGS.downstream.startswith(SPECTROGRAM_DATA)
    if FLAGS.save_heads and is_levels:
        raise A2vError(
            f"--save_heads={FLAGS.save_heads}: heads of band levels are not kept; expected another "
            "--downstream"
        )
    for name in ("labels", "write_matrix"):
        if FLAGS[name].value and not is_levels:
            raise A2vError(f"--{name}={FLAGS[name].value}: for --downstream={SPECTROGRAM_DATA}DIR")
    if is_levels:
        _evaluate_levels(output)
        return
    from a2v_tf.evaluation.evaluate import evaluate, versions
    from a2v_tf.evaluation.tables import table

    unfinished = output.with_name(f"{output.name}.unfinished") if output else None
    found = evaluate(_settings(), unfinished)
    if FLAGS.split == "val":
        print("Accuracy is measured on val clips. The tables call them test; test is not used.")
    print(table(found.rows, found.normalised))
    for head in found.heads:
        print(f"Head in {pathlib.Path(FLAGS.save_heads) / head}")
    if output and unfinished:
        content = {
            "results": found.rows,
            "normalised": found.normalised,
            "command": sys.argv,
            "config": found.config,
            "settings": _flag_values(),
            "versions": versions(),
        }
        write_json(output, content)
        unfinished.unlink()
        print(f"Wrote {output}")


def _evaluate_levels(output: pathlib.Path | None) -> None:
    """Evaluate a model of band levels on its own corpus."""
    matrix = FLAGS.write_matrix and checked_output("write_matrix", FLAGS.write_matrix, ".npz")
    from a2v_tf.evaluation import band_levels
    from a2v_tf.evaluation.evaluate import versions

    corpus = band_levels.open_corpus(FLAGS.model_dir, FLAGS.downstream, FLAGS.max_bad_fraction)
    split = corpus.judged  # its error, before any work
    labelled: list[dict] = []
    if FLAGS.labels:
        seed = corpus.config.get("seed", 0) if FLAGS.seed is None else FLAGS.seed
        windows = band_levels.labelled_windows(FLAGS.model_dir, corpus, pathlib.Path(FLAGS.labels))
        heads = _settings().common.heads
        labelled = band_levels.accuracies(windows, FLAGS.protocols, split, seed, heads)
    own = band_levels.losses(FLAGS.model_dir, corpus)
    print(band_levels.table(split, own, labelled))
    if matrix:
        shapes = band_levels.write_matrix(corpus, matrix)
        sizes = ", ".join(f"{split} {rows} x {n}" for split, (rows, n) in shapes.items())
        print(f"Wrote {matrix}: {sizes}")
    if output:
        content = {
            "losses": own,
            "labels": labelled,
            "split": split,
            "command": sys.argv,
            "config": corpus.config,
            "settings": _flag_values(),
            "versions": versions(),
        }
        write_json(output, content)
        print(f"Wrote {output}")


def _settings() -> EvaluationSettings:
    def training(learning_rate: float) -> TrainingSettings:
        return TrainingSettings(
            FLAGS.finetune_steps, learning_rate, FLAGS.finetune_batch_size, FLAGS.finetune_rounds
        )

    few = [Few(per_class=int(count) or None) for count in FLAGS.examples_per_class]
    few += [Few(total=int(count)) for count in FLAGS.examples]

    common = Settings(
        protocols=FLAGS.protocols,
        replicas=FLAGS.replicas,
        few=few,
        train_slices=FLAGS.train_slices,
        judge=FLAGS.judge,
        select=FLAGS.select,
        max_bad_fraction=FLAGS.max_bad_fraction,
        heads=HeadSettings(FLAGS.head_steps, FLAGS.head_learning_rate, FLAGS.head_hidden),
        split=FLAGS.split,
    )
    return EvaluationSettings(
        model_dir=FLAGS.model_dir,
        downstream=FLAGS.downstream,
        common=common,
        model=FLAGS.model,
        depths=FLAGS.finetune,
        fine_tuning=training(FLAGS.finetune_learning_rate),
        from_scratch=training(FLAGS.supervised_learning_rate),
        baselines=FLAGS.baselines,
        seed=FLAGS.seed,
        untrained_seeds=FLAGS.untrained_seeds,
        channels=FLAGS.channels,
        cache_dir=FLAGS.cache_dir,
        save_heads=FLAGS.save_heads or None,
    )


def _flag_values() -> dict[str, object]:
    module = str(FLAGS.find_module_defining_flag("downstream"))  # "__main__" under python -m
    return {flag.name: flag.value for flag in FLAGS.flags_by_module_dict()[module]}


def run() -> None:
    """Entry point of `a2v_evaluate`."""
    run_app(main, define_flags)


if __name__ == "__main__":
    run()
