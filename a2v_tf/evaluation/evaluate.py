"""All that `a2v_evaluate` computes: models and baselines on downstream tasks."""

import dataclasses
import functools
import pathlib
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import sklearn
import tensorflow as tf
from absl import logging

from a2v_tf import __version__
from a2v_tf.data.labelled import open_labelled
from a2v_tf.errors import A2vError
from a2v_tf.evaluation import compare, metrics
from a2v_tf.evaluation.cache import EmbeddingCache, encoder_key, file_key
from a2v_tf.evaluation.embeddings import (
    WindowEmbedder,
    keras_embedder,
    spectrogram_embedder,
    tflite_embedder,
    untrained_encoder,
)
from a2v_tf.evaluation.finetune import check_depths
from a2v_tf.evaluation.judged import Judged
from a2v_tf.evaluation.keeping import HeadKeeper
from a2v_tf.evaluation.merging import merged_config, merged_embedder
from a2v_tf.evaluation.metrics import (
    BASELINES,
    MULTI_HEAD,
    SPECTROGRAM,
    SUPERVISED,
    UNTRAINED,
    Row,
)
from a2v_tf.evaluation.saved_heads import HeadStore
from a2v_tf.evaluation.settings import CACHE, LAST, NONE, EvaluationSettings
from a2v_tf.files import cache_dir, paths_of
from a2v_tf.frontend import FrontEnd
from a2v_tf.pretrained import WINDOW, is_packaged, names, resolve
from a2v_tf.training.model_dir import load_encoder, read_config, sound_front_end


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
      rows: accuracies, as `compare.make_row` makes them.
      normalised: normalised accuracies, as `metrics.normalised` makes them.
      config: the model's config.json, or that of several, as `merged_config` makes it.
      heads: directories of the heads that were asked for, inside `save_heads`.
    """

    rows: list[Row]
    normalised: list[Row]
    config: Mapping[str, Any]
    heads: Sequence[str] = ()


def evaluate(settings: EvaluationSettings, keep: pathlib.Path | None = None) -> Evaluation:
    """Evaluate a model and its baselines.

    Args:
      settings: what is evaluated and how.
      keep: file that keeps what was judged, in case that the process is killed: a later call goes
        on from there. The caller removes it.

    Raises:
      A2vError: the model or a data set cannot be used, or the file is of other settings.
    """
    model_dirs = paths_of(settings.model_dir)
    _check_save_heads(settings, model_dirs)
    configs = [read_config(model_dir) for model_dir in model_dirs]
    config = merged_config(model_dirs, configs)
    encoders = _encoders(settings, model_dirs)
    _check_depths(settings, encoders)
    front_end = sound_front_end(model_dirs[0])  # `merged_config` checks that all have the same
    datasets = open_labelled(
        settings.downstream,
        needs=("train", settings.common.split),
        channels=settings.channels,
        front_end=front_end,
    )
    compare.check_single_label(datasets)
    seed = config.get("seed", 0) if settings.seed is None else settings.seed
    common = dataclasses.replace(settings.common, frames=config["frames"], seed=seed)
    untrained = functools.partial(untrained_encoder, configs[0])
    name = "+".join(map(model_name, [settings.model] if settings.model else model_dirs))
    if name in settings.baselines:
        raise A2vError(f"--baselines={name}: is the model to evaluate; expected others")

    files = [encoder_key(encoder) for encoder in encoders]
    files += [file_key(resolve(settings.model, WINDOW))] if settings.model else []
    asked = {**dataclasses.asdict(settings), "cache_dir": None}
    del asked["save_heads"]
    data = [each.fingerprint() for each in datasets]
    depends_on = {**asked, "files": files, "configs": configs, "data": data, **versions()}
    keeper = None
    if settings.save_heads is not None:
        store = HeadStore(settings.save_heads, config)
        keeper = HeadKeeper(store, name, encoders[0], settings, common)
        keeper.check(datasets, settings.depths)
    judged = Judged(keep, depends_on)

    # ---- Heads on frozen embeddings, parts of the encoder, the whole encoder
    rows = []
    if NONE in settings.depths:
        embedders = [keras_embedder(encoder) for encoder in encoders]
        if settings.model:
            embedders = [tflite_embedder(settings.model)]
        models = {
            name: merged_embedder(embedders),
            **_frozen_baselines(settings, configs[0], seed, front_end),
        }
        cache = _cache(settings, model_dirs[0])
        rows += compare.frozen(models, datasets, common, cache, judged, keeper)
    if len(encoders) == 1:
        rows += compare.fine_tuned(
            *(name, encoders[0], settings.depths, datasets, settings.fine_tuning, common),
            *(judged, keeper),
        )
    if SUPERVISED in settings.baselines:
        rows += compare.supervised(untrained, datasets, settings.from_scratch, common, judged)
    if MULTI_HEAD in settings.baselines:
        rows += compare.multi_head(untrained, datasets, settings.from_scratch, common, judged)

    normalised = metrics.normalised(rows, seed=seed)
    if len(datasets) > 1:
        rows += compare.means(rows)
    return Evaluation(rows, normalised, config, keeper.names if keeper else ())


def model_name(path: pathlib.Path | str) -> str:
    """The name of a model directory or TFLite file in results; never that of a baseline."""
    name = pathlib.Path(path).resolve().name
    taken = name in BASELINES or (name in names() and not is_packaged(resolve(path)))
    return "trained" if taken else name


def versions() -> dict[str, str]:
    """The versions of the packages that results depend on."""
    return {
        "a2v_tf": __version__,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
    }


def _encoders(settings: EvaluationSettings, model_dirs: Sequence[str]) -> list[keras.Model]:
    """The Keras encoders to evaluate; none with --model."""
    last = settings.common.select == LAST
    if not settings.model:
        return [load_encoder(model_dir, last=last) for model_dir in model_dirs]
    if last:
        raise A2vError(f"--select=last: {settings.model} was exported; expected --select=best")
    if len(model_dirs) > 1:
        raise A2vError(f"--model_dir={settings.model_dir}: expected one directory with --model")
    return []


def _check_depths(settings: EvaluationSettings, encoders: Sequence[keras.Model]) -> None:
    if len(encoders) == 1:
        check_depths(settings.depths, encoders[0])
    elif set(settings.depths) != {NONE}:
        what = "several models" if encoders else "a TFLite --model"
        raise A2vError(f"--finetune={','.join(settings.depths)}: {what} cannot be trained")


def _check_save_heads(settings: EvaluationSettings, model_dirs: Sequence[str]) -> None:
    if settings.save_heads is None:
        return
    where = f"--save_heads={settings.save_heads}"
    if settings.model or len(model_dirs) > 1:
        what = "a TFLite --model" if settings.model else "several models"
        raise A2vError(f"{where}: heads on {what} are not kept; expected one --model_dir")
    if settings.common.select == LAST and NONE in settings.depths:
        raise A2vError(
            f"{where}: export_tflite takes the best encoder; expected --select=best, or --finetune "
            "without none"
        )


def _frozen_baselines(
    settings: EvaluationSettings, config: Mapping[str, Any], seed: int, front_end: FrontEnd
) -> Mapping[str, WindowEmbedder | list[WindowEmbedder]]:
    found: dict[str, WindowEmbedder | list[WindowEmbedder]] = {}
    if UNTRAINED in settings.baselines:
        seeds = range(seed, seed + settings.untrained_seeds)
        found[UNTRAINED] = [keras_embedder(untrained_encoder(config, s)) for s in seeds]
    if SPECTROGRAM in settings.baselines:
        found[SPECTROGRAM] = spectrogram_embedder()
    for name in names():
        if name in settings.baselines:
            found[name] = _packaged_baseline(name, config["frames"], front_end)
    return found


def _packaged_baseline(name: str, frames: int, expected: FrontEnd) -> WindowEmbedder:
    """The int8 file that users of an encoder of this package get."""
    theirs, front_end = read_config(name)["frames"], sound_front_end(name)
    if front_end != expected:
        raise A2vError(
            f"--baselines={name}: takes sound by {front_end}; expected the model's, {expected}"
        )
    if theirs != frames:
        raise A2vError(
            f"--baselines={name}: takes windows of {theirs} frames; expected {frames}, as the model"
        )
    return tflite_embedder(name)


def _cache(settings: EvaluationSettings, model_dir: str) -> EmbeddingCache | None:
    if settings.cache_dir is not None:
        return EmbeddingCache(settings.cache_dir) if settings.cache_dir else None
    if is_packaged(resolve(model_dir)):
        return EmbeddingCache(cache_dir() / CACHE)
    try:
        return EmbeddingCache(pathlib.Path(model_dir) / CACHE)
    except A2vError as error:  # the model directory is read-only
        logging.warning("%s: embeddings are not kept", error)
        return None
