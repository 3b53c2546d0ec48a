"""Heads that `a2v_evaluate --save_heads` keeps: each in a directory, from which it is exported.

head.json      labels, data set, protocol, accuracy, and all that the head depends on
head.npz       weights, and embeddings of training clips, which determine int8 ranges
encoder.keras  only of a fine-tuned encoder, which changed with the head; its directory is a model
config.json    directory, which other commands take as `--model_dir`
"""

import dataclasses
import hashlib
import itertools
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from absl import logging

from a2v_tf import __version__
from a2v_tf.errors import A2vError
from a2v_tf.evaluation.settings import NONE, Few
from a2v_tf.files import (
    made_directory,
    read_npz,
    remove_partials,
    whole_directory,
    write_json,
)
from a2v_tf.training.model_dir import ENCODER, write_config

FACTS, ARRAYS = "head.json", "head.npz"
MOST_EMBEDDINGS = 256  # of training clips, that are kept


@dataclasses.dataclass(frozen=True)
class Head:
    """A classifier of embeddings: one or two layers with a ReLU in between, and a softmax.

    Attributes:
      labels: names of the C classes.
      layers: kernel `[inputs, outputs]` and bias `[outputs]` of each layer, float32.
    """

    labels: tuple[str, ...]
    layers: tuple[tuple[np.ndarray, np.ndarray], ...]

    def logits(self, embeddings: np.ndarray) -> np.ndarray:
        """The input of the softmax, `[n, C]`, for embeddings `[n, d]`."""
        x = embeddings
        for i, (kernel, bias) in enumerate(self.layers):
            x = (np.maximum(x, 0) if i else x) @ kernel + bias
        return x


@dataclasses.dataclass(frozen=True)
class SavedHead:
    """A head as `read_head` finds it.

    Attributes:
      head: labels and weights.
      facts: `head.json`.
      embeddings: of training clips, float32 `[n, d]`.
      slices: log-mel of training clips, float32 `[n, N, F]`; None for a frozen encoder.
    """

    head: Head
    facts: Mapping[str, Any]
    embeddings: np.ndarray
    slices: np.ndarray | None

    @property
    def has_encoder(self) -> bool:
        """Whether the directory has an encoder of its own, fine-tuned with the head."""
        return self.slices is not None


@dataclasses.dataclass(frozen=True)
class HeadOrigin:
    """What a head is trained on and how.

    Attributes:
      dataset: name of the data set.
      protocol: one of `settings.TRAINED_HEADS`, or "finetune".
      depth: the lowest part of the encoder that is trained with it.
      few: limit of the training clips.
      depends_on: everything else that the head depends on.
    """

    dataset: str
    protocol: str
    depth: str
    few: Few
    depends_on: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Name of its directory."""
        how = self.protocol if self.depth == NONE else f"{self.protocol}-{self.depth}"
        counts = {"per_class": self.few.per_class, "clips": self.few.total}
        return "-".join([self.dataset, how, *(f"{n}_{what}" for what, n in counts.items() if n)])

    def facts(self) -> dict[str, Any]:
        """As they are in `head.json`."""
        facts = {
            "dataset": self.dataset,
            "protocol": self.protocol,
            "finetune": self.depth,
            "examples_per_class": self.few.per_class,
            "examples": self.few.total,
            "depends_on": self.depends_on,
        }
        return json.loads(json.dumps(facts, default=str))


class HeadStore:
    """A directory of heads. A head that is there already is never written again."""

    def __init__(self, directory: pathlib.Path | str, config: Mapping[str, Any]) -> None:
        """Create the directory unless it exists.

        Args:
          directory: to write to.
          config: `config.json` of the encoder's model directory.

        Raises:
          A2vError: it cannot be written.
        """
        self.directory = made_directory("save_heads", directory)
        self._config = config
        self.names: list[str] = []  # of the heads that an evaluation asked for
        remove_partials(self.directory)

    def has(self, origin: HeadOrigin) -> bool:
        """Whether this head is there already.

        Raises:
          A2vError: a head of other data or settings has its name.
        """
        path = self.directory / origin.name
        if origin.name not in self.names:
            self.names.append(origin.name)
        if not path.exists():
            return False
        before = read_facts(path)
        facts = origin.facts()
        changed = [key for key in facts if key != "depends_on" and before.get(key) != facts[key]]
        now, then = facts["depends_on"], before.get("depends_on") or {}
        changed += [key for key in now if then.get(key) != now[key]]
        if changed:
            raise A2vError(
                f"--save_heads: {str(path)!r} is a head of another evaluation "
                f"({', '.join(changed)}): expected another directory, or that you delete this one"
            )
        return True

    def save(
        self,
        origin: HeadOrigin,
        head: Head,
        accuracy: float,
        embeddings: np.ndarray,
        *,
        encoder: keras.Model | None = None,
        slices: np.ndarray | None = None,
    ) -> None:
        """Save a head, unless it is there already.

        Args:
          origin: what it was trained on and how.
          head: labels and weights.
          accuracy: that was measured.
          embeddings: of training clips, float32 `[n, d]`.
          encoder: the fine-tuned encoder; None for a frozen one.
          slices: log-mel of training clips, `[n, N, F]`, for a fine-tuned encoder.

        Raises:
          A2vError: it cannot be written.
        """
        if self.has(origin):
            return
        path = self.directory / origin.name
        facts = {
            **origin.facts(),
            "labels": head.labels,
            "accuracy": accuracy,
            "made_with": f"a2v_tf {__version__}",
        }
        arrays: dict[str, Any] = {
            "embeddings": np.asarray(embeddings[:MOST_EMBEDDINGS], np.float32)
        }
        for i, (kernel, bias) in enumerate(head.layers):
            arrays |= {f"kernel{i}": np.float32(kernel), f"bias{i}": np.float32(bias)}
        try:
            with whole_directory(path) as partial:
                if encoder is not None and slices is not None:
                    arrays["slices"] = slices[:MOST_EMBEDDINGS].astype(np.float16)
                    encoder.save(partial / ENCODER)
                    config = {**self._config, "task": "supervised", "data": origin.dataset}
                    write_config(partial, config)
                np.savez(partial / ARRAYS, **arrays)
                write_json(partial / FACTS, facts)
        except OSError as error:
            raise A2vError(f"cannot write {str(path)!r}: {error.strerror or error}") from error
        logging.info("head saved in %s", path)


def weights_key(encoder: keras.Model) -> str:
    """A digest of an encoder's weights, by which a head knows it."""
    digest = hashlib.sha256()
    for weight in encoder.get_weights():
        digest.update(f"{weight.shape}{weight.dtype}".encode())
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()


def read_facts(path: pathlib.Path | str) -> dict[str, Any]:
    """Read `head.json` of a head's directory.

    Raises:
      A2vError: it is none.
    """
    try:
        facts = json.loads((pathlib.Path(path) / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        facts = None
    labels = facts.get("labels") if isinstance(facts, dict) else None
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise A2vError(
            f"{str(path)!r} is no head: expected a directory that a2v_evaluate --save_heads wrote"
        )
    return facts


def read_head(path: pathlib.Path | str) -> SavedHead:
    """Read a head's directory.

    Raises:
      A2vError: it is none, or damaged.
    """
    path = pathlib.Path(path)
    facts = read_facts(path)
    arrays = read_npz(path / ARRAYS)
    layers = []
    for i in itertools.count():
        if f"kernel{i}" not in arrays or f"bias{i}" not in arrays:
            break
        layers.append((arrays[f"kernel{i}"], arrays[f"bias{i}"]))
    head = Head(tuple(facts["labels"]), tuple(layers))
    embeddings = arrays.get("embeddings", np.zeros((0, 0), np.float32))
    slices = arrays.get("slices")
    _check(path, head, embeddings)
    return SavedHead(head, facts, embeddings, None if slices is None else slices.astype(np.float32))


def _check(path: pathlib.Path, head: Head, embeddings: np.ndarray) -> None:
    """Check that shapes fit and values are finite."""
    sizes: Sequence[tuple[int, ...]] = [kernel.shape for kernel, _ in head.layers]
    good = (
        bool(sizes)
        and all(len(size) == 2 for size in sizes)
        and all(bias.shape == kernel.shape[1:] for kernel, bias in head.layers)
        and all(one[1] == next_[0] for one, next_ in itertools.pairwise(sizes))
        and sizes[-1][1] == len(head.labels)
        and embeddings.ndim == 2
        and embeddings.shape[1] == sizes[0][0]
        and len(embeddings) > 0
        and all(np.isfinite(x).all() for x in (*itertools.chain(*head.layers), embeddings))
    )
    if not good:
        shapes = ", ".join(str(list(size)) for size in sizes)
        raise A2vError(
            f"{str(path / ARRAYS)!r} is damaged: its layers {shapes} do not lead from embeddings "
            f"{list(embeddings.shape)} to {len(head.labels)} labels"
        )
