"""The self-supervised tasks, one module each with its `TASK`, and supervised training.

`find_task` looks a task up by name; `multi_head` builds the examples and the model of one task or
of several. To add a task, write a module with a `Task`: see docs/extend/task.md.
"""

TASKS = (
    "cbow",
    "skip_gram",
    "temporal_gap",
    "autoencoder",
    "triplet",
    "arrow_of_time",
    "contrastive",
    "transposition",
)
DEFAULT_HEADS = ("cbow", "skip_gram", "temporal_gap")  # of multi_head: what the patent names
