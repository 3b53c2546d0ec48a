"""What distillation trains on: cached slices, and the principal components of teachers' outputs.

The projections to principal components are fitted once, to slices that are trained on, and kept in
the model directory: a resumed run has the same targets, also if the corpus has grown.
"""

import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf

from a2v_tf.data import sampling
from a2v_tf.data.log_mel_cache import CachedLogMel
from a2v_tf.data.sampling import Share
from a2v_tf.data.sources import Source
from a2v_tf.errors import A2vError
from a2v_tf.files import read_npz, whole_file
from a2v_tf.specs import InputStats
from a2v_tf.tasks.distill import task_name
from a2v_tf.training.batches import Draw
from a2v_tf.training.settings import TrainSettings
from a2v_tf.training.strategy import Strategy

if TYPE_CHECKING:
    from a2v_tf.teachers.cache import Rows, TeacherCache

PROJECTIONS = "teachers.npz"
_POWER = 0.5  # of its standard deviation, by which a component is divided
_FIT_SLICES = 20_000  # for the principal components
_STATS_SLICES = 4_096  # for mean and variance of the input
_ROWS_AT_ONCE = 8_192
_IN_MEMORY = 4 << 30  # bytes of log-mel: 90 hours


class Projection(NamedTuple):
    """From a teacher's outputs to the components that are learned: `(outputs - mean) @ matrix`.

    Attributes:
      mean: float32 `[D]`.
      matrix: float32 `[D, components]`.
    """

    mean: np.ndarray
    matrix: np.ndarray

    def __call__(self, outputs: np.ndarray) -> np.ndarray:
        """Project outputs `[n, D]` to float32 `[n, components]`."""
        return (outputs.astype(np.float32) - self.mean) @ self.matrix


def fit_projection(outputs: np.ndarray, components: int) -> Projection:
    """Fit the principal components of outputs `[n, D]`: at most `components`, at most D.

    Each is divided by its standard deviation to the power `_POWER`; together they have a mean
    square of 1.
    """
    from sklearn.decomposition import PCA

    kept = min(components, outputs.shape[1])
    pca = PCA(kept, svd_solver="covariance_eigh").fit(outputs.astype(np.float64))
    variance = np.maximum(pca.explained_variance_, 1e-12)
    scale = variance ** (-_POWER / 2)
    scale /= np.sqrt(np.mean(variance * scale**2))
    matrix = pca.components_.T * scale
    return Projection(pca.mean_.astype(np.float32), matrix.astype(np.float32))


class Around(NamedTuple):
    """Longer crops around slices, for tasks that learn beside distill.

    Attributes:
      corpus: log-mel of whole clips.
      frames: of a crop.
      before: of these, before the slice.
    """

    corpus: CachedLogMel
    frames: int
    before: int


class Lead(NamedTuple):
    """Frames before slices, for `InStream`; digital silence before the beginning of a clip.

    Attributes:
      corpus: log-mel of whole clips.
      frames: L, before each slice.
    """

    corpus: CachedLogMel
    frames: int

    def read(self, clip: int, start: int) -> np.ndarray:
        """The frames before frame `start` of a clip, float16 `[L, F]`."""
        known = min(self.frames, start)
        read = self.corpus.read(clip, start - known, known)
        missing = ((self.frames - known, 0), (0, 0))
        return np.pad(read, missing, constant_values=self.corpus.silence)


@dataclasses.dataclass(frozen=True)
class TaughtSlices:
    """Slices of a corpus, and their targets.

    Attributes:
      log_mel: float16 `[n, N, F]`, in memory or on disk.
      clip: int32 `[n]`.
      start: first frame of each slice in its clip, int32 `[n]`.
      targets: by a teacher's task, float16 `[n, components]`.
      trained: int64, the rows to train on.
      held_out: int64, the rows of held-out clips.
    """

    log_mel: "Rows | np.ndarray"
    clip: np.ndarray
    start: np.ndarray
    targets: Mapping[str, np.ndarray]
    trained: np.ndarray
    held_out: np.ndarray

    @property
    def components(self) -> dict[str, int]:
        """Numbers to predict, by a teacher's task."""
        return {name: target.shape[1] for name, target in self.targets.items()}

    def stats(self, seed: int) -> InputStats:
        """Mean and variance of the log-mel values that are trained on."""
        values = self.log_mel[_some(self.trained, _STATS_SLICES, seed)].astype(np.float64)
        return InputStats(float(values.mean()), float(max(values.var(), 1e-6)))

    def draw(
        self,
        rows: np.ndarray,
        *,
        batch_size: int,
        seed: int,
        around: "Around | None" = None,
        lead: "Lead | None" = None,
    ) -> Draw:
        """Endless batches of these rows, in epochs of random order.

        Args:
          rows: of the slices.
          batch_size: rows in a batch, of all workers.
          seed: of the order.
          around: makes crops with the slices in their middle; None for the slices themselves.
          lead: makes crops that end with the slices; not together with `around`.

        Raises:
          A2vError: no slice has enough frames around it.
        """
        frames = self.log_mel.shape[1]
        if around:
            first = self.start - around.before
            fits = (first >= 0) & (first + around.frames <= around.corpus.clip_frames()[self.clip])
            rows = rows[fits[rows]]
            frames = around.frames
        if not len(rows):
            raise A2vError(
                f"no slice has {frames} frames of its clip around it, a crop for all --heads: "
                "expected longer clips, or smaller --context or --max_frames"
            )

        if lead:
            frames += lead.frames

        def log_mel_of(chosen: np.ndarray) -> np.ndarray:
            if lead:
                places = zip(self.clip[chosen], self.start[chosen], strict=True)
                before = np.stack([lead.read(*place) for place in places])
                return np.concatenate([before, self.log_mel[chosen]], axis=1)
            if not around:
                return self.log_mel[chosen]
            places = zip(self.clip[chosen], first[chosen], strict=True)
            return np.stack([around.corpus.read(*place, frames) for place in places])

        def epoch(key: tf.Tensor) -> tf.data.Dataset:
            order = tf.random.experimental.stateless_shuffle(tf.constant(rows), key)
            return tf.data.Dataset.from_tensor_slices(order)

        def read(chosen: np.ndarray) -> tuple[np.ndarray, ...]:
            taught = (target[chosen] for target in self.targets.values())
            return log_mel_of(chosen), self.clip[chosen], *taught

        def batch(chosen: tf.Tensor) -> tuple:
            types = [tf.float16, tf.int32, *[tf.float16] * len(self.targets)]
            log_mel, clip, *taught = tf.numpy_function(read, [chosen], types, stateful=False)
            log_mel.set_shape([chosen.shape[0], frames, self.log_mel.shape[2]])
            clip.set_shape(chosen.shape)
            for values, target in zip(taught, self.targets.values(), strict=True):
                values.set_shape([chosen.shape[0], target.shape[1]])
            targets = [tf.cast(values, tf.float32) for values in taught]
            named = dict(zip(self.targets, targets, strict=True))
            return tf.cast(log_mel, tf.float32), tf.cast(clip, tf.int64), {"taught": named}

        def one_round(index: int | tf.Tensor, share: Share) -> tf.data.Dataset:
            drawn = sampling.forever(lambda n: epoch(sampling.key(seed, index, n)))
            batches = drawn.batch(batch_size, drop_remainder=True).map(share.rows)
            return batches.map(batch, num_parallel_calls=tf.data.AUTOTUNE)

        return one_round


def open_taught(
    settings: TrainSettings,
    strategy: Strategy,
    source: Source,
    directory: pathlib.Path,
    *,
    resumed: bool,
) -> TaughtSlices:
    """Run the teachers over a source, unless their outputs are cached, and project the outputs.

    Args:
      settings: of the run.
      strategy: the first worker alone runs the teachers.
      source: the corpus.
      directory: of caches.
      resumed: whether to use the projections that the run began with.

    Raises:
      A2vError: a teacher cannot be used, or too few slices can.
    """
    from a2v_tf.teachers import find_teacher
    from a2v_tf.teachers.cache import fill

    # By the names given, of which the tasks are named too.
    names = settings.teachers or ()
    teachers = [dataclasses.replace(find_teacher(name), name=name) for name in names]
    path = pathlib.Path(settings.model_dir) / PROJECTIONS

    def prepare() -> "TeacherCache":
        cache = fill(source, teachers, directory)  # type: ignore[arg-type]  # it checks the source
        check_cache(cache, settings)
        if strategy.is_chief and not resumed:
            fit_projections(cache, names, settings.components, settings.seed, path)
        return cache

    return taught_slices(strategy.chief_first(prepare), path)


def check_cache(cache: "TeacherCache", settings: TrainSettings) -> None:
    """Raise `A2vError` unless there are slices enough to learn from, and to validate on."""
    frames = cache.log_mel().shape[1]
    if frames != settings.frames:
        raise A2vError(
            f"--frames={settings.frames}: expected {frames}, the frames of the slices that "
            "teachers take"
        )
    clips = f"--data={settings.data}: of the {len(cache.held)} clips"
    held = cache.held[cache.clip]
    if held.all():
        raise A2vError(f"{clips} all are held out for validation: expected more clips")
    if not held.any():
        raise A2vError(f"{clips} none is held out for validation: expected more clips")
    trained = int((~held).sum())
    if trained < settings.components:
        raise A2vError(
            f"--components={settings.components}: expected at most {trained}, the slices of "
            f"--data={settings.data} that are trained on"
        )


def fit_projections(
    cache: "TeacherCache", teachers: Sequence[str], components: int, seed: int, path: pathlib.Path
) -> None:
    """Fit the projections of all teachers to slices that are trained on, and save them.

    Raises:
      A2vError: a teacher's outputs are not finite, or always the same.
    """
    rows = _some(np.flatnonzero(~cache.held[cache.clip]), _FIT_SLICES, seed)
    arrays: dict[str, Any] = {}
    for teacher in teachers:
        outputs = cache.outputs(teacher)[rows].astype(np.float32)
        _check_finite(teacher, outputs)
        if not outputs.std(axis=0).any():
            raise A2vError(f"--teachers={teacher}: its outputs are the same for all slices")
        projection = fit_projection(outputs, components)
        arrays[f"{task_name(teacher)}/mean"] = projection.mean
        arrays[f"{task_name(teacher)}/matrix"] = projection.matrix
    with whole_file(path) as partial:
        np.savez(partial, **arrays)


def taught_slices(cache: "TeacherCache", path: pathlib.Path) -> TaughtSlices:
    """Project the cached outputs as `fit_projections` saved it to `path`.

    Raises:
      A2vError: the projections do not fit the teachers, or outputs are not finite.
    """
    projections = _load_projections(path, list(cache.teachers))
    targets = {}
    for teacher, projection in projections.items():
        outputs, parts = cache.outputs(teacher), []
        if outputs.shape[1] != len(projection.mean):
            raise A2vError(
                f"--teachers={teacher} gives {outputs.shape[1]} numbers: expected "
                f"{len(projection.mean)}, as when {path} was written"
            )
        for start in range(0, len(outputs), _ROWS_AT_ONCE):
            projected = projection(outputs[start : start + _ROWS_AT_ONCE])
            _check_finite(teacher, projected)
            parts.append(projected.astype(np.float16))
        targets[task_name(teacher)] = np.concatenate(parts)
    held = cache.held[cache.clip]
    return TaughtSlices(
        log_mel=_in_memory(cache.log_mel()),
        clip=cache.clip,
        start=cache.start,
        targets=targets,
        trained=np.flatnonzero(~held),
        held_out=np.flatnonzero(held),
    )


def _load_projections(path: pathlib.Path, teachers: Sequence[str]) -> dict[str, Projection]:
    try:
        file = read_npz(path)
        return {
            teacher: Projection(
                *(file[f"{task_name(teacher)}/{field}"] for field in Projection._fields)
            )
            for teacher in teachers
        }
    except (A2vError, KeyError) as error:
        raise A2vError(
            f"cannot read {path}, the teachers' principal components: {error}; expected the file "
            "that the run began with"
        ) from error


def _in_memory(rows: "Rows") -> "Rows | np.ndarray":
    """The rows as an array in memory, unless they are too many."""
    size = math.prod(rows.shape) * rows.dtype.itemsize
    return np.asarray(rows) if size <= _IN_MEMORY else rows


def _check_finite(teacher: str, values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise A2vError(f"--teachers={teacher}: expected finite outputs, not NaN or infinity")


def _some(rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    """At most `count` of the rows, at random, in order."""
    chosen = np.random.default_rng(seed).permutation(len(rows))[:count]
    return rows[np.sort(chosen)]
