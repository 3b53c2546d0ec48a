"""Reading tensors of torch.save without PyTorch, and refusing everything else."""

import io
import pathlib
import pickle
import struct
import zipfile
from typing import ClassVar

import numpy as np
import pytest

from a2v_tf.errors import A2vError
from a2v_tf.teachers.torch_file import read_tensors


class FloatStorage:
    """Stands for PyTorch's class of the same name."""


class _Tensor:
    """Is pickled as PyTorch pickles a tensor."""

    def __init__(self, key: str, offset: int, shape: tuple, strides: tuple) -> None:
        self.parts = key, offset, shape, strides


def rebuild(*args: object) -> None:
    """Stands for torch._utils._rebuild_tensor_v2."""


class _Pickler(pickle._Pickler):
    """Writes references to PyTorch's names without PyTorch."""

    def __init__(self, file: io.BytesIO, count: int) -> None:
        super().__init__(file, protocol=2)
        self._count = count

    def persistent_id(self, obj: object) -> tuple | None:
        if isinstance(obj, str) and obj.startswith("storage "):
            return "storage", FloatStorage, obj.removeprefix("storage "), "cpu", self._count
        return None

    def reducer_override(self, obj: object) -> tuple:
        if isinstance(obj, _Tensor):
            key, *rest = obj.parts
            return rebuild, (f"storage {key}", *rest, False, {})
        return NotImplemented

    def save_global(self, obj: object, name: str | None = None) -> None:
        known = {
            rebuild: "ctorch._utils\n_rebuild_tensor_v2\n",
            FloatStorage: "ctorch\nFloatStorage\n",
        }
        if obj in known:
            self.write(known[obj].encode())
        else:
            super().save_global(obj, name)

    dispatch: ClassVar = {**pickle._Pickler.dispatch, type(rebuild): save_global, type: save_global}


VALUES = np.arange(12, dtype=np.float32)


def pickled(obj: object) -> bytes:
    file = io.BytesIO()
    _Pickler(file, len(VALUES)).dump(obj)
    return file.getvalue()


def save(path: pathlib.Path, obj: object, *, legacy: bool) -> pathlib.Path:
    """Write a file as torch.save does."""
    if legacy:
        parts = [0x1950A86A20F9469CFC6C, 1_001, {"little_endian": True}]
        content = b"".join(pickle.dumps(part, 2) for part in parts)
        content += pickled(obj) + pickle.dumps(["0"], 2)
        path.write_bytes(content + struct.pack("<q", len(VALUES)) + VALUES.tobytes())
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickled(obj))
            archive.writestr("archive/data/0", VALUES.tobytes())
    return path


@pytest.mark.parametrize("legacy", [False, True])
def test_reads_tensors_containers_and_plain_values(tmp_path, legacy):
    saved = {
        "matrix": _Tensor("0", 0, (3, 4), (4, 1)),
        "turned": _Tensor("0", 0, (4, 3), (1, 4)),
        "rest": [_Tensor("0", 10, (2,), (1,)), (1.5, "text", None)],
        "empty": _Tensor("0", 0, (0, 3), (3, 1)),
    }
    found = read_tensors(save(tmp_path / "file.pt", saved, legacy=legacy))
    np.testing.assert_array_equal(found["matrix"], VALUES.reshape(3, 4))
    np.testing.assert_array_equal(found["turned"], VALUES.reshape(3, 4).T)
    np.testing.assert_array_equal(found["rest"][0], [10, 11])
    assert found["rest"][1] == (1.5, "text", None)
    assert found["empty"].shape == (0, 3)


class _Runs:
    """Runs code when it is unpickled."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __reduce__(self) -> tuple:
        return eval, (self.code,)


@pytest.mark.parametrize("legacy", [False, True])
def test_refuses_to_run_code(tmp_path, legacy):
    ran = tmp_path / "ran"
    path = save(tmp_path / "file.pt", [_Runs(f"open({str(ran)!r}, 'w')")], legacy=legacy)
    with pytest.raises(A2vError, match=r"file\.pt' is not a file of tensors .* names .*\.eval"):
        read_tensors(path)
    assert not ran.exists()


@pytest.mark.parametrize(
    "tensor",
    [
        _Tensor("0", 0, (4, 4), (4, 1)),
        _Tensor("0", 12, (1,), (1,)),
        _Tensor("0", 0, (2,), (12,)),
        _Tensor("0", -1, (2,), (1,)),
        _Tensor("0", 8, (2,), (-1,)),
        _Tensor("0", 0, (2, 2), (1,)),
    ],
)
@pytest.mark.parametrize("legacy", [False, True])
def test_refuses_tensors_beyond_their_values(tmp_path, tensor, legacy):
    with pytest.raises(A2vError, match=r"is not a file of tensors that torch.save wrote: Value"):
        read_tensors(save(tmp_path / "file.pt", tensor, legacy=legacy))


@pytest.mark.parametrize("content", [b"", b"text", pickle.dumps(1), pickle.dumps([1, 2])])
def test_other_files(tmp_path, content):
    (tmp_path / "file.pt").write_bytes(content)
    with pytest.raises(
        A2vError, match=r"file\.pt' is not a file of tensors that torch\.save wrote"
    ):
        read_tensors(tmp_path / "file.pt")
    with pytest.raises(A2vError, match=r"cannot read .*missing.*: No such file"):
        read_tensors(tmp_path / "missing.pt")


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_that_was_cut_off(tmp_path, legacy):
    path = save(tmp_path / "file.pt", _Tensor("0", 0, (12,), (1,)), legacy=legacy)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(A2vError, match=r"is not a file of tensors that torch.save wrote"):
        read_tensors(path)
