"""Estimate how far apart in time two slices of a recording are: the `a2v_gap` command.

  a2v_gap --model_dir=models/gap --audio=song.flac --first=2.0 --second=5.5

The model must have been trained with --task=temporal_gap, or with --task=multi_head and
temporal_gap among its heads (patent paragraphs 140-145, figure 9).
"""

from absl import flags

from a2v_tf.commands.flag_types import define_channels
from a2v_tf.errors import run_app

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Define the command's flags; not on import, so that commands can be imported together."""
    flags.DEFINE_string("model_dir", None, "Model directory written by a2v_train.", required=True)
    flags.DEFINE_string(
        "audio",
        None,
        "Audio file; for a model of spectrogram:DIR, a CSV file of band levels.",
        required=True,
    )
    flags.DEFINE_float("first", None, "Start of one slice, in seconds.", required=True)
    flags.DEFINE_float("second", None, "Start of the other slice, in seconds.", required=True)
    define_channels()


def main(_: list[str]) -> None:
    """Estimate and print."""
    from a2v_tf.evaluation.gap import estimate, greatest, longest_clip
    from a2v_tf.training.trained_task import first_sample, open_task

    task = open_task(FLAGS.model_dir, ["temporal_gap"])
    recording, front_end = task.read(FLAGS.audio, FLAGS.channels), task.front_end
    starts = [
        first_sample(
            flag, getattr(FLAGS, flag), recording, task.slicing.frames, front_end=front_end
        )
        for flag in ("first", "second")
    ]
    true = abs(starts[0] - starts[1]) / front_end.sample_rate
    print(f"estimated distance: {estimate(task, recording, *starts):6.2f} s")
    print(f"true distance:      {true:6.2f} s")
    frames = front_end.frames(len(recording))
    if true > greatest(task, frames):
        print(
            f"The model was trained on distances of 0 to {greatest(task, frames):.2f} s only "
            f"(N_max = {longest_clip(task, frames)} frames) and cannot estimate the true one."
        )


def run() -> None:
    """Entry point of `a2v_gap`."""
    run_app(main, define_flags)


if __name__ == "__main__":
    run()
