"""The audio files of the tests of the data sources."""

from tests.data.conftest import noise, write  # noqa: F401
