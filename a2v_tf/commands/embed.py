"""Turn audio into embeddings: the `a2v_embed` command.

  a2v_embed --model=pretrained --audio=recordings/ --output=embeddings.npz
  a2v_embed --model=encoder.tflite --audio=recordings/ --output=embeddings.csv
  a2v_embed --model=models/mine --audio=song.flac --hop_ms=100 --output=song.parquet
  a2v_embed --model=pretrained,models/mine --audio=recordings/ --output=both.npz  # side by side
  a2v_embed --model=pretrained --audio=archive/ --output=embeddings/  # Parquet shards

A .tflite file, and 'pretrained' (or another encoder that comes with this package), runs in the
TFLite interpreter, as on a phone. A model directory uses its Keras encoder, which needs TensorFlow.
Each row of the output says which stretch of which file it describes. After a kill, the same command
goes on where it was.
"""

import functools
import pathlib

from absl import flags

from a2v_tf import beam
from a2v_tf.audio.find import find_audio
from a2v_tf.commands.flag_types import define_channels
from a2v_tf.errors import A2vError, require, run_app
from a2v_tf.files import checked_output, digest_of, paths_of
from a2v_tf.pretrained import STREAMING, WINDOW, in_words, names, resolve
from a2v_tf.runtime.archive import Recipe, embed_archive
from a2v_tf.runtime.clips import EmbedClip, tflite_clips
from a2v_tf.runtime.side_by_side import side_by_side
from a2v_tf.runtime.tables import SUFFIXES
from a2v_tf.specs import MAX_BAD_FRACTION, SPECTROGRAM

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Define the command's flags; not on import, so that commands can be imported together."""
    flags.DEFINE_string(
        "model",
        None,
        f"A .tflite file of export_tflite; an int8 encoder that comes with this package, "
        f"{in_words()}; or a model directory of a2v_train, whose Keras encoder is used. Several, "
        "separated by commas, give their embeddings side by side.",
        required=True,
    )
    flags.DEFINE_string(
        "audio",
        None,
        "Audio file, a directory searched recursively, or 'demo' for the labelled demo clips. With "
        "a model directory of band levels, spectrogram:DIR[:SPLIT]; without SPLIT all files.",
        required=True,
    )
    flags.DEFINE_string(
        "output",
        None,
        "File to write: .npz, .csv or .parquet; or, for many files, a name that ends in '/', a new "
        "folder of Parquet shards.",
        required=True,
    )
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
    flags.DEFINE_list(
        "beam_pipeline_options",
        None,
        "Spread the work over processes or machines with Apache Beam (extra [beam]) and these "
        "options, as in runner=FnApiRunner,direct_running_mode=multi_processing,"
        "direct_num_workers=8. Needs an --output that ends in '/'.",
    )
    define_channels()


def main(_: list[str]) -> None:
    sharded = FLAGS.output.endswith("/")
    output = _checked_output(sharded)
    options = FLAGS.beam_pipeline_options
    beam_options = None if options is None else beam.pipeline_options(options)
    if FLAGS.audio.startswith(SPECTROGRAM):
        _embed_levels(output, sharded)
        return
    files = audio_files(FLAGS.audio)
    model = (FLAGS.model, FLAGS.hop_ms, FLAGS.stream)
    opened = open_model(*model)  # its errors, before any work
    settings = {
        "model": _digest(FLAGS.model, FLAGS.stream),
        **{name: FLAGS[name].value for name in ("hop_ms", "stream", "channels")},
    }
    recipe = Recipe(functools.partial(open_model, *model), FLAGS.channels, settings)
    summary = embed_archive(
        files,
        recipe,
        output,
        FLAGS.max_bad_fraction,
        sharded=sharded,
        beam_options=beam_options,
        opened=opened,
    )
    used = summary.files - len(summary.skipped)
    print(f"{FLAGS.output}: {summary.embeddings} embeddings of {used} files")


def _checked_output(sharded: bool) -> pathlib.Path:
    given = f"--output={FLAGS.output!r}"
    if not sharded and not FLAGS.output.endswith(SUFFIXES):
        raise A2vError(
            f"{given}: expected a name ending in {' or '.join(SUFFIXES)}, or, for a folder of "
            "Parquet shards, in '/'"
        )
    if not sharded and FLAGS.beam_pipeline_options is not None:
        raise A2vError(
            f"{given}: --beam_pipeline_options writes a folder of Parquet shards: expected a name "
            "ending in '/'"
        )
    output = pathlib.Path(FLAGS.output) if sharded else checked_output("output", FLAGS.output)
    if sharded or output.suffix == ".parquet":
        require("pyarrow", given)
    return output


def _digest(model: str, stream: bool) -> str:
    """Of all files of a model, or of several, that embeddings depend on."""
    models = paths_of(model)
    if len(models) > 1:
        return " ".join(_digest(each, stream) for each in models)
    if model in names():
        return digest_of(resolve(model, STREAMING if stream else WINDOW))
    if model.endswith(".tflite"):
        return digest_of(model)
    from a2v_tf.training.model_dir import CONFIG, ENCODER

    return " ".join(digest_of(pathlib.Path(model, name)) for name in (CONFIG, ENCODER))


def _embed_levels(output: pathlib.Path, sharded: bool) -> None:
    """Embed the slices of a corpus of band levels by a model directory."""
    for_audio = {f"--output={FLAGS.output}": sharded, "--stream": FLAGS.stream}
    unfit = [flag for flag, given in for_audio.items() if given]
    if not pathlib.Path(FLAGS.model, "config.json").is_file():
        unfit.append(f"--model={FLAGS.model}")
    if unfit:
        raise A2vError(
            f"{unfit[0]}: not with --audio={FLAGS.audio}: expected a directory that a2v_train "
            "wrote, an --output of one file, and no --stream"
        )
    from a2v_tf.evaluation import band_levels

    corpus = band_levels.open_corpus(FLAGS.model, FLAGS.audio, FLAGS.max_bad_fraction)
    table = band_levels.embed(FLAGS.model, corpus, FLAGS.hop_ms)
    table.write(output)
    print(f"{FLAGS.output}: {len(table)} embeddings of {len(set(table.path))} files")


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
      model: path or name; several, separated by commas, for their embeddings side by side.
      hop_ms: milliseconds between embeddings; None for a stream's own, or 320.
      stream: embed a clip as a stream; of a name or a model directory.

    Raises:
      A2vError: no such model, or one that cannot have this hop.
    """
    models = paths_of(model)
    if len(models) > 1:
        return side_by_side([open_model(each, hop_ms, stream) for each in models])
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
