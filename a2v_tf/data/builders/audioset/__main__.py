"""Prepare AudioSet: `python -m a2v_tf.data.builders.audioset --manual_dir=DIR [--data_dir=DIR]`.

Does what `tfds build` does, which in TFDS 4.9 does not start without apache-beam.
"""

import tensorflow_datasets as tfds
from absl import flags

from a2v_tf.data.builders.audioset.audioset import Audioset
from a2v_tf.errors import A2vError, run_app

_MANUAL_DIR = flags.DEFINE_string("manual_dir", None, "folder with the CSVs and the clips")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "where to write; default: TFDS's own folder")


def main(_: list[str]) -> None:
    """Prepare the data set and say what is in it."""
    config = tfds.download.DownloadConfig(manual_dir=_MANUAL_DIR.value)
    builder = Audioset(data_dir=_DATA_DIR.value)
    try:
        builder.download_and_prepare(download_config=config)
    except (AssertionError, OSError, ValueError) as error:
        raise A2vError(str(error).partition("\n")[0]) from error
    counts = (f"{split} {info.num_examples}" for split, info in builder.info.splits.items())
    print(f"{builder.data_path}: {', '.join(counts)} clips")


if __name__ == "__main__":
    flags.mark_flag_as_required("manual_dir")
    run_app(main)
