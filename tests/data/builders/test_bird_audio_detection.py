import pytest

from a2v_tf.data.builders import base
from tests.data.builders.conftest import check_audio, labels


def write(distribution, clip) -> dict[str, str]:
    """Write two of the three sets; return the label of each item."""
    truth = {}
    for corpus, csv_name in {
        "ff1010bird": "ff1010bird_metadata_2018.csv",
        "warblrb10k": "warblrb10k_public_metadata_2018.csv",
    }.items():
        lines = ["itemid,datasetid,hasbird"]
        for i in range(20):
            item = str(64_486 + i) if corpus == "ff1010bird" else f"759808e5-f824-401e-{i:04d}"
            clip(f"{corpus}/wav/{item}.wav")
            truth[item] = "bird" if i % 3 else "no_bird"
            lines.append(f"{item},{corpus},{int(i % 3 > 0)}")
        (distribution / csv_name).write_text("\n".join(lines) + "\n")
    (distribution / "LICENSE.txt").write_text("CC-BY\n")
    return truth


def test_items_are_split_by_hash(distribution, clip, prepare):
    truth = write(distribution, clip)
    prepared = prepare("bird_audio_detection")
    assert {
        id: label for clips in prepared.values() for id, label in labels(clips).items()
    } == truth
    for split, clips in prepared.items():
        assert {base.split_of(id) for id in clips} == {split}
    check_audio(prepared)


def test_labels_without_a_csv_suffix(distribution, clip, prepare):
    """figshare's download links have no file names."""
    truth = write(distribution, clip)
    for i, path in enumerate(distribution.glob("*.csv")):
        path.rename(distribution / f"files_{i}")
    assert sum(map(len, prepare("bird_audio_detection").values())) == len(truth)


def test_other_labels_are_an_error(distribution, clip, prepare):
    write(distribution, clip)
    (distribution / "more.csv").write_text("itemid,datasetid,hasbird\n1,x,maybe\n")
    with pytest.raises(ValueError, match=r"more.csv: hasbird is 'maybe', expected 0 or 1"):
        prepare("bird_audio_detection")
