"""Tables of embeddings, and the files that they are written to."""

import csv
import dataclasses
import itertools
import pathlib
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from a2v_tf.files import output_file

SUFFIXES = (".npz", ".csv", ".parquet")
_ROW_GROUP = 65_536  # rows of Parquet that are in memory at once


@dataclasses.dataclass(frozen=True)
class Table:
    """Embeddings of one or more files, a row each.

    Attributes:
      path: str `[n]`, the file.
      start_s: float64 `[n]`, where the stretch that a row describes starts, in seconds.
      end_s: float64 `[n]`, where it ends.
      embeddings: float32 `[n, d]`.
    """

    path: np.ndarray
    start_s: np.ndarray
    end_s: np.ndarray
    embeddings: np.ndarray

    def __len__(self) -> int:
        return len(self.path)

    def __getitem__(self, rows: slice) -> "Table":
        return Table(*(column[rows] for column in vars(self).values()))

    def write(self, output: pathlib.Path) -> None:
        """Write the rows, as `write_tables` does."""
        write_tables(output, [self])


def joined_tables(tables: Iterable[Table]) -> Table:
    """The rows of at least one table in one."""
    columns = zip(*(vars(table).values() for table in tables), strict=True)
    return Table(*map(np.concatenate, columns))


def write_tables(output: pathlib.Path, tables: Iterable[Table]) -> int:
    """Write rows: .npz with the arrays of `Table`, or .csv or .parquet with columns e0, e1, ...

    The file depends on the rows alone, not on how they are spread over tables.

    Args:
      output: its suffix says the format.
      tables: at least one, of one width. They are in memory one at a time, or some for a group of
        rows of Parquet. For .npz, they are gone through more than once.

    Returns:
      The number of rows.

    Raises:
      A2vError: the file cannot be written.
    """
    write = {".npz": _write_npz, ".csv": _write_csv, ".parquet": _write_parquet}[output.suffix]
    with output_file(output) as partial:
        return write(partial, tables)


def _write_npz(path: pathlib.Path, tables: Iterable[Table]) -> int:
    """As `np.savez_compressed` does, but array by array and table by table."""
    rows, widest, width = 0, np.dtype("U1"), 0
    for table in tables:
        rows, width = rows + len(table), table.embeddings.shape[1]
        widest = max(widest, table.path.dtype, key=lambda dtype: dtype.itemsize)
    arrays = {
        "path": (widest, (rows,)),
        "start_s": (np.dtype(np.float64), (rows,)),
        "end_s": (np.dtype(np.float64), (rows,)),
        "embeddings": (np.dtype(np.float32), (rows, width)),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, (dtype, shape) in arrays.items():
            descr = np.lib.format.dtype_to_descr(dtype)
            header = {"descr": descr, "fortran_order": False, "shape": shape}
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array_header_1_0(file, header)
                for table in tables:
                    file.write(np.ascontiguousarray(getattr(table, name), dtype).tobytes())
    return rows


def _write_csv(path: pathlib.Path, tables: Iterable[Table]) -> int:
    count = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        for table in tables:
            if not count:
                writer.writerow(["path", "start_s", "end_s", *_dimensions(table)])
            rows = zip(table.path, table.start_s, table.end_s, table.embeddings, strict=True)
            for name, start, end, embedding in rows:
                writer.writerow([name, start, end, *embedding])
            count += len(table)
    return count


def _write_parquet(path: pathlib.Path, tables: Iterable[Table]) -> int:
    from pyarrow import parquet

    groups = map(_arrow, _regrouped(tables, _ROW_GROUP))
    first = next(groups)
    count = 0
    with parquet.ParquetWriter(path, first.schema) as writer:
        for group in itertools.chain([first], groups):
            writer.write_table(group)
            count += len(group)
    return count


def _arrow(table: Table) -> Any:
    import pyarrow

    keys = {name: getattr(table, name) for name in ("path", "start_s", "end_s")}
    return pyarrow.table(keys | dict(zip(_dimensions(table), table.embeddings.T, strict=True)))


def _regrouped(tables: Iterable[Table], rows: int) -> Iterator[Table]:
    """The same rows in tables of `rows` each; the last may have fewer."""
    held: list[Table] = []
    for table in tables:
        held.append(table)
        if sum(map(len, held)) >= rows:
            together = joined_tables(held)
            whole = len(together) - len(together) % rows
            yield from (together[start : start + rows] for start in range(0, whole, rows))
            held = [together[whole:]] if whole < len(together) else []
    if held:
        yield joined_tables(held)


def _dimensions(table: Table) -> list[str]:
    return [f"e{i}" for i in range(table.embeddings.shape[1])]
