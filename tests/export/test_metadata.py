"""Metadata of a file: written, read back, and equal to that of the official library."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a2v_tf.errors import A2vError
from a2v_tf.export import flatbuffer as fb
from a2v_tf.export import metadata
from a2v_tf.frontend import FRONT_END
from a2v_tf.runtime.embedder import Embedder
from a2v_tf.runtime.metadata import OFFICIAL, TRAINING
from tests.conftest import GOLDEN
from tests.export.signals import stream_of

OFFICIAL_BYTES = GOLDEN / "metadata.tflitemeta"
CONFIG = {
    "task": "cbow",
    "data": "/home/somebody/recordings/",
    "steps": 1_000,
    "probe": "csv:/home/somebody/a.csv,musan",
    "made_with": {"git_revision": "abc1234-dirty", "keras": "3.15.1"},
}
FORMS = [
    ("streaming", "internal", "pcm"),
    ("streaming", "external", "pcm"),
    ("streaming", "internal", "log_mel"),
    ("streaming", "external", "log_mel"),
    ("window", None, "pcm"),
    ("window", None, "log_mel"),
]


def facts_of(mode: str, state: str | None, input: str, **others: object) -> dict:
    return {
        **{"encoder": "small", "task": "cbow", "quantized": True, "window_ms": 975.0},
        **{"mode": mode, "state": state, "input": input, "front_end": vars(FRONT_END)},
        **{"hop_ms": 320.0 if mode == "streaming" else None, "config": CONFIG},
        **others,
    }


@pytest.fixture
def model(form: Callable) -> Callable[..., fb.Model]:
    """`model(mode, state, input)`: an int8 file, unpacked, without metadata."""
    return lambda mode, state, input: fb.read(form("int8", mode, input, state or "internal"))


@pytest.mark.parametrize(("mode", "state", "input"), FORMS)
def test_reads_back_what_was_attached(
    model: Callable, mode: str, state: str | None, input: str
) -> None:
    facts = facts_of(mode, state, input, weights_and_scales="0123456789abcdef")
    file = model(mode, state, input)
    metadata.attach(file, facts)
    content = fb.write(file)
    read = metadata.read(content)
    assert read["name"] == "a2v_tf small"
    assert read["author"] == read["license"] == "not stated"
    kept = {name: value for name, value in facts.items() if name != "config"}
    assert read["facts"] == {
        **kept,
        **{"embedding_dim": 128, "made_with": f"a2v_tf {read['version']}"},
    }
    assert read["training"] == {
        **CONFIG,
        **{"data": "recordings", "probe": "csv:a.csv,musan"},
    }
    # One per tensor of the graph, in its order, as the official library requires.
    signature = fb.signature(file, "embed")
    graph = fb.read(content).subgraphs[signature.subgraphIndex]
    for end, maps, tensors in (
        ("inputs", signature.inputs, graph.inputs),
        ("outputs", signature.outputs, graph.outputs),
    ):
        by_index = {index: name for name, index in fb.names(maps).items()}
        assert [tensor["name"] for tensor in read[end]] == [by_index[int(i)] for i in tensors]


def test_description_of_pcm_matches_the_input(model: Callable) -> None:
    file = model("streaming", "external", "pcm")
    metadata.attach(file, facts_of("streaming", "external", "pcm"))
    read = metadata.read(fb.write(file))
    pcm, *states = read["inputs"]
    assert pcm["content"] == {"properties": {"audio": {"sample_rate": 16_000, "channels": 1}}}
    assert pcm["stats"] == {"min": [-1.0], "max": [1.0]}
    assert pcm["process_units"] == [{"options": {"normalization": {"mean": [0.0], "std": [1.0]}}}]
    assert pcm["dimension_names"] == ["batch", "samples"]
    assert read["min_parser_version"] == "1.3.0"
    start = Embedder(fb.write(file)).interpreter.get_signature_runner("embed").get_input_details()
    for state in states:
        zero = start[state["name"]]["quantization"][1]
        assert f"before the first, {zero} everywhere" in state["description"]


def test_metadata_does_not_change_the_embeddings(model: Callable) -> None:
    file = model("streaming", "internal", "pcm")
    expected = Embedder(fb.write(file)).stream(stream_of("chirp"))
    metadata.attach(file, facts_of("streaming", "internal", "pcm"))
    embedder = Embedder(fb.write(file))
    np.testing.assert_array_equal(embedder.stream(stream_of("chirp")), expected)
    assert embedder.facts["hop_ms"] == 320
    assert embedder.span == 15_600


def test_metadata_gives_the_length_of_the_window(model: Callable) -> None:
    file = model("streaming", "internal", "pcm")
    assert Embedder(fb.write(file)).span == 15_600  # without metadata, what is usual
    facts = facts_of("streaming", "internal", "pcm", window_ms=655.0)
    metadata.attach(file, facts)
    assert Embedder(fb.write(file)).span == 10_480


def test_attaching_replaces_and_is_deterministic(model: Callable) -> None:
    file = model("window", None, "log_mel")
    fb.set_metadata(file, "a2v_tf.calibration", "of the model directory's own file")
    fb.set_metadata(file, "min_runtime_version", "2.3.0")
    facts = facts_of("window", None, "log_mel")
    metadata.attach(file, facts)
    once = fb.write(file)
    metadata.attach(file, dict(reversed(facts.items())))
    assert fb.write(file) == once
    names = [fb.text(entry.name) for entry in file.metadata]
    assert sorted(names) == sorted({*names})
    assert {OFFICIAL, TRAINING, "min_runtime_version"} <= {*names}
    assert "a2v_tf.calibration" not in names


def test_given_name_author_licence_and_version_are_stored(model: Callable) -> None:
    file = model("window", None, "pcm")
    given = {"name": "Türen", "author": "Åsa", "license": "CC-BY-4.0", "version": "2"}
    metadata.attach(file, facts_of("window", None, "pcm", **given))
    read = metadata.read(fb.write(file))
    assert given == {name: read[name] for name in given}
    assert "author" not in read["facts"]
    assert "every" not in read["description"]
    assert read["description"].endswith("embed: pcm -> embedding [128] of 975 ms.")


@pytest.mark.parametrize(
    ("quantized", "activations", "words"),
    [
        (True, "int8", "cbow; int8, window."),
        (True, "int16", "cbow; int8 weights, int16 activations, window."),
        (False, "float32", "cbow; float, window."),
    ],
)
def test_the_description_names_the_numbers(
    model: Callable, quantized: bool, activations: str, words: str
) -> None:
    file = model("window", None, "pcm")
    facts = facts_of("window", None, "pcm", quantized=quantized, activations=activations)
    metadata.attach(file, facts)
    assert words in metadata.read(fb.write(file))["description"]


def test_the_bytes_equal_those_validated_by_the_official_library(
    model: Callable, update_golden: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The golden bytes were read, field by field, and validated by tflite-support 0.4.4."""
    monkeypatch.setattr(metadata, "__version__", "0.1.0")
    file = model("streaming", "external", "pcm")
    metadata.attach(file, facts_of("streaming", "external", "pcm"))
    entry = next(each for each in file.metadata if fb.text(each.name) == OFFICIAL)
    packed = np.asarray(file.buffers[entry.buffer].data, np.uint8).tobytes()
    if update_golden:
        OFFICIAL_BYTES.write_bytes(packed)
    assert packed[4:8] == b"M001"
    assert packed == OFFICIAL_BYTES.read_bytes()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/data/recordings", "recordings"),
        ("../recordings//", "recordings"),
        ("C:\\data\\recordings", "C:recordings"),
        ("csv:/data/a.csv,csv:b.csv,musan", "csv:a.csv,csv:b.csv,musan"),
        ("spectrogram:/data/sensors", "spectrogram:sensors"),
        ("tfds:audioset/unbalanced:train", "tfds:audioset/unbalanced:train"),
        ("demo", "demo"),
        ("", ""),
    ],
)
def test_folder_names_are_not_stored(path: str, name: str) -> None:
    config = {"data": path, "steps": 3, "probe": [path], "nested": {"x": path, "none": None}}
    assert metadata.without_folders(config) == {
        **{"data": name, "steps": 3, "probe": [name]},
        "nested": {"x": name, "none": None},
    }


def test_refuses_incomplete_facts(model: Callable) -> None:
    facts = facts_of("window", None, "pcm")
    del facts["hop_ms"], facts["encoder"]
    with pytest.raises(A2vError, match="metadata without encoder, hop_ms: expected all of"):
        metadata.attach(model("window", None, "pcm"), facts)


def test_refuses_files_without_metadata(form: Callable, tmp_path) -> None:
    with pytest.raises(A2vError, match="these bytes has no metadata"):
        metadata.read(form("int8", "window", "log_mel"))
    with pytest.raises(A2vError, match=r"cannot read '.*none\.tflite': No such file"):
        metadata.read(tmp_path / "none.tflite")
    (tmp_path / "text.tflite").write_text("no model")
    with pytest.raises(A2vError, match=r"text\.tflite': expected a TFLite model"):
        metadata.read(tmp_path / "text.tflite")


def _small() -> bytes:
    graph = fb.Graph.new(fb.empty_model(), "embed")
    tensors = {name: graph.computed(name, [1, 3]) for name in ("pcm", "embedding")}
    fb.set_signature(graph, "embed", {"pcm": tensors["pcm"]}, {"embedding": tensors["embedding"]})
    metadata.attach(graph.model, facts_of("window", None, "pcm"))
    return fb.write(graph.model)


SMALL = _small()


@given(st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), max_size=4))
@settings(max_examples=300, deadline=None)
def test_damaged_metadata_is_an_error_of_one_line(changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(SMALL)
    for place, byte in changes:
        damaged[place] = byte
    try:
        metadata.read(bytes(damaged))
    except A2vError as error:
        assert "\n" not in str(error)  # noqa: PT017


def test_prints_json(
    model: Callable, tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "small.tflite"
    path.write_bytes(SMALL)
    monkeypatch.setattr("sys.argv", ["metadata", str(path)])
    metadata.main()
    assert json.loads(capsys.readouterr().out) == metadata.read(path)
    for arguments, message in (([], "usage: python -m"), (["none.tflite"], "error: cannot read")):
        monkeypatch.setattr("sys.argv", ["metadata", *arguments])
        with pytest.raises(SystemExit, match=message):
            metadata.main()
