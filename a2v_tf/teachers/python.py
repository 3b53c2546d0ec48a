"""A function of your own as a teacher: `python:MODULE:FUNCTION`.

It takes PCM float32 `[n, 15600]` in [-1, 1] at 16 kHz and returns `[n, D]`. It is called by one
thread at a time. Outputs in a cache are recomputed when the file of its module changes; whatever
else they depend on, such as the version of its weights, can be given as an attribute:

```python
def whale_calls(pcm): ...

whale_calls.version = "weights of 2026-11-01"
```
"""

import inspect
import pathlib
import threading

import numpy as np

from a2v_tf.audio.read import SLICE_SAMPLES
from a2v_tf.errors import A2vError
from a2v_tf.plugins import load_object, where
from a2v_tf.teachers.base import Teacher, fingerprint

REVISION = 1  # increase it with every change of the outputs


def load(reference: str) -> Teacher:
    """The teacher `python:MODULE:FUNCTION`.

    Args:
      reference: `MODULE:FUNCTION`, importable.

    Raises:
      A2vError: there is no such function, or it does not return `[n, D]`.
    """
    name = f"python:{reference}"
    function = load_object(reference, "python")
    if not callable(function):
        raise A2vError(
            f"teacher {name}: is a {type(function).__name__}: expected a function from PCM "
            f"[n, {SLICE_SAMPLES}] to [n, D]"
        )
    one_at_a_time = threading.Lock()

    def compute(pcm: np.ndarray) -> np.ndarray:
        try:
            with one_at_a_time:
                return np.asarray(function(pcm))
        except Exception as error:  # the function's own mistake
            raise A2vError(f"teacher {name}: raised {where(error)}") from error

    tried = compute(np.random.default_rng(0).uniform(-0.1, 0.1, (2, SLICE_SAMPLES)).astype("f4"))
    if tried.ndim != 2 or len(tried) != 2 or not tried.shape[1]:
        raise A2vError(
            f"teacher {name}: gave the shape {tried.shape} for PCM [2, {SLICE_SAMPLES}]: expected "
            "[2, D]"
        )
    file = inspect.getsourcefile(inspect.getmodule(function) or function)
    key = fingerprint(
        *("python", REVISION, reference, getattr(function, "version", "")),
        files=[pathlib.Path(file)] if file else [],
    )
    return Teacher(name, tried.shape[1], compute, "unknown", file or reference, key)
