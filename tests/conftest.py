"""Fixtures and functions that all tests share."""

import contextlib
import importlib.metadata
import importlib.util
import io
import os
import pathlib
import subprocess
import sys
import types
from collections.abc import Iterator
from unittest import mock

import pytest
from absl import flags, logging

GOLDEN = pathlib.Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="rewrite the golden vectors")
    parser.addoption(
        "--no_skips_in",
        default="",
        help="comma-separated parts of test names: a skipped test that matches one is a failure",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """Turn skips into failures under --no_skips_in, so that CI cannot pass by skipping tests."""
    report = yield
    parts = [part for part in item.config.getoption("--no_skips_in").split(",") if part]
    if report.skipped and not hasattr(report, "wasxfail") and any(p in item.nodeid for p in parts):
        report.outcome = "failed"
        report.longrepr = f"skipped, but --no_skips_in requires it: {report.longrepr}"
    return report


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return request.config.getoption("--update")


@pytest.fixture(scope="module")
def quick_jax(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let processes with JAX optimise less when they compile, and share what they compiled."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("JAX_PLATFORMS", "cpu")
        environment.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        environment.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        environment.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        yield


def command(name: str) -> str:
    """Path of an installed console script."""
    return str(pathlib.Path(sys.executable).parent / name)


def run_command(
    name: str, *options: object, fails: bool = False, here: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a console script as a user does, and check its exit code.

    Args:
      name: of the script.
      options: of the script.
      fails: whether the script should fail; it then runs in this process.
      here: run it in this process, which saves the seconds that importing TensorFlow takes.
    """
    arguments = [command(name), *map(str, options)]
    if fails or here:
        run = run_here(name, arguments)
    else:
        run = subprocess.run(arguments, capture_output=True, text=True, env=dict(os.environ))
    assert (run.returncode != 0) == fails, run.stdout[-2000:] + run.stderr[-4000:]
    return run


def run_here(name: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a console script's entry point in this process."""
    (entry_point,) = importlib.metadata.entry_points(group="console_scripts", name=name)
    run = entry_point.load()
    verbosity = logging.get_verbosity()
    out, err, code = io.StringIO(), io.StringIO(), 0
    surroundings = [
        forgotten_flags(),
        mock.patch.object(sys, "argv", arguments),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ]
    try:
        with contextlib.ExitStack() as stack:
            for surrounding in surroundings:
                stack.enter_context(surrounding)
            run()
    except SystemExit as exit:
        code = exit.code
    finally:
        logging.set_verbosity(verbosity)
    return subprocess.CompletedProcess(arguments, code or 0, out.getvalue(), err.getvalue())


def load_script(path: pathlib.Path) -> types.ModuleType:
    """Import a script as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    # dataclasses looks it up by name while it loads, and absl later, for its docstring.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def forgotten_flags() -> Iterator[None]:
    """Undefine, on exit, the flags that a command defined inside."""
    known = set(flags.FLAGS)
    try:
        yield
    finally:
        new = set(flags.FLAGS) - known
        modules = {name: flags.FLAGS.find_module_defining_flag(name) for name in new}
        # absl defines its own flags only once, so they stay.
        ours = {name for name, module in modules.items() if not module.startswith("absl")}
        flags.FLAGS.remove_flag_values(ours)
        flags.FLAGS.unparse_flags()
