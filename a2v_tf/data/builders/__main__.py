"""Prepare a data set for TFDS.

  python -m a2v_tf.data.builders --name=NAME [--manual_dir=DIR]
  python -m a2v_tf.data.builders --name=audioset --manual_dir=DIR \\
      --beam_pipeline_options=runner=FnApiRunner,direct_running_mode=multi_processing

Equivalent to `tfds build`, which in TFDS 4.9 requires apache-beam and mlcroissant.
"""

import pathlib
from typing import Any

import tensorflow_datasets as tfds
from absl import flags

from a2v_tf import beam
from a2v_tf.data.builders import BUILDERS, base
from a2v_tf.errors import A2vError, run_app
from a2v_tf.text import align

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
        "Folder with the distribution, as archives or unpacked. Default: download it, which is not "
        "possible for audioset and spoken_language.",
    )
    flags.DEFINE_string("data_dir", None, "Output folder. Default: TFDS's own.")
    flags.DEFINE_list(
        "beam_pipeline_options",
        None,
        "For audioset: build the shards with Apache Beam (extra [beam]) and these options, as in "
        "tfds build: runner=FnApiRunner,direct_num_workers=8,... See the builders' README.md.",
    )

    @flags.multi_flags_validator(
        ["name", "beam_pipeline_options"], "--beam_pipeline_options is for --name=audioset only"
    )
    def _beam_makes_audioset(values: dict[str, Any]) -> bool:
        return values["name"] == "audioset" or values["beam_pipeline_options"] is None


def main(_: list[str]) -> None:
    """Prepare the data set and print the numbers of clips."""
    if FLAGS.manual_dir and not pathlib.Path(FLAGS.manual_dir).is_dir():
        raise A2vError(f"--manual_dir={FLAGS.manual_dir}: no such folder")
    config = tfds.download.DownloadConfig(manual_dir=FLAGS.manual_dir)
    if FLAGS.beam_pipeline_options is not None:
        config.beam_options = beam.pipeline_options(FLAGS.beam_pipeline_options)
    builder = BUILDERS[FLAGS.name](data_dir=FLAGS.data_dir)
    try:
        builder.download_and_prepare(download_config=config)
    except (AssertionError, OSError, ValueError, *_TFDS_ERRORS) as error:
        raise A2vError(" ".join(str(error).split())) from error
    print(_used(builder))
    counts = (f"{split} {info.num_examples}" for split, info in builder.info.splits.items())
    print(f"{builder.data_path}: {', '.join(counts)} clips")


def _used(builder: tfds.core.DatasetBuilder) -> str:
    """A table of the numbers of used and unused clips of each split."""
    lines = [["clips", "used", *base.KINDS]]
    for split, info in builder.info.splits.items():
        unused = base.count_unused(builder.data_path, split)
        counts = [info.num_examples, *(unused[kind] for kind in base.KINDS)]
        lines.append([split, *(f"{count:,}" for count in counts)])
    return align(lines)


if __name__ == "__main__":
    run_app(main, define_flags)
