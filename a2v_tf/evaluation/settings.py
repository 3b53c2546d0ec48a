"""The settings of an evaluation, and the names that its flags take. Imports nothing slow."""

import dataclasses
import types
from collections.abc import Collection, Sequence
from typing import NamedTuple

from a2v_tf.specs import MAX_BAD_FRACTION, Slicing

# Heads on frozen embeddings; `compare.HEADS` holds the functions.
PROTOCOLS = ("linear", "sgd", "two_layer", "knn", "knn_clips")
TRAINED_HEADS = ("linear", "sgd", "two_layer")  # those with weights
FINETUNE = "finetune"  # the protocol of rows of encoders that were trained with their heads
# Values of --finetune beside conv5, conv4, ...: from which layer upwards an encoder is trained.
NONE, FC, ALL = "none", "fc", "all"
# How accuracy is measured: of clips, from their windows T/2 apart joined by naive Bayes (ICLR
# section 4, patent paragraph 67); or of slices at random positions (SPL section IV).
CLIPS, SLICES = JUDGES = ("clips", "slices")
# Which weights count: after the last step, as in both papers, or after the best round by
# validation.
LAST, BEST = SELECTIONS = ("last", "best")
SLICES_A_CLIP = 8  # drawn of each clip; about as many as the windows T/2 apart of 5 s
CACHE = "embeddings"  # folder in the model directory that keeps embeddings
# Tasks that reconstruct: their inputs and their predictions, as `Crops` calls them.
RECONSTRUCTING = types.MappingProxyType(
    {
        "cbow": ("surrounding", "middle"),
        "skip_gram": ("middle", "surrounding"),
        "autoencoder": ("middle", "middle"),
    }
)


def begins(kind: str, middle: int, slicing: Slicing) -> list[int]:
    """The frames where slices of a kind begin, if the middle slice begins at `middle`.

    Args:
      kind: "middle" or "surrounding".
      middle: frame.
      slicing: N, P and G.
    """
    if kind == "middle":
        return [middle]
    return [middle + p * slicing.stride for p in slicing.sides]


class Few(NamedTuple):
    """How many training clips may be used; both None for all.

    SPL writes of "1000 training examples" and of "1k examples per class" (sections IV and V).

    Attributes:
      per_class: clips of each class.
      total: clips of all classes together.
    """

    per_class: int | None = None
    total: int | None = None

    def __bool__(self) -> bool:
        return self != (None, None)


ALL_CLIPS = Few()


class Draws(NamedTuple):
    """Slices at positions that are drawn uniformly at random (ICLR section 4, SPL section IV).

    Attributes:
      splits: of whose clips.
      per_clip: of each clip; fewer of a clip with fewer windows T/2 apart.
      seed: of the positions.
    """

    splits: Collection[str]
    per_clip: int
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class HeadSettings:
    """How heads are trained with Adam, and how they judge clips.

    Attributes:
      steps: of 256 slices each; SPL section IV: 100,000.
      learning_rate: Adam's; SPL section IV: 1e-4, ICLR section 4: 1e-3.
      hidden: ReLU units of the two-layer head's hidden layer; ICLR Table 5 does not give a number.
      smoothing: added to the probabilities of trained heads before naive Bayes; the papers do not
        speak of any.
    """

    steps: int = 10_000
    learning_rate: float = 1e-4
    hidden: int = 128
    smoothing: float = 0.0


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """How an encoder is trained on labels.

    Attributes:
      steps: for each data set, rounded up to whole rounds; SPL section IV: 100,000.
      learning_rate: Adam's; 1e-4 in SPL section IV, 1e-3 in ICLR section 4 for "all the supervised
        models".
      batch_size: crops per step; the papers give 256 for training, and none for fine-tuning.
      rounds: after each, accuracy on val clips is measured, where there are any.
    """

    steps: int = 1_000
    learning_rate: float = 1e-4
    batch_size: int = 256
    rounds: int = 5


@dataclasses.dataclass(frozen=True)
class Settings:
    """What all models and tasks of an evaluation have in common.

    Attributes:
      protocols: some of `PROTOCOLS`.
      frames: N, frames of a window.
      replicas: seeds to average over where there is randomness: 5 in ICLR section 4, 4 in SPL.
      seed: the first seed.
      few: limits of the training clips, evaluated one after another. SPL section IV: none, and
        1,000.
      train_slices: slices at random positions of each training clip, at most, that heads and
        nearest neighbours learn from (ICLR section 4); heads weigh clips alike, whatever their
        lengths are. 0 for all windows T/2 apart instead, so that long clips weigh more.
      judge: one of `JUDGES`.
      select: one of `SELECTIONS`: for the encoder and for fine-tuning.
      max_bad_fraction: fraction of a task's clips that may be unreadable.
      heads: how heads are trained with Adam.
      split: which clips accuracy is measured on: "test"; or "val", to choose between models. Then
        nothing is tuned on val clips, and test clips are not used at all.
    """

    protocols: Sequence[str] = ("linear", "knn")
    frames: int = 96
    replicas: int = 1
    seed: int = 0
    few: Sequence[Few] = (ALL_CLIPS,)
    train_slices: int = SLICES_A_CLIP
    judge: str = CLIPS
    select: str = BEST
    max_bad_fraction: float = MAX_BAD_FRACTION
    heads: HeadSettings = dataclasses.field(default_factory=HeadSettings)
    split: str = "test"

    def cuts(self, *splits: str) -> tuple[list[str], Draws]:
        """The splits whose windows T/2 apart are needed, and the slices to draw; of `splits`."""
        drawn, grid = set(), set(splits)
        if self.train_slices:
            drawn |= {"train"} & grid
            grid -= {"train"}
        judged = grid & {"val", "test"}
        if self.judge == SLICES:
            drawn |= judged
            grid -= judged
        elif "knn" in self.protocols and self.train_slices:
            drawn |= judged  # patent paragraph 73 draws its samples for evaluation, too
        return sorted(grid), Draws(sorted(drawn), self.train_slices or SLICES_A_CLIP, self.seed)


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """What `a2v_evaluate` does.

    Attributes:
      model_dir: model directory, or one of `pretrained.names`; several, separated by commas, have
        their embeddings side by side.
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
      save_heads: directory that keeps the model's trained heads; None keeps none.
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
    save_heads: str | None = None
