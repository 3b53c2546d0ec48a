"""What a trained model does with validation examples: a picture for each of its tasks."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from a2v_tf.data import sampling
from a2v_tf.data.sources import Source, one_line_errors, open_source
from a2v_tf.evaluation.gap import greatest
from a2v_tf.evaluation.reconstruction import reconstruct_crops
from a2v_tf.evaluation.settings import RECONSTRUCTING
from a2v_tf.frontend import FrontEnd
from a2v_tf.reporting import reconstruction_plot
from a2v_tf.reporting.document import Picture
from a2v_tf.reporting.plots import COLOURS, GREY, STYLE, picture
from a2v_tf.specs import SOURCE_OPTIONS
from a2v_tf.tasks.crops import PAIR, Crops
from a2v_tf.training.batches import VALIDATION_ROUND, log_mel_crops
from a2v_tf.training.trained_task import TrainedTask, open_task

SHOWN = 3  # reconstructions
JUDGED = 512  # examples of the tasks that estimate a number
SHOWN_TOGETHER = 32  # crops whose slices are compared with each other
_BATCH = 64

# From a count to batches of validation crops.
MakeCrops = Callable[[int], Iterator[Crops]]


def pictures(
    model_dir: pathlib.Path, config: Mapping[str, Any], label: str, data: str | None = None
) -> list[Picture]:
    """A picture for each task that the model of a directory was trained on.

    Args:
      model_dir: written by a2v_train.
      config: its settings.
      label: the model's name, for captions.
      data: the audio; by default what its validation loss is measured on.

    Raises:
      A2vError: the model or the audio cannot be used.
    """
    if config["task"] == "supervised":
        return []
    task = open_task(model_dir, list(_DRAW))
    options = {name: config[name] for name in SOURCE_OPTIONS if name in config}
    if isinstance(task.front_end, FrontEnd):
        options["front_end"] = task.front_end
    source = open_source(data or config.get("validation_data") or config["data"], **options)
    source.check(source.front_end.samples(task.all_crop_frames))
    # A crop is no whole clip, so it holds no pair as the model learned them.
    left_out = {PAIR} if task.slicing.whole_clips else set()

    def crops(count: int) -> Iterator[Crops]:
        return _crops(task, source, config.get("seed", 0), count)

    with one_line_errors(source):
        return [
            _DRAW[each.name](dataclasses.replace(task, name=each.name), crops, label)
            for each in task.tasks
            if each.name in _DRAW and not left_out.intersection(each.slices)
        ]


def _crops(task: TrainedTask, source: Source, seed: int, count: int) -> Iterator[Crops]:
    """Random crops of the validation round, `count` in all."""
    size = min(count, _BATCH)
    batches = log_mel_crops(
        source, task.all_crop_frames, batch_size=size, seed=seed, round_index=VALIDATION_ROUND
    )
    key = sampling.key(seed, VALIDATION_ROUND)
    for step, (log_mel, clip) in enumerate(batches.take(-(-count // size))):
        yield Crops(log_mel, clip, task.slicing, sampling.fold_in(key, step))


# ---- Reconstructions ----

_PREDICTS = {
    "cbow": "predicts the middle slice from those around it",
    "skip_gram": "predicts the slices around the middle one from it",
    "autoencoder": "reconstructs its input",
}


@mpl.rc_context({**STYLE, "axes.grid": False})
def _reconstructions(task: TrainedTask, crops: MakeCrops, label: str) -> Picture:
    results = reconstruct_crops(task, next(crops(SHOWN)))
    width = reconstruction_plot.width(results[0])
    single = task.slicing.frames == len(results[0].truth)
    rows, columns = (1, len(results)) if single else (len(results), 1)
    figure = Figure((width * columns, 3.4 * rows), layout="constrained")
    parts = np.ravel(figure.subfigures(rows, columns, squeeze=False))
    for i, (part, result) in enumerate(zip(parts, results, strict=True)):
        reconstruction_plot.draw(part, result, f"example {i + 1}")
    error = float(np.mean([result.errors for result in results]))
    caption = (
        f"{label} {_PREDICTS[task.name]}. Each example has the log-mel spectrogram of a validation "
        "clip above, and the model's input and predictions (framed) below: the better the model, "
        f"the more these look alike. Mean squared error of these examples: {error:.2f}."
    )
    return picture(figure, caption)


# ---- Estimated numbers ----


def _axis(height: float = 2.8) -> tuple[Figure, Axes]:
    figure = Figure((5.2, height), layout="constrained")
    return figure, figure.subplots()


def _estimates(task: TrainedTask, crops: MakeCrops) -> tuple[np.ndarray, np.ndarray]:
    """Estimates and truths, `[n]`, of a task that estimates a number."""
    parts = [task.run(batch) for batch in crops(JUDGED)]
    estimates, truths = (np.concatenate(part)[:, 0] for part in zip(*parts, strict=True))
    return estimates, truths


@mpl.rc_context(STYLE)
def _gaps(task: TrainedTask, crops: MakeCrops, label: str) -> Picture:
    longest = greatest(task, task.all_crop_frames)
    estimates, truths = (values * longest for values in _estimates(task, crops))
    figure, axis = _axis(4.4)
    axis.scatter(truths, estimates, s=10, alpha=0.5, linewidths=0, label="one example")
    edges = np.linspace(0, longest, 9)
    which = np.clip(np.digitize(truths, edges) - 1, 0, 7)
    filled = [i for i in range(8) if (which == i).any()]
    means = [estimates[which == i].mean() for i in filled]
    axis.plot((edges[:-1] + edges[1:])[filled] / 2, means, "o-", color=COLOURS[1], label="mean")
    axis.plot(edges[[0, -1]], edges[[0, -1]], ":", color=GREY, label="exact")
    axis.set(xlabel="true distance, s", ylabel="estimated distance, s")
    axis.legend()
    error, guess = (float(np.abs(truths - x).mean()) for x in (estimates, np.median(truths)))
    caption = (
        f"{label} estimates the distance in time of two slices, here of {len(truths)} examples; "
        f"the closer to the dotted line, the better. Its mean error is {error:.2f} s; that of "
        f"always guessing {np.median(truths):.1f} s is {guess:.2f} s."
    )
    return picture(figure, caption)


@mpl.rc_context(STYLE)
def _arrows(task: TrainedTask, crops: MakeCrops, label: str) -> Picture:
    estimates, truths = _estimates(task, crops)
    figure, axis = _axis()
    bins = np.linspace(0, 1, 21)
    for value, name in ((0, "forwards"), (1, "backwards")):
        axis.hist(estimates[truths == value], bins, alpha=0.6, label=name, color=COLOURS[value])
    axis.set(xlabel="estimated probability of backwards", ylabel="examples")
    axis.legend()
    share = float(((estimates > 0.5) == (truths > 0.5)).mean())
    caption = (
        f"{label} estimates whether a slice is played backwards; the less the two histograms "
        f"overlap, the better. {share:.0%} of {len(truths)} examples are right (chance: 50%)."
    )
    return picture(figure, caption)


@mpl.rc_context(STYLE)
def _triplets(task: TrainedTask, crops: MakeCrops, label: str) -> Picture:
    parts = [(task.run(batch)[0][:, 0], batch.has_other()) for batch in crops(JUDGED)]
    margins = np.concatenate([values[np.asarray(other) > 0] for values, other in parts])
    figure, axis = _axis()
    axis.hist(margins, 40, color=COLOURS[0])
    for at, name in ((0, "equally far"), (1, "the margin")):
        axis.axvline(at, color=COLOURS[1], ls=":")
        axis.annotate(name, (at, 1), xycoords=("data", "axes fraction"), fontsize=8)
    axis.set(xlabel="how much further away the other clip is, in margins", ylabel="examples")
    share = float((margins > 0).mean())
    caption = (
        f"{label} places a slice closer to another slice of its own clip than to one of another "
        f"clip in {share:.0%} of {len(margins)} examples; the further to the right, the better."
    )
    return picture(figure, caption)


@mpl.rc_context({**STYLE, "axes.grid": False})
def _similarities(task: TrainedTask, crops: MakeCrops, label: str) -> Picture:
    outputs = [(task.run(batch)[0], batch.clip.numpy()) for batch in crops(JUDGED)]
    right = np.concatenate([_finds_partner(z, clip) for z, clip in outputs])
    z, clip = (values[:SHOWN_TOGETHER] for values in outputs[0])
    order = np.argsort(clip, kind="stable")
    cosines = (z[order, 0] @ z[order, 1].T) / np.square(z).sum(axis=-1).mean()
    figure, axis = _axis(4.2)
    figure.colorbar(axis.imshow(cosines, cmap="magma", vmin=-1, vmax=1), label="cosine")
    axis.set(xlabel="second slice of crop", ylabel="first slice of crop")
    caption = (
        f"{label} places the two slices of a crop close together: bright on the diagonal and dark "
        f"elsewhere is better (crops of one clip are neighbours). Among {len(outputs[0][1])} "
        f"crops, the most similar slice is one of the same clip for {right.mean():.0%}."
    )
    return picture(figure, caption)


def _finds_partner(z: np.ndarray, clip: np.ndarray) -> np.ndarray:
    """Whether the second slices most similar to the first are of the same clip, `[batch]`."""
    return clip[(z[:, 0] @ z[:, 1].T).argmax(axis=1)] == clip


@mpl.rc_context(STYLE)
def _transpositions(task: TrainedTask, crops: MakeCrops, label: str) -> Picture:
    outputs = [(task.run(batch)[0], batch.clip.numpy()) for batch in crops(JUDGED)]
    found = [(z / np.linalg.norm(z, axis=-1, keepdims=True), clip) for z, clip in outputs]
    moved = np.concatenate([(z[:, 0] * z[:, 2]).sum(axis=-1) for z, _ in found])
    others = np.concatenate([(z[:, 0] @ z[:, 0].T)[clip[:, None] != clip] for z, clip in found])
    figure, axis = _axis()
    bins = np.linspace(-1, 1, 41)
    for i, (cosines, name) in enumerate(((moved, "itself, 2 bins up"), (others, "another clip"))):
        weights = np.full(len(cosines), 1 / len(cosines))
        axis.hist(cosines, bins, weights=weights, alpha=0.6, label=name, color=COLOURS[i])
    axis.set(xlabel="cosine with a slice's embedding", ylabel="fraction")
    axis.legend()
    caption = (
        f"{label} places a slice close to itself two mel bins higher: the median cosine of "
        f"{len(moved)} slices is {np.median(moved):.2f}, and {np.median(others):.2f} with slices "
        "of other clips. The less the two histograms overlap, the better."
    )
    return picture(figure, caption)


_DRAW: dict[str, Callable[[TrainedTask, MakeCrops, str], Picture]] = {
    **dict.fromkeys(RECONSTRUCTING, _reconstructions),
    "temporal_gap": _gaps,
    "arrow_of_time": _arrows,
    "triplet": _triplets,
    "contrastive": _similarities,
    "transposition": _transpositions,
}
