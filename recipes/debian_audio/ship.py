"""From the choice of choose.py to packed encoders with their cards; run.sh ends with it.

  python recipes/debian_audio/ship.py --work=work
  python recipes/debian_audio/ship.py --work=work --output=/tmp/packed

For each encoder that was chosen: pack.py, evaluate.py, card.py. Without --output,
`a2v_tf/pretrained/` is replaced; with it, a folder for each encoder is written there.
"""

import json
import pathlib
import subprocess
import sys
from collections.abc import Mapping

from absl import flags
from shipped import SELF_SUPERVISED

from a2v_tf import pretrained
from a2v_tf.errors import A2vError, run_app

FLAGS = flags.FLAGS

HERE = pathlib.Path(__file__).parent
# Candidates that the cards compare with besides: the papers' tasks with the shipped encoder.
COMPARED = ("cbow_multiscale", "skip_gram_multiscale")


def define_flags() -> None:
    """Define the command's flags."""
    flags.DEFINE_string("work", None, "The directory of the steps before.", required=True)
    flags.DEFINE_string("output", None, "Folder to write instead of the package's.")


def main(_: list[str]) -> None:
    work = pathlib.Path(FLAGS.work)
    try:
        choice = json.loads((work / "choice.json").read_text())
    except (OSError, ValueError) as error:
        raise A2vError(f"cannot read '{work}/choice.json': run choose.py first") from error
    for name, candidate in choice["choices"].items():
        folder = pathlib.Path(FLAGS.output) / name if FLAGS.output else pretrained.folder(name)
        compare = ",".join(compared(choice, candidate))
        common = [f"--work={work}", f"--name={name}"]
        run("pack", *common, f"--choice={work}/choice.json", f"--output={folder}")
        run(
            *("evaluate", f"--model_dir={folder}", f"--name={name}", f"--compare={compare}"),
            *(f"--corpus={work}/corpus", f"--cache_dir={work}/embeddings"),
            f"--output={work}/{name}.json",
        )
        run("card", *common, f"--packed={folder}")


def compared(choice: Mapping[str, Mapping[str, str]], candidate: str) -> list[str]:
    """Directories of the models that a card compares its encoder, a candidate, with."""
    names = (*COMPARED, choice["choices"].get(SELF_SUPERVISED))
    found = [name for name in dict.fromkeys(names) if name in choice["directories"]]
    return [choice["directories"][name] for name in found if name != candidate]


def run(script: str, *options: str) -> None:
    """Run a script of the recipe; end with its exit code if it fails."""
    done = subprocess.run([sys.executable, str(HERE / f"{script}.py"), *options], check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    run_app(main, define_flags)
