import json

import pytest

from tests.data.builders.conftest import check_audio, labels

NOTES = {
    "nsynth-train": ("guitar_acoustic_010-060-100", "synth_lead_synthetic_001-127-025"),
    "nsynth-valid": ("keyboard_acoustic_004-060-025",),
    "nsynth-test": ("bass_synthetic_068-009-025",),
}


def write(distribution, clip) -> None:
    for folder, notes in NOTES.items():
        entries = {}
        for note in notes:
            clip(f"{folder}/audio/{note}.wav")
            family = note.partition("_acoustic")[0].partition("_synthetic")[0]
            entries[note] = {
                "note_str": note,
                "pitch": int(note.split("-")[1]),
                "instrument_family": 3,
                "instrument_family_str": family,
                "sample_rate": 16_000,
            }
        (distribution / folder / "examples.json").write_text(json.dumps(entries))


def test_pitch_and_family(distribution, clip, prepare):
    write(distribution, clip)
    prepared = prepare("nsynth")
    assert {split: set(clips) for split, clips in prepared.items()} == {
        "train": set(NOTES["nsynth-train"]),
        "validation": set(NOTES["nsynth-valid"]),
        "test": set(NOTES["nsynth-test"]),
    }
    assert labels(prepared["train"], "pitch") == {
        "guitar_acoustic_010-060-100": "60",
        "synth_lead_synthetic_001-127-025": "127",
    }
    assert list(labels(prepared["train"], "family").values()) in (
        ["guitar", "synth_lead"],
        ["synth_lead", "guitar"],
    )
    assert labels(prepared["test"], "family") == {"bass_synthetic_068-009-025": "bass"}
    check_audio(prepared)


def test_an_unexpected_json_is_an_error(distribution, clip, prepare):
    write(distribution, clip)
    (distribution / "nsynth-test/examples.json").write_text('{"a": {"pitch": 3}}')
    with pytest.raises(ValueError, match="expected pitch and instrument_family_str by note"):
        prepare("nsynth")
