"""Options for the commands, drawn from the flags that they define."""

import importlib
import importlib.metadata
import random

from absl import flags

from tests.conftest import forgotten_flags
from tests.torture.inputs import QUICK

_SOUND = "inputs/sounds/low/0.wav"
# Options with which each command works; what is drawn comes after them and overrides them.
_VALID = {
    "a2v_train": ["--data=inputs/sounds", "--model_dir=out", "--steps=2", *QUICK],
    "a2v_embed": ["--model=pretrained", "--audio=inputs/sounds", "--output=out.csv"],
    "a2v_stream": ["--model=pretrained", f"--audio={_SOUND}"],
    "a2v_report": ["inputs/results.json", "--output=out.html"],
    "a2v_evaluate": [
        *("--model_dir=inputs/model", "--downstream=csv:inputs/labels.csv", "--cache_dir=cache"),
    ],
    "a2v_summary": ["--encoder=small"],
    "a2v_reconstruct": ["--model_dir=inputs/model", f"--audio={_SOUND}", "--at=1", "--output=out"],
    "a2v_gap": [
        *("--model_dir=inputs/levels_model", "--audio=inputs/levels/test/d.csv"),
        *("--first=1", "--second=9"),
    ],
    "a2v_benchmark": ["--model=pretrained", "--steps=2", "--rounds=1"],
    "export_tflite": ["--model_dir=inputs/model", "--output=out.tflite"],
}
# Numbers that say how much work is done: only few, or none at all.
_WORK = {
    *("steps", "eval_every", "batch_size", "validation_examples", "validation_steps", "rounds"),
    *(
        "calibration_slices",
        "seeds",
        "repeats",
        "frames",
        "context",
        "crops_per_clip",
        "context_before",
    ),
    *(
        "context_after",
        "fine_tune_steps",
        "finetune_steps",
        "hidden",
        "resamples",
        "max_frames",
        "gap",
        "chart",
    ),
}
_STAYS = {"strategy", "probe", "baselines", "encoder", "adb", "peers", "downstream", "other_data"}
_OUTPUTS = {"output", "summary", "plot", "markdown", "model_dir", "cache_dir"}
_TEXTS = (
    *("", "x", "demo", "pretrained", "/", "/dev/null", "inputs", "inputs/model", _SOUND, "-"),
    *("inputs/labels.csv", "csv:inputs/labels.csv", "tfds:x", "a.b:C", "1,2", "../x", "a\nb"),
    *("é", "<script>", "no/such/place", "inputs/results.json", "x" * 300),
)
_NUMBERS = (-1, 0, 1, 2, 3, 7, 1e-30, 0.5, 1e30, 2**31 - 1, 2**31, 10**20, "nan", "inf", "x", "")


def drawn_options(rng: random.Random) -> tuple[str, list[str], bool]:
    """A command, options for it of which up to four are drawn, and whether any is."""
    command = rng.choice(list(_VALID))
    options = list(_VALID[command])
    known = _flags_of(command)
    for name, flag in rng.sample(known, min(len(known), rng.randrange(1, 5))):
        value = _value(rng, name, flag)
        if value is not None:
            options.append(f"--{name}={value}")
    return command, options, len(options) > len(_VALID[command])


def _flags_of(command: str) -> list[tuple[str, flags.Flag]]:
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name=command)
    module = importlib.import_module(entry.module)
    with forgotten_flags():
        before = set(flags.FLAGS)
        module.define_flags()
        return [(n, flags.FLAGS[n]) for n in sorted(set(flags.FLAGS) - before - _STAYS)]


def _value(rng: random.Random, name: str, flag: flags.Flag) -> object:
    """A value that the flag may have, or, less often, one that it may not; None for none."""
    choices = getattr(flag.parser, "enum_values", None)
    if rng.random() < 0.7:
        if choices:
            return rng.choice(choices)
        if flag.flag_type() == "bool":
            return rng.choice(["true", "false"])
        if name in _WORK:
            return rng.choice([2, 4])
        if flag.flag_type() in ("int", "float"):
            return flag.default if flag.default is not None else 1
        return flag.default or None  # a text: most have no other value that is right everywhere
    if name in _WORK:
        return rng.choice([-1, 0, 1, 2, 3, 4, "x"])
    if choices:
        return "x"
    if flag.flag_type() == "bool":
        return rng.choice(["true", "false", "x"])
    if flag.flag_type() in ("int", "float"):
        bounds = [getattr(flag.parser, name, None) for name in ("lower_bound", "upper_bound")]
        return rng.choice([*(x for x in bounds if x is not None), flag.default or 0, *_NUMBERS])
    value = rng.choice(_TEXTS)
    return value.replace("inputs", "elsewhere") if name in _OUTPUTS else value
