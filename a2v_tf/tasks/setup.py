"""What the heads of all tasks are built from."""

import dataclasses

from a2v_tf.specs import EncoderConfig, InputStats, Slicing


@dataclasses.dataclass(frozen=True)
class Setup:
    """Sizes and choices of a model.

    Attributes:
      config: the encoder.
      slicing: N, P, G and N_max.
      bins: F, mel bins.
      stats: of the training data's log-mel values.
      variant: of the autoencoder: plain, denoising or variational.
      noise: what denoising adds, in standard deviations of the log-mel values.
      margin: of the triplet loss, a squared distance on the unit sphere.
      temperature: that divides the cosines of the contrastive loss.
      decorrelation: beside it, the weight of what the embedding's dimensions have in common.
      mix: the fraction of slices that are heard with another sound behind them while training.
      slice_gain_db: how much louder or softer each slice is heard while training, at most.
    """

    config: EncoderConfig
    slicing: Slicing
    bins: int
    stats: InputStats
    variant: str = "plain"
    noise: float = 0.5
    margin: float = 0.1
    temperature: float = 0.1
    decorrelation: float = 0.0
    mix: float = 0.0
    slice_gain_db: float = 0.0
