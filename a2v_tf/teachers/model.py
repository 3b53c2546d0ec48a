"""An encoder of this package as a teacher: `model:DIR`, or `model:pretrained`.

So a large encoder, trained without labels or teachers, can teach a small one.
"""

import keras
import numpy as np
import tensorflow as tf

from a2v_tf.audio.read import SLICE_SAMPLES
from a2v_tf.errors import A2vError
from a2v_tf.frontend import FRONT_END, log_mel
from a2v_tf.pretrained import is_packaged, resolve
from a2v_tf.teachers.base import Teacher, fingerprint, in_batches
from a2v_tf.training.model_dir import ENCODER, load_encoder, sound_front_end

BATCH = 64
REVISION = 1  # increase it with every change of the outputs


def load(directory: str) -> Teacher:
    """The teacher `model:DIR`.

    Args:
      directory: as `a2v_train` leaves it, or `pretrained`.

    Raises:
      A2vError: it is no model directory, or its encoder takes slices of another length.
    """
    name = f"model:{directory}"
    try:
        encoder, front_end = load_encoder(directory), sound_front_end(directory)
    except A2vError as error:
        raise A2vError(f"teacher {name}: {error}") from error
    if front_end != FRONT_END:
        raise A2vError(
            f"teacher {name}: takes sound by {front_end}: expected the papers' front end, "
            f"{FRONT_END}"
        )
    frames = FRONT_END.frames(SLICE_SAMPLES)
    if encoder.input_shape[1] != frames:
        raise A2vError(
            f"teacher {name}: takes slices of {encoder.input_shape[1]} frames: expected {frames}"
        )

    def compute(pcm: np.ndarray) -> np.ndarray:
        parts = [
            keras.ops.convert_to_numpy(encoder(log_mel(tf.constant(part)).numpy(), training=False))
            for part in in_batches(pcm, BATCH)
        ]
        return np.concatenate(parts)

    path = resolve(directory)
    return Teacher(
        name,
        encoder.output_shape[-1],
        compute,
        "Apache-2.0" if is_packaged(path) else "unknown",
        str(directory),
        fingerprint("model", REVISION, FRONT_END, files=[path / ENCODER]),
    )
