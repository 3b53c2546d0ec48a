"""Plots of reconstructions: the recording above, the model's input and prediction below."""

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.patches import Rectangle

from a2v_tf.evaluation.reconstruction import Reconstruction
from a2v_tf.frontend import FRONT_END, FrontEnd
from a2v_tf.specs import BandLevels

_TICKS_HZ = (125, 500, 1_000, 2_000, 4_000, 7_000, 14_000, 28_000, 45_000)
_MOST_BANDS = 10  # that have a tick
_PREDICTED = "C2"


def figure(result: Reconstruction, name: str) -> Figure:
    """Plot a reconstruction of the recording `name`."""
    drawing = Figure(figsize=(width(result), 5.4), layout="constrained")
    draw(drawing, result, f"{result.task}: {name}")
    return drawing


def width(result: Reconstruction) -> float:
    """Inches that a plot of a reconstruction needs, so that the text above slices has room."""
    return 3.0 + 1.75 * len({*result.inputs, *result.predicted})


def draw(parent: FigureBase, result: Reconstruction, title: str) -> None:
    """Plot a reconstruction in a figure: two panels with the same axes and colour scale."""
    above, below = parent.subplots(2, 1, sharex=True, sharey=True)
    images = [result.truth, result.inputs_and_predictions()]
    extent = (*_seconds(result, 0, len(result.truth)), -0.5, result.front_end.bins - 0.5)
    ticks, names, axis, values = _frequencies(result.front_end)
    colours = {"vmin": min(map(np.nanmin, images)), "vmax": max(map(np.nanmax, images))}
    for axes, image in zip((above, below), images, strict=True):
        drawn = axes.imshow(
            image.T,
            origin="lower",
            aspect="auto",
            extent=extent,
            cmap="magma",
            interpolation="none",  # in an SVG, as many pixels as values
            **colours,
        )
        axes.set_yticks(ticks, names)
        axes.set_ylabel(axis)
    above.set_title(title, loc="left", parse_math=False)
    below.set_xlabel("seconds")
    _mark_slices(below, result)
    parent.colorbar(drawn, ax=[above, below], label=values, aspect=40, pad=0.01)


def _frequencies(front_end: FrontEnd | BandLevels) -> tuple[np.ndarray, list[str], str, str]:
    """Places and names of ticks, and the names of the axis and of the values."""
    if isinstance(front_end, FrontEnd):
        limits = front_end.mel_low_hz, front_end.mel_high_hz
        ticks: list[float] = [hz for hz in _TICKS_HZ if limits[0] <= hz <= limits[1]] or list(
            limits
        )
        values = "log-mel" if front_end.is_mel else "log-magnitude"
        names = [f"{hz:,g}" for hz in ticks]
        return bin_of(np.array(ticks), front_end), names, "Hz", f"{values} (natural logarithm)"
    every = -(-front_end.bins // _MOST_BANDS)
    return (
        np.arange(0, front_end.bins, every),
        list(front_end.columns[::every]),
        "band",
        "level, as in the file",
    )


def _mark_slices(axes: Axes, result: Reconstruction) -> None:
    """Label each slice as input or predicted, and frame the predicted ones."""
    frames = result.slices.shape[1]
    labels = dict.fromkeys(result.inputs, "input")
    for begin, error in zip(result.predicted, result.errors, strict=True):
        labels[begin] = "input and predicted" if begin in result.inputs else "predicted"
        labels[begin] += f" (error {error:.2f})"
        left, right = _seconds(result, begin, begin + frames)
        frame = Rectangle(
            (left, -0.5),
            right - left,
            result.front_end.bins,
            fill=False,
            edgecolor=_PREDICTED,
            linewidth=2,
        )
        axes.add_patch(frame).set_clip_on(False)
    for begin, label in labels.items():
        axes.annotate(
            label,
            (np.mean(_seconds(result, begin, begin + frames)), result.front_end.bins),
            ha="center",
            va="bottom",
            color=_PREDICTED if begin in result.predicted else mpl.rcParams["text.color"],
            annotation_clip=False,
        )


def _seconds(result: Reconstruction, first: int, end: int) -> tuple[float, float]:
    """Where the frames from `first` to before `end` are drawn: each at the centre of its window."""
    front_end = result.front_end
    margin = front_end.overlap / 2 if isinstance(front_end, FrontEnd) else 0.0
    samples = front_end.hop_length * np.array([first, end]) + margin
    first_second, end_second = result.start + samples / front_end.sample_rate
    return first_second, end_second


def bin_of(hz: np.ndarray, front_end: FrontEnd = FRONT_END) -> np.ndarray:
    """The bin of a frame, with its fraction, whose centre is at a frequency."""
    if not front_end.is_mel:
        spacing = front_end.sample_rate / front_end.fft_length
        return np.asarray(hz) / spacing - front_end.stft_bins.start
    low, high, mel = (
        np.log1p(np.asarray(f) / 700) for f in (front_end.mel_low_hz, front_end.mel_high_hz, hz)
    )
    return (mel - low) / (high - low) * (front_end.mel_bins + 1) - 1
