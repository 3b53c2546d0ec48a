"""Objects from other packages, named on the command line as `package.module:NAME`."""

import importlib
import re
import traceback
from typing import Any

from a2v_tf.errors import A2vError

_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def is_reference(text: str) -> bool:
    """Whether `text` has the form `package.module:NAME`."""
    return _REFERENCE.fullmatch(text) is not None


def load_object(reference: str, flag: str) -> Any:
    """Import the object that `package.module:NAME` names.

    Args:
      reference: the module, which must be importable, and a name in it.
      flag: the flag that gave it, for messages: "--task".

    Raises:
      A2vError: the reference is malformed, or there is no such module or name.
    """
    if not is_reference(reference):
        raise A2vError(f"{flag}={reference}: expected package.module:NAME")
    module_name, name = reference.split(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise A2vError(
            f"{flag}={reference}: cannot import {module_name}: {error}; expected an importable "
            "package.module:NAME (is it installed, or on PYTHONPATH?)"
        ) from error
    except Exception as error:  # the module's own mistake, such as a syntax error
        raise A2vError(
            f"{flag}={reference}: importing {module_name} raised {where(error)}"
        ) from error
    try:
        return getattr(module, name)
    except AttributeError:
        raise A2vError(f"{flag}={reference}: {module_name} has no {name!r}") from None


def where(error: Exception) -> str:
    """An exception of a plug-in's code and its line, in one line."""
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error}"  # ends with file and line
    last = traceback.extract_tb(error.__traceback__)[-1]
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message} ({last.filename}, line {last.lineno})"
