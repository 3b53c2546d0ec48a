"""The plots of a report: SVG whose text and axes take the text colour of the page."""

import io
import itertools
import math
import re
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
import threadpoolctl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from a2v_tf.evaluation import paper
from a2v_tf.evaluation.metrics import MEAN, SUPERVISED, Conditions, Row
from a2v_tf.evaluation.settings import ALL, NONE
from a2v_tf.reporting.document import Picture
from a2v_tf.reporting.models import labels
from a2v_tf.reporting.results import (
    BEFORE,
    FROM_SCRATCH,
    MODELS,
    Grid,
    Line,
    Protocol,
    Results,
    few,
)
from a2v_tf.reporting.tables import Means, scenarios

# Each has a contrast of at least 3 both on white and on the page's dark ground.
COLOURS = (
    *("#2f7ed8", "#d9622b", "#1f9a6a", "#c4489e", "#8b66d9"),
    *("#a67c00", "#0093a5", "#d64550", "#6f8a1f", "#808890"),
)
GREY = "#808890"
MARKERS = "osD^vPX*<>"
NARROWEST = 0.1  # range that an axis of accuracies shows at least
_FEWEST = 10  # points below which t-SNE makes no sense
_INK = "#010203"  # stands for the page's text colour until the SVG is written
_GROUP_COLOURS = {BEFORE: GREY, MODELS: "#2f7ed8", FROM_SCRATCH: "#8b66d9"}
STYLE = {
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), _INK
    ),
    **{"figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none"},
    **{"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True},
    **{"grid.color": GREY, "grid.alpha": 0.25, "legend.frameon": False, "font.size": 9},
    **{"axes.prop_cycle": mpl.cycler(color=COLOURS), "axes.titlesize": 10},
    **{"svg.fonttype": "path", "svg.hashsalt": "a2v_tf", "axes.titlelocation": "left"},
    **{"legend.fontsize": 8},
}
_serial = itertools.count()  # of pictures, so that no two on a page share an id


def picture(figure: Figure, caption: str, alt: str = "") -> Picture:
    """A figure as SVG; `alt` is added to the caption for those who cannot see it."""
    text = io.StringIO()
    figure.savefig(text, format="svg", dpi=150, metadata={"Date": None, "Creator": None})
    svg = re.sub(r"<metadata>.*?</metadata>", "", text.getvalue(), flags=re.DOTALL)
    svg = svg[svg.index("<svg ") :].replace(_INK, "currentColor")
    prefix = f"p{next(_serial)}-"
    svg = re.sub(r'(\bid="|href="#|url\(#)', lambda match: match[1] + prefix, svg)
    return Picture(svg, caption, f"{caption} {alt}".strip())


def _panels(
    count: int, most: int, size: tuple[float, float], margin: tuple[float, float], **options: bool
) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels of a size in inches, at most `most` side by side."""
    rows = math.ceil(count / most)
    columns = math.ceil(count / rows)
    (width, height), (left, top) = size, margin
    figure = Figure((left + width * columns, top + height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options).flat
    for unused in axes[count:]:
        unused.remove()
    return figure, list(axes[:count])


def _bars(rows: Sequence[Row], key: str) -> np.ndarray:
    """Distances to the ends of the intervals, `[2, rows]`; rounding makes none of them negative."""
    ends = [[row[key] - row["low"], row["high"] - row[key]] for row in rows]
    return np.maximum(np.array(ends).T, 0.0)


def _name_lines(axes: Sequence[Axes], names: Sequence[str]) -> None:
    """Label the lines of panels whose y axis counts lines from the top."""
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    for axis in axes:
        axis.grid(axis="y", visible=False)
        axis.tick_params(axis="y", length=0)


# ---- Accuracy ----


@mpl.rc_context(STYLE)
def accuracy_plot(grid: Grid) -> Picture:
    """Accuracies with their intervals, a panel for each task, a line for each model."""
    size = 2.3, 0.75 + 0.24 * len(grid.lines)
    figure, axes = _panels(len(grid.columns), 4, size, (1.9, 0.3), sharey=True)
    for axis, task in zip(axes, grid.columns, strict=True):
        axis.set_title(paper.DATASETS.get(task, task))
        _accuracy_panel(axis, grid.lines, task)
    _name_lines(axes, [line.label for line in grid.lines])
    diamonds = f" Diamonds are {' and '.join(grid.sources)}." if grid.sources else ""
    caption = (
        f"{grid.title}. Dots are accuracies and bars their 95 % intervals; models whose bars do "
        f"not overlap clearly differ.{diamonds}"
    )
    return picture(figure, caption, "The table above has the same figures.")


def _accuracy_panel(axis: Axes, lines: Sequence[Line], task: str) -> None:
    for y, line in enumerate(lines):
        if figure := line.figure(task):
            style = {"fmt": "D", "ms": 3.5, "mfc": "none", "elinewidth": 1, "color": COLOURS[1]}
            axis.errorbar(figure.value, y + 0.2, xerr=figure.margin or 0.0, **style)
        if row := line.rows.get(task):
            style = {"fmt": "o", "ms": 5, "color": _GROUP_COLOURS[line.group]}
            axis.errorbar(row["accuracy"], y, xerr=_bars([row], "accuracy"), **style)
    left, right = axis.get_xlim()
    missing = max(0.0, NARROWEST - (right - left))  # otherwise tiny differences look large
    axis.set_xlim(left - missing, right)
    axis.xaxis.set_major_locator(MaxNLocator(4))


@mpl.rc_context(STYLE)
def trade_off_plot(grid: Grid) -> Picture:
    """Accuracy against the weights that are trained for a task: the shape of ICLR Figure 3."""
    figure, axes = _panels(len(grid.columns), 3, (3.2, 2.7), (0.5, 0.4))
    for axis, task in zip(axes, grid.columns, strict=True):
        axis.set(title=paper.DATASETS.get(task, task), xscale="log")
        axis.set(xlabel="weights trained for the task", ylabel="accuracy")
        _trade_off_panel(axis, grid.lines, task)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=min(4, len(names)))
    caption = (
        "Accuracy, with its 95 % interval, against the number of weights that are trained for the "
        "task: from left to right the head alone, then more and more of the encoder; further up "
        "and to the left is better. The shape of ICLR Figure 3."
    )
    return picture(figure, caption)


def _trade_off_panel(axis: Axes, lines: Sequence[Line], task: str) -> None:
    for i, model in enumerate(dict.fromkeys(x.model for x in lines if x.group == MODELS)):
        points = [x for x in lines if x.model == model and task in x.rows]
        points = [x for x in points if x.rows[task].get("task_parameters")]
        if not points:
            continue
        rows = sorted((x.rows[task] for x in points), key=lambda row: row["task_parameters"])
        axis.errorbar(
            [row["task_parameters"] for row in rows],
            [row["accuracy"] for row in rows],
            yerr=_bars(rows, "accuracy"),
            fmt=f"{MARKERS[i % len(MARKERS)]}-",
            color=COLOURS[i % len(COLOURS)],
            ms=4.5,
            lw=1.2,
            label=points[0].label.rpartition(",")[0],
        )
        for row in rows if i == 0 else ():
            name = {NONE: "head"}.get(row["finetune"], row["finetune"])
            at = row["task_parameters"], row["accuracy"]
            axis.annotate(name, at, (5, -11), textcoords="offset points", fontsize=8)
    for line in lines:
        if line.group == FROM_SCRATCH and line.model.kind == "supervised" and task in line.rows:
            axis.axhline(line.rows[task]["accuracy"], ls=":", lw=1, color=_INK, label=line.label)


@mpl.rc_context(STYLE)
def normalised_plot(title: str, means: Means) -> Picture:
    """Mean normalised accuracies with their intervals: the shape of SPL Figure 2."""
    names = scenarios(means)
    size = 2.2, 0.9 + 0.26 * len(means)
    figure, axes = _panels(len(names), len(names), size, (2.2, 0.0), sharey=True)
    for axis, name in zip(axes, names, strict=True):
        axis.set_title(name)
        for y, of_model in enumerate(means.values()):
            if mean := of_model[name]:
                bars = _bars([mean], "value")
                axis.errorbar(mean["value"], y, xerr=bars, fmt="o", ms=5, color=COLOURS[0])
        axis.axvline(1, ls=":", lw=1, color=GREY)
    _name_lines(axes, list(labels(means).values()))
    caption = (
        f"{title}. Dots are means over tasks, 0 is Untrained, 1 (dotted) is Supervised; bars are "
        "95 % intervals from the bootstrap over tasks. The shape of SPL Figure 2."
    )
    return picture(figure, caption)


@mpl.rc_context(STYLE)
def tasks_plots(results: Results, encoder: str, how: Conditions) -> list[Picture]:
    """Normalised accuracies of fine-tuned models for each task: the shape of SPL Figure 3."""
    of_models = {
        model: {task: row for task, row in rows.items() if task != MEAN}
        for model in results.of_encoder(encoder)
        if not model.is_baseline and (rows := results.normalised(model, ALL, how))
    }
    if not of_models:
        return []
    tasks = [task for task in results.tasks if any(task in rows for rows in of_models.values())]
    size = 2.6, 0.8 + 0.26 * len(tasks)
    figure, axes = _panels(len(of_models), 3, size, (1.2, 0.2), sharex=True, sharey=True)
    names = labels(of_models)
    for axis, (model, rows) in zip(axes, of_models.items(), strict=True):
        axis.set_title(names[model])
        for y, task in enumerate(tasks):
            if row := rows.get(task):
                bars = None if row["low"] is None else _bars([row], "value")
                axis.errorbar(row["value"], y, xerr=bars, fmt="o", ms=5, color=COLOURS[0])
        axis.axvline(1, ls=":", lw=1, color=GREY)
    _name_lines(axes, [paper.DATASETS.get(task, task) for task in tasks])
    with_bars = any(row["low"] is not None for rows in of_models.values() for row in rows.values())
    intervals = (
        "bars are Student's 95 % intervals of the mean over replicas (the paper does not state the "
        "level of its own)"
        if with_bars
        else "with one replica there are no intervals"
    )
    caption = (
        f"Normalised accuracy of each task, fine-tuned{few(how)}: encoder {encoder}. 0 is "
        f"Untrained, 1 (dotted) is Supervised; {intervals}. The shape of SPL Figure 3."
    )
    return [picture(figure, caption)]


@mpl.rc_context(STYLE)
def convergence_plots(results: Results, encoder: str, how: Conditions) -> list[Picture]:
    """Accuracy on val clips during fine-tuning, and of the same encoder trained from scratch.

    SPL section IV: a pretrained encoder "takes fewer iterations to converge".
    """
    lines = [
        line
        for line in results.lines(encoder, Protocol("finetune", ALL, how))
        if line.group == MODELS or line.model.kind == SUPERVISED
    ]
    tasks = [task for task in results.tasks if any(_curve(line, task) for line in lines)]
    if not tasks or {line.group for line in lines} != {MODELS, FROM_SCRATCH}:
        return []
    figure, axes = _panels(len(tasks), 3, (3.2, 2.6), (0.4, 0.4))
    names = labels([line.model for line in lines])
    for axis, task in zip(axes, tasks, strict=True):
        axis.set(title=paper.DATASETS.get(task, task), xlabel="step", ylabel="val accuracy")
        axis.xaxis.set_major_locator(MaxNLocator(4))
        for i, line in enumerate(lines):
            if curve := _curve(line, task):
                scratch = line.group == FROM_SCRATCH
                style = {"color": _INK, "ls": ":"} if scratch else {"color": COLOURS[i % 10]}
                axis.plot(*zip(*curve, strict=True), marker=".", label=names[line.model], **style)
    found: dict[str, Artist] = {}
    for axis in axes:
        found |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    labelled = list(found.values()), list(found)
    figure.legend(*labelled, loc="outside lower center", ncols=min(4, len(found)))
    caption = (
        f"Accuracy on validation clips against steps of training{few(how)}, mean of replicas: "
        f"encoder {encoder}, pretrained and then fine-tuned (lines), and from scratch (dotted). "
        "SPL section IV says that a pretrained encoder takes fewer iterations to converge."
    )
    return [picture(figure, caption)]


def _curve(line: Line, task: str) -> list[tuple[int, float]]:
    """The mean over replicas of a line's accuracies on val clips, by steps."""
    curves = line.rows.get(task, {}).get("curves") or []
    return [
        (steps[0][0], float(np.mean([y for _, y in steps]))) for steps in zip(*curves, strict=True)
    ]


# ---- Training ----

_UNITS = {
    **dict.fromkeys(("cbow", "skip_gram", "autoencoder", "distill"), "mean squared error"),
    **dict.fromkeys(("temporal_gap", "arrow_of_time", "supervised"), "cross-entropy"),
    **dict.fromkeys(("contrastive", "transposition"), "cross-entropy"),
    "triplet": "triplet loss / margin",
}


@mpl.rc_context(STYLE)
def training_plot(
    curves: Sequence[tuple[str, str, pd.Series, pd.DataFrame]],
) -> Picture:
    """Training and validation loss over steps, a panel for each run.

    Args:
      curves: for each run its label, task, steps of rounds, and log.
    """
    size = (7.0 if len(curves) == 1 else 3.4), 2.6
    figure, axes = _panels(len(curves), 3, size, (0.0, 0.0))
    for axis, (label, task, steps, log) in zip(axes, curves, strict=True):
        axis.set(title=label, xlabel="step", ylabel=_UNITS.get(task, "loss"))
        _loss_lines(axis, steps, log)
    ends = [f"{label} {log['val_loss'].iloc[-1]:.3f}" for label, _, _, log in curves]
    caption = (
        "Loss over training steps, after each round; lower is better. A validation loss that rises "
        "while the training loss falls is a sign of overfitting."
    )
    return picture(figure, caption, f"Validation loss at the end: {', '.join(ends)}.")


def _loss_lines(axis: Axes, steps: pd.Series, log: pd.DataFrame) -> None:
    """The loss of training and validation; or with several heads, the validation loss of each."""
    style = {"marker": ".", "ms": 4, "lw": 1.2} if len(steps) < 60 else {"lw": 1.2}
    lines = {name[4:-5]: log[name] for name in log if re.fullmatch(r"val_.+_loss", name)}
    if lines:
        axis.set_ylabel("validation loss")
    else:
        lines = {"training": log["loss"], "validation": log["val_loss"]}
    for label, losses in lines.items():
        axis.plot(steps, losses, label=label, **style)
    _focus(axis)
    axis.legend()


def _focus(axis: Axes) -> None:
    """Cut off the first rounds, whose loss may be far above the others'."""
    values = [np.asarray(line.get_ydata())[1:] for line in axis.lines if len(line.get_ydata()) > 5]
    if values:
        axis.set_ylim(top=min(axis.get_ylim()[1], 1.3 * max(map(np.nanmax, values))))
    if axis.get_ylim()[0] < 0 <= min(np.nanmin(line.get_ydata()) for line in axis.lines):
        axis.set_ylim(bottom=0)


@mpl.rc_context(STYLE)
def explained_plot(label: str, steps: pd.Series, log: pd.DataFrame) -> Picture | None:
    """How much of each teacher's outputs a distilled encoder predicts; None without teachers."""
    columns = {name: re.fullmatch(r"val_(.+)_explained", name) for name in log}
    lines = {match[1]: log[name] for name, match in columns.items() if match}
    if not lines:
        return None
    figure = Figure((7.0, 2.6), layout="constrained")
    axis = figure.subplots()
    for teacher, values in lines.items():
        axis.plot(steps, values, lw=1.2, label=teacher)
    axis.set(title=label, xlabel="step", ylabel="explained variance")
    axis.set_ylim(max(0.0, min(map(min, lines.values()))), 1.0)
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    caption = (
        f"{label}: the fraction of the variance of each teacher's outputs that it predicts for "
        "validation clips; 1 would be all of it."
    )
    ends = [f"{teacher} {values.iloc[-1]:.2f}" for teacher, values in lines.items()]
    return picture(figure, caption, f"At the end: {', '.join(ends)}.")


@mpl.rc_context(STYLE)
def probing_plot(
    label: str,
    steps: pd.Series,
    log: pd.DataFrame,
    probes: Mapping[tuple[str, str], pd.DataFrame],
) -> Picture:
    """The loss, and below it downstream accuracy during training: the shape of ICLR Figure 2a."""
    figure = Figure((7.0, 4.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    above.set(title=label, ylabel="loss")
    _loss_lines(above, steps, log)
    several = len({protocol for _, protocol in probes}) > 1
    for i, ((task, protocol), points) in enumerate(probes.items()):
        name = f"{task}, {protocol}" if several else task
        below.plot(
            points["step"],
            points["accuracy"],
            marker=MARKERS[i % len(MARKERS)],
            ms=3.5,
            lw=1.2,
            label=name,
        )
    below.set(xlabel="step", ylabel="accuracy")
    below.legend()
    caption = (
        f"{label}: the loss above, and below it the downstream accuracy of the encoder at the same "
        "step; higher accuracy is better. The shape of ICLR Figure 2a."
    )
    return picture(figure, caption)


# ---- Embeddings ----


@mpl.rc_context(STYLE)
def embedding_map(paths: np.ndarray, embeddings: np.ndarray, labels: Sequence[str]) -> Picture:
    """The files' mean embeddings in two dimensions, close where they are close in all.

    Args:
      paths: the file of each embedding, `[n]`.
      embeddings: `[n, d]`.
      labels: of each embedding's file, `[n]`.
    """
    files, first, file_of = np.unique(paths, return_index=True, return_inverse=True)
    means = np.zeros((len(files), embeddings.shape[1]))
    np.add.at(means, file_of, embeddings)
    points = project(means / np.bincount(file_of)[:, np.newaxis])
    groups = np.asarray(labels)[first]
    figure = Figure((8, 5.2), layout="constrained")
    axis = figure.subplots()
    names = sorted(set(groups))
    for i, name in enumerate(names):
        axis.scatter(
            *points[groups == name].T,
            s=16,
            alpha=0.8,
            linewidths=0,
            color=COLOURS[i % len(COLOURS)],
            marker=MARKERS[i // len(COLOURS) % len(MARKERS)],
            label=name,
            rasterized=len(files) > 2000,
        )
    axis.set_axis_off()
    if len(names) <= 40:
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), ncols=1 + len(names) // 21)
    method = "t-SNE" if len(files) >= _FEWEST else "principal components"
    caption = (
        f"{len(files):,} files, each the mean of its embeddings, in two dimensions ({method}). "
        "Files are close together if their embeddings are; where points of one colour form a "
        "cluster, the embeddings tell that label from others."
    )
    return picture(figure, caption, f"Coloured by {len(names)} labels.")


def project(points: np.ndarray, seed: int = 0) -> np.ndarray:
    """`[n, d]` to `[n, 2]` by t-SNE, or by principal components where points are few."""
    if len(points) < _FEWEST:
        if len(points) == 1:
            return np.zeros((1, 2))
        flat = PCA(min(2, *points.shape)).fit_transform(points)
        return np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))
    perplexity = min(30.0, (len(points) - 1) / 3)
    # For few points threads only wait for each other, on a busy machine for half a minute.
    with threadpoolctl.threadpool_limits(None if len(points) > 2_000 else 1):
        return TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(points)
