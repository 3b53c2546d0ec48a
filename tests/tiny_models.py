"""Model directories as `a2v_train` writes them, of untrained models with short slices."""

import dataclasses
import pathlib

import keras

from a2v_tf.frontend import FRONT_END
from a2v_tf.specs import ENCODERS, InputStats, Slicing, TaskOptions
from a2v_tf.tasks import multi_head
from a2v_tf.tasks.task import Setup, find_tasks
from a2v_tf.training.model_dir import write_config

STATS = InputStats(-1.0, 4.0)
THIRD_OCTAVES = {"columns": [f"{band}" for band in range(29)], "period": 0.125}
SLICING = Slicing(frames=32, context=1, gap=2, max_frames=132)  # gaps up to 100 frames, 1 s

SETUP = Setup(ENCODERS["small"], SLICING, FRONT_END.mel_bins, STATS)


def write_model(directory: pathlib.Path, *names: str, **config) -> keras.Model:
    """Write a model of one task, or of several as heads of multi_head.

    Args:
      directory: existing directory to write to.
      names: of the tasks.
      config: entries of config.json to override.

    Returns:
      The model.
    """
    keras.utils.set_random_seed(0)
    setup = dataclasses.replace(
        SETUP,
        bins=config.get("bins", SETUP.bins),
        config=ENCODERS[config.get("encoder", "small")],
        options=TaskOptions(
            variant=config.get("variant", "plain"),
            slice_decoder=config.get("slice_decoder", "mirror"),
        ),
    )
    model = multi_head.build(find_tasks(names), setup)
    model.get_layer("encoder").save(directory / "encoder.keras")
    model.save(directory / "model.keras")
    settings = {
        **{"task": names[0] if len(names) == 1 else "multi_head", "heads": list(names)},
        **{"encoder": "small", "frames": SLICING.frames, "bins": FRONT_END.mel_bins},
        **{"context": SLICING.context, "gap": SLICING.gap, "max_frames": SLICING.max_frames},
        **{"input_mean": STATS.mean, "input_variance": STATS.variance},
        **{"front_end": vars(FRONT_END)},
    }
    write_config(directory, {**settings, **config})
    return model
