"""The exported files of the export tests, which the runtime runs."""

from tests.export.conftest import calibration, encoder, form, windows  # noqa: F401
