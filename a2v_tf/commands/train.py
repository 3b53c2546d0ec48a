"""Train a self-supervised task on unlabelled audio: the `a2v_train` command.

  a2v_train --data=/path/to/recordings --model_dir=models/mine
  a2v_train --data=tfds:audioset:unbalanced --model_dir=models/audioset --steps=500000
  a2v_train --data=demo --model_dir=/tmp/demo --steps=500 --batch_size=64
  a2v_train --data=spectrogram:/path/to/csvs --model_dir=models/sensors --frames=64

Run the same command again to go on after an interruption.
"""

import contextlib
import dataclasses
import math
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from absl import flags

from a2v_tf import pretrained
from a2v_tf.data import sources
from a2v_tf.data.labelled import LabelledData, open_labelled
from a2v_tf.data.sources import Source, one_line_errors, open_source
from a2v_tf.data.spectrogram import PREFIX
from a2v_tf.errors import A2vError, run_app
from a2v_tf.frontend import FRONT_END, FrontEnd
from a2v_tf.models.on_device import OnDevice
from a2v_tf.models.precision import PRECISIONS, precision
from a2v_tf.specs import ENCODERS, MAX_BAD_FRACTION, MIX_DB, PERIOD, BandLevels, InputStats, Slicing
from a2v_tf.tasks import autoencoder, multi_head, supervised
from a2v_tf.tasks.multi_head import task_names
from a2v_tf.tasks.setup import Setup
from a2v_tf.training.batches import (
    Round,
    input_stats,
    labelled_batches,
    labelled_stats,
    task_batches,
    training_batches,
    validation_batches,
)
from a2v_tf.training.callbacks import ExamplesPerSecond, ReconstructionImages, SaveRound, SeedNoise
from a2v_tf.training.checkpoints import Checkpoint, checkpoint_after, latest_checkpoint, trim_log
from a2v_tf.training.model_dir import LOG, PROBES, front_end_of, read_config, write_config
from a2v_tf.training.strategy import (
    STRATEGIES,
    Strategy,
    check_settings,
    open_strategy,
    synchronise_batch_norm,
)

FLAGS = flags.FLAGS


# What a resumed run may change without becoming another run (--steps only without a schedule).
_FREE_ON_RESUME = {
    *("steps", "model_dir", "resume", "strategy", "max_bad_fraction", "decoder"),
    *("frontend", "steps_per_execution"),
}

# Which tasks a flag is for, where it is not for all; multi_head takes those of its --heads.
FLAGS_OF_TASKS = {
    "max_frames": {"temporal_gap", "triplet", "contrastive"},
    "variant": {"autoencoder"},
    "noise": {"autoencoder"},
    "margin": {"triplet"},
    "temperature": {"contrastive", "transposition"},
    "decorrelation": {"contrastive", "transposition"},
    "heads": {"multi_head"},
    "head_weights": {"multi_head"},
    "validation_data": set(multi_head.TASKS),
    "gain_db": set(multi_head.TASKS),
    "frontend": set(multi_head.TASKS),
    "crops_per_clip": set(multi_head.TASKS),
    "mix": set(multi_head.TASKS),
    "slice_gain_db": set(multi_head.TASKS),
}


def define_flags() -> None:
    """Define the command's flags; not on import, so that commands can be imported together."""
    flags.DEFINE_enum(
        "task",
        "cbow",
        [*multi_head.TASKS, "multi_head", "supervised"],
        "What to learn. multi_head: several tasks at once, see --heads; supervised: the labels of "
        "--data.",
    )
    flags.DEFINE_string(
        "data",
        "demo",
        "Audio to learn from: 'demo', a directory searched recursively, or "
        "tfds:NAME[/CONFIG][:SPLIT]. Or spectrogram:DIR[:SPLIT], CSV files of band levels, one "
        "frame a row; SPLIT is train (the default), val or test. For supervised: labelled data as "
        "in a2v_evaluate --downstream, one head for each data set.",
    )
    flags.DEFINE_string(
        "validation_data",
        None,
        "Audio for the validation loss, given like --data. By default crops of the training "
        "recordings that are never trained on as such, which rank steps but show no overfitting; "
        "of spectrogram:DIR its val files, if any.",
    )
    flags.DEFINE_string("model_dir", None, "Directory to write; see README.", required=True)
    flags.DEFINE_enum("encoder", "small", sorted(ENCODERS), "Encoder (ICLR Table 1 is 'small').")
    flags.DEFINE_integer(
        "steps",
        10_000,
        "Steps to train for, in all; rounded up to whole rounds of --eval_every.",
        lower_bound=1,
    )
    flags.DEFINE_integer("batch_size", 256, "Examples a step, on all devices.", lower_bound=1)
    flags.DEFINE_enum(
        "strategy",
        "none",
        STRATEGIES,
        "none: one device; mirrored: all devices of this machine; multi_worker: several processes, "
        "on one machine or more, each started with the same command; see README.",
    )
    flags.DEFINE_float(
        "learning_rate", None, "Of Adam. Default: the task's in the papers.", lower_bound=0.0
    )
    flags.DEFINE_enum(
        "schedule",
        "constant",
        ["constant", "cosine"],
        "Learning rate over --steps; papers: constant.",
    )
    flags.DEFINE_integer("seed", 0, "Of weights, crops and order.", lower_bound=0)
    flags.DEFINE_integer(
        "eval_every",
        500,
        "Steps in a round; each ends with validation, a checkpoint and a row in the log.",
        lower_bound=1,
    )
    flags.DEFINE_string(
        "probe",
        None,
        "Labelled data, as in a2v_evaluate --downstream, that judges the encoder after each round "
        f"by a linear probe: ICLR Figure 2a. The accuracies go to {PROBES}, {LOG} and TensorBoard.",
    )
    flags.DEFINE_integer(
        "validation_examples", 1024, "Examples of the validation loss.", lower_bound=1
    )
    flags.DEFINE_enum(
        "resume",
        "auto",
        ["auto", "always", "never"],
        "auto: go on from the last checkpoint if there is one; always: fail if there is none; "
        "never: fail if there is one.",
    )
    flags.DEFINE_integer("frames", 96, "N: frames of a slice.", lower_bound=1)
    flags.DEFINE_integer("context", 2, "P: slices on each side of the middle one.", lower_bound=1)
    flags.DEFINE_integer("gap", 2, "G: frames between two slices.", lower_bound=0)
    flags.DEFINE_integer(
        "max_frames",
        None,
        "N_max: frames in which the two slices of temporal_gap, triplet and contrastive lie. "
        "Default: what Audio2Vec spans, 488; papers: their whole clips of 10 s, 998.",
        lower_bound=1,
    )
    flags.DEFINE_enum(
        "variant", "plain", autoencoder.VARIANTS, "Kind of autoencoder, for that task."
    )
    flags.DEFINE_float(
        "noise",
        0.5,
        "What --variant=denoising adds to the log-mel values, in their standard deviations.",
        lower_bound=0.0,
        upper_bound=1.0,
    )
    flags.DEFINE_float(
        "margin",
        0.1,
        "Of triplet: by how much, in squared distance between embeddings of length 1, another "
        "clip is to be further away.",
        lower_bound=1e-6,
    )
    flags.DEFINE_float(
        "temperature",
        0.1,
        "Of contrastive and transposition: divides the cosines.",
        lower_bound=1e-3,
    )
    flags.DEFINE_float(
        "decorrelation",
        0.0,
        "Of contrastive and transposition: the weight, in the loss of each, of the squared "
        "correlations between the embedding's dimensions.",
        lower_bound=0.0,
    )
    flags.DEFINE_list("heads", list(multi_head.DEFAULT), "Tasks that --task=multi_head learns.")
    flags.DEFINE_list(
        "head_weights", None, "Factors of the losses of --heads in their sum. Default: 1 each."
    )
    flags.register_validator(
        "heads",
        lambda names: (
            names and set(names) <= set(multi_head.TASKS) and len(set(names)) == len(names)
        ),
        f"expected some of {','.join(multi_head.TASKS)}, each once",
    )
    flags.register_validator(
        "head_weights",
        lambda weights: all(_is_number(weight) for weight in weights or []),
        "expected numbers of at least 0",
    )
    flags.DEFINE_float(
        "gain_db",
        0.0,
        "Make each training crop louder or softer by up to so many decibels; papers: 0.",
        lower_bound=0.0,
    )
    flags.DEFINE_float(
        "mix",
        0.0,
        "Fraction of the slices that are heard, while training, with a slice of another example "
        f"behind them, {MIX_DB[0]:g} to {MIX_DB[1]:g} dB quieter; targets stay as they "
        "are. Papers: 0.",
        lower_bound=0.0,
        upper_bound=1.0,
    )
    flags.DEFINE_float(
        "slice_gain_db",
        0.0,
        "Let each slice, by itself, be heard louder or softer by up to so many decibels while "
        "training; targets stay as they are. For contrastive, so that level does not give the "
        "clip away. Papers: 0.",
        lower_bound=0.0,
    )
    flags.DEFINE_integer(
        "crops_per_clip",
        1,
        "Of tfds:NAME, random crops that are cut from a clip each time it is read. More make "
        "reading cheaper and the crops of a batch more alike.",
        lower_bound=1,
    )
    flags.DEFINE_enum(
        "frontend",
        "host",
        ["host", "device"],
        "Where log-mel is computed: host, by the processor while the device trains; or device, "
        "from raw PCM within the training step. Both train on the same slices.",
    )
    flags.DEFINE_enum(
        "precision",
        "float32",
        PRECISIONS,
        "What encoder and decoders compute in while training; what is saved is float32.",
    )
    flags.DEFINE_integer(
        "steps_per_execution",
        1,
        "Steps that are handed to the device at once, of which --eval_every is a multiple: the "
        "loss is read back only after so many.",
        lower_bound=1,
    )
    flags.DEFINE_float(
        "max_bad_fraction",
        MAX_BAD_FRACTION,
        "Fraction of recordings that may be unusable before training stops.",
        lower_bound=0.0,
        upper_bound=1.0,
    )
    flags.DEFINE_enum(
        "decoder",
        "auto",
        ["auto", "soundfile", "tfio"],
        "Audio decoder: soundfile; or tfio, in-graph, where tensorflow-io loads. auto: soundfile.",
    )
    flags.DEFINE_string(
        "spectrogram_time",
        None,
        "Of spectrogram:DIR, the column of timestamps, ISO 8601 or seconds. Default: the first.",
    )
    flags.DEFINE_list(
        "spectrogram_columns",
        None,
        "Of spectrogram:DIR, the columns of the bands: names or FIRST:LAST, as in 20:12500. "
        "Default: all numbers after the timestamps.",
    )
    flags.DEFINE_float(
        "spectrogram_period",
        PERIOD,
        "Of spectrogram:DIR, seconds from one frame to the next.",
        lower_bound=1e-6,
    )


def _is_number(text: str) -> bool:
    try:
        return float(text) >= 0
    except ValueError:
        return False


def main(argv: list[str]) -> None:
    del argv
    settings = flag_values()
    _check_flags_of_task(settings)
    train(settings)


def _check_flags_of_task(settings: dict[str, Any]) -> None:
    learned = {settings["task"], *task_names(settings)}
    for name, tasks in FLAGS_OF_TASKS.items():
        if FLAGS[name].present and not tasks & learned:
            raise A2vError(
                f"--{name}={FLAGS[name].value}: for {', '.join(sorted(tasks))}, not for "
                f"--task={settings['task']}"
            )


def flag_values() -> dict[str, Any]:
    """This module's flags as a dictionary: the settings of a run."""
    module = FLAGS.find_module_defining_flag("eval_every")  # "__main__" under python -m
    return {flag.name: flag.value for flag in FLAGS.flags_by_module_dict()[module]}


class _Data(NamedTuple):
    """What a run trains on."""

    train: Round
    validation: Round
    stats: Callable[[], InputStats]
    sources: Sequence[Source] | Sequence[LabelledData]
    front_end: FrontEnd | BandLevels
    build: Callable[[Setup], keras.Model]
    feed: Callable[[keras.Model], keras.Model]  # what makes of the batches the model's inputs
    compile_options: Mapping[str, Any]
    learning_rate: float


def train(settings: dict[str, Any]) -> keras.Model:
    """Train, or go on training, in `settings["model_dir"]`.

    Args:
      settings: a value for each flag of `a2v_train`.

    Returns:
      The trained model.

    Raises:
      A2vError: bad settings, unusable data, or a model directory of another run.
    """
    model_dir = _make_directory(settings)
    with open_strategy(settings["strategy"]) as strategy:
        check_settings(strategy, settings)
        if settings["strategy"] != "none":
            print(f"--strategy: {strategy.describe()}")
        return _train(settings, model_dir, strategy)


def _train(settings: dict[str, Any], model_dir: pathlib.Path, strategy: Strategy) -> keras.Model:
    latest = latest_checkpoint(model_dir)
    first_round = strategy.from_chief(lambda: latest.round if latest else 0)
    checkpoint = checkpoint_after(model_dir, first_round)
    _check_resume(model_dir, checkpoint, settings)  # before a file of another run is touched
    rounds = math.ceil(settings["steps"] / settings["eval_every"])
    if settings["eval_every"] % settings["steps_per_execution"]:
        raise A2vError(
            f"--steps_per_execution={settings['steps_per_execution']}: expected a divisor of "
            f"--eval_every={settings['eval_every']}"
        )
    keras.utils.set_random_seed(settings["seed"])

    # ---- Data
    slicing = _slicing(settings)
    open_data = _labelled_data if settings["task"] == "supervised" else _task_data
    data = open_data(settings, slicing, model_dir, strategy)
    if settings["learning_rate"] is None:
        settings = {**settings, "learning_rate": data.learning_rate}
        _check_resume(model_dir, checkpoint, settings)
    with contextlib.ExitStack() as stack:
        for source in data.sources:
            stack.enter_context(one_line_errors(source))
        stats = strategy.from_chief(
            lambda: dataclasses.asdict(
                _input_stats(model_dir, checkpoint, data, settings, is_over=first_round >= rounds)
            )
        )
        batches = training_batches(
            data.train, steps_per_round=settings["eval_every"], first_round=first_round
        )
        validation = validation_batches(
            data.validation,
            batch_size=settings["batch_size"],
            examples=settings["validation_examples"],
        )

        # ---- Model
        setup = _setup(settings, slicing, data.front_end.bins, InputStats(**stats))
        with strategy.scope():
            model = data.build(setup)
            synchronise_batch_norm(strategy, model)
            model.compile(
                keras.optimizers.Adam(_learning_rate(settings)),
                steps_per_execution=settings["steps_per_execution"],
                **data.compile_options,
            )
            model.optimizer.build(model.trainable_variables)  # else the step is traced twice
            if checkpoint:
                checkpoint.restore(model)
        if first_round >= rounds:
            print(f"{model_dir} is already trained for {settings['steps']} steps.")
            return model
        if checkpoint:
            if strategy.is_chief:
                trim_log(model_dir / LOG, first_round)
            print(f"Resuming {model_dir} after step {first_round * settings['eval_every']}.")

        # ---- Training
        with strategy.scope():
            trainer = data.feed(model)
            if trainer is not model:
                trainer.compile(
                    model.optimizer,
                    steps_per_execution=settings["steps_per_execution"],
                    **data.compile_options,
                )
        trainer.fit(
            batches,
            epochs=rounds,
            initial_epoch=first_round,
            steps_per_epoch=settings["eval_every"],
            validation_data=validation,
            shuffle=False,  # the data is in random order
            verbose="auto" if strategy.is_chief else 0,
            callbacks=[
                SeedNoise(settings["seed"]),
                keras.callbacks.TerminateOnNaN(raise_error=True),
                *_records(
                    settings, model_dir, validation, strategy, lambda: data.feed(data.build(setup))
                ),
            ],
        )
    print(f"Trained encoder: {model_dir}/encoder.keras   Curves: tensorboard --logdir {model_dir}")
    return model


def _task_data(
    settings: dict[str, Any], slicing: Slicing, model_dir: pathlib.Path, strategy: Strategy
) -> _Data:
    """Unlabelled audio, cut for the self-supervised tasks."""
    names = task_names(settings)
    frames = multi_head.crop_frames(names, slicing)
    _check_heads(settings, names)
    _check_speed(settings, names)
    options = {name: settings[name] for name in sources.OPTIONS}

    def open_(flag: str, data: str) -> Source:
        opened = open_source(data, **options, log_dir=strategy.log_dir(model_dir))
        opened.check(opened.front_end.samples(frames))
        print(f"--{flag}: {opened.describe()}")
        return opened

    on_device = settings["frontend"] == "device"

    def build(setup: Setup) -> keras.Model:
        with precision(settings["precision"]):
            return multi_head.build(names, setup)

    def feed(model: keras.Model) -> keras.Model:
        return OnDevice(model, across=multi_head.cuts_across(names)) if on_device else model

    def batches(source: Source, gain_db: float, crops_per_clip: int) -> Round:
        return task_batches(
            source,
            names,
            slicing,
            batch_size=settings["batch_size"],
            seed=settings["seed"],
            gain_db=gain_db,
            share=strategy.share,
            crops_per_clip=crops_per_clip,
            raw=on_device,
        )

    source = validation_source = open_("data", settings["data"])
    held_out = settings["validation_data"] or sources.default_validation(settings["data"])
    if held_out:
        validation_source = open_("validation_data", held_out)
    if settings["mix"] and not isinstance(source.front_end, FrontEnd):
        raise A2vError(f"--mix={settings['mix']}: for audio, not for band levels")
    if validation_source.front_end != source.front_end:
        raise A2vError(
            f"--validation_data={held_out}: expected frames like those of --data, "
            f"{source.front_end}, not {validation_source.front_end}"
        )
    head_weights = [float(weight) for weight in settings["head_weights"] or []]
    return _Data(
        train=batches(source, settings["gain_db"], settings["crops_per_clip"]),
        validation=batches(validation_source, 0.0, 1),
        stats=lambda: input_stats(source, frames, seed=settings["seed"]),
        sources=[source, validation_source],
        front_end=source.front_end,
        build=build,
        feed=feed,
        compile_options=multi_head.losses(names, head_weights),
        learning_rate=multi_head.learning_rate(names),
    )


def _labelled_data(
    settings: dict[str, Any], slicing: Slicing, model_dir: pathlib.Path, strategy: Strategy
) -> _Data:
    """Labelled audio, cut into crops of one slice."""
    del model_dir
    datasets = open_labelled(settings["data"], needs=("train",))
    if settings["batch_size"] % (len(datasets) * strategy.share.workers):
        raise A2vError(
            f"--batch_size={settings['batch_size']} cannot be shared equally among "
            f"{len(datasets)} data sets and {strategy.share.workers} workers"
        )
    for data in datasets:
        print(f"--data: {data.name}, {len(data.classes)} classes")

    def build(setup: Setup) -> keras.Model:
        with precision(settings["precision"]):
            return supervised.build(datasets, setup)

    batches = labelled_batches(
        datasets,
        slicing.frames,
        batch_size=settings["batch_size"],
        seed=settings["seed"],
        share=strategy.share,
    )
    return _Data(
        train=batches,
        validation=batches,
        stats=lambda: labelled_stats(batches),
        sources=datasets,
        front_end=FRONT_END,
        build=build,
        feed=lambda model: model,
        compile_options=supervised.losses(datasets),
        learning_rate=supervised.learning_rate(datasets),
    )


def _records(
    settings: dict[str, Any],
    model_dir: pathlib.Path,
    validation: tf.data.Dataset,
    strategy: Strategy,
    build: Callable[[], keras.Model],
) -> list[keras.callbacks.Callback]:
    """What fills the model directory after each round; of several processes, one does."""
    if not strategy.is_chief:
        return []
    images = ReconstructionImages(model_dir / "tensorboard" / "images", validation)
    return [
        *(strategy.of_chief(probe, build) for probe in _probe(settings, model_dir)),
        ExamplesPerSecond(settings["batch_size"]),
        keras.callbacks.CSVLogger(model_dir / LOG, append=True),
        keras.callbacks.TensorBoard(model_dir / "tensorboard", write_graph=False),
        strategy.of_chief(images, build),
        strategy.of_chief(SaveRound(model_dir)),
    ]


def _probe(settings: dict[str, Any], model_dir: pathlib.Path) -> list[keras.callbacks.Callback]:
    """What judges the encoder by labelled data after each round, if that is wanted."""
    if not settings["probe"]:
        return []
    from a2v_tf.evaluation.probing import ProbeRounds  # scikit-learn takes a second to import

    return [ProbeRounds(open_labelled(settings["probe"]), settings["frames"], model_dir / PROBES)]


def _slicing(settings: dict[str, Any]) -> Slicing:
    slicing = Slicing(
        settings["frames"], settings["context"], settings["gap"], settings["max_frames"]
    )
    if slicing.reach < slicing.frames:
        raise A2vError(
            f"--max_frames={slicing.max_frames}: expected at least --frames={slicing.frames}"
        )
    return slicing


def _setup(settings: dict[str, Any], slicing: Slicing, bins: int, stats: InputStats) -> Setup:
    names = ("variant", "noise", "margin", "temperature", "decorrelation", "mix", "slice_gain_db")
    choices = {name: settings[name] for name in names}
    return Setup(ENCODERS[settings["encoder"]], slicing, bins, stats, **choices)


def _check_heads(settings: dict[str, Any], names: Sequence[str]) -> None:
    weights = settings["head_weights"]
    if weights and len(weights) != len(names):
        raise A2vError(
            f"--head_weights={','.join(weights)}: expected {len(names)} numbers, one for each of "
            f"{', '.join(names)}"
        )


def _check_speed(settings: dict[str, Any], names: Sequence[str]) -> None:
    """Check the flags that only make training faster, as far as the settings tell."""
    data = settings["data"]
    if settings["frontend"] == "device" and data.startswith(PREFIX):
        raise A2vError(f"--frontend=device: for audio, not for the band levels of --data={data}")
    if settings["crops_per_clip"] > 1 and not data.startswith("tfds:"):
        raise A2vError(
            f"--crops_per_clip={settings['crops_per_clip']}: for --data=tfds:NAME, whose clips are "
            f"read whole; of --data={data} only the crops are"
        )
    several = settings["strategy"] != "none"
    if settings["frontend"] == "device" and several and multi_head.cuts_across(names):
        raise A2vError(
            f"--frontend=device: with --strategy={settings['strategy']}, not for triplet, whose "
            "slices come from other examples; expected --frontend=host"
        )


def _make_directory(settings: dict[str, Any]) -> pathlib.Path:
    model_dir = pathlib.Path(settings["model_dir"])
    if settings["model_dir"] == pretrained.NAME or pretrained.is_packaged(model_dir):
        raise A2vError(f"--model_dir={model_dir} is what comes with a2v_tf: expected another")
    try:
        model_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise A2vError(f"cannot write --model_dir={str(model_dir)!r}: {error.strerror}") from error
    if not os.access(model_dir, os.W_OK):
        raise A2vError(f"cannot write --model_dir={str(model_dir)!r}: permission denied")
    return model_dir


def _check_resume(
    model_dir: pathlib.Path, checkpoint: Checkpoint | None, settings: dict[str, Any]
) -> None:
    """Check that the directory is new, or holds this same run."""
    if settings["resume"] == "always" and not checkpoint:
        raise A2vError(f"--resume=always, but {str(model_dir)!r} holds no checkpoint")
    if settings["resume"] == "never" and checkpoint:
        raise A2vError(
            f"--resume=never, but {str(model_dir)!r} holds a run of "
            f"{checkpoint.round} rounds: give another --model_dir"
        )
    if checkpoint:
        _check_same_run(read_config(model_dir), settings)


def _check_same_run(config: dict[str, Any], settings: dict[str, Any]) -> None:
    free = _FREE_ON_RESUME - ({"steps"} if settings["schedule"] == "cosine" else set())
    if settings["learning_rate"] is None:  # the default, which only the data tells
        free = free | {"learning_rate"}
    for name in sorted(settings.keys() - free):
        # A run of a version without this flag was as the flag's default is.
        was = config.get(name, FLAGS[name].default if name in FLAGS else None)
        if was != settings[name]:
            raise A2vError(
                f"{settings['model_dir']!r} was trained with --{name}={was}, not "
                f"{settings[name]}: use that value to resume, or another --model_dir"
            )


def _input_stats(
    model_dir: pathlib.Path,
    checkpoint: Checkpoint | None,
    data: _Data,
    settings: dict[str, Any],
    *,
    is_over: bool,
) -> InputStats:
    """The statistics of the training data; writes them and the settings to `config.json`.

    If the run `is_over`, the file stays: it says which version made the weights.
    """
    if checkpoint:
        config = read_config(model_dir)
        stats = InputStats(config["input_mean"], config["input_variance"])
        if front_end_of(model_dir) != data.front_end:
            raise A2vError(
                f"{str(model_dir)!r} was trained on the frames {config['front_end']}, not "
                f"{vars(data.front_end)}: use another --model_dir"
            )
    else:
        stats = data.stats()
    config = {
        **settings,
        "bins": data.front_end.bins,
        "input_mean": stats.mean,
        "input_variance": stats.variance,
        "front_end": vars(data.front_end),
    }
    if not is_over:
        write_config(model_dir, config)
    return stats


def _learning_rate(settings: dict[str, Any]) -> float | keras.optimizers.schedules.CosineDecay:
    peak = settings["learning_rate"]
    if settings["schedule"] == "constant":
        return peak
    warm_up = max(1, settings["steps"] // 50)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=max(1, settings["steps"] - warm_up),
        warmup_target=peak,
        warmup_steps=warm_up,
    )


def run() -> None:
    """Entry point of `a2v_train`."""
    define_flags()
    run_app(main)


if __name__ == "__main__":
    run()
