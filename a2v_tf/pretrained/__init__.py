"""The encoder that comes with this package: `pretrained`, wherever a model is asked for.

```python
from a2v_tf.training.model_dir import load_encoder
from a2v_tf.runtime.embedder import Embedder

encoder = load_encoder("pretrained")  # Keras: log-mel [batch, 96, 64] -> embedding [batch, 128]
embedder = Embedder("pretrained")  # int8, streaming: an embedding every 80 ms
```

`card.md` says what it learned from, how, and how good it is. A directory of the same name is
`./pretrained`.
"""

import pathlib

from a2v_tf.errors import A2vError

NAME = "pretrained"
STREAMING = "streaming.tflite"
WINDOW = "window.tflite"
CARD = "card.md"
SUMS = "SHA256SUMS"
GOLDEN = "golden.npz"

_DIRECTORY = pathlib.Path(__file__).parent


def resolve(model: pathlib.Path | str, file: str | None = None) -> pathlib.Path:
    """The path that a model's name stands for.

    Args:
      model: a path, which is given back; or `pretrained`.
      file: what of the pretrained encoder is wanted: `STREAMING` or `WINDOW`, its exported files;
        None for the directory itself.

    Raises:
      A2vError: this installation does not have the pretrained encoder.
    """
    if str(model) != NAME:
        return pathlib.Path(model)
    path = _DIRECTORY / (file or "config.json")
    if not path.is_file():
        raise A2vError(
            f"this installation of a2v_tf has no pretrained {path.name}: expected {path}"
        )
    return path if file else _DIRECTORY


def is_packaged(directory: pathlib.Path | str) -> bool:
    """Whether a directory is that of the pretrained encoder, where nothing may be written."""
    return pathlib.Path(directory).resolve() == _DIRECTORY.resolve()
