"""Train a self-supervised task on unlabelled audio: the `a2v_train` command.

  a2v_train --data=/path/to/recordings --model_dir=models/mine
  a2v_train --data=tfds:audioset:unbalanced --model_dir=models/audioset --steps=500000
  a2v_train --data=demo --model_dir=/tmp/demo --steps=500 --batch_size=64
  a2v_train --data=spectrogram:/path/to/csvs --model_dir=models/sensors --frames=64

Run the same command again to resume after an interruption.
"""

import pathlib
from typing import TYPE_CHECKING

from a2v_tf.errors import run_app
from a2v_tf.settings import define_flags as define_flags_of
from a2v_tf.settings import from_flags
from a2v_tf.training.settings import TrainSettings

if TYPE_CHECKING:
    from a2v_tf.evaluation.probing import ProbeRounds


def define_flags() -> None:
    """Define the command's flags, one for each of `TrainSettings`."""
    define_flags_of(TrainSettings, __name__)


def main(_: list[str]) -> None:
    settings = from_flags(TrainSettings)
    from a2v_tf.training.loop import train

    train(settings, make_probe)


def make_probe(settings: TrainSettings) -> "ProbeRounds":
    """Make the callback that evaluates the encoder on `settings.probe` after each round."""
    from a2v_tf.data.labelled import open_labelled
    from a2v_tf.evaluation.probing import ProbeRounds
    from a2v_tf.training.model_dir import PROBES

    assert settings.probe
    return ProbeRounds(
        open_labelled(settings.probe, channels=settings.channels, front_end=settings.front_end),
        settings.frames,
        pathlib.Path(settings.model_dir) / PROBES,
        step_after=settings.step_after,
    )


def run() -> None:
    """Entry point of `a2v_train`."""
    run_app(main, define_flags)


if __name__ == "__main__":
    run()
