"""The model directory: what training writes, and how all later commands read it."""

import contextlib
import importlib.metadata
import json
import pathlib
import platform
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

import keras

from a2v_tf import __version__, files
from a2v_tf.errors import A2vError
from a2v_tf.files import check_zip, made_directory, write_json
from a2v_tf.frontend import FrontEnd
from a2v_tf.models import augment, batch_norm, heads  # noqa: F401 (layers of saved models)
from a2v_tf.models.encoder import build_stream_encoder
from a2v_tf.pretrained import in_words, is_packaged, names, resolve
from a2v_tf.specs import BandLevels, InputStats, find_encoder

CONFIG = "config.json"
ENCODER = "encoder.keras"  # the best by validation loss; later commands use it
LAST_ENCODER = "encoder_last.keras"
MODEL = "model.keras"  # encoder, decoders and heads at the same step as ENCODER
LOG = "train_log.csv"
INITIAL_RUN = "initial_run"  # in config.json: that of the run which --initial_encoder names
PROBES = "probes.csv"  # accuracies on labelled data during training, with --probe


def make_model_dir(name: str) -> pathlib.Path:
    """Create the directory that `--model_dir` names, unless it exists.

    Raises:
      A2vError: it cannot be written, or is that of an encoder of this package.
    """
    model_dir = pathlib.Path(name)
    if name in names() or is_packaged(model_dir):
        raise A2vError(f"--model_dir={name} comes with a2v_tf: expected another directory")
    return made_directory("model_dir", name)


def held(model_dir: pathlib.Path) -> contextlib.AbstractContextManager[None]:
    """Keep other processes from training in a directory; a killed process holds nothing.

    Raises:
      A2vError: another one is training there.
    """
    message = f"--model_dir={model_dir}: another a2v_train is training there: expected to be alone"
    return files.held(model_dir, message)


def write_config(model_dir: pathlib.Path, config: dict[str, Any]) -> None:
    """Write `config.json`: `config` plus the package versions and the git revision."""
    write_json(model_dir / CONFIG, {**config, "made_with": _provenance()})


def runs(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The `config.json` of an encoder, and those of the runs that its weights went through before.

    With --initial_encoder a run starts from the encoder of another one.
    """
    initial = config.get(INITIAL_RUN)
    return [config, *(runs(initial) if initial else [])]


def read_config(model_dir: pathlib.Path | str) -> dict[str, Any]:
    """Read `config.json`.

    Args:
      model_dir: as `a2v_train` leaves it; or, here and below, one of `pretrained.names`.

    Raises:
      A2vError: the directory or the file is missing or not readable as JSON.
    """
    path = resolve(model_dir) / CONFIG
    if not path.is_file():
        raise A2vError(
            f"no {CONFIG} in {str(model_dir)!r}: expected a directory made by a2v_train, or "
            f"{in_words()}"
        )
    try:
        config = json.loads(path.read_text())
    except ValueError as error:
        raise A2vError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(config, dict):
        raise A2vError(f"{path} holds no settings: expected a file that a2v_train wrote")
    return config


def copy_model_dir(model_dir: pathlib.Path | str, directory: pathlib.Path) -> None:
    """Copy what export needs into a new directory, so that the original stays unchanged.

    Raises:
      A2vError: there is no model to copy.
    """
    read_config(model_dir)
    directory.mkdir(parents=True)
    for name in (CONFIG, ENCODER):
        source = resolve(model_dir) / name
        try:
            shutil.copy(source, directory / name)
        except OSError as error:
            raise A2vError(f"cannot read {source}: {error.strerror}") from error


def front_end_of(model_dir: pathlib.Path | str) -> FrontEnd | BandLevels:
    """The front end of a model's input; for precomputed spectrograms, their bands.

    Raises:
      A2vError: no model directory, or one whose front end this version does not compute.
    """
    made_for = read_config(model_dir).get("front_end")
    if isinstance(made_for, dict) and "columns" in made_for:
        return BandLevels(tuple(made_for["columns"]), made_for["period"])
    try:
        return FrontEnd.of(made_for or {})
    except A2vError as error:
        raise A2vError(f"{str(model_dir)!r}: {error}") from error


def sound_front_end(model_dir: pathlib.Path | str) -> FrontEnd:
    """The front end of a model that takes audio.

    Raises:
      A2vError: it takes none, or there is no such model.
    """
    check_takes_audio(model_dir)
    front_end = front_end_of(model_dir)
    assert isinstance(front_end, FrontEnd)  # as just checked
    return front_end


def check_takes_audio(model_dir: pathlib.Path | str) -> None:
    """Raise `A2vError` if a model takes precomputed spectrograms instead of audio."""
    front_end = front_end_of(model_dir)
    if isinstance(front_end, BandLevels):
        raise A2vError(
            f"{str(model_dir)!r} was trained on precomputed spectrograms of {front_end.bins} bands "
            "and takes no audio: expected export_tflite --input=log_mel, which takes such frames"
        )


def load_encoder(
    model_dir: pathlib.Path | str, *, for_audio: bool = True, last: bool = False
) -> keras.Model:
    """Load the trained encoder: log-mel `[batch, N, F]` -> embedding `[batch, d]`.

    Args:
      model_dir: as `a2v_train` leaves it.
      for_audio: refuse an encoder that takes precomputed spectrograms.
      last: the encoder after the last round, instead of the best by validation loss.

    Raises:
      A2vError: there is none, or the file is damaged.
    """
    return _load(resolve(model_dir), LAST_ENCODER if last else ENCODER, for_audio)


def load_stream_encoder(model_dir: pathlib.Path | str) -> tuple[keras.Model, int, int]:
    """Load the trained encoder in its streaming form.

    Returns:
      The model of `build_stream_encoder`, log-mel `[batch, T, F]` -> `[batch, T / step, d]`; its
      step in frames; and N, the frames that an embedding describes.

    Raises:
      A2vError: there is none, or the file is damaged.
    """
    encoder = load_encoder(model_dir)
    config = read_config(model_dir)
    shape = find_encoder(config["encoder"])
    stats = InputStats(config["input_mean"], config["input_variance"])
    stream = build_stream_encoder(shape, config["frames"], config["bins"], stats)
    stream.set_weights(encoder.get_weights())
    return stream, shape.step_frames, config["frames"]


def load_model(model_dir: pathlib.Path | str, *, for_audio: bool = True) -> keras.Model:
    """Load the whole trained model, decoder included.

    Args:
      model_dir: as `a2v_train` leaves it.
      for_audio: refuse a model that takes precomputed spectrograms.

    Raises:
      A2vError: there is none, or the file is damaged.
    """
    return _load(resolve(model_dir), MODEL, for_audio)


def check_has(model_dir: pathlib.Path, name: str) -> None:
    """Raise `A2vError` if this is a packaged encoder, which comes without `name`."""
    if is_packaged(model_dir) and not (model_dir / name).is_file():
        raise A2vError(
            f"the pretrained encoder comes without {name}: expected a directory that a2v_train "
            "wrote"
        )


def _load(model_dir: pathlib.Path, name: str, for_audio: bool) -> keras.Model:
    check = check_takes_audio if for_audio else front_end_of
    check(model_dir)
    path = model_dir / name
    if not path.is_file():
        check_has(model_dir, name)
        raise A2vError(f"no {name} in {str(model_dir)!r}: has a2v_train finished its first round?")
    check_zip(path)
    try:
        # Safe mode runs no code of the file: of lambda layers, for example.
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds for a damaged archive
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise A2vError(f"cannot load {path}: {first_line}") from error
    if name != MODEL:
        _check_is_encoder(model, path)
    return model


def _check_is_encoder(model: keras.Model, path: pathlib.Path) -> None:
    """Raise `A2vError` unless a model takes the slices that config.json beside it names."""
    config, shape = read_config(path.parent), model.input_shape
    expected = (None, config.get("frames"), config.get("bins"))
    sizes = zip(shape, expected, strict=False)
    if len(shape) != 3 or any(None not in size and size[0] != size[1] for size in sizes):
        raise A2vError(
            f"{path} takes {shape}: expected an encoder of slices {expected}, as {CONFIG} says"
        )


def _provenance() -> dict[str, str | None]:
    packages = ("tensorflow", "tensorflow-cpu", "keras", "numpy", "ai-edge-litert")
    made_with = {"a2v_tf": __version__, "python": platform.python_version()}
    for package in packages:
        try:
            made_with[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {**made_with, "backend": keras.backend.backend(), "git_revision": _git_revision()}


def _git_revision() -> str | None:
    try:
        run = subprocess.run(
            ["git", "-C", str(pathlib.Path(__file__).parent), "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None  # an installed package, not a checkout
    return run.stdout.strip()
