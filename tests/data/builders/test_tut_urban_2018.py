import numpy as np
import pytest

from tests.data.builders.conftest import disjoint, labels

ROOT = "TUT-urban-acoustic-scenes-2018-development"
SCENES = ("airport", "tram")


def write(distribution, clip, rate: int = 48_000) -> dict[str, str]:
    """Write the official layout; return the location of each file."""
    meta, locations, fold = ["filename\tscene_label\tidentifier\tsource_label"], {}, {}
    for scene in SCENES:
        for location in range(5):
            for part in range(2):
                name = f"{scene}-paris-{location}-{part}-a.wav"
                clip(f"{ROOT}/audio/{name}", samples=4_800, rate=rate, channels=2)
                locations[name.removesuffix(".wav")] = f"paris-{location}"
                meta.append(f"audio/{name}\t{scene}\tparis-{location}\ta")
                list_name = "fold1_evaluate.txt" if location == 4 else "fold1_train.txt"
                fold.setdefault(list_name, []).append(f"audio/{name}\t{scene}")
    (distribution / ROOT / "meta.csv").write_text("\n".join(meta) + "\n")
    setup = distribution / ROOT / "evaluation_setup"
    setup.mkdir()
    for list_name, lines in fold.items():
        (setup / list_name).write_text("\n".join(lines) + "\n")
    (setup / "fold1_test.txt").write_text("audio/airport-paris-4-0-a.wav\n")
    return locations


def test_splits_follow_the_official_fold_and_the_locations(distribution, clip, prepare):
    locations = write(distribution, clip)
    prepared = prepare("tut_urban_2018")
    for clips in prepared.values():
        assert labels(clips) == {id: id.partition("-")[0] for id in clips}
        assert set(labels(clips).values()) == set(SCENES)
    places = [{locations[id] for id in clips} for clips in prepared.values()]
    assert disjoint(places)
    assert {locations[id] for id in prepared["test"]} == {"paris-4"}
    assert {locations[id] for id in prepared["validation"]} < {f"paris-{i}" for i in range(4)}
    lengths = {len(example["audio"]) for clips in prepared.values() for example in clips.values()}
    assert lengths == {1_600}  # a third of 4,800 samples at 48 kHz


def test_missing_clips_are_counted(distribution, clip, prepare, tmp_path):
    write(distribution, clip)
    (distribution / ROOT / "audio/airport-paris-4-0-a.wav").unlink()
    assert len(prepare("tut_urban_2018")["test"]) == 3
    text = next(tmp_path.glob("data/*/*/not_used_test.csv")).read_text()
    assert text.splitlines()[1] == "airport-paris-4-0-a,not found"


def test_channels_are_averaged(distribution, clip, prepare):
    write(distribution, clip, rate=16_000)
    example = prepare("tut_urban_2018")["test"]["tram-paris-4-1-a"]
    from tests.data.builders.conftest import pcm_of

    np.testing.assert_array_equal(example["audio"], pcm_of("tram-paris-4-1-a", 4_800))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("meta.csv", "a\tb\n", "no columns filename and identifier"),
        ("meta.csv", "filename\tidentifier\n", "meta.csv: no line for airport-paris-0-0-a.wav"),
        ("evaluation_setup/fold1_train.txt", "audio/x.wav\tbeach\n", "cannot read the line"),
    ],
)
def test_unexpected_lists_are_an_error(distribution, clip, prepare, name, text, message):
    write(distribution, clip)
    (distribution / ROOT / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        prepare("tut_urban_2018")
