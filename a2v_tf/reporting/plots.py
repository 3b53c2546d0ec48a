"""The pictures of a report: SVG whose text and axes have the colour of the page around it."""

import io
import itertools
import math
import re
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import threadpoolctl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from a2v_tf.evaluation import paper
from a2v_tf.reporting.document import Picture
from a2v_tf.reporting.results import BEFORE, FROM_SCRATCH, MODELS, WHOLE, Grid, Line

# Each has a contrast of at least 3 both on white and on the page's dark ground.
COLOURS = (
    "#2f7ed8",
    "#d9622b",
    "#1f9a6a",
    "#c4489e",
    "#8b66d9",
    "#a67c00",
    "#0093a5",
    "#d64550",
    "#6f8a1f",
    "#808890",
)
MARKERS = "osD^vPX*<>"
NARROWEST = 0.1  # that an axis of accuracies shows
_INK = "#010203"  # stands for the page's text colour until the SVG is written
_GROUP_COLOURS = {BEFORE: "#808890", MODELS: "#2f7ed8", FROM_SCRATCH: "#8b66d9"}
_PAPER_COLOUR = "#d9622b"
STYLE = {
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), _INK
    ),
    **{"figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none"},
    **{"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True},
    **{"grid.color": "#808890", "grid.alpha": 0.25, "legend.frameon": False, "font.size": 9},
    **{"axes.prop_cycle": mpl.cycler(color=COLOURS), "axes.titlesize": 10},
    **{"svg.fonttype": "path", "svg.hashsalt": "a2v_tf", "axes.titlelocation": "left"},
}
_serial = itertools.count()  # of pictures, so that no two on a page share an id


def picture(figure: Figure, caption: str, alt: str = "") -> Picture:
    """A drawn figure as SVG."""
    text = io.StringIO()
    figure.savefig(text, format="svg", dpi=150, metadata={"Date": None, "Creator": None})
    svg = re.sub(r"<metadata>.*?</metadata>", "", text.getvalue(), flags=re.DOTALL)
    svg = svg[svg.index("<svg ") :].replace(_INK, "currentColor")
    prefix = f"p{next(_serial)}-"
    svg = re.sub(r'(\bid="|href="#|url\(#)', lambda match: match[1] + prefix, svg)
    return Picture(svg, caption, alt or caption)


def _layout(panels: int, most: int) -> tuple[int, int]:
    """Rows and columns for a number of panels, at most so many side by side, evenly filled."""
    rows = math.ceil(panels / most)
    return rows, math.ceil(panels / rows)


def _bars(rows: Sequence[Mapping], key: str) -> np.ndarray:
    """Distances to the ends of the intervals, `[2, rows]`; rounding makes none of them negative."""
    ends = [[row[key] - row["low"], row["high"] - row[key]] for row in rows]
    return np.maximum(np.array(ends).T, 0.0)


# ---- Accuracy ----


@mpl.rc_context(STYLE)
def accuracy_plot(grid: Grid) -> Picture:
    """Accuracies with their intervals, a panel for each task, a line for each model."""
    rows, columns = _layout(len(grid.columns), 4)
    height = rows * (0.75 + 0.24 * len(grid.lines))
    figure = Figure((1.9 + 2.3 * columns, height + 0.3), layout="constrained")
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axis, task in itertools.zip_longest(axes.flat, grid.columns):
        if task is None:
            axis.remove()
            continue
        axis.set_title(paper.DATASETS.get(task, task))
        _accuracy_panel(axis, grid.lines, task)
    first = axes[0, 0]
    first.set_yticks(range(len(grid.lines)), [line.label for line in grid.lines])
    first.set_ylim(len(grid.lines) - 0.5, -0.5)
    words = [f"{grid.title}. Dots are accuracies, bars their 95 % intervals"]
    if grid.sources:
        words.append(f"diamonds are {' and '.join(grid.sources)}")
    caption = "; ".join(words) + "."
    return picture(figure, caption, f"{caption} The table above has the same figures.")


def _accuracy_panel(axis: Axes, lines: Sequence[Line], task: str) -> None:
    for y, line in enumerate(lines):
        if figure := line.figure(task):
            margin = figure.margin or 0.0
            axis.errorbar(
                figure.value,
                y + 0.2,
                xerr=margin,
                fmt="D",
                ms=3.5,
                mfc="none",
                color=_PAPER_COLOUR,
                elinewidth=1,
            )
        if row := line.rows.get(task):
            colour = _GROUP_COLOURS[line.group]
            bars = _bars([row], "accuracy")
            axis.errorbar(row["accuracy"], y, xerr=bars, fmt="o", ms=5, color=colour)
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0)
    left, right = axis.get_xlim()
    missing = max(0.0, NARROWEST - (right - left))  # else a point in a thousand looks like a lot
    axis.set_xlim(left - missing, right)
    axis.xaxis.set_major_locator(MaxNLocator(4))


@mpl.rc_context(STYLE)
def trade_off_plot(grid: Grid) -> Picture:
    """Accuracy against the weights that a task has for itself: the shape of ICLR Figure 3."""
    rows, columns = _layout(len(grid.columns), 3)
    figure = Figure((0.5 + 3.2 * columns, 0.4 + 2.7 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis, task in itertools.zip_longest(axes.flat, grid.columns):
        if task is None:
            axis.remove()
            continue
        axis.set(title=paper.DATASETS.get(task, task), xscale="log")
        axis.set(xlabel="weights of the task's own", ylabel="accuracy")
        _trade_off_panel(axis, grid.lines, task)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=min(4, len(names)))
    caption = (
        "Accuracy against the number of weights that are trained for the task: from left to right "
        "the head alone, then more and more of the encoder, 95 % intervals. The shape of ICLR "
        "Figure 3."
    )
    return picture(figure, caption)


def _trade_off_panel(axis: Axes, lines: Sequence[Line], task: str) -> None:
    models = dict.fromkeys(line.model for line in lines if line.group == MODELS)
    for i, model in enumerate(models):
        points = [x for x in lines if x.model is model and task in x.rows]
        points = [x for x in points if x.rows[task].get("task_parameters")]
        if not points:
            continue
        rows = sorted((x.rows[task] for x in points), key=lambda row: row["task_parameters"])
        weights = [row["task_parameters"] for row in rows]
        axis.errorbar(
            weights,
            [row["accuracy"] for row in rows],
            yerr=_bars(rows, "accuracy"),
            fmt=f"{MARKERS[i % len(MARKERS)]}-",
            color=COLOURS[i % len(COLOURS)],
            ms=4.5,
            lw=1.2,
            label=points[0].label.rpartition(",")[0],
        )
        if i == 0:
            _name_depths(axis, rows)
    for line in lines:
        if line.group == FROM_SCRATCH and line.model.kind == "supervised" and task in line.rows:
            axis.axhline(line.rows[task]["accuracy"], ls=":", lw=1, color=_INK, label=line.label)


def _name_depths(axis: Axes, rows: Sequence[Mapping]) -> None:
    """Say beside the points of one line what of the encoder is trained."""
    for row in rows:
        name = {"none": "head", WHOLE: "all"}.get(row["finetune"], row["finetune"])
        at = row["task_parameters"], row["accuracy"]
        axis.annotate(name, at, (5, -11), textcoords="offset points", fontsize=8)


@mpl.rc_context(STYLE)
def normalised_plot(
    title: str, scenarios: Sequence[str], lines: Sequence[tuple[str, Sequence[Mapping | None]]]
) -> Picture:
    """Mean normalised accuracies with their intervals: the shape of SPL Figure 2.

    Args:
      title: of the picture.
      scenarios: a panel each.
      lines: a model's label, and for each scenario its row of `metrics.normalised` or None.
    """
    figure = Figure((2.2 + 2.2 * len(scenarios), 0.9 + 0.26 * len(lines)), layout="constrained")
    panels = figure.subplots(1, len(scenarios), sharey=True, squeeze=False)[0]
    for i, (axis, scenario) in enumerate(zip(panels, scenarios, strict=True)):
        axis.set_title(scenario)
        for y, (_, rows) in enumerate(lines):
            if row := rows[i]:
                bars = _bars([row], "value")
                axis.errorbar(row["value"], y, xerr=bars, fmt="o", ms=5, color=COLOURS[0])
        axis.axvline(1, ls=":", lw=1, color="#808890")
        axis.grid(axis="y", visible=False)
        axis.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(lines)), [label for label, _ in lines])
    panels[0].set_ylim(len(lines) - 0.5, -0.5)
    caption = (
        f"{title}. The mean over tasks: 0 is Untrained, 1 (dotted) is Supervised; bars are 95 % "
        "intervals from the bootstrap over tasks. The shape of SPL Figure 2."
    )
    return picture(figure, caption)


# ---- Training ----

_UNITS = {
    "cbow": "mean squared error",
    "skip_gram": "mean squared error",
    "autoencoder": "mean squared error",
    "temporal_gap": "cross-entropy",
    "arrow_of_time": "cross-entropy",
    "supervised": "cross-entropy",
    "contrastive": "cross-entropy",
    "transposition": "cross-entropy",
    "triplet": "triplet loss / margin",
}


@mpl.rc_context(STYLE)
def training_plot(
    curves: Sequence[tuple[str, str, np.ndarray, Mapping[str, np.ndarray]]],
) -> Picture:
    """Training and validation loss over steps, a panel for each run.

    Args:
      curves: for each run its label, its task, the steps `[rounds]` and the columns of its log.
    """
    rows, columns = _layout(len(curves), 3)
    wide = 7.0 if columns == 1 else 3.4
    figure = Figure((wide * columns, 2.6 * rows), layout="constrained")
    for axis, curve in itertools.zip_longest(
        figure.subplots(rows, columns, squeeze=False).flat, curves
    ):
        if curve is None:
            axis.remove()
            continue
        label, task, steps, log = curve
        axis.set(title=label, xlabel="step", ylabel=_UNITS.get(task, "loss"))
        _loss_lines(axis, steps, log)
        axis.legend(fontsize=8)
    ends = [f"{label} {log['val_loss'][-1]:.3f}" for label, _, _, log in curves]
    caption = "Loss over steps; training is the mean of each round."
    return picture(figure, caption, f"{caption} Validation at the end: {', '.join(ends)}.")


def _loss_lines(axis: Axes, steps: np.ndarray, log: Mapping[str, np.ndarray]) -> None:
    """The loss of training and validation, or where there are several heads, that of each."""
    style = {"marker": ".", "ms": 4, "lw": 1.2} if len(steps) < 60 else {"lw": 1.2}
    heads = [name for name in log if re.fullmatch(r"val_.+_loss", name)]
    if heads:
        for name in heads:
            label = name.removeprefix("val_").removesuffix("_loss")
            axis.plot(steps, log[name], label=label, **style)
        axis.set_ylabel("validation loss")
    else:
        axis.plot(steps, log["loss"], label="training", **style)
        axis.plot(steps, log["val_loss"], label="validation", **style)
    _round_up(axis)


def _round_up(axis: Axes) -> None:
    """Let the first rounds, whose loss is far above the others, not flatten the rest."""
    values = [np.asarray(line.get_ydata())[1:] for line in axis.lines if len(line.get_ydata()) > 5]
    if values:
        axis.set_ylim(top=min(axis.get_ylim()[1], 1.3 * max(map(np.nanmax, values))))
    if axis.get_ylim()[0] < 0 <= min(np.nanmin(line.get_ydata()) for line in axis.lines):
        axis.set_ylim(bottom=0)


@mpl.rc_context(STYLE)
def probing_plot(
    label: str,
    steps: np.ndarray,
    log: Mapping[str, np.ndarray],
    probes: Mapping[tuple[str, str], tuple[np.ndarray, np.ndarray]],
) -> Picture:
    """The loss, and below it downstream accuracy while training: the shape of ICLR Figure 2a."""
    figure = Figure((7.0, 4.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    above.set(title=label, ylabel="loss")
    _loss_lines(above, steps, log)
    above.legend(fontsize=8)
    several = len({protocol for _, protocol in probes}) > 1
    for i, ((task, protocol), (at, accuracies)) in enumerate(probes.items()):
        name = f"{task}, {protocol}" if several else task
        marker = MARKERS[i % len(MARKERS)]
        below.plot(at, accuracies, marker=marker, ms=3.5, lw=1.2, label=name)
    below.set(xlabel="step", ylabel="accuracy")
    below.legend(fontsize=8)
    caption = f"{label}: the loss, and downstream accuracy of the encoder as it then was."
    return picture(figure, f"{caption} The shape of ICLR Figure 2a.")


# ---- Embeddings ----


@mpl.rc_context(STYLE)
def embedding_map(paths: np.ndarray, embeddings: np.ndarray, labels: Sequence[str]) -> Picture:
    """The files' mean embeddings in two dimensions, close where they are close in all.

    Args:
      paths: the file of each embedding, `[n]`.
      embeddings: `[n, d]`.
      labels: of each embedding's file, `[n]`.
    """
    files, file_of = np.unique(paths, return_inverse=True)
    counts = np.bincount(file_of)[:, np.newaxis]
    means = np.zeros((len(files), embeddings.shape[1]))
    np.add.at(means, file_of, embeddings)
    points = project(means / counts)
    label_of = dict(zip(paths, labels, strict=True))
    groups = np.array([label_of[file] for file in files])
    names = sorted(set(groups))
    figure = Figure((8, 5.2), layout="constrained")
    axis = figure.subplots()
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
    caption = f"{len(files):,} files, each the mean of its embeddings ({method})."
    return picture(figure, caption, f"{caption} Coloured by {len(names)} labels.")


_FEWEST = 10  # points that t-SNE is any good for


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
