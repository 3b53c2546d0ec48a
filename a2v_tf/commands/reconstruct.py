"""Show and play what a model predicts at a point of a recording: the `a2v_reconstruct` command.

  a2v_reconstruct --model_dir=models/mine --audio=song.flac --at=3.2 --output=song_3.2

The training task determines the model's input and prediction (patent paragraphs 129-139, figure 8):
cbow predicts the slice at --at from those around it; skip_gram predicts the slices around --at from
the one at --at; autoencoder predicts its input. The command writes

  PREFIX.png             the recording above, the prediction below, on the same colour scale
  PREFIX_original.wav    the recording, from the first to the last predicted slice
  PREFIX_truth.wav       the same, converted to log-mel and back: what the inversion alone loses
  PREFIX_prediction.wav  the prediction, inverted in the same way

Of band levels, given to models of spectrogram:DIR, only the picture: they cannot be made sound.
Where nothing is predicted between the first and the last slice, the last two files have the truth.
"""

import pathlib

from absl import flags

from a2v_tf.commands.flag_types import define_channels
from a2v_tf.errors import A2vError, run_app
from a2v_tf.evaluation.settings import RECONSTRUCTING
from a2v_tf.files import checked_output

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
    flags.DEFINE_float(
        "at",
        None,
        "Start of the middle slice, in seconds: the one that cbow and autoencoder predict, and "
        "that is the input of skip_gram.",
        required=True,
    )
    flags.DEFINE_string(
        "output",
        None,
        "Prefix of the files to write. Default: NAME_ATs in the current directory.",
    )
    flags.DEFINE_enum(
        "head",
        None,
        list(RECONSTRUCTING),
        "Which task of a multi_head model predicts. Default: the first of these that the model was "
        "trained on.",
    )
    define_channels()


def main(_: list[str]) -> None:
    """Predict, write the files, print the errors."""
    audio = pathlib.Path(FLAGS.audio)
    output = pathlib.Path(FLAGS.output or f"{audio.stem}_{FLAGS.at:g}s")
    if not output.name:
        raise A2vError(f"--output={str(output)!r}: expected the beginning of names")
    checked_output("output", f"{output}.png")
    import soundfile

    from a2v_tf.evaluation.inversion import require_librosa
    from a2v_tf.evaluation.reconstruction import reconstruct, write_sounds
    from a2v_tf.frontend import FrontEnd
    from a2v_tf.reporting.reconstruction_plot import figure
    from a2v_tf.training.trained_task import open_task

    task = open_task(FLAGS.model_dir, [FLAGS.head] if FLAGS.head else list(RECONSTRUCTING))
    is_sound = isinstance(task.front_end, FrontEnd)
    if is_sound:
        require_librosa()
    recording = task.read(audio, FLAGS.channels)
    result = reconstruct(task, recording, FLAGS.at)
    try:
        figure(result, audio.name).savefig(f"{output}.png", dpi=130)
        sounds = write_sounds(result, recording, output) if is_sound else []
    except (OSError, soundfile.LibsndfileError) as error:
        raise A2vError(f"cannot write {str(output)!r}: {error}") from error
    errors = ", ".join(f"{error:.3f}" for error in result.errors)
    print(f"{result.task}: mean squared error {errors}")
    print("Wrote", ", ".join([f"{output}.png", *sounds]))


def run() -> None:
    """Entry point of `a2v_reconstruct`."""
    run_app(main, define_flags)


if __name__ == "__main__":
    run()
