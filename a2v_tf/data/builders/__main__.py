"""Prepare a data set: `python -m a2v_tf.data.builders --name=NAME [--manual_dir=DIR]`.

Does what `tfds build` does, which in TFDS 4.9 does not start without apache-beam.
"""

import pathlib

import tensorflow_datasets as tfds
from absl import flags

from a2v_tf.data.builders import BUILDERS
from a2v_tf.errors import A2vError, run_app

FLAGS = flags.FLAGS

_TFDS_ERRORS = (
    tfds.download.DownloadError,
    tfds.download.download_manager.NonMatchingChecksumError,
    tfds.download.extractor.ExtractError,
)


def define_flags() -> None:
    """Define the command's flags."""
    flags.DEFINE_enum("name", None, sorted(BUILDERS), "Data set to prepare.", required=True)
    flags.DEFINE_string(
        "manual_dir",
        None,
        "Folder with the distribution, unpacked or not; default: download it, where that is "
        "possible (not for audioset and spoken_language).",
    )
    flags.DEFINE_string("data_dir", None, "Where to write; default: TFDS's own folder.")


def main(_: list[str]) -> None:
    """Prepare the data set and say what is in it."""
    if FLAGS.manual_dir and not pathlib.Path(FLAGS.manual_dir).is_dir():
        raise A2vError(f"--manual_dir={FLAGS.manual_dir}: no such folder")
    config = tfds.download.DownloadConfig(manual_dir=FLAGS.manual_dir)
    builder = BUILDERS[FLAGS.name](data_dir=FLAGS.data_dir)
    try:
        builder.download_and_prepare(download_config=config)
    except (AssertionError, OSError, ValueError, *_TFDS_ERRORS) as error:
        raise A2vError(" ".join(str(error).split())) from error
    counts = (f"{split} {info.num_examples}" for split, info in builder.info.splits.items())
    print(f"{builder.data_path}: {', '.join(counts)} clips")


if __name__ == "__main__":
    define_flags()
    run_app(main)
