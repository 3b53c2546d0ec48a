"""The models that results are about, and the names that tell them apart."""

import dataclasses
import json
import pathlib
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from a2v_tf.evaluation import paper
from a2v_tf.evaluation.metrics import SUPERVISED
from a2v_tf.pretrained import names

_MULTI_HEAD = "MultiHead (self-supervised)"  # patent figure 5; ICLR's MultiHead learns from labels
# Names of the tasks that are in none of the papers' tables.
OWN_TASKS = types.MappingProxyType(
    {
        "contrastive": "Contrastive",
        "transposition": "Transposition",
        "distill": "Distilled",
        "multi_head": _MULTI_HEAD,
    }
)
# Settings that distinguish runs of one task, the most telling first; the directory's name is last.
_DISTINGUISHING = ("encoder", "data", "steps", "batch_size", "seed")


@dataclasses.dataclass(frozen=True)
class Model:
    """A trained model, or a baseline: a row of the tables. Models with equal settings are equal.

    Attributes:
      name: of the model directory, TFLite file or baseline.
      encoder: its architecture; "" for Spectrogram, which has none, and for encoders that come with
        this package as baselines, which are compared with models of every architecture.
      config: its config.json; empty for a baseline.
      settings: `config` as text, without the versions that made the model.
    """

    name: str
    encoder: str
    config: Mapping[str, Any] = dataclasses.field(compare=False)
    settings: str = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        settings = {key: value for key, value in self.config.items() if key != "made_with"}
        object.__setattr__(self, "settings", json.dumps(settings, sort_keys=True))

    @property
    def is_baseline(self) -> bool:
        """Whether this is one of the papers' baselines, or an encoder of this package as one."""
        return not self.config

    @property
    def learns_labels(self) -> bool:
        """Whether it was trained on labels."""
        return self.kind in ("supervised", "multihead")

    @property
    def kind(self) -> str:
        """Its training task, or the baseline: its name in `paper.MODELS` or `OWN_TASKS`."""
        return self.name if self.is_baseline else self.config["task"]

    @property
    def variant(self) -> str:
        """Of an autoencoder: plain, denoising or variational; otherwise plain."""
        return self.config.get("variant", "plain") if self.kind == "autoencoder" else "plain"

    @property
    def data(self) -> str:
        """A short name of its training data."""
        data = str(self.config.get("data", ""))
        return data.removeprefix("tfds:") if ":" in data else pathlib.PurePath(data).name

    @property
    def title(self) -> str:
        """The name of its task, the papers' for theirs."""
        if self.is_baseline and self.name in names():
            return f"{self.name} (comes with a2v_tf)"
        if self.kind == SUPERVISED and not self.is_baseline:
            return f"Supervised on {self.data}"
        if merged := self.config.get("merged"):
            parts = [Model(self.name, self.encoder, config) for config in merged]
            return " + ".join(part.title for part in parts)
        variant = "" if self.variant == "plain" else f" ({self.variant})"
        return {**OWN_TASKS, **paper.MODELS}.get(self.kind, self.kind) + variant


def labels(models: Iterable[Model]) -> dict[Model, str]:
    """A unique name for each model: its title, and how it differs from others of that title."""
    models = list(models)
    named: dict[Model, str] = {}
    for model in models:
        group = [other for other in models if other.title == model.title]
        words = _differences(model, group)
        twins = [other for other in group if _differences(other, group) == words]
        if len(twins) > 1 or model.name.endswith(".tflite"):
            words.append(model.name)
        named[model] = ", ".join([model.title, *([] if model.is_baseline else words)])
    return named


def _differences(model: Model, group: Sequence[Model]) -> list[str]:
    """The settings of a model in which the models of its group differ, in words."""
    if model.is_baseline:
        return []
    return [
        _in_words(model, name)
        for name in _DISTINGUISHING
        if len({str(other.config.get(name)) for other in group}) > 1
    ]


def _in_words(model: Model, name: str) -> str:
    if name == "data":
        return model.data
    value = model.config.get(name)
    if isinstance(value, int):
        return f"{value:,} steps" if name == "steps" else f"{name.replace('_', ' ')} {value:,}"
    return str(value)
