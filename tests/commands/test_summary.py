"""`a2v_summary` and the table behind it: Table 1, to the paper's digits and to the unit."""

import pytest

from a2v_tf.models.encoder import build_encoder
from a2v_tf.models.layer_table import TABLE_1, layer_table
from a2v_tf.specs import ENCODERS, InputStats
from tests.conftest import run_command

WEIGHTS = [224, 1_280, 5_120, 20_480, 81_920, 16_384]  # 125,408 in all


def rounded(count: int, digits: str) -> bool:
    """Whether `count` is, rounded to as many digits, what the paper prints, such as 3.9M."""
    unit = {"k": 1_000, "M": 1_000_000}[digits[-1]]
    decimals = len(digits[:-1].partition(".")[2])
    return round(count / unit, decimals) == float(digits[:-1])


def test_small_equals_table_1():
    rows = layer_table("small")
    assert [row.parameters for row in rows] == WEIGHTS
    assert [row.name for row in rows] == list(TABLE_1)[:-1]
    for row in rows:
        output, parameters, flops = TABLE_1[row.name]
        assert " x ".join(map(str, row.output)) == output
        assert rounded(row.parameters, parameters)
        assert rounded(row.flops, flops), row
    _, parameters, flops = TABLE_1["Total"]
    assert rounded(sum(row.parameters for row in rows), parameters)
    assert rounded(sum(row.flops for row in rows), flops)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_all_kernels_are_counted(encoder):
    model = build_encoder(ENCODERS[encoder], 96, 64, InputStats())
    kernels = sum(w.shape.num_elements() for w in model.variables if w.name == "kernel")
    assert sum(row.parameters for row in layer_table(encoder)) == kernels


def test_large_has_sixteen_times_the_weights_where_both_ends_grow():
    small, large = layer_table("small"), layer_table("large")
    for a, b in zip(small[1:5], large[1:5], strict=True):
        assert b.parameters == 16 * a.parameters


@pytest.mark.parametrize(
    ("flags", "words", "here"),
    [
        (["--encoder=small"], ["125,408", "18,704,384", "18.7M", "320 ms"], False),
        (["--encoder=vgg6", "--frames=40", "--bins=29"], ["40 x 29", "2,359,296", "80 ms"], True),
    ],
)
def test_command(flags, words, here):
    run = run_command("a2v_summary", *flags, here=here)
    assert all(word in run.stdout for word in words), run.stdout
    assert ("ICLR Table 1" in run.stdout) == (flags == ["--encoder=small"])


def test_unknown_encoder_gets_one_line():
    run = run_command("a2v_summary", "--encoder=huge", fails=True)
    assert (
        "--encoder=huge: expected small, large, vgg6, multiscale or package.module:NAME"
        in run.stderr
    )
    assert "Traceback" not in run.stderr
