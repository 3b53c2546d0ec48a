"""The self-supervised tasks, one module each, distillation, and supervised training.

`find_task` looks a task up by name; `multi_head` builds the examples and the model of one task or
of several. To add a task, write a module with a `Task`: see docs/extend/task.md.
"""

from collections.abc import Sequence

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
# --task besides these; distill, which also needs --teachers, may be one of multi_head's --heads.
DISTILL, MULTI_HEAD, SUPERVISED = "distill", "multi_head", "supervised"
DEFAULT_HEADS = ("cbow", "skip_gram", "temporal_gap")  # of multi_head: what the patent names


def task_names(task: str, heads: Sequence[str]) -> tuple[str, ...]:
    """The self-supervised tasks that a run with `--task` and `--heads` learns."""
    if task == SUPERVISED:
        return ()
    return tuple(heads) if task == MULTI_HEAD else (task,)
