"""Whether a run goes on in a model directory: its settings, and its data, which may have moved."""

import dataclasses
import pathlib
from typing import Any

from a2v_tf.data.fingerprint import fingerprint, same_place
from a2v_tf.training.model_dir import read_config
from a2v_tf.training.settings import TrainSettings

FINGERPRINTS = "data_fingerprints"  # the key in config.json
_FIELDS = ("data", "validation_data", "probe")


def fingerprints(settings: TrainSettings) -> dict[str, str | None]:
    """What `config.json` keeps to recognise the run's files elsewhere."""
    given = {name: getattr(settings, name) for name in _FIELDS}
    return {name: fingerprint(data) for name, data in given.items() if data}


def check_resumes(settings: TrainSettings, model_dir: pathlib.Path, step: int) -> None:
    """Raise `A2vError` unless a model directory holds `step` steps of the run with these settings.

    The same files under another path are the same data.
    """
    config = read_config(model_dir)
    moved: dict[str, Any] = {}
    for name in _FIELDS:
        now, was = getattr(settings, name), config.get(name)
        if not isinstance(now, str) or not isinstance(was, str) or now == was:
            continue
        known = config.get(FINGERPRINTS, {}).get(name)
        if same_place(now, was) or (known and fingerprint(now) == known):
            moved[name] = was
    dataclasses.replace(settings, **moved).check_resumes(config, step)
