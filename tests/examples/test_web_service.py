"""`examples/web_service.py`: embeddings of what is uploaded, and one line for what is no sound."""

import io
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import soundfile

import a2v_tf
from tests.conftest import load_script

pytest.importorskip("fastapi")
from fastapi.testclient import TestClient

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = ROOT / "examples/web_service.py"


@pytest.fixture(scope="module")
def service():
    return load_script(SCRIPT)


@pytest.fixture(scope="module")
def client(service):
    return TestClient(service.app)


def recording(rate: int, kind: str) -> tuple[np.ndarray, bytes]:
    pcm = 0.1 * np.random.default_rng(0).standard_normal(2 * rate)
    file = io.BytesIO()
    soundfile.write(file, pcm, rate, format=kind, subtype="PCM_16")
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0], file.getvalue()


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_embeddings_are_those_of_the_embedder(client, kind):
    pcm, content = recording(16_000, kind)
    answer = client.post("/embeddings", content=content)
    assert answer.status_code == 200
    assert answer.json()["hop_s"] == 0.08
    want = np.stack(a2v_tf.load("pretrained").stream(pcm))
    np.testing.assert_array_equal(np.array(answer.json()["embeddings"], np.float32), want)


def test_other_sample_rates_are_resampled(client):
    _, content = recording(44_100, "WAV")
    assert len(client.post("/embeddings", content=content).json()["embeddings"]) == 25


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"no sound at all", "not audio"), (recording(16_000, "FLAC")[1][:20_000], "")],
)
def test_bad_uploads_get_one_line(client, content, message):
    answer = client.post("/embeddings", content=content)
    assert answer.status_code == 422
    said = answer.json()["detail"]
    assert message in said
    assert "\n" not in said
    assert "/" not in said  # no path of the server


def test_nothing_is_refused(client):
    assert client.post("/embeddings").status_code == 422


def test_too_much_is_refused(client, service, monkeypatch):
    monkeypatch.setattr(service, "MOST_BYTES", 10)
    answer = client.post("/embeddings", content=bytes(11))
    assert (answer.status_code, answer.json()["detail"]) == (413, "11 bytes: expected at most 10")


def test_tensorflow_is_not_needed():
    code = (
        "import sys; sys.modules['tensorflow'] = None; sys.path.insert(0, 'examples');"
        "import web_service; from fastapi.testclient import TestClient;"
        "print(TestClient(web_service.app).post('/embeddings', content=b'x').status_code)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert run.stdout == "422\n", run.stderr
