"""Read the tensors of a file written by `torch.save`, without PyTorch and without running its code.

Both layouts are known: the zip archive of PyTorch 1.6 and later, and the row of pickles before it.
Of the pickles only tensors, containers and plain values are made, NumPy's scalars become None, and
a file that names anything else is refused: nothing that it names is ever imported or called.
"""

import collections
import io
import pathlib
import pickle
import zipfile
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from a2v_tf.errors import A2vError

_STORAGES = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ByteStorage": np.uint8,
}
# What a pickled NumPy scalar is made of.
_SCALARS = {("numpy.core.multiarray", "scalar"), ("numpy", "dtype"), ("_codecs", "encode")}
_MAGIC = 0x1950A86A20F9469CFC6C


class _Storage(NamedTuple):
    values: np.ndarray


# From the description of a storage, a tuple, to the storage.
_FindStorage = Callable[[tuple], _Storage]


class _Nothing:
    """Takes the place of a NumPy scalar."""

    def __init__(self, *args: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def read_tensors(path: pathlib.Path) -> Any:
    """What was saved, with NumPy arrays in place of tensors.

    Raises:
      A2vError: it is no such file, or holds anything but tensors, containers and plain values.
    """
    try:
        return _read_zip(path) if zipfile.is_zipfile(path) else _read_legacy(path)
    except OSError as error:
        raise A2vError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    except Exception as error:  # whatever a damaged pickle leads to
        raise A2vError(
            f"{str(path)!r} is not a file of tensors that torch.save wrote: "
            f"{type(error).__name__}: {error}"
        ) from error


def _read_zip(path: pathlib.Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        (pickled,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        root = pickled.removesuffix("data.pkl")

        def storage(pid: tuple) -> _Storage:
            _, kind, key = pid[:3]
            return _Storage(np.frombuffer(archive.read(f"{root}data/{key}"), kind))

        return _Unpickler(io.BytesIO(archive.read(pickled)), storage).load()


def _read_legacy(path: pathlib.Path) -> Any:
    """Magic number, version, machine, the object, the storages' keys; then their raw values."""
    arrays: dict[str, np.ndarray] = {}

    def storage(pid: tuple) -> _Storage:
        _, kind, key, _, count = pid[:5]
        return _Storage(arrays.setdefault(key, np.zeros(count, kind)))

    with path.open("rb") as file:
        if _Unpickler(file, storage).load() != _MAGIC:
            raise ValueError("it begins with another number")
        for _ in range(2):
            _Unpickler(file, storage).load()
        saved = _Unpickler(file, storage).load()
        for key in _Unpickler(file, storage).load():
            count = int.from_bytes(file.read(8), "little")
            values = arrays[key]
            values[:] = np.frombuffer(file.read(count * values.itemsize), values.dtype)
    return saved


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO, storage: _FindStorage) -> None:
        super().__init__(file)
        self._storage = storage

    def persistent_load(self, pid: Any) -> _Storage:
        return self._storage(pid)

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if (module, name) in _SCALARS:
            return _Nothing
        raise ValueError(f"it names {module}.{name}")


def _tensor(storage: _Storage, offset: int, shape: tuple, strides: tuple, *_: Any) -> np.ndarray:
    """A view, since a legacy file's values come after its tensors."""
    if min((offset, *shape, *strides)) < 0 or len(shape) != len(strides):
        raise ValueError(f"a tensor of shape {shape} begins at {offset} with strides {strides}")
    last = offset + sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
    if 0 not in shape and last >= len(storage.values):
        raise ValueError(
            f"a tensor of shape {shape} reaches beyond its {len(storage.values)} values"
        )
    steps = [step * storage.values.itemsize for step in strides]
    values = storage.values[offset:]
    return np.lib.stride_tricks.as_strided(values, shape, steps, writeable=False)
