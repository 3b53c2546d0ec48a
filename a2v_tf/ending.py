"""How the process of a command ends: by a signal, or after `main`, but always soon.

SIGINT (Ctrl-C) and SIGTERM raise `Interrupted` in the main thread, so that files are completed or
removed. While TensorFlow computes, Python sees no signal; after `GRACE_S` seconds, or at the second
signal, the process therefore ends at once.
"""

import atexit
import contextlib
import os
import select
import signal
import sys
import threading
import time
import types
from collections.abc import Iterator

GRACE_S = 4.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_TWICE_S = 0.5  # `timeout` sends its signal twice, at once
_CALLED_OFF = 0  # no signal has this number


class Interrupted(KeyboardInterrupt):
    """A signal ended the work; the message is one line.

    Attributes:
      code: exit code of the process, 128 and the number of the signal.
    """

    def __init__(self, number: int, message: str = "interrupted") -> None:
        super().__init__(message)
        self.code = 128 + number


@contextlib.contextmanager
def whole_process() -> Iterator[None]:
    """Run a command, to which the whole process belongs, up to the `SystemExit` that ends it."""
    with _ends_at_once(), _interruptible():
        yield


def is_script(frame: types.FrameType | None) -> bool:
    """Whether a frame is the script that Python was started with, or a function that it called."""
    near = (frame, frame and frame.f_back)
    return any(f is not None and f.f_globals.get("__name__") == "__main__" for f in near)


# Output that cannot be written ------------------------------------------------------------------


def flush_output() -> None:
    """Write what standard output holds back, so that it fails here and not while Python ends."""
    if sys.stdout is not None:  # closed, as by >&-
        sys.stdout.flush()


def drop_output() -> None:
    """Send what standard output holds back, and cannot write, to nowhere."""
    with contextlib.suppress(AttributeError, OSError, ValueError):  # closed, or not a file
        sys.stdout.flush()
    with contextlib.suppress(AttributeError, OSError, ValueError):
        number = sys.stdout.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)


# Without Python's finalisation ------------------------------------------------------------------


@contextlib.contextmanager
def _ends_at_once() -> Iterator[None]:
    """End the process after its exit handlers, where TensorFlow runs without Python's finalisation.

    After an error, threads of tf.data may be about to call Python functions. While Python
    finalises, they can take no lock of it any more, and the process hangs or aborts.
    """
    code = 1  # of an exception, whose traceback is printed before the handlers run

    def leave() -> None:
        if "tensorflow" in sys.modules:
            _exit(code)

    atexit.register(leave)  # before the heavy imports: the handlers run in reverse order
    try:
        yield
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise


def _exit(code: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()
    os._exit(code)


# Signals ----------------------------------------------------------------------------------------

_last_words = "interrupted"
_watch: int | None = None  # file descriptor on which the watching thread can be called off


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let the signals raise `Interrupted`, and end the process if that does not."""
    global _watch
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    _watch = writing
    threading.Thread(target=_end_in_time, args=(reading,), daemon=True).start()
    before = {number: signal.signal(number, _interrupt) for number in _SIGNALS}
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: types.FrameType | None) -> None:
    raise Interrupted(number)


def no_hurry() -> None:
    """Let the process run on after a signal, for an end that may take longer than `GRACE_S`."""
    if _watch is not None:
        os.write(_watch, bytes([_CALLED_OFF]))


@contextlib.contextmanager
def signals_noted(last_words: str) -> Iterator[list[int]]:
    """Within the block, the signals do not raise: their numbers are appended to the list.

    For work that ends itself. The process still ends, with these last words, if that takes long.
    """
    global _last_words
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield noted  # Python handles signals in the main thread only
        return
    before = {
        number: signal.signal(number, lambda number, frame: noted.append(number))
        for number in _SIGNALS
    }
    _last_words, words_before = last_words, _last_words
    try:
        yield noted
    finally:
        _last_words = words_before
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_in_time(reading: int) -> None:
    """End the process some time after the first signal, or at the second."""
    first, at = 0, 0.0
    while True:
        rest = max(0.0, at + GRACE_S - time.monotonic()) if first else None
        came = select.select([reading], [], [], rest)[0]
        number = os.read(reading, 1)[0] if came else first
        if number == _CALLED_OFF:
            first = 0
        elif not first:
            first, at = number, time.monotonic()
        elif not came or time.monotonic() - at > _TWICE_S:
            os.write(2, f"{_last_words}\n".encode())
            os._exit(128 + number)
