"""The golden files of the Java tests equal the output of `android_demo/export_golden.py`."""

import pathlib

import numpy as np
import pytest

from a2v_tf.export import flatbuffer as fb
from a2v_tf.export.forms import MODES
from a2v_tf.frontend import pcm_to_float
from a2v_tf.runtime import metadata
from a2v_tf.runtime.embedder import Embedder
from tests.conftest import load_script
from tests.front_ends import OTHERS

DEMO = pathlib.Path(__file__).parents[2] / "android_demo"


export_golden = load_script(DEMO / "export_golden.py")
STATES = ("internal", "external")
PARTS = [f"{part}_{mode}" for part in export_golden.PARTS for mode in MODES]
MODELS = (*STATES, "window", "log_mel", *PARTS)


@pytest.fixture(scope="module")
def fresh(pytestconfig: pytest.Config) -> dict[str, bytes]:
    """The script's output; --update stores it as the golden files."""
    files = export_golden.golden_files()
    if pytestconfig.getoption("--update"):
        export_golden.write(files, DEMO)
    return files


def kept(name: str) -> bytes:
    return (DEMO / name).read_bytes()


def names(fresh: dict[str, bytes], *endings: str) -> list[str]:
    return [name for name in fresh if name.endswith(endings)]


def floats(content: bytes) -> np.ndarray:
    return np.frombuffer(content, "<f4")


def runtime(name: str) -> bytes:
    return kept(f"{export_golden.RUNTIME}/{name}")


def test_no_file_is_missing_or_left_over(fresh: dict[str, bytes]) -> None:
    folders = [DEMO / export_golden.CORE, DEMO / export_golden.RUNTIME]
    found = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert sorted(path.relative_to(DEMO).as_posix() for path in found) == sorted(fresh)
    assert sum(path.stat().st_size for path in found) < 1_800_000


def test_sounds_colours_and_taught_sounds_are_the_same(fresh: dict[str, bytes]) -> None:
    exact = names(fresh, ".s16", ".properties", ".rgb", ".json", "queries.f32")
    assert len(exact) == 24
    for name in exact:
        assert fresh[name] == kept(name), name


def test_log_mel_is_the_same(fresh: dict[str, bytes]) -> None:
    arrays = [name for name in names(fresh, ".f32") if "front_end" in name]
    assert len(arrays) == 11
    for name in arrays:
        # As tests/test_frontend.py: float32 FFTs of other builds.
        np.testing.assert_allclose(floats(fresh[name]), floats(kept(name)), atol=2e-4, err_msg=name)


def test_front_ends_are_those_of_the_python_tests() -> None:
    assert export_golden.FRONT_ENDS == OTHERS


def test_log_mel_turned_into_sound_is_the_same(fresh: dict[str, bytes]) -> None:
    arrays = [name for name in names(fresh, ".f32") if "inversion" in name]
    assert len(arrays) == 3
    for name in arrays:
        new, old = floats(fresh[name]), floats(kept(name))
        # Another SciPy may stop the least squares elsewhere, and Griffin-Lim magnifies rounding.
        assert new.shape == old.shape, name
        assert np.std(new - old) < 0.2 * np.std(old), name


def test_neighbours_are_the_same(fresh: dict[str, bytes]) -> None:
    (name,) = names(fresh, "nearest.csv")
    new, old = (
        np.loadtxt(content.decode().splitlines(), delimiter=",")
        for content in (fresh[name], kept(name))
    )
    np.testing.assert_allclose(new, old, rtol=0, atol=1e-5)
    assert len(set(new[:, 0])) == 3  # one example, of the fourth label, never has most votes
    assert len(set(new[:, 4])) == 4


@pytest.mark.parametrize("name", MODELS)
def test_models_are_the_same_apart_from_rounding(fresh: dict[str, bytes], name: str) -> None:
    path = f"{export_golden.RUNTIME}/{name}.tflite"
    new, old = fresh[path], kept(path)
    assert facts(new) == facts(old)
    ops_of_new, ops_of_old = map(op_kinds, (new, old))
    assert ops_of_new == ops_of_old


def facts(content: bytes) -> dict[str, object]:
    return {key: value for key, value in metadata.facts(content).items() if key != "made_with"}


def op_kinds(content: bytes) -> list[list[str]]:
    model = fb.read(content)
    return [[fb.kind(model, op) for op in graph.operators] for graph in model.subgraphs]


@pytest.mark.parametrize("kernels", export_golden.KERNELS)
@pytest.mark.parametrize("state", STATES)
def test_embeddings_are_those_of_the_models(
    fresh: dict[str, bytes], kernels: str, state: str
) -> None:
    """Of the stored models, and of new ones, which another TensorFlow may calibrate differently."""
    wave = pcm_to_float(np.frombuffer(runtime("pcm.s16"), "<i2")).numpy()
    expected = floats(runtime(f"embeddings_{kernels}.f32")).reshape(export_golden.HOPS, -1)
    step = np.diff(np.unique(expected)).min()
    assert len(np.unique(expected)) > 100
    for content in (runtime(f"{state}.tflite"), fresh[f"{export_golden.RUNTIME}/{state}.tflite"]):
        got = np.stack(Embedder(content, kernels).stream(wave))
        # On another processor the float front end may round otherwise.
        np.testing.assert_allclose(got, expected, rtol=0, atol=2.5 * step)
        assert np.mean(got == expected) > 0.99


@pytest.mark.parametrize("kernels", export_golden.KERNELS)
@pytest.mark.parametrize("name", PARTS)
def test_results_of_parts_are_those_of_the_models(
    fresh: dict[str, bytes], name: str, kernels: str
) -> None:
    """As for the embeddings."""
    wave = pcm_to_float(np.frombuffer(runtime("pcm.s16"), "<i2")).numpy()
    expected = floats(runtime(f"{name}_{kernels}.f32"))
    step = np.diff(np.unique(expected)).min(initial=0)
    for content in (runtime(f"{name}.tflite"), fresh[f"{export_golden.RUNTIME}/{name}.tflite"]):
        got = export_golden.result_of(content, wave, kernels).ravel()
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=2.5 * step)
        assert np.mean(np.isclose(got, expected, rtol=1e-5)) > 0.9


def test_the_checks_of_damaged_models_are_those_of_python() -> None:
    """`VerifyTest` in Java reads the same lines."""
    lines = runtime("damage.csv").decode().splitlines()
    assert len(lines) > export_golden.DAMAGED_COPIES * len(export_golden.DAMAGED)
    verdicts = []
    for line in lines:
        name, length, words, verdict = line.split(",")
        edits = {
            int(place): bytes.fromhex(new)
            for place, new in (word.split(":") for word in words.split())
        }
        content = export_golden.damaged(runtime(name), int(length), edits)
        assert export_golden.verdict(content) == verdict, line
        verdicts.append(verdict)
    assert len(set(verdicts)) > 50
    assert 20 < verdicts.count("") < 200
