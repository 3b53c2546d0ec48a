"""Find the parts of a song that sound alike, with the pretrained int8 encoder and no training.

  python examples/song_structure.py --audio=song.ogg --output=song_structure.png

Draws the spectrogram of a recording, its embeddings over time, the parts that sound alike (k-means
of the embeddings, averaged over two seconds) and the cosine similarity of every moment with every
other one. Needs matplotlib and scikit-learn, but no TensorFlow; a song takes some seconds.
"""

import io
import pathlib

import numpy as np
from absl import flags
from matplotlib import colormaps, mlab, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from sklearn.cluster import KMeans

import a2v_tf
from a2v_tf.errors import run_app
from a2v_tf.files import whole_file

FLAGS = flags.FLAGS

RATE = 16_000
_FRAME = 400  # samples of a frame of the spectrogram
_GREY = "#808080"  # readable on white and on black
_STYLE = {
    **{f"{name}.color": _GREY for name in ("text", "xtick", "ytick")},
    **{f"axes.{name}color": _GREY for name in ("label", "edge")},
    "axes.titlelocation": "left",
    "axes.titlesize": "medium",
    "font.size": 11,
}


def define_flags() -> None:
    """Define the script's flags."""
    flags.DEFINE_string("audio", None, "Recording of at least 10 s.", required=True)
    flags.DEFINE_string("output", "song_structure.png", "PNG to write.")
    flags.DEFINE_string("model", "pretrained", "Streaming TFLite file of export_tflite.")
    flags.DEFINE_integer("parts", 5, "Number of different parts.", lower_bound=2)


def main(_: list[str]) -> None:
    pcm = a2v_tf.read_audio(FLAGS.audio)
    if len(pcm) < 10 * RATE:
        raise a2v_tf.A2vError(
            f"{FLAGS.audio!r} has {len(pcm) / RATE:.1f} s: expected at least 10 s"
        )
    embedder = a2v_tf.load(FLAGS.model)
    embeddings = np.stack(embedder.stream(pcm))
    figure = draw(pcm, embeddings, embedder.hop / RATE, FLAGS.parts)
    with whole_file(pathlib.Path(FLAGS.output)) as partial:
        save(figure, partial)


def save(figure: Figure, path: pathlib.Path) -> None:
    """Write a PNG of 256 colours, which has a quarter of the bytes."""
    full = io.BytesIO()
    figure.savefig(full, dpi=110, transparent=True)
    colours = Image.open(full).quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    colours.save(path, format="png", optimize=True)


def average(values: np.ndarray, count: int) -> np.ndarray:
    """Means of `count` successive rows each, of `values` `[time, ...]`."""
    whole = len(values) // count * count
    return values[:whole].reshape(-1, count, *values.shape[1:]).mean(axis=1)


def directions(embeddings: np.ndarray, count: int) -> np.ndarray:
    """Directions of the embeddings as seen from their mean, averaged over `count` of them each."""
    centred = embeddings - embeddings.mean(axis=0)
    return average(centred / np.linalg.norm(centred, axis=1, keepdims=True), count)


def find_parts(embeddings: np.ndarray, count: int, parts: int) -> np.ndarray:
    """The part of each run of `count` embeddings `[time, dimension]`, numbered as they appear."""
    kmeans = KMeans(parts, n_init=20, random_state=0)
    labels = kmeans.fit_predict(directions(embeddings, count))
    order = list(dict.fromkeys(labels.tolist()))
    return np.array([order.index(label) for label in labels])


def draw(pcm: np.ndarray, embeddings: np.ndarray, hop_s: float, parts: int) -> Figure:
    """The picture.

    Args:
      pcm: `[samples]` at 16 kHz.
      embeddings: `[time, dimension]`, one every `hop_s` seconds.
      hop_s: seconds.
      parts: how many there are.
    """
    seconds = len(pcm) / RATE
    with rc_context(_STYLE):
        figure = Figure(figsize=(11, 5.4), layout="constrained")
        sizes = {"width_ratios": [1.05, 1], "height_ratios": [3, 3, 0.45]}
        axes = figure.subplot_mosaic("ad;bd;cd", gridspec_kw=sizes)
        sound, vectors, strip, matrix = (axes[name] for name in "abcd")
        _draw_sound(sound, pcm, seconds)
        _draw_embeddings(vectors, average(embeddings, round(0.32 / hop_s)), hop_s, seconds)
        labels = find_parts(embeddings, round(2 / hop_s), parts)
        colours = np.array(colormaps["Set2"].colors)[labels % 8]
        strip.imshow(colours[None], aspect="auto", extent=(0, seconds, 0, 1))
        strip.set(title="parts that sound alike", xlabel="time, s", yticks=[])
        unit = directions(embeddings, round(0.96 / hop_s))
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        extent = (0, seconds, 0, seconds)
        matrix.imshow(unit @ unit.T, "magma", origin="lower", vmin=-0.2, vmax=0.9, extent=extent)
        matrix.set(title="every moment against every other one: bright = alike")
        matrix.set(xlabel="time, s", ylabel="time, s")
    return figure


def _draw_sound(axes: Axes, pcm: np.ndarray, seconds: float) -> None:
    power, _, _ = mlab.specgram(pcm, _FRAME, RATE, noverlap=0)
    level = 10 * np.log10(average(power.T, max(1, power.shape[1] // 1_000)) + 1e-12)
    top = level.max()
    axes.imshow(
        level.T,
        "magma",
        vmin=top - 70,
        vmax=top,
        aspect="auto",
        origin="lower",
        extent=(0, seconds, 0, 8),
    )
    axes.set(title="in: sound, 0 to 8 kHz", yticks=[])
    axes.tick_params(labelbottom=False)


def _draw_embeddings(axes: Axes, embeddings: np.ndarray, hop_s: float, seconds: float) -> None:
    values = embeddings - embeddings.mean(axis=0)
    first = np.linalg.svd(values, full_matrices=False)[2][0]
    values = values[:, np.argsort(first)]  # dimensions that go together stand together
    greatest = np.percentile(np.abs(values), 98)
    axes.imshow(
        values.T,
        "RdBu_r",
        vmin=-greatest,
        vmax=greatest,
        aspect="auto",
        origin="lower",
        extent=(0, seconds, 0, values.shape[1]),
    )
    title = f"out: an embedding of {values.shape[1]} numbers every {1000 * hop_s:.0f} ms"
    axes.set(title=title, yticks=[])
    axes.tick_params(labelbottom=False)


if __name__ == "__main__":
    run_app(main, define_flags)
