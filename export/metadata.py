"""Write metadata into a TFLite file; `a2v_tf.runtime.metadata` defines and reads it.

python -m a2v_tf.export.metadata model.tflite    # prints it as JSON
"""

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

import flatbuffers
import numpy as np

from a2v_tf import __version__
from a2v_tf.errors import A2vError
from a2v_tf.export import flatbuffer as fb
from a2v_tf.runtime.flatbuffer import FLOATS, TEXT, TEXTS, UINT, Layout, is_union
from a2v_tf.runtime.metadata import MODEL, OFFICIAL, TRAINING, read

__all__ = ["attach", "read", "without_folders"]

NEEDED = ("encoder", "front_end", "hop_ms", "input", "mode", "quantized", "state", "window_ms")
NOT_STATED = "not stated"
_PARSER_VERSION = {"pcm": "1.3.0", "log_mel": "1.0.0"}  # AudioProperties need schema 1.3.0
_IDENTIFIER = b"M001"
_OURS = "a2v_tf."
_DIMENSIONS = {
    "pcm": ["batch", "samples"],
    "log_mel": ["batch", "frames", "bins"],
    "embedding": ["batch", "dimension"],
    "scores": ["batch", "label"],
}


def attach(model: fb.Model, facts: Mapping[str, Any]) -> None:
    """Replace the metadata of a model; the same facts give the same bytes.

    Args:
      model: any form, with the signature `embed`.
      facts: a value for each key in `NEEDED`; None where a form has none (the hop and state of a
        window model). `name`, `version`, `author` and `license` are stored in fields of TFLite's
        metadata table. `config`, the result of `model_dir.read_config`, is stored separately,
        without folder names. All other values, which must be serialisable to JSON, and the
        embedding's dimension are stored as the file's facts.

    Raises:
      A2vError: a key is missing.
    """
    missing = [name for name in NEEDED if name not in facts]
    if missing:
        raise A2vError(f"metadata without {', '.join(missing)}: expected all of {NEEDED}")
    kept = [entry for entry in model.metadata or [] if not fb.text(entry.name).startswith(_OURS)]
    model.metadata = [entry for entry in kept if fb.text(entry.name) != OFFICIAL]
    _add_entry(model, OFFICIAL, _packed(_described(model, dict(facts))))
    if facts.get("config"):
        _add_entry(model, TRAINING, _json(without_folders(facts["config"])).encode())


def without_folders(config: Any) -> Any:
    """Replace the paths in a configuration by file names, for privacy.

    Names of data sets, `tfds:NAME/CONFIG`, are not changed.
    """
    if isinstance(config, Mapping):
        return {key: without_folders(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return [without_folders(value) for value in config]
    if isinstance(config, str):
        return ",".join(map(_without_folder, config.split(",")))
    return config


def _without_folder(item: str) -> str:
    if item.startswith("tfds:"):
        return item
    kind, colon, path = item.rpartition(":")  # "csv:/home/me/labels.csv"
    return kind + colon + re.split(r"[/\\]", path.rstrip("/\\"))[-1]


def _described(model: fb.Model, facts: dict[str, Any]) -> dict[str, Any]:
    """The values of TFLite's metadata table, for `_packed`."""
    signature = fb.signature(model, "embed")
    graph = model.subgraphs[signature.subgraphIndex]
    inputs = {index: name for name, index in fb.names(signature.inputs).items()}
    outputs = {  # of all signatures of this graph
        index: name
        for other in model.signatureDefs
        if other.subgraphIndex == signature.subgraphIndex
        for name, index in fb.names(other.outputs).items()
    }
    embedding = graph.tensors[fb.names(signature.outputs)["embedding"]]
    apart = ("name", "version", "author", "license", "config")
    stated = {name: value for name, value in facts.items() if name not in apart}
    stated |= {"embedding_dim": fb.shape(embedding)[-1], "made_with": f"a2v_tf {__version__}"}
    return {
        "name": facts.get("name") or f"a2v_tf {facts['encoder']}",
        "description": _sentence(stated),
        "version": facts.get("version") or __version__,
        "author": facts.get("author") or NOT_STATED,
        "license": facts.get("license") or NOT_STATED,
        "min_parser_version": _PARSER_VERSION[facts["input"]],
        "subgraph_metadata": [
            {
                "name": "embed",
                "description": _json(stated),
                # One entry per tensor, in the order of the graph's inputs and outputs.
                "input_tensor_metadata": [
                    _tensor(inputs[int(i)], graph.tensors[i], stated, "in") for i in graph.inputs
                ],
                "output_tensor_metadata": [
                    _tensor(outputs[int(i)], graph.tensors[i], stated, "out") for i in graph.outputs
                ],
            }
        ],
    }


def _sentence(facts: Mapping[str, Any]) -> str:
    numbers = "int8" if facts["quantized"] else "float"
    if facts.get("activations") == "int16":
        numbers = "int8 weights, int16 activations"
    learned = f", learned with the task {facts['task']}" if facts.get("task") else ""
    window = f"{facts['window_ms']:g} ms"
    when = f"the last {window}, every {facts['hop_ms']:g} ms" if facts["hop_ms"] else window
    labels, more = facts.get("labels"), ""
    if labels:
        more = f" classify: also scores [{len(labels)}] of {', '.join(labels)}."
    if facts.get("part") == "reconstruct":
        more = f" reconstruct: log-mel slices that the task {facts['head']} predicts."
    if facts.get("part") == "gap":
        more = f" gap: seconds between two of them, 0 to {facts['greatest_seconds']:.2f}."
    return (
        f"Audio embeddings by the encoder {facts['encoder']}{learned}; {numbers}, {facts['mode']}. "
        f"embed: {facts['input']} -> embedding [{facts['embedding_dim']}] of {when}.{more}"
    )


def _tensor(name: str, tensor: fb.Tensor, facts: Mapping[str, Any], end: str) -> dict[str, Any]:
    """The metadata of an input or output; `name` is that in the signature."""
    if name not in _DIMENSIONS:
        zero = next(iter(fb.scales(tensor)[1]), 0)
        text = {
            "in": f"State from the call before; before the first, {zero} everywhere.",
            "out": "State for the input of the same name in the next call.",
        }[end]
        return {"name": name, "description": text}
    described: dict[str, Any] = {"name": name, "dimension_names": _DIMENSIONS[name]}
    if name == "embedding":
        text = "Compare by Euclidean or cosine distance."
        return {**described, "description": text, "content": {"properties": {"feature": {}}}}
    if name == "scores":
        text = "Probabilities of the labels of the facts, in their order."
        return {**described, "description": text, "content": {"properties": {"feature": {}}}}
    # (x - 0) / 1: the input is standardised inside the model.
    described["process_units"] = [{"options": {"normalization": {"mean": [0.0], "std": [1.0]}}}]
    if name == "log_mel":
        text = "Frames as the front end of the facts makes them, not normalised."
        return {**described, "description": text, "content": {"properties": {"feature": {}}}}
    rate = facts["front_end"]["sample_rate"]
    return {
        **described,
        "description": f"Mono PCM at {rate} Hz, in [-1, 1]: 16-bit samples / 32768.",
        "content": {"properties": {"audio": {"sample_rate": rate, "channels": 1}}},
        "stats": {"max": [1.0], "min": [-1.0]},
    }


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _add_entry(model: fb.Model, name: str, content: bytes) -> None:
    model.buffers.append(fb.make("BufferT", data=np.frombuffer(content, np.uint8)))
    model.metadata.append(fb.make("MetadataT", name=name, buffer=len(model.buffers) - 1))


# Serialisation of TFLite's metadata table --------------------------------------------------------


def _packed(values: Mapping[str, Any]) -> bytes:
    builder = flatbuffers.Builder(4096)
    builder.Finish(_write_table(builder, MODEL, values), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def _write_table(builder: flatbuffers.Builder, layout: Layout, values: Mapping[str, Any]) -> int:
    """Write a table, after the objects that it refers to, and return its offset."""
    numbers: dict[int, tuple[str, int]] = {}
    places: dict[int, int] = {}
    for name, value in values.items():
        slot, kind = layout[name]
        if kind == UINT:
            numbers[slot] = UINT, value
        elif is_union(kind):
            ((member, fields),) = value.items()
            code, inner = next((c, inner) for c, (name, inner) in kind.items() if name == member)
            numbers[slot] = "code", code
            places[slot + 1] = _write_table(builder, inner, fields)
        else:
            places[slot] = _write_value(builder, kind, value)
    builder.StartObject(1 + max([*numbers, *places], default=-1))
    for slot, (kind, number) in numbers.items():
        add = builder.PrependUint32Slot if kind == UINT else builder.PrependUint8Slot
        add(slot, number, 0)
    for slot, place in places.items():
        builder.PrependUOffsetTRelativeSlot(slot, place, 0)
    return builder.EndObject()


def _write_value(builder: flatbuffers.Builder, kind: Any, value: Any) -> int:
    if kind == TEXT:
        return builder.CreateString(value)
    if kind == FLOATS:
        return builder.CreateNumpyVector(np.asarray(value, np.float32))
    if kind == TEXTS:
        return _write_vector(builder, [builder.CreateString(text) for text in value])
    if isinstance(kind, list):
        return _write_vector(builder, [_write_table(builder, kind[0], each) for each in value])
    return _write_table(builder, kind, value)


def _write_vector(builder: flatbuffers.Builder, places: list[int]) -> int:
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    return builder.EndVector()


def main() -> None:
    """Print the metadata of the file given on the command line."""
    try:
        (path,) = sys.argv[1:]
        print(json.dumps(read(path), indent=2, ensure_ascii=False))
    except ValueError:
        sys.exit("usage: python -m a2v_tf.export.metadata FILE.tflite")
    except A2vError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
