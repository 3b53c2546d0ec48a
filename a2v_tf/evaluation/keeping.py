"""Keeps the heads that an evaluation trains for its model: `a2v_evaluate --save_heads`."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from a2v_tf.data.labelled import LabelledData
from a2v_tf.evaluation.embeddings import keras_values
from a2v_tf.evaluation.finetune import FineTuned, training_slices
from a2v_tf.evaluation.heads import Score
from a2v_tf.evaluation.saved_heads import MOST_EMBEDDINGS, HeadOrigin, HeadStore, weights_key
from a2v_tf.evaluation.settings import (
    FINETUNE,
    NONE,
    TRAINED_HEADS,
    EvaluationSettings,
    Few,
    Settings,
)
from a2v_tf.evaluation.windows import Windows, in_batches


class HeadKeeper:
    """Keeps the trained heads of one model: of several replicas, the first."""

    def __init__(
        self,
        store: HeadStore,
        model: str,
        encoder: keras.Model,
        settings: EvaluationSettings,
        common: Settings,
    ) -> None:
        """Prepare to keep heads.

        Args:
          store: where.
          model: the model's name; heads of others, the baselines, are not kept.
          encoder: the model's encoder.
          settings: of the evaluation.
          common: its settings, with the model's frames and seed.
        """
        self._store, self._model, self._settings, self._common = store, model, settings, common
        self._encoder = weights_key(encoder)
        self._fingerprints: dict[str, str] = {}

    @property
    def names(self) -> list[str]:
        """The directories of the heads that were asked for, in this order."""
        return self._store.names

    def check(self, datasets: Sequence[LabelledData], depths: Sequence[str]) -> None:
        """Check before the work that no head of another evaluation is in the way.

        Raises:
          A2vError: one is.
        """
        frozen = [p for p in self._common.protocols if NONE in depths and p in TRAINED_HEADS]
        parts = [(protocol, NONE) for protocol in frozen]
        parts += [(FINETUNE, depth) for depth in depths if depth != NONE]
        for data, few, part in itertools.product(datasets, self._common.few, parts):
            self.has(data, *part, few)

    def keeps(self, model: str, protocol: str) -> bool:
        """Whether heads of a model and a protocol are kept."""
        return model == self._model and protocol in TRAINED_HEADS

    def has(self, data: LabelledData, protocol: str, depth: str, few: Few) -> bool:
        """Whether a head is there already."""
        return self._store.has(self._origin(data, protocol, depth, few))

    def keep_frozen(
        self, data: LabelledData, protocol: str, few: Few, score: Score, windows: Windows
    ) -> None:
        """Keep a head on frozen embeddings, which `windows` holds."""
        rows = windows.limited(few, self._common.seed).rows("train")
        drawn = np.random.default_rng(0).permutation(rows)[:MOST_EMBEDDINGS]
        assert score.head is not None  # as `keeps` says
        self._store.save(
            self._origin(data, protocol, NONE, few),
            score.head,
            score.accuracy,
            windows.flat(np.sort(drawn)),
        )

    def keep_tuned(self, data: LabelledData, depth: str, few: Few, tuned: FineTuned) -> None:
        """Keep a fine-tuned encoder and its head."""
        origin = self._origin(data, FINETUNE, depth, few)
        if self._store.has(origin):
            return
        score = tuned.scores[data.name]
        assert score.head is not None  # fine-tuning trains one
        slices = training_slices(data, self._common.frames, self._common.seed, few)
        embeddings = in_batches(lambda batch: keras_values(tuned.encoder, batch), slices)
        self._store.save(
            origin, score.head, score.accuracy, embeddings, encoder=tuned.encoder, slices=slices
        )

    def _origin(self, data: LabelledData, protocol: str, depth: str, few: Few) -> HeadOrigin:
        if data.name not in self._fingerprints:
            self._fingerprints[data.name] = data.fingerprint()
        common = self._common
        depends_on: dict[str, Any] = {
            "encoder": self._encoder,
            "data": self._fingerprints[data.name],
            "channels": self._settings.channels,
            "max_bad_fraction": common.max_bad_fraction,
            "frames": common.frames,
            "seed": common.seed,
            "split": common.split,
            "judge": common.judge,
            **self._training(protocol),
        }
        return HeadOrigin(data.name, protocol, depth, few, depends_on)

    def _training(self, protocol: str) -> Mapping[str, Any]:
        if protocol == FINETUNE:
            fine_tuning = dataclasses.asdict(self._settings.fine_tuning)
            return {"select": self._common.select, **fine_tuning}
        of_head = {} if protocol == "linear" else dataclasses.asdict(self._common.heads)
        return {"train_slices": self._common.train_slices, **of_head}
