"""Start from the weights of a trained encoder, for --initial_encoder."""

from typing import Any

import keras

from a2v_tf.errors import A2vError
from a2v_tf.frontend import FrontEnd
from a2v_tf.pretrained import resolve
from a2v_tf.specs import BandLevels, InputStats
from a2v_tf.training.checkpoints import latest_checkpoint
from a2v_tf.training.model_dir import front_end_of, load_encoder, read_config
from a2v_tf.training.settings import TrainSettings


def initial_stats(settings: TrainSettings, front_end: FrontEnd | BandLevels) -> InputStats:
    """The statistics by which the input of `settings.initial_encoder` is standardised.

    Raises:
      A2vError: its encoder, slices or front end are not those of `settings`.
    """
    name = settings.initial_encoder or ""
    flag = f"--initial_encoder={name}"
    config = read_config(name)
    for field in ("encoder", "frames"):
        if config.get(field) != getattr(settings, field):
            raise A2vError(
                f"{flag} was trained with --{field}={config.get(field)}: expected that value, not "
                f"{getattr(settings, field)}"
            )
    if front_end_of(name) != front_end:
        raise A2vError(
            f"{flag} was trained on the frames {config['front_end']}: expected those of --data, "
            f"{vars(front_end)}"
        )
    return InputStats(config["input_mean"], config["input_variance"])


def initial_run(name: str) -> dict[str, Any]:
    """The `config.json` of an initial encoder, with the steps that it was trained for until now."""
    config, checkpoint = read_config(name), latest_checkpoint(resolve(name))
    return {**config, "steps": checkpoint.step} if checkpoint else config


def set_initial_weights(model: keras.Model, settings: TrainSettings) -> None:
    """Give the encoder of a model to train the weights of `settings.initial_encoder`.

    Raises:
      A2vError: there are none, or they have other shapes.
    """
    if not settings.initial_encoder:
        return
    weights = load_encoder(settings.initial_encoder, for_audio=False).get_weights()
    encoder = model.get_layer("encoder")
    if [x.shape for x in weights] != [tuple(x.shape) for x in encoder.weights]:
        raise A2vError(
            f"--initial_encoder={settings.initial_encoder}: its weights have other shapes than "
            f"those of --encoder={settings.encoder}: expected the same encoder"
        )
    encoder.set_weights(weights)
