"""Show and play what a model predicts at a place of a recording: the `a2v_reconstruct` command.

  a2v_reconstruct --model_dir=models/mine --audio=song.flac --at=3.2 --output=song_3.2

The task that the model learned says what it hears and what it predicts (patent paragraphs 129-139
and figure 8): cbow hears the slices around the one at --at and predicts that; skip_gram hears the
slice at --at and predicts those around it; autoencoder hears the slice and predicts the same. It
writes

  PREFIX.png             the recording above, the prediction below, on one scale of colours
  PREFIX_original.wav    the recording, from the first to the last predicted slice
  PREFIX_truth.wav       the same after log-mel and back: what the way back alone loses
  PREFIX_prediction.wav  the prediction, the same way back

Where nothing is predicted between the first and the last slice, the last two files hold the truth.
"""

import dataclasses
import pathlib

import numpy as np
import soundfile
import tensorflow as tf
from absl import flags
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from a2v_tf.audio.read import read_audio
from a2v_tf.errors import A2vError, run_app
from a2v_tf.evaluation import inversion
from a2v_tf.frontend import FRONT_END, log_mel
from a2v_tf.specs import Slicing
from a2v_tf.tasks.crops import Crops
from a2v_tf.training.trained_task import NOT_RANDOM, TrainedTask, first_sample, open_task

FLAGS = flags.FLAGS

# The tasks that reconstruct: what each hears and what it predicts, as `Crops` calls them.
RECONSTRUCTING = {
    "cbow": ("surrounding", "middle"),
    "skip_gram": ("middle", "surrounding"),
    "autoencoder": ("middle", "middle"),
}


_TICKS_HZ = np.array([125, 500, 1_000, 2_000, 4_000, 7_000])


@dataclasses.dataclass(frozen=True)
class Reconstruction:
    """A stretch of a recording, and what a model makes of it.

    Attributes:
      task: that predicts.
      start: seconds in the recording where the stretch begins.
      truth: log-mel of the stretch, float32 `[T, F]`.
      heard: frames of `truth` where the slices begin that the encoder heard.
      predicted: frames of `truth` where the predicted slices begin.
      slices: the predicted slices, float32 `[n, N, F]`.
    """

    task: str
    start: float
    truth: np.ndarray
    heard: list[int]
    predicted: list[int]
    slices: np.ndarray

    @property
    def first(self) -> int:
        """Frame of `truth` where the first predicted slice begins."""
        return self.predicted[0]

    @property
    def end(self) -> int:
        """Frame of `truth` after the last predicted slice."""
        return self.predicted[-1] + self.slices.shape[1]

    @property
    def errors(self) -> np.ndarray:
        """Mean squared error of each predicted slice, `[n]`."""
        frames = self.slices.shape[1]
        true = np.stack([self.truth[i : i + frames] for i in self.predicted])
        return np.mean((self.slices - true) ** 2, axis=(1, 2))


def define_flags() -> None:
    """Define the command's flags; not on import, so that commands can be imported together."""
    flags.DEFINE_string("model_dir", None, "Model directory of a2v_train.", required=True)
    flags.DEFINE_string("audio", None, "Audio file.", required=True)
    flags.DEFINE_float(
        "at",
        None,
        "Seconds where the slice in the middle starts: the one that cbow and autoencoder predict, "
        "and that skip_gram hears.",
        required=True,
    )
    flags.DEFINE_string(
        "output", None, "Prefix of the files to write. Default: NAME_ATs, in this directory."
    )
    flags.DEFINE_enum(
        "head",
        None,
        list(RECONSTRUCTING),
        "Which task of a multi_head model predicts. Default: the first of these that it learned.",
    )


def main(argv: list[str]) -> None:
    del argv
    audio = pathlib.Path(FLAGS.audio)
    output = pathlib.Path(FLAGS.output or f"{audio.stem}_{FLAGS.at:g}s")
    if not output.name or not output.absolute().parent.is_dir():
        raise A2vError(f"--output={str(output)!r}: expected a prefix in a directory that exists")
    inversion.require_librosa()
    task = open_task(FLAGS.model_dir, [FLAGS.head] if FLAGS.head else list(RECONSTRUCTING))
    pcm = read_audio(audio)
    result = reconstruct(task, pcm, FLAGS.at)
    try:
        figure(result, audio.name).savefig(f"{output}.png", dpi=130)
        sounds = write_sounds(result, pcm, output)
    except (OSError, soundfile.LibsndfileError) as error:
        raise A2vError(f"cannot write {str(output)!r}: {error}") from error
    errors = ", ".join(f"{error:.3f}" for error in result.errors)
    print(f"{result.task}: mean squared error {errors}")
    print("Wrote", ", ".join([f"{output}.png", *sounds]))


def reconstruct(task: TrainedTask, pcm: np.ndarray, at: float) -> Reconstruction:
    """Let a model predict slices of a recording.

    Args:
      task: a trained task of `RECONSTRUCTING`.
      pcm: float32 `[samples]`, the recording.
      at: seconds where the slice in the middle starts.

    Raises:
      A2vError: the slices around it do not all lie within the recording.
    """
    slicing, frames = task.slicing, task.crop_frames
    middle = (frames - slicing.frames) // 2
    start = first_sample("at", at, pcm, frames, middle)
    truth = log_mel(pcm[start : start + FRONT_END.samples(frames)]).numpy()
    # Other tasks of the model may need longer crops, in whose middle the slices then stand.
    before = (task.all_crop_frames - slicing.frames) // 2 - middle
    after = task.all_crop_frames - before - frames
    crop = np.pad(truth, ((before, after), (0, 0)))[np.newaxis]
    crops = Crops(tf.constant(crop), tf.range(1), slicing, tf.constant(NOT_RANDOM))
    slices, _ = task.run(crops)
    heard, predicted = (_begins(kind, middle, slicing) for kind in RECONSTRUCTING[task.name])
    seconds = start / FRONT_END.sample_rate
    return Reconstruction(task.name, seconds, truth, heard, predicted, slices[0])


def _begins(kind: str, middle: int, slicing: Slicing) -> list[int]:
    """The frames where slices of a kind begin, if the one in the middle begins at `middle`."""
    if kind == "middle":
        return [middle]
    sides = range(-slicing.context, slicing.context + 1)
    return [middle + p * slicing.stride for p in sides if p]


# ---- Sound ----


def write_sounds(result: Reconstruction, pcm: np.ndarray, output: pathlib.Path) -> list[str]:
    """Write the three WAV files; one gain for all, below 1 where one of them would clip.

    Returns:
      Their paths.
    """
    start = round(result.start * FRONT_END.sample_rate) + result.first * FRONT_END.hop_length
    frames = result.end - result.first
    sounds = {
        "original": pcm[start : start + FRONT_END.samples(frames)],
        "truth": inversion.invert(result.truth[result.first : result.end]),
        "prediction": inversion.invert(whole_prediction(result)),
    }
    gain = 0.99 / max(0.99, *(np.abs(sound).max() for sound in sounds.values()))
    paths = {name: f"{output}_{name}.wav" for name in sounds}
    for name, sound in sounds.items():
        soundfile.write(paths[name], gain * sound, FRONT_END.sample_rate)
    return list(paths.values())


def whole_prediction(result: Reconstruction) -> np.ndarray:
    """Log-mel from the first to the last predicted slice, `[frames, F]`.

    What the model heard in between is the truth; the few frames between two slices are drawn
    straight from one to the other.
    """
    known = _heard_and_predicted(result)[result.first : result.end]
    frames = np.flatnonzero(np.isfinite(known[:, 0]))
    every = np.arange(len(known))
    return np.stack([np.interp(every, frames, band[frames]) for band in known.T], axis=1)


def _heard_and_predicted(result: Reconstruction) -> np.ndarray:
    """The stretch as the model has it, `[T, F]`: NaN in the frames between slices."""
    frames = result.slices.shape[1]
    known = np.full_like(result.truth, np.nan)
    for begin in result.heard:
        known[begin : begin + frames] = result.truth[begin : begin + frames]
    for begin, predicted in zip(result.predicted, result.slices, strict=True):
        known[begin : begin + frames] = predicted
    return known


# ---- Picture ----


def figure(result: Reconstruction, name: str) -> Figure:
    """Draw the recording above what the model heard and predicted: same time, same colours.

    Args:
      result: what to draw.
      name: of the recording, for the title.
    """
    slices = len({*result.heard, *result.predicted})
    drawing = Figure(figsize=(3.0 + 1.75 * slices, 5.4), layout="constrained")
    above, below = drawing.subplots(2, 1, sharex=True, sharey=True)
    images = [result.truth, _heard_and_predicted(result)]
    extent = (*_seconds(result, 0, len(result.truth)), -0.5, FRONT_END.mel_bins - 0.5)
    colours = {"vmin": min(map(np.nanmin, images)), "vmax": max(map(np.nanmax, images))}
    for axes, image in zip((above, below), images, strict=True):
        drawn = axes.imshow(
            image.T, origin="lower", aspect="auto", extent=extent, cmap="magma", **colours
        )
        axes.set_yticks(bin_of(_TICKS_HZ), [f"{hz:,}" for hz in _TICKS_HZ])
        axes.set_ylabel("Hz")
    above.set_title(f"{result.task}: {name}", loc="left", parse_math=False)
    below.set_xlabel("seconds")
    _mark_slices(below, result)
    drawing.colorbar(
        drawn, ax=[above, below], label="log-mel (natural logarithm)", aspect=40, pad=0.01
    )
    return drawing


def _mark_slices(axes: Axes, result: Reconstruction) -> None:
    """Say above each slice whether it was heard or predicted, and frame those predicted."""
    frames = result.slices.shape[1]
    labels = dict.fromkeys(result.heard, "heard")
    for begin, error in zip(result.predicted, result.errors, strict=True):
        labels[begin] = "heard and predicted" if begin in result.heard else "predicted"
        labels[begin] += f" (error {error:.2f})"
        left, right = _seconds(result, begin, begin + frames)
        frame = Rectangle(
            (left, -0.5), right - left, FRONT_END.mel_bins, fill=False, edgecolor="C2", linewidth=2
        )
        axes.add_patch(frame).set_clip_on(False)
    for begin, label in labels.items():
        middle = np.mean(_seconds(result, begin, begin + frames))
        colour = "C2" if begin in result.predicted else "0.35"
        axes.annotate(
            label,
            (middle, FRONT_END.mel_bins),
            ha="center",
            va="bottom",
            color=colour,
            annotation_clip=False,
        )


def _seconds(result: Reconstruction, first: int, end: int) -> tuple[float, float]:
    """Where the frames from `first` to before `end` stand: each in the middle of its window."""
    margin = FRONT_END.overlap / 2
    samples = FRONT_END.hop_length * np.array([first, end]) + margin
    first_second, end_second = result.start + samples / FRONT_END.sample_rate
    return first_second, end_second


def bin_of(hz: np.ndarray) -> np.ndarray:
    """The mel bin, with its fraction, whose centre is at a frequency."""
    low, high, mel = (
        np.log1p(np.asarray(f) / 700) for f in (FRONT_END.mel_low_hz, FRONT_END.mel_high_hz, hz)
    )
    return (mel - low) / (high - low) * (FRONT_END.mel_bins + 1) - 1


def run() -> None:
    """Entry point of `a2v_reconstruct`."""
    define_flags()
    run_app(main)


if __name__ == "__main__":
    run()
