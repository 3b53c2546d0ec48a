"""Settings of a command: a frozen dataclass whose fields are its flags.

```python
@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    steps: int = setting(10_000, "Steps to train for.", low=1)

    def __post_init__(self):
        check_fields(self)
```

`define_flags` derives the absl flags, `from_flags` reads them, and `check_fields` applies the same
limits to settings that are made in Python.
"""

import dataclasses
import types
import typing
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from absl import flags

from a2v_tf.errors import A2vError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_T = TypeVar("_T", bound="DataclassInstance")


def setting(
    default: Any,
    help: str,
    *,
    choices: Sequence[str] | None = None,
    low: float | None = None,
    high: float | None = None,
    words: Sequence[str] = (),
    **more: Any,
) -> Any:
    """A field with what its flag needs to know.

    Args:
      default: its value unless given; `dataclasses.MISSING` makes the flag required.
      help: the flag's help text.
      choices: the values that it may have.
      low: least number.
      high: greatest number.
      words: what a whole number may be instead.
      **more: further metadata of the field.
    """
    metadata = {"help": help, "choices": choices, "low": low, "high": high, "words": words, **more}
    return dataclasses.field(default=default, metadata=metadata)


def define_flags(settings: type, module: str) -> None:
    """Define an absl flag for each field of a dataclass, as flags of `module`, a command."""
    hints = typing.get_type_hints(settings)
    for field in dataclasses.fields(settings):
        required = field.default is dataclasses.MISSING
        default: Any = None if required else field.default
        name, help, kind = field.name, field.metadata["help"], _kind(hints[field.name])
        options: dict[str, Any] = {"required": required, "module_name": module}
        limits: dict[str, Any] = {
            "lower_bound": field.metadata["low"],
            "upper_bound": field.metadata["high"],
        }
        if field.metadata["choices"]:
            flags.DEFINE_enum(name, default, field.metadata["choices"], help, **options)
        elif kind is bool:
            flags.DEFINE_boolean(name, default, help, module_name=module)
        elif field.metadata["words"]:
            parser = _IntegerOrWord(field.metadata["words"], **limits)
            flags.DEFINE(parser, name, default, help, serializer=parser, **options)
        elif kind is int:
            flags.DEFINE_integer(name, default, help, **limits, **options)
        elif kind is float:
            flags.DEFINE_float(name, default, help, **limits, **options)
        elif kind is tuple:
            flags.DEFINE_list(name, default and list(default), help, **options)
        else:
            flags.DEFINE_string(name, default, help, **options)


def from_flags(settings: type[_T]) -> _T:
    """Read the flags that `define_flags` defined.

    Raises:
      A2vError: what the dataclass itself checks.
    """
    values = {field.name: flags.FLAGS[field.name].value for field in dataclasses.fields(settings)}
    return settings(**{name: _immutable(value) for name, value in values.items()})


def check_fields(settings: Any) -> None:
    """Raise `A2vError` for the first field that is not among its choices or within its limits."""
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        choices, low, high = (field.metadata[name] for name in ("choices", "low", "high"))
        if (value is None and field.default is None) or value in field.metadata["words"]:
            continue
        expected = None
        if choices and value not in choices:
            expected = f"one of {', '.join(choices)}"
        elif low is not None and not value >= low:  # NaN neither
            expected = f"at least {low:g}"
        elif high is not None and not value <= high:
            expected = f"at most {high:g}"
        if expected:
            raise A2vError(f"--{field.name}={value}: expected {expected}")


class _IntegerOrWord(flags.IntegerParser, flags.ArgumentSerializer):
    """Parses and writes a flag that is a whole number within limits, or one of some words."""

    def __init__(self, words: Sequence[str], **limits: Any):
        super().__init__(**limits)
        self._words = words
        self.syntactic_help = f"{self.syntactic_help} or {', '.join(words)}"

    def parse(self, argument: Any) -> Any:
        return argument if argument in self._words else super().parse(argument)

    def convert(self, argument: Any) -> int:
        try:
            return super().convert(argument)
        except ValueError as error:
            expected = f"expected a whole number or {', '.join(self._words)}"
            raise ValueError(f"{argument!r}: {expected}") from error


def _kind(hint: Any) -> type:
    """int, float, str or tuple of `int`, `int | str`, `float | None`, `tuple[str, ...]`, ..."""
    if isinstance(hint, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    return typing.get_origin(hint) or hint


def _immutable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
