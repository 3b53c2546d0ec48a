"""The encoders that come with this package, by name: `pretrained` and those beside it.

```python
embedder = a2v_tf.load("pretrained")  # int8, streaming: an embedding every 80 ms
encoder = a2v_tf.load_encoder("pretrained")  # Keras: log-mel [batch, 96, 64] -> [batch, 256]
```

Where TFLite files run, a name is the int8 file (`a2v_embed`: of windows, or of a stream with
--stream). Where a model directory is expected, it is the Keras encoder. The files of `pretrained`
are beside this module, those of another encoder in the folder of its name; `card.md` describes its
training and its quality. A directory of the same name is `./pretrained`.
"""

import pathlib

from a2v_tf.errors import A2vError

NAME = "pretrained"  # all names begin with it
CONFIG = "config.json"
STREAMING = "streaming.tflite"
WINDOW = "window.tflite"
CARD = "card.md"
SUMS = "SHA256SUMS"
GOLDEN = "golden.npz"

_ROOT = pathlib.Path(__file__).parent


def names() -> list[str]:
    """The encoders of this installation, `pretrained` first."""
    others = sorted(path.parent.name for path in _ROOT.glob(f"{NAME}_*/{CONFIG}"))
    return [NAME, *others]


def in_words() -> str:
    """The names as help texts and messages list them: "'pretrained' or 'pretrained_large'"."""
    return " or ".join(map(repr, names()))


def folder(name: str) -> pathlib.Path:
    """Where the files of an encoder are, or will be once it is packed."""
    return _ROOT if name == NAME else _ROOT / name


def resolve(model: pathlib.Path | str, file: str | None = None) -> pathlib.Path:
    """The path of a model given by path or by name.

    Args:
      model: a path, which is returned, or one of `names`.
      file: file of the packaged encoder: `STREAMING` or `WINDOW`; None for its directory.

    Raises:
      A2vError: this installation does not have that encoder.
    """
    name = str(model)
    if name not in names():
        path = pathlib.Path(model)
        if name.startswith(NAME) and path.name == name and not path.suffix and not path.exists():
            raise A2vError(
                f"no encoder {name!r} comes with a2v_tf: expected {in_words()}, or a path"
            )
        return path
    path = folder(name) / (file or CONFIG)
    if not path.is_file():
        raise A2vError(f"this installation of a2v_tf has no {name} {path.name}: expected {path}")
    return path if file else folder(name)


def is_packaged(directory: pathlib.Path | str) -> bool:
    """Whether a directory is that of an encoder of this package, which is read-only."""
    return pathlib.Path(directory).resolve() in {folder(name).resolve() for name in names()}
