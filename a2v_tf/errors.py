"""The one exception type for bad input, and how the commands print it."""

import sys
from collections.abc import Callable
from typing import NoReturn


class A2vError(Exception):
    """Bad input: its message is one line with the offending value and what was expected."""


def run_app(main: Callable[[list[str]], None]) -> NoReturn:
    """Run `main` as an absl app; an `A2vError` becomes one line on stderr and exit code 1."""
    from absl import app

    def guarded(argv: list[str]) -> None:
        if len(argv) > 1:
            raise app.UsageError(f"unexpected argument {argv[1]!r}: every option is a --flag=value")
        try:
            main(argv)
        except A2vError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)

    app.run(guarded)
