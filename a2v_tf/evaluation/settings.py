"""The settings of an evaluation, and the names that its flags take. Imports nothing slow."""

import dataclasses
import types
from collections.abc import Sequence

from a2v_tf.specs import MAX_BAD_FRACTION

# Heads on frozen embeddings; `compare.HEADS` holds the functions.
PROTOCOLS = ("linear", "sgd", "two_layer", "knn", "knn_clips")
# Values of --finetune beside conv5, conv4, ...: from which layer upwards an encoder is trained.
NONE, FC, ALL = "none", "fc", "all"
CACHE = "embeddings"  # folder in the model directory that keeps embeddings
# Tasks that reconstruct: their inputs and their predictions, as `Crops` calls them.
RECONSTRUCTING = types.MappingProxyType(
    {
        "cbow": ("surrounding", "middle"),
        "skip_gram": ("middle", "surrounding"),
        "autoencoder": ("middle", "middle"),
    }
)


@dataclasses.dataclass(frozen=True)
class HeadSettings:
    """How heads are trained with Adam.

    Attributes:
      steps: of 256 windows each; SPL section IV: 100,000.
      learning_rate: Adam's; SPL section IV: 1e-4.
      hidden: ReLU units of the two-layer head's hidden layer; ICLR Table 5 does not give a number.
    """

    steps: int = 10_000
    learning_rate: float = 1e-4
    hidden: int = 128


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """How an encoder is trained on labels.

    Attributes:
      steps: for each data set, rounded up to whole rounds; SPL section IV: 100,000.
      learning_rate: Adam's; 1e-4 in SPL section IV, 1e-3 for Supervised and MultiHead in ICLR
        section 4.
      batch_size: crops per step; 256 in both papers.
      per_class: maximum number of training clips of each class; None for all.
    """

    steps: int = 1_000
    learning_rate: float = 1e-4
    batch_size: int = 256
    per_class: int | None = None


@dataclasses.dataclass(frozen=True)
class Settings:
    """What all models and tasks of an evaluation have in common.

    Attributes:
      protocols: some of `PROTOCOLS`.
      frames: N, frames of a window.
      replicas: seeds to average over where there is randomness: 5 in ICLR section 4, 4 in SPL.
      seed: the first seed.
      examples_per_class: training clips of each class; None for all. SPL section IV: all, and
        1,000.
      max_bad_fraction: fraction of a task's clips that may be unreadable.
      heads: how heads are trained with Adam.
      split: which clips accuracy is measured on: "test"; or "val", to choose between models. Then
        nothing is tuned on val clips, and test clips are not used at all.
    """

    protocols: Sequence[str] = ("linear", "knn")
    frames: int = 96
    replicas: int = 1
    seed: int = 0
    examples_per_class: Sequence[int | None] = (None,)
    max_bad_fraction: float = MAX_BAD_FRACTION
    heads: HeadSettings = dataclasses.field(default_factory=HeadSettings)
    split: str = "test"


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """What `a2v_evaluate` does.

    Attributes:
      model_dir: model directory, or one of `pretrained.names`.
      downstream: specification of the labelled data sets, as `open_labelled` takes it.
      common: what all models and tasks have in common; its frames and seed are replaced by the
        model's.
      model: TFLite window model to evaluate instead of the Keras encoder.
      depths: values of --finetune.
      fine_tuning: how pretrained encoders are fine-tuned.
      from_scratch: how Supervised and MultiHead are trained.
      baselines: some of `metrics.BASELINES` and `pretrained.names`.
      seed: the first seed; None for the training run's.
      untrained_seeds: Untrained encoders to average.
      channels: what to use of the channels of files, as for `decode.probe`.
      cache_dir: where embeddings are kept; None for the default, "" for nowhere.
    """

    model_dir: str
    downstream: str
    common: Settings
    model: str | None = None
    depths: Sequence[str] = (NONE,)
    fine_tuning: TrainingSettings = dataclasses.field(default_factory=TrainingSettings)
    from_scratch: TrainingSettings = dataclasses.field(default_factory=TrainingSettings)
    baselines: Sequence[str] = ()
    seed: int | None = None
    untrained_seeds: int = 3
    channels: str = "mix"
    cache_dir: str | None = None
