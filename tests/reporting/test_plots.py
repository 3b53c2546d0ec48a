"""Plots: that they draw what they are given, in the page's ink."""

import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from a2v_tf.reporting import inputs, plots
from a2v_tf.reporting.results import Results, grids
from tests.reporting.results_files import SPL, config, row, write


def ids(svg):
    return re.findall(r'\bid="([^"]*)"', svg)


@pytest.fixture
def fine_tuned(tmp_path):
    rows = [
        {**row("musan", "one", 1.0, parameters=384), "high": 1 - 1e-16},  # as rounding may have it
        row("musan", "one", 0.95, "finetune", "fc", parameters=16_768),
        row("musan", "one", 0.99, "finetune", "all", parameters=126_000),
        row("musan", "supervised", 0.99, "finetune", "all", parameters=126_000),
    ]
    path = write(tmp_path / "results.json", rows, config())
    return grids(Results(inputs.read([path]).results))


def test_accuracies_and_trade_off(fine_tuned):
    heads, tuned = fine_tuned
    drawn = [plots.accuracy_plot(heads), plots.accuracy_plot(tuned), plots.trade_off_plot(tuned)]
    for picture in drawn:
        assert "currentColor" in picture.svg
        assert plots._INK not in picture.svg
        assert picture.alt
        used = set(re.findall(r'(?:href="|url\()#([^")]*)', picture.svg))
        assert used <= set(ids(picture.svg))
    every = [name for picture in drawn for name in ids(picture.svg)]
    assert len(every) == len(set(every))  # on one page
    assert "ICLR Table 2" in drawn[0].caption


@pytest.fixture
def replicas(tmp_path):
    """Rows of fine-tuning with four replicas, and their curves; and from scratch."""

    def one(model, values, protocol="finetune", finetune="all", first=0.5):
        curves = [[[100, first], [200, value]] for value in values]
        more = {"replicas": values, "curves": curves if protocol == "finetune" else [], **SPL}
        return row("musan", model, sum(values) / 4, protocol, finetune, 1000, **more)

    rows = [
        one("one", [0.8, 0.82, 0.84, 0.86], first=0.7),
        one("supervised", [0.7, 0.71, 0.7, 0.69]),
        one("untrained", [0.3, 0.3, 0.3, 0.3], "sgd", "none"),
    ]
    return Results(inputs.read([write(tmp_path / "results.json", rows, config())]).results)


def test_tasks_of_spl_figure_3(replicas):
    (how,) = replicas.conditions
    (picture,) = plots.tasks_plots(replicas, "small", how)
    assert "Student's 95 % intervals of the mean over replicas" in picture.caption
    assert "fine-tuned, 1,000 examples per class, judged by slices" in picture.caption
    assert "SPL Figure 3" in picture.caption
    (model,) = [model for model in replicas.models if not model.is_baseline]
    found = replicas.normalised(model, "all", how)["musan"]
    assert found["value"] == pytest.approx((0.83 - 0.3) / 0.4)
    assert 0 < found["high"] - found["value"] < 0.11
    assert plots.tasks_plots(replicas, "large", how) == []


def test_convergence_pretrained_and_from_scratch(replicas, monkeypatch):
    """SPL section IV: accuracy on val clips against steps, mean of replicas."""
    drawn = []
    plain = Axes.plot

    def plot(self, *points, **style):
        drawn.append((points, style["label"], style.get("ls", "-")))
        return plain(self, *points, **style)

    monkeypatch.setattr(Axes, "plot", plot)
    (how,) = replicas.conditions
    (picture,) = plots.convergence_plots(replicas, "small", how)
    assert "takes fewer iterations to converge" in picture.caption
    (steps, mine), label, solid = drawn[0]
    assert (steps, mine, solid) == ((100, 200), pytest.approx((0.7, 0.83)), "-")
    assert label.startswith("A2V(CBoW)")
    (_, scratch), label, dotted = drawn[1]
    assert (scratch, label, dotted) == (pytest.approx((0.5, 0.7)), "Supervised", ":")
    assert plots.convergence_plots(replicas, "large", how) == []


def test_training_and_probing():
    steps = pd.Series([10, 20, 30])
    log = pd.DataFrame({"loss": [3.0, 2.0, 1.5], "val_loss": [2.5, 2.0, 1.75]})
    picture = plots.training_plot([("one", "cbow", steps, log), ("two", "triplet", steps, log)])
    assert "one 1.750, two 1.750" in picture.alt
    points = pd.DataFrame({"step": steps, "accuracy": [0.5, 0.6, 0.7]})
    probes = {("musan", "linear"): points}
    assert "ICLR Figure 2a" in plots.probing_plot("one", steps, log, probes).caption


def test_explained_variance_of_teachers():
    steps = pd.Series([10, 20])
    log = pd.DataFrame({"val_loss": [2.0, 1.0], "val_aisfx_explained": [-0.1, 0.25]})
    picture = plots.explained_plot("mine", steps, log)
    assert "At the end: aisfx 0.25." in picture.alt
    assert plots.explained_plot("mine", steps, log[["val_loss"]]) is None


def test_map_of_files_means():
    paths = np.array([f"/x/{'ab'[i % 2]}/{i // 2}.wav" for i in range(40)])
    values = np.random.default_rng(0).normal(size=(40, 8))
    picture = plots.embedding_map(paths, values, inputs.read_labels(None, paths))
    assert picture.caption.startswith(
        "40 files, each the mean of its embeddings, in two dimensions (t-S"
    )
    few = plots.embedding_map(np.repeat(paths[:3], 2), values[:6], ["a"] * 6)
    assert few.caption.startswith(
        "3 files, each the mean of its embeddings, in two dimensions (pri"
    )


@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_projection_of_any_number(count):
    points = np.random.default_rng(0).normal(size=(count, 6))
    assert plots.project(points).shape == (count, 2)
