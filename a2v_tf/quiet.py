"""Keep the chatter of C++ libraries, and nothing else, out of a command's standard error.

TensorFlow, LiteRT and libmpg123 write to file descriptor 2 themselves, in part before they read any
setting. `quiet` redirects that descriptor to a process that runs this file: it drops the lines that
match `CHATTER` and passes on all others. Being a process of its own, it also passes on what a crash
prints. Python's `sys.stderr` bypasses it.
"""

import contextlib
import os
import re
import select
import subprocess
import sys
from collections.abc import Iterator

CHATTER = re.compile(
    rb"""
    I\d{4}\ [\d:.]+\ .*                                    # Abseil's log: information
  | [\d-]{10}\ [\d:.]+:\ I\ .*                             # TensorFlow's own log: information
  | To\ enable\ the\ following\ instructions:\ .*         # its second line
  | INFO:\ .*                                              # LiteRT's
  | WARNING:\ All\ log\ messages\ before\ absl::InitializeLog.*
  | W\d{4}\ .*\ Ignored\ (output_format|drop_control_dependency)\..*    # the converter
  | fully_quantize:\ \d,\ inference_type:\ .*
  | [EW].*(Unable\ to\ register\ cu|computation\ placer\ already\ registered).*   # GPU builds
  | \[src/libmpg123/.*                                     # after a seek: frames that are not used
  | Note:\ (Illegal\ Audio-MPEG-Header|Trying\ to\ resync|Skipped\ \d+\ bytes).*
    """,
    re.VERBOSE,
)
# Bad input that is found while a data set is read: the command says it in one line, and TensorFlow
# sometimes logs it with its traceback, from several threads at once, whose lines may be mixed.
_BAD_INPUT = re.compile(rb".*A2vError: .*")
_OTHERS = re.compile(rb"([IWEF]\d{4}|[\d-]{10}) .*|[A-Z]{4,}: .*|terminate .*|\S*\(\): .*")
_PATIENCE = 0.1  # seconds until a line without its end, such as a prompt, is passed on
_LOG_LINE = re.compile(rb"[IWEF](\d{0,3}$|\d{4}( |$))|INFO: ")
_LOG_PATIENCE = 10.0  # the end of such a line may come late, on a busy machine


@contextlib.contextmanager
def quiet(*, ends_with_process: bool = False) -> Iterator[None]:
    """Drop chatter in the block. Where standard error is not file descriptor 2, do nothing.

    Args:
      ends_with_process: whether an exception in the block ends the process. Threads of tf.data may
        still log what failed until then, so that chatter is dropped up to the end.
    """
    if not _can_be_filtered():
        yield
        return
    import absl.logging  # not in the process that filters

    before, original = sys.stderr, os.dup(2)
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__],
        stdin=subprocess.PIPE,
        stdout=original,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the command
    )
    assert process.stdin  # a pipe
    os.dup2(process.stdin.fileno(), 2)
    process.stdin.close()
    direct = open(  # noqa: SIM115 (loggers made in the block keep it)
        original, "w", buffering=1, encoding=before.encoding, errors=before.errors
    )
    log = absl.logging.get_absl_handler().python_handler
    sys.stderr = direct
    log.setStream(direct)
    failed = True
    try:
        yield
        failed = False
    finally:
        if not (failed and ends_with_process):
            os.dup2(original, 2)
            sys.stderr = before
            log.setStream(before)
            with contextlib.suppress(subprocess.TimeoutExpired):  # a child may still hold the pipe
                process.wait(timeout=1)


def _can_be_filtered() -> bool:
    if os.name != "posix" or not sys.executable:
        return False
    try:
        return sys.stderr.fileno() == 2
    except (AttributeError, OSError, ValueError):  # none, closed, or not a file
        return False


def _pass_on(source: int, target: int) -> None:
    """Copy lines from one file descriptor to another until the first is closed."""
    held = b""  # the line that has no end yet
    within = False  # whether its beginning was passed on
    told = False  # whether the last record is of bad input, which the command tells
    with os.fdopen(target, "wb") as output:
        while True:
            patience = _LOG_PATIENCE if told or _LOG_LINE.match(held) else _PATIENCE
            if not select.select([source], [], [], patience if held else None)[0]:
                output.write(held)
                output.flush()
                held, within = b"", True
                continue
            read = os.read(source, 65_536)
            *lines, held = (held + read).split(b"\n")
            for line in lines:
                told = bool(_BAD_INPUT.fullmatch(line) or (told and not _OTHERS.fullmatch(line)))
                if within or not (told or CHATTER.fullmatch(line)):
                    output.write(line + b"\n")
                within = False
            if not read:
                output.write(b"" if told else held)
                return
            output.flush()


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        _pass_on(0, 1)
