"""Read flatbuffers by layouts, without code that is generated from their schema."""

import struct
from typing import Any

import numpy as np
from flatbuffers import number_types
from flatbuffers.table import Table

DAMAGED = (struct.error, LookupError, TypeError, ValueError, OverflowError)  # that reading raises

# A layout gives each field of a table its slot in the schema and its kind. Kinds are a word; a
# layout, for a table in its own slot; `[layout]`, for a vector of tables; or, for a union, a dict
# from its members' codes to (name, layout).
Layout = dict[str, tuple[int, Any]]
TEXT, TEXTS, FLOATS, UINT = "text", "texts", "floats", "uint"
INT, INT8, INTS, LONGS, DATA = "int", "int8", "ints", "longs", "data"
_SCALARS = {
    UINT: number_types.Uint32Flags,
    INT: number_types.Int32Flags,
    INT8: number_types.Int8Flags,
}
_NUMBERS = {FLOATS: "<f4", INTS: "<i4", LONGS: "<i8"}
_MOST_TABLES = 2**16  # in a vector


def is_union(kind: Any) -> bool:
    """Whether a kind is a union: two slots, the code of the member and then the member."""
    return isinstance(kind, dict) and all(isinstance(code, int) for code in kind) and bool(kind)


def read_table(table: Table, layout: Layout) -> dict[str, Any]:
    """Read the fields that a table has; a union is a dict with its member's name as the key."""
    found = {}
    for name, (slot, kind) in layout.items():
        if at := slot_of(table, slot):
            found[name] = _read_field(table, at, slot, kind)
    return found


def _read_field(table: Table, at: int, slot: int, kind: Any) -> Any:
    position = table.Pos + at
    if isinstance(kind, str):
        return _read_word(table, at, kind)
    if isinstance(kind, list):
        return [read_table(element, kind[0]) for element in tables(table, at)]
    if is_union(kind):
        code = int(table.Get(number_types.Uint8Flags, position))
        name, layout = kind[code]
        return {name: read_table(_table_at(table, table.Pos + slot_of(table, slot + 1)), layout)}
    return read_table(_table_at(table, position), kind)


def _read_word(table: Table, at: int, kind: str) -> Any:
    """A field that is no table."""
    position = table.Pos + at
    if kind == TEXT:
        places = _vector(table, at, 1)
        return bytes(table.Bytes[places.start : places.stop]).decode()
    if kind == TEXTS:
        return [table.String(place).decode() for place in _vector(table, at, 4)]
    if kind in _SCALARS:
        return int(table.Get(_SCALARS[kind], position))
    if kind == DATA:
        places = _vector(table, at, 1)
        return table.Bytes[places.start : places.stop]
    dtype = np.dtype(_NUMBERS[kind])
    places = _vector(table, at, dtype.itemsize)
    return np.frombuffer(table.Bytes[places.start : places.stop], dtype).tolist()


def root(content: bytes) -> Table:
    """The root table of a flatbuffer."""
    return Table(content, *struct.unpack_from("<I", content))


def slot_of(table: Table, slot: int) -> int:
    """Offset of a field in a table; 0 if the table does not have it."""
    return int(table.Offset(4 + 2 * slot))


def tables(table: Table, at: int) -> list[Table]:
    """The elements of a vector of tables; none if `at` is 0."""
    places = _vector(table, at, 4) if at else range(0)
    if len(places) > _MOST_TABLES:
        raise ValueError(f"{len(places)} tables")
    return [_table_at(table, place) for place in places]


def _vector(table: Table, at: int, size: int) -> range:
    """Positions of the elements of a vector, each of `size` bytes."""
    start, count = int(table.Vector(at)), int(table.VectorLen(at))
    if start + size * count > len(table.Bytes):
        raise ValueError(f"a vector of {count} elements goes beyond the end")
    return range(start, start + size * count, size)


def _table_at(table: Table, position: int) -> Table:
    start = int(table.Indirect(position))
    if start > len(table.Bytes):
        raise ValueError("a table begins beyond the end")
    return Table(table.Bytes, start)
