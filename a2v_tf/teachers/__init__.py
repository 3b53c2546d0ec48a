"""Teachers: frozen models whose outputs an encoder learns to predict, one module each.

```python
teacher = find_teacher("whisper_tiny")
outputs = teacher.embed(slices)  # float32 [n, 15600] at 16 kHz -> float32 [n, 768]
```

docs/teachers.md compares them. `a2v_tf.teachers.cache` runs them once over a corpus.
"""

import importlib
import pathlib

from a2v_tf.errors import A2vError, require
from a2v_tf.teachers.base import Teacher

__all__ = ["TEACHERS", "Teacher", "find_teacher"]

TEACHERS = (
    "log_mel_statistics",
    "whisper_tiny",
    "aisfx",
    "resemblyzer",
    "crepe_tiny",
)
_EXPECTED = f"expected one of {', '.join(TEACHERS)}, whisper_tiny:LAYER or whisper:DIR[:LAYER]"


def find_teacher(name: str) -> Teacher:
    """Open a teacher; its weights are fetched when it is used for the first time.

    Args:
      name: one of `TEACHERS`; `whisper_tiny:LAYER`, a layer of the encoder from 1 on; or
        `whisper:DIR[:LAYER]`, a Whisper model in CTranslate2's format.

    Raises:
      A2vError: there is no such teacher, or a package or file that it needs is missing.
    """
    kind, _, rest = name.partition(":")
    if kind == "whisper_tiny":
        require("ctranslate2", f"teacher {name}")
        from a2v_tf.teachers import whisper

        return whisper.load_tiny(_layer(name, rest) if ":" in name else None)
    if kind == "whisper" and rest:
        require("ctranslate2", f"teacher {name}")
        from a2v_tf.teachers import whisper

        directory, colon, layer = rest.rpartition(":")
        if colon and layer.isdecimal():
            return whisper.load(pathlib.Path(directory), _layer(name, layer))
        return whisper.load(pathlib.Path(rest))
    if name in TEACHERS:
        return importlib.import_module(f"a2v_tf.teachers.{name}").load()
    raise A2vError(f"no teacher {name!r}: {_EXPECTED}")


def _layer(name: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise A2vError(f"teacher {name}: layer {text!r}: expected a whole number from 1 on")
    return int(text)
