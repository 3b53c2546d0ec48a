"""The training loop: settings, data, model, training."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable

import keras
import tensorflow as tf

from a2v_tf.ending import signals_noted
from a2v_tf.errors import A2vError
from a2v_tf.files import remove_partials
from a2v_tf.specs import InputStats
from a2v_tf.training.batches import VALIDATION_ROUND, training_batches, validation_batches
from a2v_tf.training.callbacks import (
    AveragedWeights,
    ExamplesPerSecond,
    ReconstructionImages,
    SaveCheckpoint,
    SaveRound,
    SeedNoise,
    StopOnNaN,
)
from a2v_tf.training.checkpoints import (
    DIRECTORY,
    Checkpoint,
    checkpoint_at,
    interrupted_path,
    keep_best,
    latest_checkpoint,
    trim_log,
    undo_round,
)
from a2v_tf.training.initial import initial_run, initial_stats, set_initial_weights
from a2v_tf.training.interruption import EndOnSignal, GoOn, fits, read_interruption
from a2v_tf.training.model_dir import (
    INITIAL_RUN,
    LOG,
    front_end_of,
    held,
    make_model_dir,
    read_config,
    write_config,
)
from a2v_tf.training.objective import Objective, open_objective
from a2v_tf.training.resuming import FINGERPRINTS, check_resumes, fingerprints
from a2v_tf.training.schedule import learning_rate
from a2v_tf.training.settings import TrainSettings
from a2v_tf.training.strategy import Strategy, check_settings, open_strategy, synchronise_batch_norm
from a2v_tf.training.whitening import check_can_whiten, whiten

CLEAN_SLICES = 8_192  # for the batch norm statistics of averaged weights, and for --whiten

# Makes a callback that evaluates the encoder after each round, before the round is logged.
MakeProbe = Callable[[TrainSettings], keras.callbacks.Callback]


def train(settings: TrainSettings, make_probe: MakeProbe | None = None) -> keras.Model:
    """Train, or resume training, in `settings.model_dir`.

    ```python
    train(TrainSettings(data="/path/to/recordings", model_dir="models/mine", steps=20_000))
    ```

    Args:
      settings: of the run.
      make_probe: makes the callback that `settings.probe` asks for.

    Returns:
      The trained model; its layer "encoder" maps log-mel `[batch, N, F]` to embeddings
      `[batch, d]`.

    Raises:
      A2vError: unusable data, or a model directory of another run.
    """
    model_dir = make_model_dir(settings.model_dir)
    with open_strategy(settings.strategy) as strategy:
        check_settings(strategy, settings)
        if settings.strategy != "none":
            print(f"--strategy: {strategy.describe()}")
        with held(model_dir) if strategy.is_chief else contextlib.nullcontext():
            return _train(settings, model_dir, strategy, make_probe)


def _train(
    settings: TrainSettings,
    model_dir: pathlib.Path,
    strategy: Strategy,
    make_probe: MakeProbe | None,
) -> keras.Model:
    # ---- Settings: a new run, or the one in this directory
    step = strategy.from_chief(lambda: _first_step(model_dir, settings))
    checkpoint = checkpoint_at(model_dir, step)
    first_round = -(-step // settings.eval_every)
    is_over = step >= settings.steps
    interruption = None
    if settings.strategy != "multi_worker" and not is_over:
        interruption = read_interruption(model_dir, step, settings)
    keras.utils.set_random_seed(settings.seed)

    # ---- Data
    objective = open_objective(
        settings, strategy, strategy.log_dir(model_dir), resumed=checkpoint is not None
    )
    if settings.learning_rate is None:
        settings = dataclasses.replace(settings, learning_rate=objective.learning_rate)
        if checkpoint:
            check_resumes(settings, model_dir, step)
    with objective.one_line_errors():
        stats = InputStats(
            **strategy.from_chief(
                lambda: dataclasses.asdict(_input_stats(settings, model_dir, checkpoint, objective))
            )
        )
        if not is_over:
            objective.check()
        if strategy.is_chief and not is_over:  # else it says which version made the weights
            _write_config(model_dir, settings, objective, stats)
        validation = validation_batches(
            objective.validation,
            batch_size=settings.batch_size,
            examples=settings.validation_examples,
        )

        # ---- Model
        compile_options = {
            "steps_per_execution": settings.steps_per_execution,
            **objective.compile_options,
        }
        with strategy.scope():
            model = objective.build(stats)
            if settings.whiten:
                check_can_whiten(model.get_layer("encoder"))
            synchronise_batch_norm(strategy, model)
            model.compile(make_optimizer(settings), **compile_options)
            model.optimizer.build(model.trainable_variables)  # else the step is traced twice
            if checkpoint:
                checkpoint.restore(model)
            else:
                set_initial_weights(model, settings)
            trainer = objective.feed(model)
            if trainer is not model:
                trainer.compile(model.optimizer, **compile_options)
        if is_over:
            print(f"{model_dir} is already trained for {step} steps.")
            _finish(settings, model_dir, strategy, objective, model)
            return model
        if strategy.is_chief:
            for directory in (model_dir, model_dir / DIRECTORY):
                remove_partials(directory)
            undo_round(model_dir, step)
            trim_log(model_dir / LOG, first_round)
        if interruption and not fits(interruption, trainer):
            interruption = None
        if checkpoint or interruption:
            done = interruption.step if interruption else step
            print(f"Resuming {model_dir} after step {done}.")
        if interruption:  # what sums up some metrics, which it has, too, is made by the first call
            trainer.evaluate(objective.validation(VALIDATION_ROUND).take(1), verbose=0)

        # ---- Training
        averaged = []
        if settings.average_weights:
            averaged = [AveragedWeights(_clean_batches(settings, objective, model))]
        with signals_noted("interrupted: run the same command to go on") as signals:
            for rounds in _equal_rounds(settings, first_round, alone=interruption is not None):
                first_step = rounds[0] * settings.eval_every
                steps_per_round = settings.step_after(rounds[0]) - first_step
                skipped = interruption.step - first_step if interruption else 0
                if steps_per_round < settings.eval_every and strategy.is_chief:
                    keep_best(model_dir)
                trainer.fit(
                    training_batches(
                        objective.train,
                        steps_per_round=steps_per_round,
                        first_round=rounds[0],
                        skipped=skipped,
                    ),
                    epochs=rounds[-1] + 1,
                    initial_epoch=rounds[0],
                    steps_per_epoch=steps_per_round - skipped,
                    validation_data=validation,
                    shuffle=False,  # the data is in random order
                    verbose="auto" if strategy.is_chief else 0,
                    callbacks=[
                        SeedNoise(settings.seed),
                        *([GoOn(interruption)] if interruption else []),
                        StopOnNaN(settings.learning_rate),
                        *_records(
                            settings,
                            model_dir,
                            validation,
                            strategy,
                            lambda: objective.feed(objective.build(stats)),
                            make_probe,
                        ),
                        *averaged,
                        *(
                            [strategy.of_chief(SaveCheckpoint(model_dir, settings.step_after))]
                            if strategy.is_chief
                            else []
                        ),
                        EndOnSignal(model_dir, signals, settings, first_step + skipped),
                    ],
                )
                interruption = None
        _finish(settings, model_dir, strategy, objective, model)
    print(f"Trained encoder: {model_dir}/encoder.keras   Curves: tensorboard --logdir {model_dir}")
    return model


def _clean_batches(
    settings: TrainSettings, objective: Objective, model: keras.Model
) -> tf.data.Dataset:
    """Batches of about `CLEAN_SLICES` slices that are trained on."""
    _, *slices, _, _ = model.input_shape  # one for each example, or S
    a_batch = settings.batch_size * (slices[0] if slices else 1)
    return objective.clean(VALIDATION_ROUND).take(-(-CLEAN_SLICES // a_batch))


def _finish(
    settings: TrainSettings,
    model_dir: pathlib.Path,
    strategy: Strategy,
    objective: Objective,
    model: keras.Model,
) -> None:
    """What is left to do once all steps are trained; doing it again changes nothing."""
    if settings.whiten and strategy.is_chief:
        with strategy.alone():
            whiten(model_dir, settings.whiten, _clean_batches(settings, objective, model))


def _equal_rounds(settings: TrainSettings, first: int, *, alone: bool) -> list[range]:
    """The rounds still to train, in ranges of equal length: the last may be shorter.

    With `alone`, the first is a range of its own.
    """
    begin = first + alone
    full = max(begin, settings.steps // settings.eval_every)
    ranges = range(first, begin), range(begin, full), range(full, settings.rounds())
    return [rounds for rounds in ranges if rounds]


def _records(
    settings: TrainSettings,
    model_dir: pathlib.Path,
    validation: tf.data.Dataset,
    strategy: Strategy,
    build: Callable[[], keras.Model],
    make_probe: MakeProbe | None,
) -> list[keras.callbacks.Callback]:
    """The callbacks that write the model directory after each round; the chief's alone."""
    if not strategy.is_chief:
        return []
    probes = [make_probe(settings)] if settings.probe and make_probe else []
    images = ReconstructionImages(model_dir / "tensorboard" / "images", validation)
    return [
        *(strategy.of_chief(probe, build) for probe in probes),
        ExamplesPerSecond(settings.batch_size),
        keras.callbacks.CSVLogger(model_dir / LOG, append=True),
        keras.callbacks.TensorBoard(model_dir / "tensorboard", write_graph=False),
        strategy.of_chief(images, build),
        strategy.of_chief(SaveRound(model_dir, settings.step_after)),
    ]


def _first_step(model_dir: pathlib.Path, settings: TrainSettings) -> int:
    """Steps trained already; checks that the directory is new, or holds this same run."""
    checkpoint = latest_checkpoint(model_dir)
    begun = checkpoint or interrupted_path(model_dir).exists()
    if settings.resume == "always" and not begun:
        raise A2vError(f"--resume=always, but {str(model_dir)!r} holds no checkpoint")
    if settings.resume == "never" and begun:
        steps = f"of {checkpoint.step} steps" if checkpoint else "that was interrupted"
        raise A2vError(
            f"--resume=never, but {str(model_dir)!r} holds a run {steps}: give another --model_dir"
        )
    if checkpoint:
        check_resumes(settings, model_dir, checkpoint.step)
        if checkpoint.step < settings.steps and checkpoint.step % settings.eval_every:
            checkpoint = latest_checkpoint(model_dir, before=checkpoint.step)
    return checkpoint.step if checkpoint else 0


def _input_stats(
    settings: TrainSettings,
    model_dir: pathlib.Path,
    checkpoint: Checkpoint | None,
    objective: Objective,
) -> InputStats:
    """The statistics of the training data: the run's own, if it is resumed."""
    if not checkpoint and settings.initial_encoder:
        return initial_stats(settings, objective.front_end)
    if not checkpoint:
        return objective.stats()
    config = read_config(model_dir)
    if front_end_of(model_dir) != objective.front_end:
        raise A2vError(
            f"{str(model_dir)!r} was trained on the frames {config['front_end']}, not "
            f"{vars(objective.front_end)}: use another --model_dir"
        )
    return InputStats(config["input_mean"], config["input_variance"])


def _write_config(
    model_dir: pathlib.Path, settings: TrainSettings, objective: Objective, stats: InputStats
) -> None:
    config = {
        **settings.as_config(),
        "bins": objective.front_end.bins,
        "input_mean": stats.mean,
        "input_variance": stats.variance,
        "front_end": vars(objective.front_end),
        FINGERPRINTS: fingerprints(settings),
    }
    if settings.initial_encoder:
        config[INITIAL_RUN] = initial_run(settings.initial_encoder)
    write_config(model_dir, config)


def make_optimizer(settings: TrainSettings) -> keras.optimizers.Adam:
    """Adam as the settings say; weight decay leaves out biases and batch norm."""
    averages = settings.average_weights
    optimizer = keras.optimizers.Adam(
        learning_rate(settings),
        weight_decay=settings.weight_decay,
        global_clipnorm=settings.clip_norm,
        use_ema=bool(averages),
        ema_momentum=averages or 0.0,
    )
    if settings.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
