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
from typing import Any

from a2v_tf.errors import A2vError
from a2v_tf.runtime.flatbuffer import (
    DAMAGED,
    FLOATS,
    TEXT,
    TEXTS,
    UINT,
    Layout,
    read_table,
    root,
    slot_of,
    tables,
)

OFFICIAL = "TFLITE_METADATA"
TRAINING = "a2v_tf.training"

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
        official = read_table(root(entries[OFFICIAL]), MODEL)
        (graph,) = official.pop("subgraph_metadata")
        facts = json.loads(graph["description"])
        _check_facts(facts)
        return {
            **official,
            "inputs": graph["input_tensor_metadata"],
            "outputs": graph["output_tensor_metadata"],
            "facts": facts,
            "training": json.loads(entries[TRAINING]) if TRAINING in entries else None,
        }
    except (*DAMAGED, RecursionError) as error:
        raise A2vError(f"{name} has metadata, but not those of export_tflite") from error


def _check_facts(facts: Any) -> None:
    """Raise `ValueError` where code relies on a kind of value that a fact does not have."""
    if not isinstance(facts, dict):
        raise ValueError(f"facts: {facts}")
    for name in ("window_ms", "hop_ms"):
        value = facts.get(name)
        if value is not None and not (isinstance(value, int | float) and 0 < value < 1e6):
            raise ValueError(f"{name}: {value}")
    if not isinstance(facts.get("front_end", {}), dict):
        raise ValueError(f"front_end: {facts['front_end']}")


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
    model = root(content)
    buffers = tables(model, slot_of(model, _BUFFERS_SLOT))
    entries = {}
    for table in tables(model, slot_of(model, _ENTRIES_SLOT)):
        entry = read_table(table, _ENTRY)
        buffer = buffers[entry["buffer"]]
        if at := slot_of(buffer, _DATA_SLOT):
            start = buffer.Vector(at)
            entries[entry["name"]] = bytes(buffer.Bytes[start : start + buffer.VectorLen(at)])
    return entries
