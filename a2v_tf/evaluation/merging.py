"""Several encoders side by side: merging their representations (ICLR sections 4 and 5)."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from a2v_tf.errors import A2vError
from a2v_tf.evaluation.embeddings import WindowEmbedder

_ALIKE = ("frames", "front_end")  # settings that encoders side by side must share


def merged_embedder(embedders: Sequence[WindowEmbedder]) -> WindowEmbedder:
    """An embedder whose embeddings `[batch, d1 + d2 + ...]` are those of several, concatenated.

    Args:
      embedders: of the same kind of input; at least one.
    """
    first, *others = embedders
    if not others:
        return first

    def embed(batch: np.ndarray) -> np.ndarray:
        return np.concatenate([each.embed(batch) for each in embedders], axis=-1)

    keys = [each.key for each in embedders]
    key = " + ".join(map(str, keys)) if all(keys) else None
    return WindowEmbedder(embed, first.takes, key, first.front_end)


def merged_config(
    model_dirs: Sequence[pathlib.Path | str], configs: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any]:
    """The config.json of models side by side: the first one's, with all tasks and encoders.

    Args:
      model_dirs: for messages.
      configs: one for each; all of them are the value of the key "merged".

    Raises:
      A2vError: they take different frames.
    """
    first, *others = configs
    if not others:
        return first
    for model_dir, config in zip(model_dirs[1:], others, strict=True):
        for key in _ALIKE:
            if config[key] != first[key]:
                raise A2vError(
                    f"--model_dir: {model_dir} has {key} {config[key]}, {model_dirs[0]} "
                    f"{first[key]}; expected models that take the same"
                )
    tasks = [config.get("task", "") for config in configs]
    encoders = dict.fromkeys(config["encoder"] for config in configs)
    joined = {"task": "+".join(tasks), "encoder": "+".join(encoders)}
    return {**first, **joined, "merged": list(configs)}
