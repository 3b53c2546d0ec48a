"""The error of the modules that decode."""


class DecodeError(Exception):
    """The file cannot be decoded; the message is a short reason without the file's name."""
