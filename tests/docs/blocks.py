"""The code blocks of the documentation, and how to run a page of them as its reader would.

- `sh` and `python` blocks are run in their order, in one folder; all Python of a page shares its
  variables.
- A block with a title, of any language, is the file of that name.
- `<!-- not run: REASON -->` in the line before a block leaves it out.
- Every other block must be of a language that nobody runs: `text`, `ini`, `java`, `js`.
"""

import contextlib
import dataclasses
import os
import pathlib
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from tests.conftest import run_here

ROOT = pathlib.Path(__file__).parents[2]
RUN = ("sh", "python")
SHOWN = ("text", "ini", "java", "js")
COMMANDS = re.compile(r"(a2v_\w+|export_tflite) ")
_FENCE = re.compile(
    r"^(?P<indent> *)(?P<ticks>```+)(?P<info>[^\n`]*)\n(?P<code>.*?)^(?P=indent)(?P=ticks) *$",
    re.MULTILINE | re.DOTALL,
)
_NOT_RUN = re.compile(r"<!-- not run: (.+) -->\s*\Z")
_SHELL = set("|>$*&;`")  # what only a shell understands


@dataclasses.dataclass(frozen=True)
class Block:
    """A code block.

    Attributes:
      page: below docs/.
      line: of the opening fence, from 1.
      language: as the fence says; empty if it does not.
      title: the file that it is, if it is one.
      not_run: the reason why it is left out; None if it is run.
      code: without the page's indentation.
    """

    page: str
    line: int
    language: str
    title: str | None
    not_run: str | None
    code: str

    def __str__(self) -> str:
        return f"docs/{self.page}:{self.line}"


def blocks(page: pathlib.Path) -> list[Block]:
    """The blocks of a page."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        language, _, options = match["info"].strip().partition(" ")
        title = re.search(r'title="([^"]+)"', options)
        marker = _NOT_RUN.search(text[: match.start()])
        found.append(
            Block(
                page=page.relative_to(ROOT / "docs").as_posix(),
                line=text.count("\n", 0, match.start()) + 1,
                language=language,
                title=title and title[1],
                not_run=marker and marker[1],
                code=textwrap.dedent(match["code"]),
            )
        )
    return found


def run_page(
    page: pathlib.Path,
    folder: pathlib.Path,
    variables: dict[str, Any],
    rewrite: Callable[[str], str],
) -> None:
    """Run the blocks of a page.

    Args:
      page: to run.
      folder: that its reader is in.
      variables: what its Python takes as given.
      rewrite: lets a block use what a test has: other paths, fewer steps.

    Raises:
      AssertionError: a block fails.
    """
    variables["__name__"] = "__main__"
    for block in blocks(page):
        if block.not_run:
            continue
        code = rewrite(block.code)
        if block.title:
            path = folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code, encoding="utf-8")
        elif block.language == "python":
            # The line numbers of a traceback are those of the page.
            exec(compile("\n" * block.line + code, str(block), "exec"), variables)
        elif block.language == "sh":
            for command in _commands(code):
                _run_shell(block, command, folder)


def _commands(code: str) -> list[str]:
    """The commands of a block; one for all, where a later one needs an earlier one's variables."""
    if re.search(r"^(export|cd) ", code, re.MULTILINE):
        return [code]
    joined = re.sub(r"\\\n\s*", "", code)
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def _run_shell(block: Block, command: str, folder: pathlib.Path) -> None:
    """Run a command: ours in this process, which saves the time to import TensorFlow."""
    if COMMANDS.match(command) and not _SHELL & set(command):
        name, *arguments = shlex.split(command, comments=True)
        with contextlib.chdir(folder) if hasattr(contextlib, "chdir") else _chdir(folder):
            run = run_here(name, [name, *arguments])
    else:
        run = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=folder,
            env=_environment(),
            capture_output=True,
            text=True,
        )
    assert run.returncode == 0, f"{block}: {command}\n{run.stdout[-2000:]}{run.stderr[-4000:]}"


def _environment() -> Mapping[str, str]:
    programs = pathlib.Path(sys.executable).parent
    return {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}


@contextlib.contextmanager
def _chdir(folder: pathlib.Path):
    """Python 3.10 has no contextlib.chdir."""
    before = pathlib.Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
