"""What all tests share."""

import os
import pathlib
import subprocess
import sys

import pytest

GOLDEN = pathlib.Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="rewrite the golden vectors")
    parser.addoption(
        "--no_skips_in",
        default="",
        help="comma-separated parts of test names: skipping a test with one of them is a failure",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """Under --no_skips_in, turn a skip into a failure: CI must not pass by leaving things out."""
    report = yield
    parts = [part for part in item.config.getoption("--no_skips_in").split(",") if part]
    if report.skipped and not hasattr(report, "wasxfail") and any(p in item.nodeid for p in parts):
        report.outcome = "failed"
        report.longrepr = f"skipped where it must run: {report.longrepr}"
    return report


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return request.config.getoption("--update")


def command(name: str) -> str:
    """Path of an installed console script."""
    return str(pathlib.Path(sys.executable).parent / name)


def run_command(name: str, *flags: str, fails: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a console script as a user does, and check that it passes, or that it fails."""
    run = subprocess.run(
        [command(name), *map(str, flags)], capture_output=True, text=True, env=dict(os.environ)
    )
    assert (run.returncode != 0) == fails, run.stdout[-2000:] + run.stderr[-4000:]
    return run
