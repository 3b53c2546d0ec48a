"""What protocols change: the variants, and the table."""

import pathlib
import shutil
import sys

import numpy as np
import pytest

from a2v_tf.errors import run_app
from a2v_tf.evaluation.settings import HeadSettings
from a2v_tf.training.model_dir import ENCODER, LAST_ENCODER, copy_model_dir
from tests.commands.test_embed import model_dir as model_dir  # an untrained model
from tests.conftest import forgotten_flags, load_script
from tests.evaluation.conftest import blobs, write_task

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks/protocols.py"


@pytest.fixture
def protocols():
    return load_script(SCRIPT)


def test_each_variant_differs_in_one_point(protocols):
    first, *others = protocols.variants(HeadSettings())
    for other in others:
        parts = (
            *(other.select != first.select, other.change is not first.change),
            *(
                getattr(other.settings, name) != value
                for name, value in vars(first.settings).items()
            ),
        )
        assert sum(parts) == 1, other.name


def test_standardised(protocols):
    windows = protocols.standardised(blobs())
    train = windows.flat(windows.rows("train"))
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(train.std(axis=0), 1, rtol=1e-5)


def test_the_command(protocols, model_dir, tmp_path, monkeypatch, capsys):
    trained = tmp_path / "trained"
    copy_model_dir(model_dir, trained)
    shutil.copy(trained / ENCODER, trained / LAST_ENCODER)
    options = [f"--model_dir={trained}", f"--downstream=csv:{write_task(tmp_path)}"]
    monkeypatch.setattr(sys, "argv", ["protocols", *options, "--replicas=1", "--head_steps=2"])
    with forgotten_flags(), pytest.raises(SystemExit) as exit:
        run_app(protocols.main, protocols.define_flags)
    assert not exit.value.code
    head, first, *others = capsys.readouterr().out.splitlines()
    assert head.split() == ["protocol", "tones", "mean"]
    assert first.split()[0] == "ICLR"
    assert len(others) == 5
    assert all("(" in line and ")" in line for line in others)
    assert others[-1].split()[-1] == "(+0.0)"  # the same encoder
