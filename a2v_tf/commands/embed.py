"""Turn audio into embeddings: the `a2v_embed` command.

  a2v_embed --model=pretrained --audio=recordings/ --output=embeddings.npz
  a2v_embed --model=encoder.tflite --audio=recordings/ --output=embeddings.csv
  a2v_embed --model=models/mine --audio=song.flac --hop_ms=100 --output=song.parquet

A .tflite file, and 'pretrained' (or another encoder that comes with this package), runs in the
TFLite interpreter, as on a phone. A model directory uses its Keras encoder, which needs TensorFlow.
Each row of the output says which stretch of which file it describes.
"""

import pathlib

import numpy as np
from absl import flags

from a2v_tf.audio.find import find_audio
from a2v_tf.commands.flag_types import define_channels
from a2v_tf.errors import A2vError, require, run_app
from a2v_tf.files import checked_output
from a2v_tf.pretrained import STREAMING, WINDOW, in_words, names, resolve
from a2v_tf.runtime.clips import SUFFIXES, EmbedClip, embed_files, tflite_clips
from a2v_tf.specs import MAX_BAD_FRACTION

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Define the command's flags; not on import, so that commands can be imported together."""
    flags.DEFINE_string(
        "model",
        None,
        f"A .tflite file of export_tflite; an int8 encoder that comes with this package, "
        f"{in_words()}; or a model directory of a2v_train, whose Keras encoder is used.",
        required=True,
    )
    flags.DEFINE_string(
        "audio",
        None,
        "Audio file, a directory searched recursively, or 'demo' for the labelled demo clips.",
        required=True,
    )
    flags.DEFINE_string("output", None, "File to write: .npz, .csv or .parquet.", required=True)
    flags.DEFINE_float(
        "hop_ms",
        None,
        "Milliseconds between embeddings. Default 320; a stream has its own hop.",
        lower_bound=0.0,
    )
    flags.DEFINE_bool(
        "stream",
        False,
        "With a model directory or an encoder of this package: embed each clip as a stream, where "
        "an embedding depends on all that came before, instead of as separate windows.",
    )
    flags.DEFINE_float(
        "max_bad_fraction",
        MAX_BAD_FRACTION,
        "Fraction of the files of a directory that may be unreadable.",
        lower_bound=0.0,
        upper_bound=1.0,
    )
    define_channels()


def main(_: list[str]) -> None:
    output = checked_output("output", FLAGS.output, *SUFFIXES)
    if output.suffix == ".parquet":
        require("pyarrow", f"--output={FLAGS.output!r}")
    files = audio_files(FLAGS.audio)
    embed_clip = open_model(FLAGS.model, FLAGS.hop_ms, FLAGS.stream)
    table = embed_files(files, embed_clip, FLAGS.max_bad_fraction, FLAGS.channels)
    table.write(output)
    print(f"{output}: {len(table)} embeddings of {len(np.unique(table.path))} files")


def audio_files(audio: pathlib.Path | str) -> list[pathlib.Path]:
    """The audio files that --audio names, sorted.

    Raises:
      A2vError: there are none.
    """
    if audio == "demo":
        from a2v_tf.data import demo

        audio = demo.ensure() / "labelled"
    path = pathlib.Path(audio)
    return [path] if path.is_file() else find_audio(path, "--audio")


def open_model(model: str, hop_ms: float | None, stream: bool = False) -> EmbedClip:
    """Open a TFLite file, an encoder of this package or a model directory to embed clips with.

    Args:
      model: path or name.
      hop_ms: milliseconds between embeddings; None for a stream's own, or 320.
      stream: embed a clip as a stream; of a name or a model directory.

    Raises:
      A2vError: no such model, or one that cannot have this hop.
    """
    if model in names():
        return tflite_clips(resolve(model, STREAMING if stream else WINDOW), hop_ms, model)
    if model.endswith(".tflite"):
        if stream:
            raise A2vError("--stream goes with a model directory, not a .tflite file")
        return tflite_clips(model, hop_ms)
    if not pathlib.Path(model, "config.json").is_file():
        raise A2vError(
            f"--model={model}: expected a .tflite file, a directory made by a2v_train, or "
            f"{in_words()}"
        )
    from a2v_tf.training.keras_clips import keras_clips

    return keras_clips(model, hop_ms, stream)


def run() -> None:
    """Entry point of `a2v_embed`."""
    run_app(main, define_flags)


if __name__ == "__main__":
    run()
