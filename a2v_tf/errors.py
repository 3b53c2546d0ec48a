"""The one exception type for bad input, and how the commands start and print it."""

import sys
from collections.abc import Callable
from typing import NoReturn

from absl import app, flags, logging


class A2vError(Exception):
    """Bad input: its message is one line with the offending value and what was expected."""


def run_app(main: Callable[[list[str]], None], *, arguments: bool = False) -> NoReturn:
    """Run `main` as an absl app; an `A2vError` becomes one line on stderr and exit code 1.

    Args:
      main: is given the name of the program and its arguments.
      arguments: whether the command takes arguments that are no flags; these may then stand
        before, between and after the flags.
    """
    _help_is_of(main.__module__)
    flags.FLAGS.set_gnu_getopt(arguments)

    def guarded(argv: list[str]) -> None:
        if len(argv) > 1 and not arguments:
            raise app.UsageError(f"unexpected argument {argv[1]!r}: every option is a --flag=value")
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.WARNING)  # TensorFlow talks at INFO
        try:
            main(argv)
        except A2vError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)

    app.run(guarded)


def _help_is_of(module: str) -> None:
    """Let --help show a module's docstring and flags; absl looks at the script that started."""
    sys.modules["__main__"].__doc__ = sys.modules[module].__doc__
    for flag in flags.FLAGS.flags_by_module_dict().get(module, []):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
