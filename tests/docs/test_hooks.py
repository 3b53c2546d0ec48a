"""The pages that are made from flags and from files outside docs/."""

import importlib
import importlib.metadata
import re

import pytest
from absl import flags

from tests.conftest import forgotten_flags, load_script
from tests.docs.blocks import ROOT

pytest.importorskip("mkdocs", reason="needs the extra [docs]")
hooks = load_script(ROOT / "docs/hooks.py")
COMMANDS = {
    entry.name: importlib.import_module(entry.module)
    for entry in importlib.metadata.distribution("a2v_tf").entry_points
    if entry.group == "console_scripts"
}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_flag_is_in_the_reference_once(name: str) -> None:
    entries = hooks.flag_entries(COMMANDS[name])
    with forgotten_flags():
        known = set(flags.FLAGS)
        COMMANDS[name].define_flags()
        expected = set(flags.FLAGS) - known
    assert sorted(re.match(r"`--(\w+)`", entry)[1] for entry in entries) == sorted(expected)


def test_what_a_flag_takes_its_default_and_whether_it_is_required() -> None:
    entries = "\n".join(hooks.flag_entries(COMMANDS["a2v_train"]))
    assert "`--model_dir`{ .flag } *text; required*" in entries
    assert "`--steps`{ .flag } *whole number; default: `10000`*" in entries
    schedule = (
        "`--schedule`{ .flag } *one of `constant`, `cosine`, `trapezoid`; default: `constant`*"
    )
    assert f"{schedule}\n:   Learning rate" in entries


def test_docstrings_become_markdown() -> None:
    docstring = """Do it: the `a2v_do` command.

  a2v_do --model_dir=DIR

With --other_flag=[X], a_b and c_d.
"""
    assert hooks.docstring_to_markdown(docstring) == (
        "Do it: the `a2v_do` command.\n\n```sh\na2v_do --model_dir=DIR\n```\n\n"
        r"With `--other_flag=[X]`, a\_b and c\_d."
    )


def test_links_between_files_lead_to_their_pages() -> None:
    text = "[notes](BUILD_NOTES.md#export), [a page](docs/concepts/tasks.md), [`code`](setup.py)"
    assert hooks._links_within_the_site(text, "project/changelog.md", "CHANGELOG.md") == (
        "[notes](../project/build-notes.md#export), [a page](../concepts/tasks.md), `code`"
    )
