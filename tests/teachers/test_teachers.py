"""Each teacher against the outputs of its original, and teachers that users bring."""

import concurrent.futures
import pathlib
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from a2v_tf.errors import A2vError
from a2v_tf.frontend import FRONT_END, log_mel
from a2v_tf.pretrained import WINDOW, resolve
from a2v_tf.runtime.embedder import Embedder
from a2v_tf.teachers import TEACHERS, Teacher, find_teacher
from a2v_tf.teachers.base import fingerprint
from a2v_tf.training.model_dir import load_encoder
from tests.front_ends import TELEPHONE
from tests.teachers.make_golden import GOLDEN, slices
from tests.tiny_models import write_model

# What float32 in another order of sums leaves, of outputs up to 60.
CLOSE = {"rtol": 1e-4, "atol": 1e-4}

ORIGINALS = [name for name in TEACHERS if name != "log_mel_statistics"]


@pytest.fixture(scope="module")
def teacher() -> "Opened":
    return Opened()


class Opened:
    """Opens teachers once; one whose weights cannot be fetched skips the test."""

    def __init__(self) -> None:
        self._opened: dict[str, Teacher] = {}
        self._missing: dict[str, str] = {}

    def __call__(self, name: str) -> Teacher:
        if name not in self._opened and name not in self._missing:
            try:
                self._opened[name] = find_teacher(name)
            except A2vError as error:
                if not re.search("cannot fetch|needs", str(error)):
                    raise
                self._missing[name] = str(error)
        if name in self._missing:
            pytest.skip(self._missing[name])
        return self._opened[name]


@pytest.mark.parametrize("name", ORIGINALS)
def test_equals_its_original(name, teacher):
    golden = np.load(GOLDEN / f"{name}.npy")
    golden = golden[0] if name == "whisper_tiny" else golden
    outputs = teacher(name).embed(slices())
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs, golden, **CLOSE)


def test_a_lower_layer_of_whisper_equals_its_original(teacher):
    golden = np.load(GOLDEN / "whisper_tiny.npy")
    np.testing.assert_allclose(teacher("whisper_tiny:2").embed(slices()), golden[1], **CLOSE)
    np.testing.assert_allclose(teacher("whisper_tiny:4").embed(slices()), golden[0], **CLOSE)


@pytest.mark.parametrize("name", TEACHERS)
def test_says_what_it_is(name, teacher):
    found = teacher(name)
    assert found.name == name
    assert found.embed(slices()).shape == (2, found.dim)
    assert found.embed(slices()[:0]).shape == (0, found.dim)
    assert found.licence in ("Apache-2.0", "MIT", "ISC", "CC-BY-4.0")
    assert found.source == "a2v_tf" or found.source.startswith("PyPI ")
    others = [teacher(other).fingerprint for other in TEACHERS if other != name]
    assert found.fingerprint not in others


@pytest.mark.parametrize("name", TEACHERS)
def test_each_slice_and_thread_is_by_itself(name, teacher):
    embed = teacher(name).embed
    pcm = np.concatenate([slices(), slices()[::-1] * 0.5, slices() * 0.25])
    with threadpool_limits(1, user_api="blas"), concurrent.futures.ThreadPoolExecutor(3) as pool:
        alone = np.concatenate([embed(one[np.newaxis]) for one in pcm])
        together = list(pool.map(embed, [pcm] * 6))
    for outputs in together:
        np.testing.assert_array_equal(outputs, together[0])
    np.testing.assert_allclose(together[0], alone, **CLOSE)


def test_log_mel_statistics():
    frames = log_mel(slices()).numpy()
    outputs = find_teacher("log_mel_statistics").embed(slices())
    mean, deviation, change = np.split(outputs, 3, axis=1)
    np.testing.assert_allclose(mean, frames.mean(1), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(deviation, frames.std(1), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(change, np.diff(frames, axis=1).std(1), rtol=1e-5, atol=1e-5)


def test_a_model_of_ours_is_a_teacher():
    found = find_teacher("model:pretrained")
    expected = load_encoder("pretrained")(log_mel(slices())).numpy()
    np.testing.assert_allclose(found.embed(slices()), expected, rtol=1e-5, atol=1e-5)
    assert found.dim == expected.shape[1]


def test_a_tflite_file_is_a_teacher():
    path = resolve("pretrained", WINDOW)
    found = find_teacher(f"tflite:{path}")
    expected = np.stack([Embedder(path).embed(pcm) for pcm in slices()])
    np.testing.assert_array_equal(found.embed(slices()), expected)


@pytest.fixture
def module(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """An importable module `own_teachers`."""
    path = tmp_path / "own_teachers.py"
    path.write_text(
        textwrap.dedent("""
            import numpy as np
            number = 3
            def peaks(pcm): return pcm.reshape(len(pcm), 4, -1).max(2)
            def fails(pcm): raise OSError("no such weights")
            def flat(pcm): return pcm.max(1)
            def one(pcm): return pcm[:1, :5]
            def words(pcm): return np.array([["a"]] * len(pcm))
            def not_finite(pcm): return np.full((len(pcm), 3), np.nan)
            def huge(pcm): return np.full((len(pcm), 3), 1e6)
        """)
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield path
    sys.modules.pop("own_teachers", None)


def test_a_function_is_a_teacher(module):
    found = find_teacher("python:own_teachers:peaks")
    assert found.dim == 4
    expected = slices().reshape(2, 4, -1).max(2)
    np.testing.assert_array_equal(found.embed(slices()), expected)


def test_a_function_is_another_teacher_when_its_file_or_version_changes(module):
    before = find_teacher("python:own_teachers:peaks").fingerprint
    assert find_teacher("python:own_teachers:peaks").fingerprint == before
    sys.modules["own_teachers"].peaks.version = "2"
    second = find_teacher("python:own_teachers:peaks").fingerprint
    module.write_text(module.read_text() + "# changed\n")
    assert len({before, second, find_teacher("python:own_teachers:peaks").fingerprint}) == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nobody", "no teacher 'nobody': expected one of log_mel_statistics, .*python:MODULE:FUN"),
        ("model:", "no teacher 'model:': expected"),
        ("whisper_tiny:0", "whisper_tiny:0: layer '0': expected a whole number from 1 on"),
        ("whisper_tiny:5", "whisper_tiny:5: layer 5: expected 1 to 4"),
        ("whisper_tiny:x", "whisper_tiny:x: layer 'x': expected a whole number"),
        ("whisper:/nowhere", "whisper:/nowhere: no model.bin in '/nowhere': expected a Whisper"),
        ("model:/nowhere", "teacher model:/nowhere: no config.json in '/nowhere': expected"),
        ("tflite:/nowhere", "teacher tflite:/nowhere: cannot read '/nowhere': No such file"),
        ("python:nowhere", "nowhere: expected package.module:NAME"),
        ("python:own_teachers:none", "own_teachers has no 'none'"),
        ("python:own_teachers:number", "number: is a int: expected a function from PCM"),
        ("python:own_teachers:fails", r"raised OSError: no such weights \(.*teachers.py, line 5\)"),
        ("python:own_teachers:flat", r"gave the shape \(2,\) for PCM \[2, 15600\]: expected \[2"),
        ("python:own_teachers:one", r"gave the shape \(1, 5\) for PCM"),
    ],
)
def test_errors_of_names(name, message, module, teacher):
    with pytest.raises(A2vError, match=message) as error:
        teacher(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("words", "gave <U1 of shape .2, 1. for 2 slices: expected numbers of shape .2, 1."),
        ("not_finite", "gave nan: expected finite numbers of at most 65504"),
        ("huge", r"gave 1e\+06: expected finite numbers of at most 65504"),
    ],
)
def test_errors_of_outputs(name, message, module):
    with pytest.raises(A2vError, match=message):
        find_teacher(f"python:own_teachers:{name}").embed(slices())


def test_the_command_lists_teachers_and_names_unknown_ones():
    listed = run("log_mel_statistics")
    assert listed.stdout == "log_mel_statistics: 192 numbers, Apache-2.0, a2v_tf\n"
    unknown = run("nobody")
    assert unknown.returncode == 1
    assert unknown.stderr.startswith("error: no teacher 'nobody': expected one of log_mel_stat")


def run(*names: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "a2v_tf.teachers", *names]
    return subprocess.run(command, capture_output=True, text=True)


def test_takes_slices_only():
    with pytest.raises(A2vError, match=r"shape \(2, 16000\): expected \[slices, 15600\]"):
        find_teacher("log_mel_statistics").embed(np.zeros((2, 16_000), np.float32))


def test_a_streaming_file_is_no_teacher():
    path = resolve("pretrained", "streaming.tflite")
    with pytest.raises(A2vError, match=r"takes float32 \[1, 1280\]: expected float32 \[1, 15600\]"):
        find_teacher(f"tflite:{path}")


def test_a_directory_that_ctranslate2_cannot_read(tmp_path):
    pytest.importorskip("ctranslate2")
    (tmp_path / "model.bin").write_bytes(b"nothing of the kind" * 10)
    for name in (f"whisper:{tmp_path}", f"whisper:{tmp_path}:2"):
        with pytest.raises(A2vError, match=r"is not a Whisper model that CTranslate2 .* reads"):
            find_teacher(name)


def test_a_whisper_of_your_own(teacher):
    expected = teacher("whisper_tiny:2").embed(slices())
    from a2v_tf.teachers.whisper import WHEEL

    own = find_teacher(f"whisper:{WHEEL.path()}:2")
    assert own.licence == "unknown"
    np.testing.assert_array_equal(own.embed(slices()), expected)


def test_missing_package(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    needs = "teacher {}.* needs {}: pip install 'a2v_tf\\[teachers\\]'"
    with pytest.raises(A2vError, match=needs.format("whisper_tiny", "CTranslate2")):
        find_teacher("whisper_tiny")
    with pytest.raises(A2vError, match=needs.format("speech_embedding", "pyopen-wakeword")):
        find_teacher("speech_embedding")


def test_fingerprint_is_that_of_settings_and_files(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"weights")
    second.write_bytes(b"weights")
    assert fingerprint("x", 1, files=[first]) == fingerprint("x", 1, files=[second])
    second.write_bytes(b"other")
    different = [
        fingerprint("x", 1, files=[first]),
        fingerprint("x", 1, files=[second]),
        fingerprint("x", 2, files=[first]),
        fingerprint("x", 1, FRONT_END, files=[first]),
        fingerprint("x1", "", files=[first]),
    ]
    assert len(set(different)) == len(different)


def test_an_encoder_of_another_front_end_is_no_teacher(tmp_path):
    write_model(tmp_path, "autoencoder", front_end=vars(TELEPHONE))
    with pytest.raises(A2vError, match=r"takes sound by FrontEnd\(sample_rate=8000"):
        find_teacher(f"model:{tmp_path}")
