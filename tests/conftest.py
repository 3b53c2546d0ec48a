"""What all tests share."""

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


@pytest.fixture(scope="module")
def quick_jax(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let processes with JAX compile less thoroughly, and each program once for all of them."""
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
    """Run a console script as a user does, and check that it passes, or that it fails.

    What is to fail runs in this process, and so does what another test runs in one of its own
    (`here`): a new one takes seconds to import TensorFlow.
    """
    arguments = [command(name), *map(str, options)]
    if fails or here:
        run = run_here(name, arguments)
    else:
        run = subprocess.run(arguments, capture_output=True, text=True, env=dict(os.environ))
    assert (run.returncode != 0) == fails, run.stdout[-2000:] + run.stderr[-4000:]
    return run


def run_here(name: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Call the function that a console script calls."""
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
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    # While it is loaded, dataclasses look for it under its name; absl, later, for its docstring.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def forgotten_flags() -> Iterator[None]:
    """Afterwards, no flag is defined or parsed that a command defined in here."""
    known = set(flags.FLAGS)
    try:
        yield
    finally:
        new = set(flags.FLAGS) - known
        modules = {name: flags.FLAGS.find_module_defining_flag(name) for name in new}
        # absl's own stay: it defines them only once.
        ours = {name for name, module in modules.items() if not module.startswith("absl")}
        flags.FLAGS.remove_flag_values(ours)
        flags.FLAGS.unparse_flags()
