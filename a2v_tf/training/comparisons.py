"""Tasks that compare recordings learn nothing from a batch of one: a check before the first step.

The loss of triplet is 0 there, and that of contrastive too, so that training looks successful.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import logging

from a2v_tf.data.sources import Source, one_line_errors
from a2v_tf.errors import A2vError
from a2v_tf.tasks import multi_head
from a2v_tf.tasks.task import Task
from a2v_tf.training.batches import VALIDATION_ROUND
from a2v_tf.training.settings import TrainSettings

_CROPS = 512  # that are looked at, or one batch if that is more
_OFTEN = 0.05  # of the batches; fewer are chance


def check_comparisons(
    flag: str, source: Source, tasks: Sequence[Task], settings: TrainSettings, round_index: int
) -> None:
    """Check that tasks which compare recordings get several of them in a batch.

    Args:
      flag: with its value, for messages: "--data=music".
      source: of the crops.
      tasks: of the run; the others need no check.
      settings: of the run.
      round_index: the round whose first batches are looked at.

    Raises:
      A2vError: a batch has one example, or all crops are of one recording.
    """
    compare = [task for task in tasks if multi_head.needs_whole_batch([task])]
    if not compare:
        return
    what = f"{', '.join(task.name for task in compare)} compare{'s' * (len(compare) == 1)}"
    batch_size = settings.batch_size
    if batch_size == 1:
        raise A2vError(f"--batch_size=1: {what} the examples of a batch, expected at least 2")
    samples = source.front_end.samples(multi_head.crop_frames(tasks, settings.slicing))
    options: dict[str, Any] = {"seed": settings.seed, "round_index": round_index}
    if settings.crops_per_clip > 1 and round_index != VALIDATION_ROUND:
        options["crops_per_clip"] = settings.crops_per_clip
    crops = source.crops(samples, **options)
    batches = crops.map(lambda pcm, clip: clip).batch(batch_size).take(-(-_CROPS // batch_size))
    with one_line_errors(source):
        clips = np.array(list(batches.as_numpy_iterator()))
    if (clips == clips[0, 0]).all():
        raise A2vError(
            f"{flag}: all of {clips.size} random crops are of one recording, and {what} "
            "recordings: expected at least two, of similar length"
        )
    of_one = (clips == clips[:, :1]).all(axis=1).mean()
    if of_one > _OFTEN:
        logging.warning(
            "%s: %.0f %% of the batches hold crops of one recording only, which teach "
            "nothing, as %s recordings: expected more recordings or a larger --batch_size",
            flag,
            100 * of_one,
            what,
        )
