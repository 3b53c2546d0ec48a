"""Embed many files in parts that are kept as soon as they are complete, so that work can go on.

Beside an output that is not complete is the folder OUTPUT.unfinished. It holds the rows of each
finished part, and in `_work/`:

  plan.json   what all parts depend on; written first, removed last
  files.txt   the files, a line each, for Beam's workers
  00007.json  result of part 7; written after its rows

When all parts are finished, the folder becomes the output (a folder of Parquet shards), or their
rows are written to it. Readers of Parquet pass over names that begin with an underscore.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import tqdm
from absl import logging

from a2v_tf import __version__, beam
from a2v_tf.ending import Interrupted
from a2v_tf.errors import A2vError
from a2v_tf.files import held, output_file, read_npz, remove_partials, write_json
from a2v_tf.runtime.clips import EmbedClip, check_skipped, usable_files
from a2v_tf.runtime.tables import Table, write_tables

ABOUT = "_about.json"  # in a folder of shards: settings, counts, files that were skipped
_WORK = "_work"
# A part, and a shard, ends with the file that reaches one of these. A crash loses one part.
_FILES = 256
_BYTES = 64 * 2**20


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All that embeddings depend on but the files.

    Attributes:
      open_model: opens the model; a function that other processes can import, or a partial of it.
      channels: the channel to use, as for `read_audio`.
      settings: a value for each flag that changes the rows, a digest for --model.
    """

    open_model: Callable[[], EmbedClip]
    channels: str
    settings: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Summary:
    """What an output, or a part of it, holds.

    Attributes:
      files: number of files that were to be embedded.
      embeddings: number of rows.
      skipped: a line for each file that cannot be used.
    """

    files: int
    embeddings: int
    skipped: Sequence[str]


def embed_archive(
    files: Sequence[pathlib.Path],
    recipe: Recipe,
    output: pathlib.Path,
    max_bad_fraction: float,
    *,
    sharded: bool = False,
    beam_options: Any = None,
    opened: EmbedClip | None = None,
) -> Summary:
    """Embed files into an output, and go on where an earlier call for the same output ended.

    Args:
      files: at least one.
      recipe: model and settings.
      output: .npz, .csv or .parquet file, or, if `sharded`, a folder.
      max_bad_fraction: of the files, that may be unreadable.
      sharded: write Parquet shards.
      beam_options: Beam's `PipelineOptions`, to spread the work; None for this process alone.
      opened: the model, if this thread has opened it already.

    Raises:
      A2vError: too many files cannot be used; the output cannot be written, or was begun with other
        settings or files; or another process is writing it.
    """
    if opened:
        _keep(recipe, opened)
    settings = {
        **recipe.settings,
        "audio": _digest(files),
        "output": "shards" if sharded else "one file",
        "version": __version__,
    }
    if sharded and (summary := _complete(output, settings)):
        check_skipped(summary.skipped, len(files), max_bad_fraction)
        return summary
    parts = list(_planned(files))
    folder = _Folder(output.with_name(f"{output.name}.unfinished"), len(parts), sharded)
    with _begun(folder, settings):
        if beam_options is not None:
            _spread(parts, recipe, folder, beam_options)
        summary = _make_all(parts, recipe, folder, max_bad_fraction)
        _finish(folder, output, settings, summary)
    return summary


# The parts --------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Result(Summary):
    """What a part holds; `stored` are the names of the files with its rows."""

    stored: Sequence[str]


@dataclasses.dataclass(frozen=True)
class _Folder:
    """The folder of the parts of an output, as workers see it."""

    path: pathlib.Path
    parts: int
    sharded: bool

    @property
    def plan(self) -> pathlib.Path:
        return self.path / _WORK / "plan.json"

    def record(self, part: int) -> pathlib.Path:
        return self.path / _WORK / f"{part:05d}.json"

    def rows(self, part: int, piece: int) -> pathlib.Path:
        if self.sharded:
            return self.path / f"embeddings-{part:05d}-of-{self.parts:05d}.parquet"
        return self.path / f"{part:05d}-{piece}.npz"

    def result(self, part: int) -> _Result | None:
        """What `_make` wrote about a part; None if the part is not finished."""
        try:
            found = _Result(**json.loads(self.record(part).read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return found if all((self.path / name).is_file() for name in found.stored) else None

    def results(self) -> dict[int, _Result]:
        """Those of the finished parts."""
        found = ((part, self.result(part)) for part in range(self.parts))
        return {part: result for part, result in found if result}


def _planned(files: Sequence[pathlib.Path]) -> Iterator[list[pathlib.Path]]:
    part: list[pathlib.Path] = []
    size = 0
    for path in files:
        part.append(path)
        size += _size_and_time(path)[0]
        if len(part) == _FILES or size >= _BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _make(part: int, files: Iterable[pathlib.Path], recipe: Recipe, folder: _Folder) -> _Result:
    """Embed the files of a part and keep their rows."""
    rows, count, skipped, stored = 0, 0, list[str](), []

    def counted() -> Iterator[pathlib.Path]:
        nonlocal count
        for path in files:
            count += 1
            yield path

    tables = usable_files(counted(), _opened(recipe), recipe.channels, skipped)
    for piece, table in enumerate(tables):
        path = folder.rows(part, piece)
        rows += write_tables(path, itertools.chain([table], tables) if folder.sharded else [table])
        stored.append(path.name)
    result = _Result(count, rows, skipped, stored)
    write_json(folder.record(part), vars(result))
    return result


_here = threading.local()  # an interpreter is for one thread


def _opened(recipe: Recipe) -> EmbedClip:
    if getattr(_here, "settings", None) != repr(recipe.settings):
        _keep(recipe, recipe.open_model())
    return _here.clip


def _keep(recipe: Recipe, model: EmbedClip) -> None:
    _here.clip, _here.settings = model, repr(recipe.settings)


def _make_all(
    parts: Sequence[Sequence[pathlib.Path]],
    recipe: Recipe,
    folder: _Folder,
    max_bad_fraction: float,
) -> Summary:
    """Make the parts that are not finished, in this process."""
    results = folder.results()
    total = sum(map(len, parts))
    done = sum(result.files for result in results.values())
    seen, embeddings, skipped = 0, 0, list[str]()
    with tqdm.tqdm(total=total, initial=done, unit="file", disable=total < 2) as bar:
        for part, files in enumerate(parts):
            result = results.get(part) or _make(part, _ticking(files, bar), recipe, folder)
            for reason in result.skipped:
                logging.warning("skipped %s", reason)
            seen += result.files
            embeddings += result.embeddings
            skipped += result.skipped
            check_skipped(skipped, total, max_bad_fraction, seen)
    return Summary(total, embeddings, skipped)


def _ticking(files: Iterable[pathlib.Path], bar: tqdm.tqdm) -> Iterator[pathlib.Path]:
    for path in files:
        yield path
        bar.update()


# With Beam --------------------------------------------------------------------------------------


def _spread(
    parts: Sequence[Sequence[pathlib.Path]], recipe: Recipe, folder: _Folder, options: Any
) -> None:
    """Make the parts that are not finished, on Beam's workers."""
    finished = folder.results()
    tasks, place = [], 0
    with output_file(_listing(folder)) as partial, partial.open("wb") as lines:
        for part, files in enumerate(parts):
            if part not in finished:
                tasks.append((part, place, len(files)))
            for path in files:
                place += lines.write(json.dumps(os.fspath(path)).encode() + b"\n")
    beam.spread(_make_listed, tasks, recipe, folder, options=options)


def _make_listed(task: tuple[int, int, int], recipe: Recipe, folder: _Folder) -> None:
    """Make a part whose files are listed from some place of `files.txt`."""
    part, place, count = task
    with _listing(folder).open("rb") as lines:
        lines.seek(place)
        files = [pathlib.Path(json.loads(lines.readline())) for _ in range(count)]
    result = _make(part, files, recipe, folder)
    skipped = len(result.skipped)
    beam.count("files", {"embedded": result.files - skipped, "skipped": skipped})


def _listing(folder: _Folder) -> pathlib.Path:
    return folder.path / _WORK / "files.txt"


# Begin and end ----------------------------------------------------------------------------------


@contextlib.contextmanager
def _begun(folder: _Folder, settings: Mapping[str, Any]) -> Iterator[None]:
    """Begin or go on; after a failure, leave the folder only if what it holds is of use."""
    path, plan = folder.path, {"settings": settings, "parts": folder.parts}
    try:
        folder.plan.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise A2vError(f"cannot write {str(path)!r}: {error.strerror}") from error
    with held(path, f"{str(path)!r} is in use: another a2v_embed writes the same output"):
        before = _read(folder.plan)
        if before is None and any(child.name != _WORK for child in path.iterdir()):
            raise A2vError(f"{str(path)!r} exists: expected another --output")
        if before and before != plan and _is_of_use(folder):
            changes = _changes(before["settings"], settings)
            raise A2vError(
                f"{str(path)!r} was begun with {changes}: expected the same, or that you delete it"
            )
        try:
            if before != plan:
                _empty(folder)
                write_json(folder.plan, plan)
            for directory in (path, folder.plan.parent):
                remove_partials(directory)
            yield
        except BaseException as error:
            if not _is_of_use(folder):
                _remove(folder)
            elif isinstance(error, Interrupted):
                done = sum(result.files for result in folder.results().values())
                message = f"interrupted after {done} files; the same command goes on from there"
                raise Interrupted(error.code - 128, message) from None
            raise


def _is_of_use(folder: _Folder) -> bool:
    """Whether some of several parts is finished, by the folder's own plan."""
    plan = _read(folder.plan)
    if plan is None or plan["parts"] == 1:
        return False
    parts = dataclasses.replace(folder, parts=plan["parts"]).results().values()
    return any(part.embeddings for part in parts)


def _finish(
    folder: _Folder, output: pathlib.Path, settings: Mapping[str, Any], summary: Summary
) -> None:
    if folder.sharded:
        write_json(folder.path / ABOUT, {"settings": settings, **vars(summary)})
        os.replace(folder.path, output)
        shutil.rmtree(output / _WORK)
    else:
        write_tables(output, _Tables(folder))
        _remove(folder)


@dataclasses.dataclass(frozen=True)
class _Tables(Iterable[Table]):
    """The rows of all parts in turn, which can be gone through again."""

    folder: _Folder

    def __iter__(self) -> Iterator[Table]:
        for result in self.folder.results().values():
            for name in result.stored:
                yield Table(**read_npz(self.folder.path / name))


def _complete(output: pathlib.Path, settings: Mapping[str, Any]) -> Summary | None:
    """What a folder of shards holds; None if there is none yet."""
    named = output.name not in ("", "..")
    if named and (not output.exists() or (output.is_dir() and not any(output.iterdir()))):
        return None
    about = _read(output / ABOUT)
    if about is None:
        raise A2vError(f"--output={output}/ exists: expected a new folder")
    before = about.pop("settings")
    if before != settings:
        raise A2vError(
            f"--output={output}/ was made with {_changes(before, settings)}: expected a new folder"
        )
    shutil.rmtree(output / _WORK, ignore_errors=True)  # after a kill at the very end
    return Summary(**about)


def _empty(folder: _Folder) -> None:
    """Remove what is in the folder, the plan last."""
    for directory in (folder.path, folder.plan.parent):
        for path in directory.iterdir():
            if path not in (folder.plan, folder.plan.parent):
                path.unlink()
    folder.plan.unlink(missing_ok=True)


def _remove(folder: _Folder) -> None:
    _empty(folder)
    shutil.rmtree(folder.path)


def _read(path: pathlib.Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The flags whose values differ, in words."""
    changed = [key for key in now if before.get(key) != now[key]]
    names = ["another version" if key == "version" else f"another --{key}" for key in changed]
    return " and ".join(names)


def _digest(files: Iterable[pathlib.Path]) -> str:
    """Of the files' names, sizes and times of change."""
    sha = hashlib.sha256()
    for path in files:
        sha.update(os.fsencode(path) + b"\0%d\0%d\0" % _size_and_time(path))
    return sha.hexdigest()


def _size_and_time(path: pathlib.Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:  # reading it says why
        return 0, 0
    return found.st_size, found.st_mtime_ns
