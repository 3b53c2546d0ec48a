"""What a teacher is: a frozen model from sound to numbers, which an encoder learns to predict."""

import dataclasses
import hashlib
import pathlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np

from a2v_tf.audio.read import SLICE_SAMPLES
from a2v_tf.errors import A2vError

_T = TypeVar("_T")

LARGEST = float(np.finfo(np.float16).max)  # outputs are stored in half precision


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A frozen model.

    Attributes:
      name: as flags and tables call it.
      dim: D, numbers of an output.
      compute: from PCM float32 `[n, 15600]` in [-1, 1] at 16 kHz to `[n, D]`. Several threads may
        call it at the same time. Call `embed` instead, which checks its results.
      licence: of its weights, by SPDX identifier; "unknown" for those that users bring.
      source: where it comes from: package and version, or a path.
      fingerprint: changes with everything that changes its outputs; caches are keyed by it.
    """

    name: str
    dim: int
    compute: Callable[[np.ndarray], np.ndarray] = dataclasses.field(repr=False)
    licence: str
    source: str
    fingerprint: str

    def embed(self, pcm: np.ndarray) -> np.ndarray:
        """The outputs for slices.

        Args:
          pcm: float32 `[n, 15600]` in [-1, 1], 16 kHz.

        Returns:
          float32 `[n, D]`.

        Raises:
          A2vError: the teacher gave another shape, or numbers that half precision cannot hold.
        """
        if pcm.ndim != 2 or pcm.shape[1] != SLICE_SAMPLES:
            raise A2vError(
                f"PCM has the shape {pcm.shape}: expected [slices, {SLICE_SAMPLES}] for teachers"
            )
        if not len(pcm):
            return np.zeros((0, self.dim), np.float32)
        outputs = np.asarray(self.compute(pcm))
        if outputs.shape != (len(pcm), self.dim) or outputs.dtype.kind not in "fiu":
            raise A2vError(
                f"teacher {self.name}: gave {outputs.dtype} of shape {outputs.shape} for "
                f"{len(pcm)} slices: expected numbers of shape {(len(pcm), self.dim)}"
            )
        # Not `> LARGEST`, which is false for NaN.
        if not (np.abs(outputs) <= LARGEST).all():
            worst = outputs.flat[np.argmin(np.abs(outputs) <= LARGEST)]
            raise A2vError(
                f"teacher {self.name}: gave {worst:g}: expected finite numbers of at most "
                f"{LARGEST:g}, as they are stored in half precision"
            )
        return outputs.astype(np.float32, copy=False)


def fingerprint(*parts: object, files: Iterable[pathlib.Path] = ()) -> str:
    """A fingerprint of anything that `str` describes fully, and of the content of files."""
    digest = hashlib.sha256(repr([str(part) for part in parts]).encode())
    for path in files:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def in_batches(values: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Consecutive parts of `values` with at most `size` rows."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def in_each_thread(make: Callable[[], _T]) -> Callable[[], _T]:
    """A function that gives each thread an object of its own, made when it first asks."""
    store = threading.local()

    def get() -> _T:
        if not hasattr(store, "made"):
            store.made = make()
        return store.made

    return get
