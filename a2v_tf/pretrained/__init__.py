"""The encoder that comes with this package: the model name `pretrained`.

```python
embedder = a2v_tf.load("pretrained")  # int8, streaming: an embedding every 80 ms
encoder = a2v_tf.load_encoder("pretrained")  # Keras: log-mel [batch, 96, 64] -> [batch, 128]
```

Where TFLite files run, `pretrained` is the int8 file (`a2v_embed`: of windows, or of a stream with
--stream). Where a model directory is expected, it is the Keras encoder. `card.md` describes its
training and its quality. A directory of the same name is `./pretrained`.
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
    """The path of a model given by path or by name.

    Args:
      model: a path, which is returned, or `pretrained`.
      file: file of the pretrained encoder: `STREAMING` or `WINDOW`; None for its directory.

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
    """Whether a directory is that of the pretrained encoder, which is read-only."""
    return pathlib.Path(directory).resolve() == _DIRECTORY.resolve()
