"""The command `export_tflite` and the function `export_file`."""

import json
import pathlib
import re

import numpy as np
import pytest

from a2v_tf.errors import A2vError
from a2v_tf.export import build, convert
from a2v_tf.runtime import metadata
from a2v_tf.runtime.embedder import Embedder
from tests.conftest import run_command
from tests.export.signals import stream_of, with_silence


def test_command_exports_checks_and_prints_a_summary(
    model_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """The defaults: streaming, internal state, PCM input, calibrated on the training data."""
    output = tmp_path / "new" / "model.tflite"
    report = tmp_path / "summary.json"
    flags = [f"--model_dir={model_dir}", f"--output={output}", f"--summary={report}"]
    run = run_command("export_tflite", *flags, "--quantize", "--author=Someone")
    assert f"Wrote {output}" in run.stdout
    assert metadata.read(output)["author"] == "Someone"
    assert re.search(
        r"model +streaming, internal state, int8: pcm -> embedding \[128\]", run.stdout
    )
    assert f"{output.stat().st_size:,} bytes" in run.stdout
    assert "320 ms; an embedding is of the last 975 ms" in run.stdout
    assert "state_global_pool int8[1,2,128]" in run.stdout
    assert "CONV_2D=15" in run.stdout
    assert "8 steps equal the offline encoder's bit for bit" in run.stdout
    assert json.loads(report.read_text())["exactness"]["bit_exact"]
    assert "Assets written" not in run.stderr
    assert [path.name for path in output.parent.iterdir()] == ["model.tflite"]

    # A window file exported later, in another process, has the same quantised encoder.
    window = tmp_path / "window.tflite"
    summary = build.export_file(model_dir, window, quantize=True, mode="window")
    assert summary["weights_and_scales"] in run.stdout
    pcm = stream_of("chirp", 3)
    streamed = Embedder(output).stream(pcm)[-1]
    np.testing.assert_array_equal(streamed, Embedder(window).embed_window(with_silence(pcm)))


def test_summary_is_json(model_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    output = tmp_path / "model.tflite"
    summary = build.export_file(model_dir, output, quantize=True, state="external", input="log_mel")
    assert json.loads(json.dumps(summary)) == summary
    assert summary["file_bytes"] == output.stat().st_size
    assert summary["hop_ms"] == 320
    assert summary["state_bytes"] == sum(state["bytes"] for state in summary["states"])
    assert summary["exactness"] == {
        "steps": 8,
        "max_abs_difference": 0.0,
        "bit_exact": True,
        "tolerance": 0.0,
    }


def test_calibration_slices_are_reproducible(model_dir: pathlib.Path) -> None:
    data = str(model_dir / "recordings")
    slices = [build.draw_slices(data, 96, 40, seed, {}) for seed in (0, 0, 1)]
    assert slices[0].shape == (40, 96, 64)
    np.testing.assert_array_equal(slices[0], slices[1])
    assert not np.array_equal(slices[0], slices[2])


def test_export_works_if_the_quantised_encoder_cannot_be_stored(
    model_dir: pathlib.Path,
    tmp_path: pathlib.Path,
    calibration: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(convert, "QUANTIZED_CORE", "no/such/directory.tflite")
    summary = build.export_file(
        model_dir,
        tmp_path / "m.tflite",
        quantize=True,
        input="log_mel",
        calibration=calibration[:2],
    )
    assert summary["exactness"]["bit_exact"]
    assert "cannot store the quantised encoder" in caplog.text


def test_failed_check_writes_no_file(
    model_dir: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args, **kwargs) -> dict:
        raise A2vError("the file differs")

    monkeypatch.setattr(build.check, "check_exactness", fail)
    with pytest.raises(A2vError, match="the file differs"):
        build.export_file(model_dir, tmp_path / "model.tflite", input="log_mel")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "batch"}, "mode is 'batch': expected one of streaming, window"),
        ({"state": "none"}, "state is 'none': expected one of internal, external"),
        ({"input": "mp3"}, "input is 'mp3': expected one of pcm, log_mel"),
        ({"output": "model.bin"}, r"model\.bin': expected a name ending in \.tflite"),
        (
            {"output": "/proc/none/model.tflite"},
            "--output='/proc/none/model.tflite': no directory '/proc/none'",
        ),
        ({"output": "."}, "expected a name ending in"),
        ({"model_dir": "none"}, r"no config\.json in '.*none'"),
        ({"quantize": True, "calibration_data": "/none"}, "/none.* does not exist"),
        ({"quantize": True, "calibration": np.zeros((1, 9, 9), np.float32)}, r"shape \[1, 9, 9\]"),
    ],
)
def test_refuses_bad_input(
    model_dir: pathlib.Path, tmp_path: pathlib.Path, options: dict, message: str
) -> None:
    options = {"model_dir": model_dir, "output": "model.tflite", **options}
    output = tmp_path / options.pop("output")
    with pytest.raises(A2vError, match=message) as error:
        build.export_file(tmp_path / options.pop("model_dir"), output, **options)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_refuses_a_directory_without_training_data(
    model_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(A2vError, match=r"no 'data' in .*config\.json: give --calibration_data"):
        build.export_file(tmp_path, tmp_path / "model.tflite", quantize=True)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model_dir={tmp}/none"], "error: no config.json in '{tmp}/none'"),
        (["--mode=window", "--state=external"], "are for --mode=streaming only"),
        (["--mode=window", "--hop_ms=80"], "are for --mode=streaming only"),
        (["--task=cbow"], "--task is for --part=reconstruct only"),
        (["--hop_ms=100"], "error: --hop_ms=100: expected one of 960, 320, 160, 80, 40"),
        (
            ["--calibration_data=demo"],
            "--calibration_data, --calibration_slices, --activations, --ranges need --quantize",
        ),
    ],
)
def test_command_refuses_bad_input_in_one_line(
    model_dir: pathlib.Path, tmp_path: pathlib.Path, flags: list[str], message: str
) -> None:
    given = [flag.format(tmp=tmp_path) for flag in flags]
    usual = [f"--model_dir={model_dir}", f"--output={tmp_path}/model.tflite"]
    run = run_command("export_tflite", *usual, *given, fails=True)
    assert message.format(tmp=tmp_path) in run.stderr
    assert "Traceback" not in run.stderr
    assert not list(tmp_path.iterdir())


def test_command_explains_its_flags() -> None:
    helped = run_command("export_tflite", "--helpfull", here=True)
    for words in ("--model_dir", "with a signature 'reset'", "calibration slices"):
        assert words in re.sub(r"\s+", " ", helped.stdout)
