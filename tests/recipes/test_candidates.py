"""The flag files that `run.sh` trains by."""

import pytest

from tests.conftest import run_here
from tests.recipes.conftest import FOLDER

CANDIDATES = sorted([*(FOLDER / "candidates").glob("*.flags"), *(FOLDER / "first").glob("*.flags")])


@pytest.mark.parametrize("flags", CANDIDATES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_candidate_lacks_nothing_but_data(flags, tmp_path):
    options = [f"--flagfile={FOLDER / 'train.flags'}", f"--flagfile={flags}"]
    options += [f"--data={tmp_path / 'none'}", f"--model_dir={tmp_path / 'model'}"]
    done = run_here("a2v_train", ["a2v_train", *options])
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error:")
    assert str(tmp_path / "none") in line
