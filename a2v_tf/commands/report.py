"""Show runs and their results on one page, beside the papers' figures: the `a2v_report` command.

  a2v_report models/mine
  a2v_report models/mine results.json streaming.json embeddings.npz --output=report.html
  a2v_report models/* results/*.json --output=report.html --markdown=report.md

Arguments may be, in any order:

  model directories of a2v_train              training curves and examples of predictions
  JSON files of a2v_evaluate --output         tables and plots in the shape of the papers'
  JSON files of export_tflite --summary       a table of exported files
  .npz files of a2v_embed                     a map of the embeddings

Several of each are compared. The page is a single file that can be mailed or archived.
"""

import pathlib

from absl import flags, logging

from a2v_tf.errors import A2vError, run_app
from a2v_tf.files import checked_output, output_file

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Define the command's flags; not on import, so that commands can be imported together."""
    flags.DEFINE_string("output", "report.html", "HTML file to write.")
    flags.DEFINE_string("markdown", None, "Markdown file to write as well, with the same tables.")
    flags.DEFINE_string(
        "labels",
        None,
        "CSV file (path,label,...) whose labels colour the maps, or 'demo'. Default: the names of "
        "the files' folders.",
    )
    flags.DEFINE_string("note", "", "Text below the title, such as what the runs are for.")
    flags.DEFINE_string(
        "data", None, "Audio for the examples, as in a2v_train. Default: each model's own."
    )


def main(argv: list[str]) -> None:
    """Read, build, write."""
    if len(argv) == 1:
        raise A2vError("nothing to report on: expected model directories, JSON files, .npz files")
    output = checked_output("output", FLAGS.output, ".html")
    markdown = FLAGS.markdown and checked_output("markdown", FLAGS.markdown, ".md")
    from a2v_tf.reporting import document, inputs
    from a2v_tf.reporting.report import build

    logging.set_verbosity(logging.ERROR)  # training has named the files that it skips
    try:
        found = inputs.read(argv[1:])
        report = build(found, data=FLAGS.data, map_labels=FLAGS.labels, note=FLAGS.note)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise A2vError(
            f"cannot report on {', '.join(argv[1:])}: {type(error).__name__} "
            f"{' '.join(str(error).split())}; expected files as the commands wrote them"
        ) from error
    _write(output, document.to_html(report))
    if markdown:
        _write(markdown, document.to_markdown(report))


def _write(path: pathlib.Path, text: str) -> None:
    with output_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
    print(f"Wrote {path}")


def run() -> None:
    """Entry point of `a2v_report`."""
    run_app(main, define_flags, arguments=True)


if __name__ == "__main__":
    run()
