"""The one exception type for bad input, and how the commands start and print it."""

import contextlib
import errno
import importlib.util
import inspect
import io
import math
import os
import pathlib
import re
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

from absl import app, flags, logging

from a2v_tf.ending import Interrupted, drop_output, flush_output, is_script, whole_process
from a2v_tf.quiet import quiet
from a2v_tf.text import one_line

# Packages that the light install does not bring: what users call them, and the extra that does.
_EXTRAS = {
    "apache_beam": ("Apache Beam", "beam"),
    "av": ("PyAV", "formats"),
    "ctranslate2": ("CTranslate2", "teachers"),
    "etils": ("etils", "train"),
    "jax": ("JAX", "jax"),
    "jinja2": ("Jinja2", "train"),
    "keras": ("TensorFlow", "cpu"),
    "librosa": ("librosa", "inversion"),
    "matplotlib": ("matplotlib", "plot"),
    "pandas": ("pandas", "train"),
    "pyarrow": ("pyarrow", "parquet"),
    "pyopen_wakeword": ("pyopen-wakeword", "teachers"),
    "sklearn": ("scikit-learn", "train"),
    "tensorflow": ("TensorFlow", "cpu"),
    "tensorflow_datasets": ("tensorflow-datasets", "train"),
    "threadpoolctl": ("threadpoolctl", "train"),
}

# Flags for which an empty value has a meaning, none.
_MAY_BE_EMPTY = ("author", "cache_dir", "license", "name", "note", "other_data")

_MOST = 2**31 - 1  # what a whole number may be, so that products of two fit into 64 bits

_CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


class A2vError(Exception):
    """Bad input: its message is one line with the offending value and what was expected."""


def require(module: str, user: str) -> None:
    """Check that an optional package is installed, before the work that ends with it.

    Args:
      module: its import name.
      user: what needs it, such as a flag with its value.

    Raises:
      A2vError: it is missing; the message says which extra brings it.
    """
    if importlib.util.find_spec(module) is None:
        raise A2vError(f"{user} needs {how_to_install(module)}")


def run_app(
    main: Callable[[list[str]], None],
    define_flags: Callable[[], None] | None = None,
    *,
    arguments: bool = False,
) -> NoReturn:
    """Run `main` as an absl app.

    Bad input, flags that cannot be parsed and packages that are not installed become one line on
    stderr and exit code 1.

    Args:
      main: takes the name of the program and its arguments.
      define_flags: defines the flags, here and not on import, so that commands can be imported
        together.
      arguments: whether the command takes arguments that are not flags. These may stand before,
        between and after the flags.
    """
    if define_flags:
        define_flags()
    _help_is_of(main.__module__)
    flags.FLAGS.set_gnu_getopt(arguments)

    def parse(argv: list[str]) -> list[str]:
        with _errors_in_one_line():
            try:
                rest = flags.FLAGS(argv)
                _check_values()
                return rest
            except flags.Error as error:
                raise A2vError(_flag_message(error)) from error
            except SystemExit:  # after --help, for which absl's code is 1
                sys.exit(0)

    whole = is_script(inspect.currentframe().f_back)  # type: ignore[union-attr]  # CPython has frames

    def guarded(argv: list[str]) -> None:
        with _errors_in_one_line():
            if len(argv) > 1 and not arguments:
                raise A2vError(f"unexpected argument {argv[1]!r}: every option is a --flag=value")
            if not flags.FLAGS["verbosity"].present:
                logging.set_verbosity(logging.WARNING)  # TensorFlow talks at INFO
            talks = logging.get_verbosity() >= logging.INFO
            with contextlib.nullcontext() if talks else quiet(ends_with_process=whole):
                main(argv)
                flush_output()

    if whole and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: letters beyond the locale's
    with whole_process() if whole else contextlib.nullcontext():
        app.run(guarded, flags_parser=parse)


@contextlib.contextmanager
def _errors_in_one_line() -> Iterator[None]:
    try:
        yield
    except A2vError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        sys.exit(1)
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in _EXTRAS:
            raise
        if importlib.util.find_spec("tensorflow") is None:
            module = "tensorflow"  # brings the others, too
        print(f"error: {_program()} needs {how_to_install(module)}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # the reader of the output stopped, as `head` does
        drop_output()
        sys.exit(1)
    except OSError as error:
        if error.filename is None and error.errno not in _CANNOT_WRITE:
            raise
        what = "the output" if error.filename is None else repr(os.fsdecode(error.filename))
        verb = "write" if error.errno in _CANNOT_WRITE else "use"
        print(f"error: cannot {verb} {what}: {error.strerror}", file=sys.stderr)
        drop_output()
        sys.exit(1)
    except MemoryError as error:
        print(f"error: out of memory: {error}".rstrip(": "), file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        line = _line_of_tensorflow(error) or _line_of_locale(error)
        if line is None:
            raise
        print(f"error: {line}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt as interrupt:
        print(str(interrupt) or "interrupted", file=sys.stderr)
        sys.exit(interrupt.code if isinstance(interrupt, Interrupted) else 130)


def _line_of_tensorflow(error: Exception) -> str | None:
    """One line for what TensorFlow says of files it cannot write and of memory; None for others."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or not isinstance(error, tensorflow.errors.OpError):
        return None
    reasons = "|".join(map(os.strerror, (*_CANNOT_WRITE, errno.EACCES, errno.ENOENT)))
    if found := re.search(rf"([^;\n]*?); ({reasons})\n", f"{error}\n"):
        path = re.sub(r"^\{\{.*?\}\} ", "", found[1])  # without the name of the operation
        return f"cannot write {path!r}: {found[2]}"
    if isinstance(error, tensorflow.errors.ResourceExhaustedError):
        return "out of memory: " + str(error).splitlines()[0]
    if isinstance(error, tensorflow.errors.DataLossError):
        return f"a file of a data set is damaged: {reason_of(error)}: expected it as it was built"
    return None


def _line_of_locale(error: Exception) -> str | None:
    """One line for names that are no text in the locale, which Python escapes; None for others."""
    if isinstance(error, UnicodeEncodeError) or "converting unicode string" in str(error):
        return (
            "TensorFlow cannot take a name with letters beyond the locale's encoding, "
            f"{sys.getfilesystemencoding()}: expected another name, or LC_ALL=C.UTF-8"
        )
    return None


def reason_of(error: Exception) -> str:
    """What TensorFlow says of a failure, on one line, without the names of its operations."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return re.sub(r"^\{\{.*?\}\} | \[Op:.*", "", line)


def how_to_install(module: str) -> str:
    """What users call an optional package, and the command that installs it."""
    name, extra = _EXTRAS[module]
    others = " (or [gpu], [tf])" if extra == "cpu" else ""
    return f"{name}: pip install 'a2v_tf[{extra}]'{others}"


def _program() -> str:
    return pathlib.Path(sys.argv[0]).name


def _check_values() -> None:
    """Raise `A2vError` for what no flag means: nothing (an unset shell variable), NaN, 10^20."""
    for name in flags.FLAGS:
        flag = flags.FLAGS[name]
        if flag.present and flag.value == "" and name not in _MAY_BE_EMPTY:
            raise A2vError(f"--{name}= is empty: expected a value")
        if isinstance(flag.value, float) and not math.isfinite(flag.value):
            raise A2vError(f"--{name}={flag.value}: expected a finite number")
        if isinstance(flag.value, int) and flag.value > _MOST:
            raise A2vError(f"--{name}={flag.value}: expected at most {_MOST}")


def _flag_message(error: flags.Error) -> str:
    """One line; for required flags an example of the command's docstring that gives them."""
    text = re.sub(r"invalid literal for int\(\).*", "expected a whole number", str(error))
    text = re.sub(r"could not convert string to float.*", "expected a number", text)
    missing = re.findall(r"Flag (--\w+) must have a value other than None", text)
    if not missing:
        return "; ".join(re.sub(r"^flags? ", "", line) for line in text.splitlines())
    message = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} required"
    for example in _examples():
        if all(f" {flag}=" in example for flag in missing):
            return f"{message}, as in: {example}"
    return message


def _examples() -> list[str]:
    """The command lines in the docstring of the command, without their comments."""
    text = re.sub(r"\\\n\s*", "", sys.modules["__main__"].__doc__ or "")
    return re.findall(rf"^ *({re.escape(_program())} .*?) *(?:#.*)?$", text, re.MULTILINE)


def _help_is_of(module: str) -> None:
    """Make --help show a module's docstring and flags, not those of the script that started it."""
    sys.modules["__main__"].__doc__ = sys.modules[module].__doc__
    for flag in flags.FLAGS.flags_by_module_dict().get(module, []):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
