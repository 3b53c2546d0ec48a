"""Run the commands many times: each in a forked child of a process that has imported them.

Importing TensorFlow takes 5 seconds, a fork milliseconds. A child is otherwise a process as a user
starts it: it has its own memory, directory, streams and limits, and it ends the way Python ends,
through the finalisation of the interpreter, so that a hang or an abort at exit shows. With `fresh`
it also starts as for a user, by a Python of its own.
"""

import dataclasses
import importlib.metadata
import os
import pathlib
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence

_LIMIT_S = 300.0
_MAX_WRITTEN = 2**33  # bytes of a file that a case may write
_MAX_CPU_S = 200  # far more than a case may compute


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
      code: its exit code; minus the number of the signal that killed it.
      out: its standard output.
      err: its standard error.
      seconds: of computing that it took, which do not depend on what else the machine does.
      memory: its greatest resident size in bytes.
      hung: whether it was killed after the time limit.
    """

    code: int
    out: str
    err: str
    seconds: float
    memory: int
    hung: bool


def import_everything() -> None:
    """Import what the commands import when they run, but compute nothing.

    A thread that computes would not survive the fork.
    """
    import keras  # noqa: F401
    import tensorflow  # noqa: F401

    import a2v_tf.data.builders.__main__
    import a2v_tf.evaluation.evaluate
    import a2v_tf.export.build
    import a2v_tf.reporting.report
    import a2v_tf.training.loop  # noqa: F401


def run(
    command: str,
    options: Sequence[str],
    directory: pathlib.Path,
    *,
    stdin: pathlib.Path | None = None,
    limit_s: float = _LIMIT_S,
    kill_after_s: float | None = None,
    file_limit: int | None = None,
    fresh: bool = False,
) -> Ended:
    """Run a command in `directory` as a forked child, and wait for its end.

    Args:
      command: the name of the console script, or of the module that Python runs.
      options: its arguments.
      directory: where it runs; its streams are kept there in `.out` and `.err`.
      stdin: what it reads on standard input; by default nothing.
      limit_s: seconds after which it is killed, and counts as hung.
      kill_after_s: seconds after which it is killed by SIGKILL.
      file_limit: bytes that a file can grow to, as on a disk that is nearly full.
      fresh: whether the child becomes a new Python, as a user's shell starts it.
    """
    entry = _entry(command)
    out, err = directory / ".out", directory / ".err"
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        os.setsid()
        _become(command, options, directory, (stdin or pathlib.Path(os.devnull), out, err))
        if file_limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, _MAX_WRITTEN))
        if fresh:
            os.execv(sys.executable, [sys.executable, *_as_in_a_shell(command), *options])
        exec("entry()", {"__name__": "__main__", "entry": entry})  # as the console script does
        sys.exit(0)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        try:
            os.killpg(child, signal.SIGKILL)
        except ProcessLookupError:  # it has no group of its own yet
            os.kill(child, signal.SIGKILL)
    hung, status, usage = _wait(child, start + limit_s)
    return Ended(
        os.waitstatus_to_exitcode(status),
        out.read_text(errors="replace"),
        err.read_text(errors="replace"),
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss * 1024,
        hung,
    )


def _entry(command: str) -> Callable[[], None]:
    if command == "a2v_tf.data.builders":
        from a2v_tf.data.builders import __main__ as builders
        from a2v_tf.errors import run_app

        return lambda: run_app(builders.main, builders.define_flags)
    (found,) = importlib.metadata.entry_points(group="console_scripts", name=command)
    return found.load()


def in_child(function: Callable[[], object]) -> None:
    """Call a function in a child, which may start threads.

    Raises:
      RuntimeError: it failed; standard error says why.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            function()
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)  # without what the parent has still to do
    if os.waitpid(child, 0)[1]:
        raise RuntimeError(f"{function} failed")


def _script(command: str) -> str:
    return str(pathlib.Path(sys.executable).parent / command)


def _as_in_a_shell(command: str) -> list[str]:
    return [_script(command)] if "." not in command else ["-m", command]


def _become(
    command: str,
    options: Sequence[str],
    directory: pathlib.Path,
    streams: tuple[pathlib.Path, pathlib.Path, pathlib.Path],
) -> None:
    """Turn the child into the command: its directory, streams, limits and arguments."""
    os.chdir(directory)
    writing = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for number, mode in enumerate((os.O_RDONLY, writing, writing)):
        os.dup2(os.open(streams[number], mode, 0o600), number)
    for name, number, letter in [("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")]:
        setattr(sys, name, open(number, letter, closefd=False))  # noqa: SIM115
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MAX_WRITTEN, _MAX_WRITTEN))
    resource.setrlimit(resource.RLIMIT_CPU, (_MAX_CPU_S, _MAX_CPU_S + 1))
    sys.argv = [_script(command), *options]


def _wait(child: int, deadline: float) -> tuple[bool, int, resource.struct_rusage]:
    hung = False
    while True:
        pid, status, usage = os.wait4(child, 0 if hung else os.WNOHANG)
        if pid:
            return hung, status, usage
        if time.monotonic() > deadline:
            hung = True
            os.killpg(child, signal.SIGKILL)
        time.sleep(0.005)
