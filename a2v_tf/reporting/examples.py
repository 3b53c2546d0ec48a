"""What a trained model makes of validation examples: pictures of its own task."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from a2v_tf.commands.gap import greatest
from a2v_tf.commands.reconstruct import RECONSTRUCTING
from a2v_tf.data import sampling
from a2v_tf.data.sources import OPTIONS, Source, one_line_errors, open_source
from a2v_tf.frontend import FRONT_END
from a2v_tf.reporting.document import Picture
from a2v_tf.reporting.plots import COLOURS, STYLE, picture
from a2v_tf.tasks.crops import Crops
from a2v_tf.training.batches import VALIDATION_ROUND, log_mel_crops
from a2v_tf.training.trained_task import TrainedTask, open_task

SHOWN = 3  # reconstructions
JUDGED = 512  # examples of the tasks that estimate a number
SHOWN_TOGETHER = 32  # crops whose slices are compared with each other
_BATCH = 64


def pictures(
    model_dir: pathlib.Path, config: Mapping[str, Any], label: str, data: str | None = None
) -> list[Picture]:
    """A picture for each task that the model of a directory learned.

    Args:
      model_dir: of a2v_train.
      config: its settings.
      label: the model's name, for captions.
      data: the audio; by default what its validation loss is measured on.

    Raises:
      A2vError: the model or the audio cannot be used.
    """
    if config["task"] == "supervised":
        return []
    task = open_task(model_dir, list(_DRAW))
    options = {name: config[name] for name in OPTIONS if name in config}
    source = open_source(data or config.get("validation_data") or config["data"], **options)
    source.check(FRONT_END.samples(task.all_crop_frames))
    with one_line_errors(source):
        return [
            _DRAW[name](dataclasses.replace(task, name=name), source, config.get("seed", 0), label)
            for name in task.all_names
        ]


def _crops(task: TrainedTask, source: Source, seed: int, count: int) -> Iterator[Crops]:
    """Crops that the model was not trained on as such, `count` in all."""
    batch_size = min(count, _BATCH)
    batches = log_mel_crops(
        source,
        task.all_crop_frames,
        batch_size=batch_size,
        seed=seed,
        round_index=VALIDATION_ROUND,
    )
    key = sampling.key(seed, VALIDATION_ROUND)
    for step, (log_mel, clip) in enumerate(batches.take(-(-count // batch_size))):
        yield Crops(log_mel, clip, task.slicing, sampling.fold_in(key, step))


def _judged(task: TrainedTask, source: Source, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Estimates and truths, `[n]`, of a task that estimates a number."""
    parts = [task.run(crops) for crops in _crops(task, source, seed, JUDGED)]
    estimates, truths = (np.concatenate(part)[:, 0] for part in zip(*parts, strict=True))
    return estimates, truths


# ---- Reconstructions ----

_DOES = {
    "cbow": "hears the slices around (dimmed below) and predicts the one in the middle",
    "skip_gram": "hears the slice in the middle (dimmed below) and predicts those around it",
    "autoencoder": "hears a slice and predicts the same",
}


def _reconstructions(task: TrainedTask, source: Source, seed: int, label: str) -> Picture:
    """Slices of examples above; below them what the model heard, dimmed, and what it predicts."""
    crops = next(_crops(task, source, seed, SHOWN))
    predicted, truth = task.run(crops)
    true = crops.middle().numpy()
    p = task.slicing.context
    if "surrounding" in RECONSTRUCTING[task.name]:  # else crops may hold one slice alone
        around = crops.surrounding().numpy()
        true = np.concatenate([around[:, :p], true, around[:, p:]], axis=1)
    error = float(np.mean((predicted - truth) ** 2))
    caption = (
        f"{label} {_DOES[task.name]}; the truth above. Log-mel slices of "
        f"{1000 * FRONT_END.seconds(task.slicing.frames):.0f} ms, low frequencies at the bottom; "
        f"mean squared error of these examples {error:.2f}."
    )
    places = _places(task.name, p, true.shape[1])
    return _draw_slices(true, predicted, places, caption)


def _places(name: str, context: int, slices: int) -> list[int]:
    """Which of the slices in a row are predicted."""
    if slices == 1:
        return [0]
    every = list(range(slices))
    return [context] if name == "cbow" else [i for i in every if i != context]


@mpl.rc_context({**STYLE, "axes.grid": False})
def _draw_slices(
    true: np.ndarray, predicted: np.ndarray, places: Sequence[int], caption: str
) -> Picture:
    """Draw examples `[n, S, N, F]` above predictions `[n, len(places), N, F]`.

    Single slices stand side by side, rows of slices one below the other.
    """
    n, slices = true.shape[:2]
    if slices == 1:
        figure = Figure((2.6 * n, 3.4), layout="constrained")
        grid = figure.subplots(2, n, squeeze=False).T.reshape(n, 2, 1)
    else:
        figure = Figure((1.9 * slices, 2.5 * n), layout="constrained")
        grid = np.stack([part.subplots(2, slices) for part in figure.subfigures(n, 1)])
    middle = slices // 2
    for axes, truth, guess in zip(grid, true, predicted, strict=True):
        scale = {"vmin": truth.min(), "vmax": truth.max(), "cmap": "magma", "origin": "lower"}
        scale |= {"aspect": "auto", "interpolation": "none"}  # none: as many pixels as values
        for i in range(slices):
            above, below = axes[:, i]
            image = guess[places.index(i)] if i in places else truth[i]
            for axis, values, alpha in (
                (above, truth[i], 1.0),
                (below, image, 1.0 if i in places else 0.3),
            ):
                axis.imshow(values.T, alpha=alpha, **scale)
                axis.set(xticks=[], yticks=[])
                axis.spines[:].set_visible(False)
            if slices > 1:
                above.set_title(f"slice {i - middle:+d}" if i != middle else "slice 0", fontsize=8)
        axes[0, 0].set_ylabel("truth")
        axes[1, 0].set_ylabel("model")
    return picture(figure, caption)


# ---- Estimated numbers ----


@mpl.rc_context(STYLE)
def _gaps(task: TrainedTask, source: Source, seed: int, label: str) -> Picture:
    """True distances of two slices against the estimated ones."""
    estimates, truths = (values * greatest(task) for values in _judged(task, source, seed))
    figure = Figure((5.2, 4.4), layout="constrained")
    axis = figure.subplots()
    axis.scatter(truths, estimates, s=10, alpha=0.5, linewidths=0, label="an example")
    edges = np.linspace(0, greatest(task), 9)
    which = np.clip(np.digitize(truths, edges) - 1, 0, 7)
    filled = [i for i in range(8) if (which == i).any()]
    means = [estimates[which == i].mean() for i in filled]
    axis.plot((edges[:-1] + edges[1:])[filled] / 2, means, "o-", color=COLOURS[1], label="mean")
    axis.plot(edges[[0, -1]], edges[[0, -1]], ":", color="#808890", label="exact")
    axis.set(xlabel="true distance, s", ylabel="estimated distance, s")
    axis.legend(fontsize=8)
    error, guess = (float(np.abs(truths - x).mean()) for x in (estimates, np.median(truths)))
    caption = (
        f"{label}: the distance in time of two slices, {len(truths)} examples. It errs by "
        f"{error:.2f} s on average; always saying {np.median(truths):.1f} s errs by {guess:.2f} s."
    )
    return picture(figure, caption)


@mpl.rc_context(STYLE)
def _arrows(task: TrainedTask, source: Source, seed: int, label: str) -> Picture:
    """The estimated probability of backwards, of slices in either direction."""
    estimates, truths = _judged(task, source, seed)
    figure = Figure((5.2, 2.8), layout="constrained")
    axis = figure.subplots()
    bins = np.linspace(0, 1, 21)
    for value, name in ((0, "forwards"), (1, "backwards")):
        axis.hist(estimates[truths == value], bins, alpha=0.6, label=name, color=COLOURS[value])
    axis.set(xlabel="estimated probability of backwards", ylabel="examples")
    axis.legend(fontsize=8)
    share = float(((estimates > 0.5) == (truths > 0.5)).mean())
    caption = f"{label}: is a slice played backwards? {share:.0%} of {len(truths)} are right."
    return picture(figure, caption)


@mpl.rc_context(STYLE)
def _triplets(task: TrainedTask, source: Source, seed: int, label: str) -> Picture:
    """How much closer a slice is to another one of its clip than to one of another clip."""
    parts = [(task.run(x)[0][:, 0], x.has_other()) for x in _crops(task, source, seed, JUDGED)]
    margins = np.concatenate([values[np.asarray(other) > 0] for values, other in parts])
    figure = Figure((5.2, 2.8), layout="constrained")
    axis = figure.subplots()
    axis.hist(margins, 40, color=COLOURS[0])
    for at, name in ((0, "as far"), (1, "the margin")):
        axis.axvline(at, color=COLOURS[1], ls=":")
        axis.annotate(name, (at, 1), xycoords=("data", "axes fraction"), fontsize=8)
    axis.set(xlabel="how much further the other clip is, in margins", ylabel="examples")
    share = float((margins > 0).mean())
    caption = (
        f"{label}: is a slice closer to one of its own clip than to one of another? In {share:.0%} "
        f"of {len(margins)} examples."
    )
    return picture(figure, caption)


@mpl.rc_context({**STYLE, "axes.grid": False})
def _similarities(task: TrainedTask, source: Source, seed: int, label: str) -> Picture:
    """How alike the slices of a batch are: the partners lie on the diagonal."""
    outputs = [(task.run(x)[0], x.clip.numpy()) for x in _crops(task, source, seed, JUDGED)]
    right = [_finds_partner(z, clip) for z, clip in outputs]
    z, clip = outputs[0][0][:SHOWN_TOGETHER], outputs[0][1][:SHOWN_TOGETHER]
    order = np.argsort(clip, kind="stable")
    cosines = (z[order, 0] @ z[order, 1].T) / np.square(z).sum(axis=-1).mean()
    figure = Figure((4.6, 3.8), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(cosines, cmap="magma", vmin=-1, vmax=1)
    figure.colorbar(image, label="cosine")
    axis.set(xlabel="second slice of crop", ylabel="first slice of crop")
    caption = (
        f"{label}: of the slices of {len(right[0])} crops, which is of the same clip? "
        f"{np.concatenate(right).mean():.0%} are found; crops of one clip stand side by side."
    )
    return picture(figure, caption)


def _finds_partner(z: np.ndarray, clip: np.ndarray) -> np.ndarray:
    """Whether the second slices most like the first are of the same clip, `[batch]`."""
    return clip[(z[:, 0] @ z[:, 1].T).argmax(axis=1)] == clip


@mpl.rc_context(STYLE)
def _transpositions(task: TrainedTask, source: Source, seed: int, label: str) -> Picture:
    """How alike a slice and itself some bins higher are, beside slices of other clips."""
    outputs = [(task.run(x)[0], x.clip.numpy()) for x in _crops(task, source, seed, JUDGED)]
    found = [(z / np.linalg.norm(z, axis=-1, keepdims=True), clip) for z, clip in outputs]
    moved = np.concatenate([(z[:, 0] * z[:, 2]).sum(axis=-1) for z, _ in found])
    others = np.concatenate([(z[:, 0] @ z[:, 0].T)[clip[:, None] != clip] for z, clip in found])
    figure = Figure((5.2, 2.8), layout="constrained")
    axis = figure.subplots()
    bins = np.linspace(-1, 1, 41)
    for i, (cosines, name) in enumerate(((moved, "itself, 2 bins up"), (others, "another clip"))):
        weights = np.full(len(cosines), 1 / len(cosines))
        axis.hist(cosines, bins, weights=weights, alpha=0.6, label=name, color=COLOURS[i])
    axis.set(xlabel="cosine with a slice's embedding", ylabel="fraction")
    axis.legend(fontsize=8)
    caption = (
        f"{label}: how alike are a slice and itself two mel bins higher? The median cosine of "
        f"{len(moved)} slices is {np.median(moved):.2f}; with slices of other clips it is "
        f"{np.median(others):.2f}."
    )
    return picture(figure, caption)


_DRAW: dict[str, Callable[[TrainedTask, Source, int, str], Picture]] = {
    **dict.fromkeys(RECONSTRUCTING, _reconstructions),
    "temporal_gap": _gaps,
    "arrow_of_time": _arrows,
    "triplet": _triplets,
    "contrastive": _similarities,
    "transposition": _transpositions,
}
