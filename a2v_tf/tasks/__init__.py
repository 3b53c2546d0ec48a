"""The self-supervised tasks: a module each, all with the same few names.

`LEARNING_RATE` and `LOSS` are the task's defaults; `crop_frames(slicing)` says how much of a clip
an example takes, `examples(log_mel, slicing)` cuts inputs and targets out of it in-graph, and
`build(config, slicing, bins, stats)` makes the Keras model.
"""

from a2v_tf.tasks import cbow

TASKS = {"cbow": cbow}
