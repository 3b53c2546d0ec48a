"""Teachers: frozen models whose outputs an encoder learns to predict, one module each.

```python
teacher = find_teacher("whisper_tiny")
outputs = teacher.embed(slices)  # float32 [n, 15600] at 16 kHz -> float32 [n, 768]
```

docs/teachers.md compares them. `a2v_tf.teachers.cache` runs them once over a corpus.
"""

import importlib
import pathlib
from typing import Any

from a2v_tf.errors import A2vError, require
from a2v_tf.teachers.base import Teacher

__all__ = ["OWN", "TEACHERS", "Teacher", "find_teacher"]

TEACHERS = (
    "log_mel_statistics",
    "whisper_tiny",
    "aisfx",
    "resemblyzer",
    "crepe_tiny",
    "musicnn",
    "speech_embedding",
)
# Of your own: what stands before the colon, and what after it.
OWN = {
    "whisper": "DIR[:LAYER]",
    "model": "DIR",
    "tflite": "FILE",
    "python": "MODULE:FUNCTION",
}


def find_teacher(name: str) -> Teacher:
    """Open a teacher; its weights are fetched when it is used for the first time.

    Args:
      name: one of `TEACHERS`; `whisper_tiny:LAYER`, a layer of the encoder from 1 on;
        `whisper:DIR[:LAYER]`, a Whisper model in CTranslate2's format; `model:DIR`, a model
        directory of `a2v_train` or `pretrained`; `tflite:FILE`, from PCM `[1, 15600]` to a vector;
        or `python:MODULE:FUNCTION`, from PCM `[n, 15600]` to `[n, D]`.

    Raises:
      A2vError: there is no such teacher, or a package or file that it needs is missing.
    """
    kind, colon, rest = name.partition(":")
    if kind == "whisper_tiny":
        return _whisper(name).load_tiny(_layer(name, rest) if colon else None)
    if name in TEACHERS:
        return _module(name).load()
    if kind not in OWN or not rest:
        own = ", ".join(f"{kind}:{rest}" for kind, rest in OWN.items())
        raise A2vError(
            f"no teacher {name!r}: expected one of {', '.join(TEACHERS)}, whisper_tiny:LAYER, {own}"
        )
    if kind != "whisper":
        return _module(kind).load(rest)
    directory, colon, layer = rest.rpartition(":")
    if colon and layer.isdecimal():
        return _whisper(name).load(pathlib.Path(directory), _layer(name, layer))
    return _whisper(name).load(pathlib.Path(rest))


def _module(name: str) -> Any:
    return importlib.import_module(f"a2v_tf.teachers.{name}")


def _whisper(name: str) -> Any:
    require("ctranslate2", f"teacher {name}")
    return _module("whisper")


def _layer(name: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise A2vError(f"teacher {name}: layer {text!r}: expected a whole number from 1 on")
    return int(text)
