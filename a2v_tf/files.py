"""Files that are written completely or not at all, and the cache folder."""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import uuid
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from a2v_tf.errors import A2vError

if TYPE_CHECKING:
    import numpy as np

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PARTIAL = re.compile(r"\.[0-9a-f]{12}\..+")  # the names that `whole_file` gives
_EXPANDS = 100  # times its size: more than any array of measurements is compressed
_SMALL = 2**28  # bytes that any file may expand to


def paths_of(spec: str) -> list[str]:
    """Several paths or names that are separated by commas; a path that exists may have a comma."""
    if os.path.exists(spec):  # unlike pathlib's, it takes names that are too long
        return [spec]
    return [part.strip() for part in spec.split(",")]


@contextlib.contextmanager
def whole_file(path: pathlib.Path | str) -> Iterator[pathlib.Path]:
    """Yield a path to write to, which replaces `path` when the block ends without error.

    After a kill or a power cut there is the old file or the new one, never a part; after an error,
    the old one.
    The path has the suffix of `path`, from which Keras and NumPy infer the format.

    Raises:
      OSError: the file cannot be written.
    """
    path = pathlib.Path(path)
    partial = _partial(path)
    try:
        yield partial
        with partial.open("rb") as file:  # now: after a power cut, it could be empty otherwise
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        if error.errno and error.filename2 is None:  # h5py gives no name
            error.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


def _partial(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f".{uuid.uuid4().hex[:12]}.{path.name}")


@contextlib.contextmanager
def whole_directory(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield a new directory that becomes `path`, which must not exist, if the block succeeds.

    Raises:
      OSError: it cannot be written.
    """
    partial = _partial(path)
    partial.mkdir()
    try:
        yield partial
        for file in partial.iterdir():
            with file.open("rb") as written:  # now, as in `whole_file`
                os.fsync(written.fileno())
        os.replace(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def remove_partials(directory: pathlib.Path) -> None:
    """Remove what a kill left of files and directories that were being written in a directory."""
    for path in directory.glob(".*"):
        if not _PARTIAL.fullmatch(path.name):
            continue
        if path.is_file():
            path.unlink(missing_ok=True)
        else:
            shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def output_file(path: pathlib.Path | str) -> Iterator[pathlib.Path]:
    """As `whole_file`, for a file that the user asked for.

    Raises:
      A2vError: the file cannot be written.
    """
    try:
        with whole_file(path) as partial:
            yield partial
    except OSError as error:
        raise A2vError(f"cannot write {str(path)!r}: {error.strerror}") from error


def write_json(path: pathlib.Path | str, content: Any) -> None:
    """Write a JSON file completely or not at all.

    Raises:
      A2vError: the file cannot be written.
    """
    text = json.dumps(content, indent=2)
    with output_file(path) as partial:
        partial.write_text(text + "\n")


def read_npz(path: pathlib.Path | str) -> dict[str, "np.ndarray"]:
    """Read all arrays of an .npz file.

    Raises:
      A2vError: it cannot be read, is damaged, holds Python objects, or expands beyond reason.
    """
    import zlib

    import numpy as np

    try:
        check_zip(path)
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except OSError as error:
        raise A2vError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    except (ValueError, LookupError, EOFError, NotImplementedError, RuntimeError) as error:
        raise A2vError(f"{str(path)!r} is no .npz file, or damaged: {error}") from error
    except (TypeError, SyntaxError, MemoryError, zlib.error, zipfile.BadZipFile) as error:
        raise A2vError(f"{str(path)!r} is no .npz file, or damaged: {error}") from error


def check_zip(path: pathlib.Path | str) -> None:
    """Check that a ZIP file (.npz, .keras) is one, and does not expand beyond reason.

    Raises:
      OSError: it cannot be read.
      A2vError: it is none, or a few bytes of it would fill the memory.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, ValueError, LookupError, EOFError, NotImplementedError) as error:
        raise A2vError(f"{str(path)!r} is damaged: {error}") from error
    if size > max(_EXPANDS * os.path.getsize(path), _SMALL):
        raise A2vError(f"{str(path)!r} is damaged: it says that it expands to {size:,} bytes")


def digest_of(path: pathlib.Path | str) -> str:
    """SHA-256 of a file's content, in hexadecimal.

    Raises:
      A2vError: it cannot be read.
    """
    try:
        return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise A2vError(f"cannot read {str(path)!r}: {error.strerror}") from error


@contextlib.contextmanager
def held(directory: pathlib.Path, message: str) -> Iterator[None]:
    """Keep other processes from working in a directory; a killed process holds nothing.

    Raises:
      A2vError: with this message: another one works there.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise A2vError(message) from None
    except OSError:  # a file system without locks
        pass
    try:
        yield
    finally:
        os.close(descriptor)


def made_directory(flag: str, path: pathlib.Path | str) -> pathlib.Path:
    """Create a directory to write to, unless it exists.

    Args:
      flag: the flag that gives `path`, without dashes.
      path: of the directory.

    Raises:
      A2vError: it cannot be written.
    """
    directory = pathlib.Path(path)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _try_to_write(directory / "x")
    except OSError as error:
        raise A2vError(f"cannot write --{flag}={str(path)!r}: {error.strerror}") from error
    return directory


def checked_output(flag: str, path: str, *suffixes: str) -> pathlib.Path:
    """Check before the work that its result can be written.

    Args:
      flag: the flag that gives `path`, without dashes.
      path: of the file to write.
      *suffixes: those that the file's name may end in; none for any.

    Raises:
      A2vError: another suffix, or the file cannot be written there.
    """
    output = pathlib.Path(path)
    if suffixes and not output.name.endswith(suffixes):
        raise A2vError(f"--{flag}={path!r}: expected a name ending in {' or '.join(suffixes)}")
    try:
        if not output.absolute().parent.is_dir():
            raise A2vError(f"--{flag}={path!r}: no directory {str(output.parent)!r}")
        if output.is_dir():
            raise A2vError(f"--{flag}={path!r} is a directory: expected a file")
        if output.exists() and not output.is_file():  # /dev/null would be replaced
            raise A2vError(f"--{flag}={path!r} is a device: expected a file")
        _try_to_write(output)
    except OSError as error:
        raise A2vError(f"cannot write --{flag}={path!r}: {error.strerror}") from error
    return output


def _try_to_write(path: pathlib.Path) -> None:
    """Create what `whole_file` would write for `path`, and remove it.

    Permissions do not tell: root has all, but file systems are read-only, and names too long.

    Raises:
      OSError: it cannot be created.
    """
    partial = _partial(path)
    partial.touch()
    partial.unlink()


def cache_dir() -> pathlib.Path:
    """Folder for files that can be recomputed; in XDG_CACHE_HOME if that is set."""
    root = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(root) / "a2v_tf"
