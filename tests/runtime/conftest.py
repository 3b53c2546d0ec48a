"""The exported files of the export tests, which the runtime runs."""

from tests.export.conftest import (  # noqa: F401
    calibration,
    encoder,
    file_of,
    form,
    model_of,
    part_of,
    short_calibration,
    windows,
)
