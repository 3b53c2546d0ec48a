"""Read the metadata of a TFLite file, without an interpreter.

`export_tflite` writes two entries into a file's metadata (`a2v_tf/export/metadata.py`):

  TFLITE_METADATA   the official table, ModelMetadata of metadata_schema.fbs 1.3.0: what Android's
                    MetadataExtractor reads and Netron shows. The description of its subgraph is
                    JSON, the facts.
  a2v_tf.training   JSON: the config.json of the model directory, without folder names

The official library, tflite-support, has no release for Python 3.12 or later. So the needed part of
the schema is written here as layouts, and the flatbuffers package does the rest.
"""

import json
import pathlib
import struct
from typing import Any

from flatbuffers import number_types
from flatbuffers.table import Table

from a2v_tf.errors import A2vError

OFFICIAL = "TFLITE_METADATA"
TRAINING = "a2v_tf.training"

# A layout gives each field of a table its slot in the schema and its kind. Kinds are a word; a
# layout, for a table in its own slot; `[layout]`, for a vector of tables; or, for a union, a dict
# from its members' codes to (name, layout).
Layout = dict[str, tuple[int, Any]]
TEXT, TEXTS, FLOATS, UINT = "text", "texts", "floats", "uint"

_AUDIO: Layout = {"sample_rate": (0, UINT), "channels": (1, UINT)}
_NORMALIZATION: Layout = {"mean": (0, FLOATS), "std": (1, FLOATS)}
_CONTENT: Layout = {"properties": (0, {1: ("feature", {}), 4: ("audio", _AUDIO)})}
_PROCESS_UNIT: Layout = {"options": (0, {1: ("normalization", _NORMALIZATION)})}
_STATS: Layout = {"max": (0, FLOATS), "min": (1, FLOATS)}
_TENSOR: Layout = {
    "name": (0, TEXT),
    "description": (1, TEXT),
    "dimension_names": (2, TEXTS),
    "content": (3, _CONTENT),
    "process_units": (4, [_PROCESS_UNIT]),
    "stats": (5, _STATS),
}
_SUBGRAPH: Layout = {
    "name": (0, TEXT),
    "description": (1, TEXT),
    "input_tensor_metadata": (2, [_TENSOR]),
    "output_tensor_metadata": (3, [_TENSOR]),
}
MODEL: Layout = {
    "name": (0, TEXT),
    "description": (1, TEXT),
    "version": (2, TEXT),
    "subgraph_metadata": (3, [_SUBGRAPH]),
    "author": (4, TEXT),
    "license": (5, TEXT),
    "min_parser_version": (7, TEXT),
}

# The part of the TFLite schema that is read: the named entries and the buffers they point to.
_ENTRY: Layout = {"name": (0, TEXT), "buffer": (1, UINT)}
_BUFFERS_SLOT, _ENTRIES_SLOT, _DATA_SLOT = 4, 6, 0


def is_union(kind: Any) -> bool:
    """Whether a kind is a union: two slots, the code of the member and then the member."""
    return isinstance(kind, dict) and all(isinstance(code, int) for code in kind) and bool(kind)


def read(model: bytes | str | pathlib.Path) -> dict[str, Any]:
    """Read the metadata that `export_tflite` wrote.

    Args:
      model: path or content.

    Returns:
      `name`, `description`, `version`, `author`, `license` and `min_parser_version`; `inputs` and
      `outputs` of the signature `embed`, as the official schema describes tensors; `facts`: `mode`,
      `state`, `input`, `quantized`, `encoder`, `task`, `window_ms`, `hop_ms`, `embedding_dim`,
      `front_end` and others; and `training`, the model directory's configuration, None if the file
      has none.

    Raises:
      A2vError: there is no such file, or it is not a TFLite model with such metadata.
    """
    name = "these bytes" if isinstance(model, bytes) else repr(str(model))
    try:
        content = model if isinstance(model, bytes) else pathlib.Path(model).read_bytes()
    except OSError as error:
        raise A2vError(f"cannot read {name}: {error.strerror}") from error
    if content[4:8] != b"TFL3":
        raise A2vError(f"{name}: expected a TFLite model")
    try:
        entries = _entries(content)
        if OFFICIAL not in entries:
            raise A2vError(f"{name} has no metadata: expected a file of export_tflite")
        official = read_table(_root(entries[OFFICIAL]), MODEL)
        (graph,) = official.pop("subgraph_metadata")
        return {
            **official,
            "inputs": graph["input_tensor_metadata"],
            "outputs": graph["output_tensor_metadata"],
            "facts": json.loads(graph["description"]),
            "training": json.loads(entries[TRAINING]) if TRAINING in entries else None,
        }
    except (struct.error, LookupError, TypeError, ValueError) as error:
        raise A2vError(f"{name} has metadata, but not those of export_tflite") from error


def facts(model: bytes | str | pathlib.Path) -> dict[str, Any]:
    """Read the `facts` of the metadata; empty for a file without metadata.

    Raises:
      OSError: the file cannot be read.
    """
    content = model if isinstance(model, bytes) else pathlib.Path(model).read_bytes()
    try:
        return read(content)["facts"]
    except A2vError:
        return {}


def _entries(content: bytes) -> dict[str, bytes]:
    """The named entries of a TFLite file."""
    model = _root(content)
    buffers = _tables(model, _slot(model, _BUFFERS_SLOT))
    entries = {}
    for table in _tables(model, _slot(model, _ENTRIES_SLOT)):
        entry = read_table(table, _ENTRY)
        buffer = buffers[entry["buffer"]]
        if at := _slot(buffer, _DATA_SLOT):
            start = buffer.Vector(at)
            entries[entry["name"]] = bytes(buffer.Bytes[start : start + buffer.VectorLen(at)])
    return entries


def read_table(table: Table, layout: Layout) -> dict[str, Any]:
    """Read the fields that a table has; a union is a dict with its member's name as the key."""
    found = {}
    for name, (slot, kind) in layout.items():
        if at := _slot(table, slot):
            found[name] = _read_field(table, at, slot, kind)
    return found


def _read_field(table: Table, at: int, slot: int, kind: Any) -> Any:
    position = table.Pos + at
    if kind == TEXT:
        return table.String(position).decode()
    if kind == UINT:
        return int(table.Get(number_types.Uint32Flags, position))
    if kind in (TEXTS, FLOATS):
        places = _elements(table, at)
        if kind == TEXTS:
            return [table.String(place).decode() for place in places]
        return [float(table.Get(number_types.Float32Flags, place)) for place in places]
    if isinstance(kind, list):
        return [read_table(element, kind[0]) for element in _tables(table, at)]
    if is_union(kind):
        code = int(table.Get(number_types.Uint8Flags, position))
        name, layout = kind[code]
        return {name: read_table(_table_at(table, table.Pos + _slot(table, slot + 1)), layout)}
    return read_table(_table_at(table, position), kind)


def _root(content: bytes) -> Table:
    return Table(content, *struct.unpack_from("<I", content))


def _slot(table: Table, slot: int) -> int:
    """Offset of a field in a table; 0 if the table does not have it."""
    return int(table.Offset(4 + 2 * slot))


def _tables(table: Table, at: int) -> list[Table]:
    """The elements of a vector of tables; none if `at` is 0."""
    return [_table_at(table, place) for place in _elements(table, at)] if at else []


def _elements(table: Table, at: int) -> range:
    """Positions of the elements of a vector, each of four bytes."""
    start, count = int(table.Vector(at)), int(table.VectorLen(at))
    if start + 4 * count > len(table.Bytes):
        raise ValueError(f"a vector of {count} elements goes beyond the end")
    return range(start, start + 4 * count, 4)


def _table_at(table: Table, position: int) -> Table:
    return Table(table.Bytes, int(table.Indirect(position)))
