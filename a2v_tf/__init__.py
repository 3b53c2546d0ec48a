"""Self-supervised audio embeddings for mobile devices, in TensorFlow and Keras.

```python
import a2v_tf

embedder = a2v_tf.load("pretrained")  # int8, an embedding every 80 ms; needs no TensorFlow
embeddings = embedder.stream(a2v_tf.read_audio("song.flac"))  # a list of float32 [128]

encoder = a2v_tf.load_encoder("pretrained")  # a Keras model; this line and the next need TensorFlow
embeddings = encoder(a2v_tf.log_mel(windows))  # [batch, 15600] -> [batch, 128]
```

The names below are imported when they are first used.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from a2v_tf.audio.read import read_audio
    from a2v_tf.errors import A2vError
    from a2v_tf.frontend import log_mel
    from a2v_tf.runtime.classifier import Classifier
    from a2v_tf.runtime.embedder import Embedder, load
    from a2v_tf.training.model_dir import load_encoder

__version__ = "0.1.0"
__all__ = ["A2vError", "Classifier", "Embedder", "load", "load_encoder", "log_mel", "read_audio"]

_MODULES = {
    "A2vError": "a2v_tf.errors",
    "Classifier": "a2v_tf.runtime.classifier",
    "Embedder": "a2v_tf.runtime.embedder",
    "load": "a2v_tf.runtime.embedder",
    "load_encoder": "a2v_tf.training.model_dir",
    "log_mel": "a2v_tf.frontend",
    "read_audio": "a2v_tf.audio.read",
}

# TensorFlow's C++ code logs about CPU instructions in every process; errors stay visible.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(_MODULES[name])
    except ModuleNotFoundError as error:
        if error.name not in ("tensorflow", "keras"):
            raise
        message = f"a2v_tf.{name} needs TensorFlow: pip install 'a2v_tf[cpu]' (or [gpu], [tf])"
        raise ModuleNotFoundError(message, name=error.name) from error
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
