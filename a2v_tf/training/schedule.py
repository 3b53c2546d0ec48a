"""Learning rates over the steps of a run, for `--schedule`."""

import keras
from keras.optimizers import schedules

from a2v_tf.training.settings import TrainSettings


def learning_rate(settings: TrainSettings) -> float | schedules.LearningRateSchedule | None:
    """What `--schedule` makes of `--learning_rate`."""
    peak = settings.learning_rate
    if settings.schedule == "constant":
        return peak
    if settings.schedule == "trapezoid":
        return Trapezoid(peak, settings.warmup_steps, settings.decay_start, settings.steps)
    warm_up = max(1, settings.steps // 50)
    return schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=max(1, settings.steps - warm_up),
        warmup_target=peak,
        warmup_steps=warm_up,
    )


@keras.saving.register_keras_serializable("a2v_tf")
class Trapezoid(schedules.LearningRateSchedule):
    """A linear warm-up, then a constant rate, then a linear decay to 0.

    While the rate is constant a run can go on for any time; a short decay gains what a decay over
    the whole run would (Hägele et al., NeurIPS 2024, who call it warm-up, stable, decay).

    Args:
      peak: the constant rate.
      warmup_steps: of the warm-up; 0 for none.
      decay_start: the first step with a lower rate.
      steps: of the whole run, after which the rate is 0.
    """

    def __init__(self, peak: float | None, warmup_steps: int, decay_start: int, steps: int) -> None:
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.decay_start = decay_start
        self.steps = steps

    def __call__(self, step: keras.KerasTensor) -> keras.KerasTensor:
        """The rate of a step, which is counted from 0."""
        ops = keras.ops
        step = ops.cast(step, "float32")
        rising = (step + 1.0) / max(1, self.warmup_steps)
        falling = (self.steps - step) / max(1, self.steps - self.decay_start)
        return self.peak * ops.clip(ops.minimum(rising, falling), 0.0, 1.0)

    def get_config(self) -> dict:
        """The arguments, for saving."""
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "decay_start": self.decay_start,
            "steps": self.steps,
        }
