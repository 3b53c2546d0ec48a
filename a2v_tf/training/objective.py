"""What a run trains on and for: batches of examples, the model, its losses."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from a2v_tf.data.labelled import LabelledData, open_labelled
from a2v_tf.data.log_mel_cache import CachedLogMel
from a2v_tf.data.sources import Source, default_validation, one_line_errors, open_source
from a2v_tf.errors import A2vError
from a2v_tf.files import cache_dir, made_directory
from a2v_tf.frontend import FrontEnd
from a2v_tf.models.in_stream import InStream
from a2v_tf.models.on_device import OnDevice
from a2v_tf.models.precision import precision
from a2v_tf.specs import SPECTROGRAM, BandLevels, InputStats, find_encoder
from a2v_tf.tasks import DISTILL, SUPERVISED, multi_head, supervised
from a2v_tf.tasks.task import Setup, find_tasks
from a2v_tf.training.batches import (
    VALIDATION_ROUND,
    Round,
    cut_batches,
    input_stats,
    labelled_batches,
    labelled_stats,
    task_batches,
)
from a2v_tf.training.comparisons import check_comparisons
from a2v_tf.training.distillation import Around, Lead, open_taught
from a2v_tf.training.settings import TrainSettings
from a2v_tf.training.strategy import Strategy


class Objective(NamedTuple):
    """What a run trains on and for.

    Attributes:
      train: batches of a training round.
      validation: batches of validation.
      front_end: what makes the frames.
      clean: batches as in training, but always the same, and without random levels.
      stats: computes the statistics of the training data's log-mel values.
      sources: where the examples come from.
      build: builds the model from these statistics.
      feed: wraps the model so that it takes the batches.
      compile_options: losses, as `keras.Model.compile` takes them.
      learning_rate: the papers'.
      check: raises `A2vError` if the batches hold nothing to learn from.
    """

    train: Round
    validation: Round
    clean: Round
    front_end: FrontEnd | BandLevels
    stats: Callable[[], InputStats]
    sources: Sequence[Source] | Sequence[LabelledData]
    build: Callable[[InputStats], keras.Model]
    feed: Callable[[keras.Model], keras.Model]
    compile_options: Mapping[str, Any]
    learning_rate: float
    check: Callable[[], None] = lambda: None

    @contextlib.contextmanager
    def one_line_errors(self) -> Iterator[None]:
        """Within it, errors of the sources are `A2vError`, not TensorFlow's."""
        with contextlib.ExitStack() as stack:
            for source in self.sources:
                stack.enter_context(one_line_errors(source))
            yield


def open_objective(
    settings: TrainSettings, strategy: Strategy, log_dir: pathlib.Path, *, resumed: bool = False
) -> Objective:
    """Open the data of a run and define its model.

    Args:
      settings: of the run.
      strategy: the devices that train it.
      log_dir: where to write which recordings are skipped.
      resumed: whether the run has a checkpoint: what was fitted at its start is then kept.

    Raises:
      A2vError: the data cannot be used, or does not go with the settings.
    """
    if settings.task == SUPERVISED:
        return _supervised(settings, strategy)
    if DISTILL in settings.task_names:
        return _distilled(settings, strategy, log_dir, resumed)
    return _self_supervised(settings, strategy, log_dir)


def _distilled(
    settings: TrainSettings, strategy: Strategy, log_dir: pathlib.Path, resumed: bool
) -> Objective:
    """Slices whose teachers' outputs are cached; other tasks learn from the same slices."""
    tasks = find_tasks(settings.task_names, settings.teachers or ())
    source = open_source(settings.data, **settings.source_options, log_dir=log_dir)
    print(f"--data: {source.describe()}")
    directory = _cache_directory(settings)
    taught = open_taught(settings, strategy, source, directory, resumed=resumed)
    frames = multi_head.crop_frames(tasks, settings.slicing)
    around = lead = None
    slicing = settings.slicing
    if settings.lead_frames:
        lead = Lead(_cached(source, settings, strategy), settings.lead_frames)
        slicing = dataclasses.replace(slicing, frames=slicing.frames + lead.frames)
    elif frames > settings.frames:
        around = Around(
            _cached(source, settings, strategy), frames, settings.slicing.middle(frames)
        )

    def batches(rows: np.ndarray, lead: Lead | None) -> Round:
        return cut_batches(
            taught.draw(
                rows,
                batch_size=settings.batch_size,
                seed=settings.seed,
                around=around,
                lead=lead,
            ),
            tasks,
            slicing if lead else settings.slicing,
            seed=settings.seed,
            share=strategy.share,
        )

    def build(stats: InputStats) -> keras.Model:
        setup = _setup(settings, source.front_end, stats, taught.components)
        with precision(settings.precision):
            return multi_head.build(tasks, setup)

    return Objective(
        train=batches(taught.trained, lead),
        validation=batches(taught.held_out, lead),
        clean=batches(taught.trained, lead),
        front_end=source.front_end,
        stats=lambda: taught.stats(settings.seed),
        sources=[source],
        build=build,
        feed=lambda model: InStream(model, lead.frames) if lead else model,
        compile_options=multi_head.losses(tasks, settings.task_factors),
        learning_rate=multi_head.learning_rate(tasks),
    )


def _self_supervised(
    settings: TrainSettings, strategy: Strategy, log_dir: pathlib.Path
) -> Objective:
    """Unlabelled audio, cut for the self-supervised tasks."""
    tasks = find_tasks(settings.task_names, settings.teachers or ())
    frames = multi_head.crop_frames(tasks, settings.slicing)
    on_device = settings.frontend == "device"

    def open_(flag: str, data: str) -> Source:
        opened = open_source(data, **settings.source_options, log_dir=log_dir)
        if settings.cache or (settings.slicing.whole_clips and not data.startswith(SPECTROGRAM)):
            opened = _cached(opened, settings, strategy)
        opened.check(opened.front_end.samples(frames))
        print(f"--{flag}: {opened.describe()}")
        return opened

    source = validation_source = open_("data", settings.data)
    held_out = settings.validation_data or default_validation(settings.data)
    if held_out:
        validation_source = open_("validation_data", held_out)
    if validation_source.front_end != source.front_end:
        raise A2vError(
            f"--validation_data={held_out}: expected frames like those of --data, "
            f"{source.front_end}, not {validation_source.front_end}"
        )
    if settings.mix and not isinstance(source.front_end, FrontEnd):
        raise A2vError(f"--mix={settings.mix}: for audio, not for band levels")

    def build(stats: InputStats) -> keras.Model:
        with precision(settings.precision):
            return multi_head.build(tasks, _setup(settings, source.front_end, stats))

    def batches(source: Source, gain_db: float, crops_per_clip: int) -> Round:
        return task_batches(
            source,
            tasks,
            settings.slicing,
            batch_size=settings.batch_size,
            seed=settings.seed,
            gain_db=gain_db,
            share=strategy.share,
            crops_per_clip=crops_per_clip,
            raw=on_device,
        )

    def check() -> None:
        check_comparisons(f"--data={settings.data}", source, tasks, settings, 0)
        if held_out:
            name = f"--validation_data={held_out}"
            check_comparisons(name, validation_source, tasks, settings, VALIDATION_ROUND)

    def feed(model: keras.Model) -> keras.Model:
        if not on_device:
            return model
        across = multi_head.cuts_across(tasks)
        return OnDevice(model, across=across, front_end=settings.front_end)

    return Objective(
        train=batches(source, settings.gain_db, settings.crops_per_clip),
        validation=batches(validation_source, 0.0, 1),
        clean=batches(source, 0.0, settings.crops_per_clip),
        front_end=source.front_end,
        stats=lambda: input_stats(source, frames, seed=settings.seed),
        sources=[source, validation_source],
        build=build,
        feed=feed,
        compile_options=multi_head.losses(tasks, settings.task_factors),
        learning_rate=multi_head.learning_rate(tasks),
        check=check,
    )


def _cached(source: Source, settings: TrainSettings, strategy: Strategy) -> CachedLogMel:
    return strategy.chief_first(lambda: CachedLogMel(source, _cache_directory(settings)))


def _cache_directory(settings: TrainSettings) -> pathlib.Path:
    return made_directory("cache", settings.cache or str(cache_dir() / "teachers"))


def _supervised(settings: TrainSettings, strategy: Strategy) -> Objective:
    """Labelled audio, cut into crops of one slice."""
    datasets = open_labelled(
        settings.data,
        needs=("train",),
        channels=settings.channels,
        front_end=settings.front_end,
    )
    if settings.batch_size % (len(datasets) * strategy.share.workers):
        raise A2vError(
            f"--batch_size={settings.batch_size} cannot be shared equally among "
            f"{len(datasets)} data sets and {strategy.share.workers} workers"
        )
    for data in datasets:
        print(f"--data: {data.name}, {len(data.classes)} classes")

    def build(stats: InputStats) -> keras.Model:
        with precision(settings.precision):
            return supervised.build(datasets, _setup(settings, settings.front_end, stats))

    batches = labelled_batches(
        datasets,
        settings.frames,
        batch_size=settings.batch_size,
        seed=settings.seed,
        share=strategy.share,
    )
    return Objective(
        train=batches,
        validation=batches,
        clean=batches,
        front_end=settings.front_end,
        stats=lambda: labelled_stats(batches),
        sources=datasets,
        build=build,
        feed=lambda model: model,
        compile_options=supervised.losses(datasets),
        learning_rate=supervised.learning_rate(datasets),
    )


def _setup(
    settings: TrainSettings,
    front_end: FrontEnd | BandLevels,
    stats: InputStats,
    components: Mapping[str, int] | None = None,
) -> Setup:
    return Setup(
        find_encoder(settings.encoder),
        settings.slicing,
        front_end.bins,
        stats,
        settings.task_options,
        log_offset=front_end.log_offset if isinstance(front_end, FrontEnd) else 0.0,
        components=components or {},
    )
