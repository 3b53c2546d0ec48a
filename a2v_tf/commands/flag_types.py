"""Flags that several commands define in the same way."""

from collections.abc import Iterable, Sequence

from absl import flags

from a2v_tf.specs import CHANNELS

flags.disclaim_key_flags()  # they are flags of the command that calls: of its --help, for example


def define_some_of(
    name: str, default: Sequence[str], known: Iterable[str], help: str, *, empty: bool = False
) -> None:
    """Define a flag whose value is a list of known names.

    Args:
      name: of the flag.
      default: its default.
      known: the names.
      help: its help text.
      empty: whether the list may be empty.
    """
    known = list(known)
    flags.DEFINE_list(name, list(default), help)
    flags.register_validator(
        name,
        lambda names: set(names) <= set(known) and (empty or bool(names)),
        f"expected some of {', '.join(known)}",
    )


def define_channels() -> None:
    """Define --channels, what to use of recordings with several channels."""
    flags.DEFINE_enum(
        "channels",
        CHANNELS[0],
        list(CHANNELS),
        "What to use of a recording with several channels: mix, their mean; left, the first; "
        "loudest, the one with the most energy in the whole recording.",
    )


def define_counts(
    name: str, default: Iterable[int], help: str, *, least: int = 1, most: int | None = None
) -> None:
    """Define a flag whose value is a list of whole numbers; it is parsed as a list of strings."""
    upper = f" to {most}" if most else ""
    flags.DEFINE_list(name, [str(number) for number in default], help)
    flags.register_validator(
        name,
        lambda values: (
            bool(values)
            and all(x.strip().isdecimal() and least <= int(x) <= (most or int(x)) for x in values)
        ),
        f"expected whole numbers from {least}{upper}",
    )
