"""The papers' tables: train every task with every encoder, evaluate on every downstream task.

  python benchmarks/reproduce_tables.py --scale=demo --output_dir=/tmp/tables
  python benchmarks/reproduce_tables.py --scale=full --output_dir=tables
  python benchmarks/reproduce_tables.py --scale=full --output_dir=tables --dry_run

demo: the demo corpus and 60 steps per task, to check that everything works: 8 models, 34
evaluations, about fifteen minutes on 2 idle cores. Expect accuracies similar to those of Untrained:
the corpus is synthetic, and 60 steps are too few to learn from.

full: ICLR Tables 2 and 5, patent Table 3 and Figure 3 with the encoder small, Table 3 by training
on LibriSpeech as well, Table 4 with large, SPL Table I with vgg6; Figure 2a by probing on MUSAN
during the training of skip_gram, which keeps gigabytes of windows in memory.

Each table is made by its own paper's protocol. ICLR and patent: clips are judged, learning rate
1e-3 for heads and all supervised models, five replicas. SPL: slices are judged, 1e-4 for all of
them, four replicas, and both readings of its few examples: 1,000 of each class, and 1,000 in all.
Both: encoders after their last step, heads from slices at random positions. Where a paper gives no
number, it is ours: 100,000 steps of heads and fine-tuning (SPL's) for ICLR too, 128 hidden units,
1.5 million steps (ICLR: 1.3 to 1.8), the splits of data sets without official ones, batch
normalisation once a layer. docs/fidelity.md has all differences.

Prepare AudioSet and the downstream data sets first: `python -m a2v_tf.data.builders --name=NAME`.
The expected figures are those of the tables, which the report shows beside ours; they have not been
reproduced here. Time: the papers trained each model for two days on five V100; the whole grid is 22
models with 1.5 or 3 million steps each. Use the filters to run a part of it; Figure 2a levels off
at about --steps=300000.

Each cell runs in a process of its own. Run the command again to continue: finished cells are
skipped, and interrupted training resumes. A cell that fails does not stop the others and is
reported at the end. Logs are in OUTPUT_DIR/logs. At the end a2v_report writes
OUTPUT_DIR/report.html and report.md.
"""

import dataclasses
import json
import os
import pathlib
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from absl import flags

from a2v_tf.data import demo
from a2v_tf.errors import A2vError, run_app
from a2v_tf.evaluation.paper import DATASETS
from a2v_tf.files import made_directory
from a2v_tf.training.checkpoints import latest_checkpoint
from a2v_tf.training.model_dir import CONFIG, MODEL

FLAGS = flags.FLAGS

ICLR_TASKS = ("autoencoder", "cbow", "skip_gram", "temporal_gap", "triplet")
SPL_TASKS = (*ICLR_TASKS, "arrow_of_time", "supervised")
FROM_PAIRS = ("temporal_gap", "triplet")  # tasks that use N_max
ALL_BASELINES = "untrained,spectrogram,supervised"


@dataclasses.dataclass(frozen=True)
class Study:
    """The runs and evaluations of one encoder.

    Attributes:
      tasks: training tasks.
      downstream: downstream tasks to evaluate on.
      encoder: which encoder; "" for the name of the study.
      train: flags of a2v_train.
      evaluate: flags of a2v_evaluate.
      baselines: of a2v_evaluate, evaluated once; "" for none.
      multi_head: whether MultiHead is among them.
      fine_tune: by task and downstream task, values of --finetune beside those of `evaluate`.
      probe: by task, the downstream task to probe during training.
      other_data: whether to train on the second corpus as well.
    """

    tasks: Sequence[str]
    downstream: Sequence[str]
    train: Mapping[str, Any]
    evaluate: Mapping[str, Any]
    encoder: str = ""
    baselines: str = ""
    multi_head: bool = False
    fine_tune: Mapping[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    probe: Mapping[str, str] = dataclasses.field(default_factory=dict)
    other_data: bool = False


@dataclasses.dataclass(frozen=True)
class Scale:
    """A grid.

    Attributes:
      data: the training corpus, unless --data is given.
      other_data: the second corpus, for ICLR Table 3; "" for none.
      labels: the training data of the task supervised.
      max_frames: N_max of the tasks in `FROM_PAIRS`; None for their default.
      studies: by name.
    """

    data: str
    other_data: str
    labels: str
    max_frames: int | None
    studies: Mapping[str, Study]


_FULL_TRAINING = {
    "steps": 1_500_000,
    "batch_size": 256,
    "eval_every": 5_000,
    "max_bad_fraction": 0.5,  # clips shorter than the papers' 10 s
}
_FULL_HEADS = {
    "select": "last",
    "head_steps": 100_000,
    "finetune_steps": 100_000,
    "finetune_rounds": 20,
}


def rates(rate: float) -> dict[str, float]:
    """The learning rate of everything that is trained on labels."""
    names = ("head", "finetune", "supervised")
    return {f"{name}_learning_rate": rate for name in names}


# ICLR section 4, patent paragraphs 67 and 71: 1e-3 for "all the supervised models".
_ICLR = {**_FULL_HEADS, "judge": "clips", "replicas": 5, **rates(1e-3)}
# SPL section IV: 1e-4 "when training for the downstream task"; both readings of "1k".
_SPL = {
    **{**_FULL_HEADS, "judge": "slices", "replicas": 4, **rates(1e-4)},
    **{"examples_per_class": "0,1000", "examples": "1000", "finetune": "none,all"},
}
_SIX = tuple(DATASETS)[:6]  # ICLR's

FULL = Scale(
    data="tfds:audioset:unbalanced",
    other_data="tfds:librispeech_speakers:train",
    labels="audioset",
    max_frames=998,  # 10 s
    studies={
        "small": Study(
            tasks=ICLR_TASKS,
            downstream=_SIX,
            train=_FULL_TRAINING,
            evaluate={"protocols": "sgd,two_layer,knn", **_ICLR},
            baselines=ALL_BASELINES,
            multi_head=True,
            fine_tune={
                ("skip_gram", task): "fc,conv5,conv4"
                for task in ("speech_commands", "tut_urban_2018")
            },
            probe={"skip_gram": "musan"},
            other_data=True,
        ),
        "large": Study(
            tasks=ICLR_TASKS,
            downstream=_SIX,
            train=_FULL_TRAINING,
            evaluate={"protocols": "sgd", **_ICLR},
        ),
        "vgg6": Study(
            tasks=SPL_TASKS,
            downstream=tuple(DATASETS),
            train={**_FULL_TRAINING, "steps": 3_000_000},
            evaluate={"protocols": "sgd", **_SPL},
            baselines="untrained,supervised",
        ),
    },
)

_DEMO_TASKS = ("sound_class", "pitch", "room")
_DEMO_TRAINING = {
    **{"steps": 60, "batch_size": 24, "eval_every": 20, "validation_examples": 48},
    "learning_rate": 1e-3,
}
_DEMO_HEADS = {
    **{"head_steps": 300, "untrained_seeds": 1, "finetune_batch_size": 32, "select": "last"},
    **rates(1e-3),
}
DEMO = Scale(
    data="demo",
    other_data="",
    labels="demo",
    max_frames=None,
    studies={
        "small": Study(
            tasks=(*ICLR_TASKS, "arrow_of_time", "multi_head", "supervised"),
            downstream=_DEMO_TASKS,
            train=_DEMO_TRAINING,
            evaluate={"protocols": "sgd,two_layer,knn", "finetune_steps": 150, **_DEMO_HEADS},
            baselines=ALL_BASELINES,
            multi_head=True,
            fine_tune={("skip_gram", "sound_class"): "fc,conv5,conv4"},
            probe={"skip_gram": "sound_class"},
        ),
        "small_spl": Study(
            tasks=("cbow",),
            downstream=_DEMO_TASKS,
            encoder="small",
            train=_DEMO_TRAINING,
            evaluate={
                **{"protocols": "sgd", "judge": "slices", "finetune": "none,all", "replicas": 2},
                **{"examples_per_class": "0,4", "examples": "12", "finetune_steps": 40},
                **_DEMO_HEADS,
            },
            baselines="untrained,supervised",
        ),
    },
)
SCALES = {"demo": DEMO, "full": FULL}


def define_flags() -> None:
    """Define the command's flags."""
    flags.DEFINE_enum("scale", None, list(SCALES), "Which grid.", required=True)
    flags.DEFINE_string(
        "output_dir", None, "Directory for everything that is written.", required=True
    )
    flags.DEFINE_list("tasks", [], "Run only these training tasks.")
    flags.DEFINE_list("encoders", [], "Run only these encoders; in demo, small or small_spl.")
    flags.DEFINE_list(
        "downstream",
        [],
        "Evaluate only on these; or on other labelled data, csv:PATH, instead of the scale's.",
    )
    flags.DEFINE_integer("steps", None, "Training steps, instead of the scale's.", lower_bound=1)
    flags.DEFINE_string("data", None, "Training corpus, as in a2v_train, instead of the scale's.")
    flags.DEFINE_string(
        "other_data",
        None,
        "Second corpus, for ICLR Table 3, instead of the scale's; empty for none.",
    )
    flags.DEFINE_bool("dry_run", False, "Print the cells and their commands, without running them.")


# ---- The plan ----


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A model to train.

    Attributes:
      task: the training task.
      encoder: its architecture.
      corpus: "" for the first, other_ for the second.
      flags: of a2v_train, without --model_dir.
      study: the study that it is for.
    """

    task: str
    encoder: str
    corpus: str
    flags: Mapping[str, Any]
    study: str

    @property
    def title(self) -> str:
        """Its name, without the encoder."""
        return f"{self.corpus}{self.task}"

    @property
    def name(self) -> str:
        """The name of its directory."""
        return f"{self.encoder}_{self.title}"


@dataclasses.dataclass(frozen=True, eq=False)
class Cell:
    """An evaluation.

    Attributes:
      run: whose model is evaluated.
      what: the run's title, baselines, or multihead.
      downstream: names of the labelled data.
      flags: of a2v_evaluate, without those that name files and data.
    """

    run: Run
    what: str
    downstream: Sequence[str]
    flags: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name of its files."""
        one = self.downstream if len(self.downstream) == 1 else []
        return "_".join([self.run.study, self.what, *one])


def runs(scale: Scale, name: str, study: Study, specs: Mapping[str, str]) -> Iterator[Run]:
    """The models to train for a study: first on the first corpus, then on the second."""
    encoder = study.encoder or name
    corpora = {"": scale.data, "other_": scale.other_data if study.other_data else ""}
    for corpus, data in corpora.items():
        for task in study.tasks if data else ():
            if task == "supervised" and corpus:
                continue
            settings = {
                **{"task": task, "encoder": encoder},
                "data": scale.labels if task == "supervised" else data,
                **study.train,
            }
            if scale.max_frames and task in FROM_PAIRS:
                settings["max_frames"] = scale.max_frames
            if study.probe.get(task) in specs and not corpus:
                settings["probe"] = specs[study.probe[task]]
            yield Run(task, encoder, corpus, settings, name)


def model_cells(study: Study, run: Run) -> Iterator[Cell]:
    """The evaluations of a model, one for each downstream task."""
    for task in study.downstream:
        settings = {**study.evaluate, "baselines": ""}
        if more := study.fine_tune.get((run.title, task)):
            settings["finetune"] = f"{settings.get('finetune', 'none')},{more}"
        yield Cell(run, run.title, [task], settings)


def baseline_cells(study: Study, run: Run) -> Iterator[Cell]:
    """The baselines, then MultiHead on all tasks; they need only the settings of a model."""
    settings = {name: value for name, value in study.evaluate.items() if name != "finetune"}
    for task in study.downstream if study.baselines else ():
        yield Cell(run, "baselines", [task], {**settings, "baselines": study.baselines})
    if study.multi_head and len(study.downstream) > 1:
        yield Cell(
            run,
            "multihead",
            study.downstream,
            {**settings, "baselines": "multihead", "protocols": "knn"},
        )


def chosen(scale: Scale) -> tuple[Scale, dict[str, str]]:
    """The grid that the flags select, and a2v_evaluate's specification of each labelled data set.

    Raises:
      A2vError: a flag names something that is not in the grid.
    """
    scale = dataclasses.replace(
        scale,
        data=FLAGS.data or scale.data,
        other_data=scale.other_data if FLAGS.other_data is None else FLAGS.other_data,
    )
    studies = _only("encoders", FLAGS.encoders, scale.studies)
    tasks = {task: task for study in studies.values() for task in study.tasks}
    tasks = _only("tasks", FLAGS.tasks, tasks)
    specs = _specs(scale, studies.values())
    steps = {"steps": FLAGS.steps} if FLAGS.steps else {}
    studies = {
        name: dataclasses.replace(
            study,
            tasks=[task for task in study.tasks if task in tasks],
            downstream=[task for task in specs if task in study.downstream or specs[task] != task],
            train={**study.train, **steps},
        )
        for name, study in studies.items()
    }
    return dataclasses.replace(scale, studies=studies), specs


def _specs(scale: Scale, studies: Iterable[Study]) -> dict[str, str]:
    """By name, the values of a2v_evaluate --downstream for the selected labelled data."""
    files = [name for name in FLAGS.downstream if name.startswith("csv:")]
    if files:
        if len(files) < len(FLAGS.downstream):
            raise A2vError(
                f"--downstream={','.join(FLAGS.downstream)}: expected names or csv:PATHs"
            )
        return {pathlib.Path(file.removeprefix("csv:")).stem: file for file in files}
    names = dict.fromkeys(name for study in studies for name in study.downstream)
    names = _only("downstream", FLAGS.downstream, {name: name for name in names})
    if scale.labels == "demo":
        folder = demo.ensure()
        return {name: f"csv:{folder / name}.csv" for name in names}
    return names


def _only(flag: str, wanted: Sequence[str], known: Mapping[str, Any]) -> dict[str, Any]:
    """The entries that a filter selects; all if it is empty."""
    for name in wanted:
        if name not in known:
            raise A2vError(f"--{flag}={name}: expected some of {', '.join(known)}")
    return {name: value for name, value in known.items() if not wanted or name in wanted}


# ---- Running it ----


class Grid:
    """Runs cells one after another and records those that failed."""

    def __init__(self, directory: pathlib.Path, specs: Mapping[str, str], dry_run: bool) -> None:
        """Make the directories.

        Args:
          directory: where everything is written.
          specs: a2v_evaluate's specification of each labelled data set.
          dry_run: only print the commands.

        Raises:
          A2vError: they cannot be made.
        """
        self._directory, self._specs, self._dry_run = directory, specs, dry_run
        self.failed: list[str] = []
        self.models: list[pathlib.Path] = []
        self.results: list[pathlib.Path] = []
        if not dry_run:
            for name in ("models", "results", "logs"):
                made_directory("output_dir", directory / name)

    def train(self, run: Run) -> bool:
        """Train or resume training; returns whether there is a trained model."""
        model_dir = self._directory / "models" / run.name
        if model_dir in self.models:  # for another study
            return True
        command = ["a2v_train", *as_flags(run.flags), f"--model_dir={model_dir}"]
        about = _columns(run.title, run.encoder, "training")
        if not self._dry_run and is_trained(model_dir, run.flags):
            print(f"{about}  done before", flush=True)
        elif not self._execute(run.name, about, command, lambda: f"{run.flags['steps']:,} steps"):
            return False
        self.models.append(model_dir)
        return True

    def evaluate(self, cell: Cell) -> None:
        """Evaluate one cell."""
        output = self._directory / "results" / f"{cell.name}.json"
        command = [
            "a2v_evaluate",
            f"--model_dir={self._directory / 'models' / cell.run.name}",
            f"--downstream={','.join(self._specs[name] for name in cell.downstream)}",
            *as_flags(cell.flags),
            f"--output={output}",
        ]
        about = _columns(cell.what, cell.run.study, ",".join(cell.downstream))
        if not self._dry_run and is_evaluated(output, command, cell.run.flags):
            print(f"{about}  {accuracy(output, cell)}  done before", flush=True)
        elif not self._execute(cell.name, about, command, lambda: accuracy(output, cell)):
            return
        self.results.append(output)

    def skip(self, cells: Iterable[Cell], why: str) -> None:
        """Record cells as failed that cannot be run."""
        for cell in cells:
            about = _columns(cell.what, cell.run.study, ",".join(cell.downstream))
            print(f"{about}  not run: {why}", flush=True)
            self.failed.append(cell.name)

    def report(self) -> None:
        """Write the report."""
        command = [
            "a2v_report",
            *map(str, [*self.models, *self.results]),
            f"--output={self._directory / 'report.html'}",
            f"--markdown={self._directory / 'report.md'}",
        ]
        if self._dry_run or self.models or self.results:
            self._execute("report", _columns("report", "", ""), command, lambda: "written")

    def _execute(
        self, name: str, about: str, command: Sequence[str], outcome: Callable[[], str]
    ) -> bool:
        """Run a command and print its line; returns whether it succeeded."""
        if self._dry_run:
            print(f"{about}\n  {shlex.join(command)}")
            return True
        log = self._directory / "logs" / f"{name}.log"
        start = time.monotonic()
        succeeded = execute(command, log)
        seconds = time.monotonic() - start
        if succeeded:
            print(f"{about}  {outcome()}  {seconds:,.0f} s", flush=True)
        else:
            print(f"{about}  FAILED after {seconds:,.0f} s: {last_words(log)}  ({log})", flush=True)
            self.failed.append(name)
        return succeeded


def execute(command: Sequence[str], log: pathlib.Path) -> bool:
    """Run an installed command with its output in a log; returns whether it succeeded."""
    script = pathlib.Path(sys.executable).with_name(command[0])
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ}
    with log.open("w") as file:
        run = subprocess.run([script, *command[1:]], stdout=file, stderr=file, env=quiet)
    return run.returncode == 0


def is_trained(model_dir: pathlib.Path, settings: Mapping[str, Any]) -> bool:
    """Whether a directory holds a finished run with these settings."""
    try:
        config = json.loads((model_dir / CONFIG).read_text())
    except (OSError, ValueError):
        return False
    checkpoint = latest_checkpoint(model_dir)
    return (
        checkpoint is not None
        and checkpoint.step >= settings["steps"]
        and (model_dir / MODEL).is_file()
        and all(config.get(name) == value for name, value in settings.items())
    )


def is_evaluated(output: pathlib.Path, command: Sequence[str], trained: Mapping[str, Any]) -> bool:
    """Whether a file holds the results of this command for as many training steps."""
    try:
        content = json.loads(output.read_text())
        same_command = content["command"][1:] == command[1:]
        return same_command and content["config"]["steps"] == trained["steps"]
    except (OSError, ValueError, KeyError):
        return False


def accuracy(output: pathlib.Path, cell: Cell) -> str:
    """The accuracy to print for a cell: of the first protocol, or of the baseline."""
    rows = json.loads(output.read_text())["results"]
    wanted = {"baselines": "supervised", "multihead": "multihead"}.get(cell.what)
    rows = [row for row in rows if wanted in (None, row["model"])] or rows
    rows = [row for row in rows if row["task"] == "mean"] or rows
    row = rows[0]
    margin = (row["high"] - row["low"]) / 2
    return f"{row['accuracy']:.3f} ± {margin:.3f} {row['protocol']}"


def last_words(log: pathlib.Path) -> str:
    """The reason why a command failed: its error, or its last line."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines or ["no output"])[-1]


def as_flags(settings: Mapping[str, Any]) -> list[str]:
    """Settings as command-line flags."""
    return [f"--{name}={value}" for name, value in settings.items()]


def _columns(task: str, encoder: str, downstream: str) -> str:
    return f"{task:<14} {encoder:<6} {downstream:<22}"


def main(_: list[str]) -> None:
    """Train and evaluate, then report."""
    scale, specs = chosen(SCALES[FLAGS.scale])
    grid = Grid(pathlib.Path(FLAGS.output_dir), specs, FLAGS.dry_run)
    for name, study in scale.studies.items():
        first = None
        for run in runs(scale, name, study, specs):
            if not grid.train(run):
                grid.skip(model_cells(study, run), "its training failed")
                continue
            first = first or run
            for cell in model_cells(study, run):
                grid.evaluate(cell)
        for cell in baseline_cells(study, first) if first else ():
            grid.evaluate(cell)
    grid.report()
    if grid.failed:
        raise A2vError(
            f"{len(grid.failed)} failed: {', '.join(grid.failed)}; run the command again to retry"
        )


if __name__ == "__main__":
    run_app(main, define_flags)
