"""The architecture: imports run downwards, in no circle, and light packages stay light."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]

# From top to bottom: a module may import from lines below its own. Within a line, only a package's
# own modules, and never in a circle.
LAYERS = [
    ["a2v_tf.commands", "a2v_tf.export.export_tflite", "a2v_tf.export.benchmark"],
    ["a2v_tf.export"],
    ["a2v_tf.reporting"],
    ["a2v_tf.evaluation", "a2v_tf.hear"],
    ["a2v_tf.training"],
    ["a2v_tf.tasks"],
    ["a2v_tf.teachers"],
    ["a2v_tf.runtime", "a2v_tf.slicing"],
    ["a2v_tf.training.model_dir"],
    ["a2v_tf.data"],
    ["a2v_tf.audio", "a2v_tf.models"],
    ["a2v_tf.pretrained"],
    ["a2v_tf.specs", "a2v_tf.settings"],
    ["a2v_tf.frontend", "a2v_tf.plugins"],
    ["a2v_tf.beam", "a2v_tf.files"],
    ["a2v_tf.errors"],
    ["a2v_tf.ending", "a2v_tf.quiet", "a2v_tf.text"],
]
HEAVY = {"tensorflow", "keras", "pandas", "sklearn", "tensorflow_datasets", "jax", "torch"}


def modules() -> dict[str, pathlib.Path]:
    """Every module of the package by its name."""
    found = {}
    for folder, package in (("a2v_tf", "a2v_tf"), ("export", "a2v_tf.export")):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path.is_relative_to(ROOT / "a2v_tf/export"):
                continue  # where a checkout links it
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            found[".".join((package, *parts))] = path
    return found


MODULES = modules()


def imports(path: pathlib.Path) -> set[str]:
    """The names of the modules that a file imports, in functions too, but for type checkers."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found.add(name if name in MODULES else str(node.module))
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found


def ours(name: str) -> set[str]:
    """The modules of this package that a module imports; a package's `__init__` counts itself."""
    return {module for module in imports(MODULES[name]) if module in MODULES and module != name}


def layer(name: str) -> tuple[int, str]:
    """The line and the entry of `LAYERS` that a module belongs to: the longest that fits."""
    fits = [
        (entry, i)
        for i, entries in enumerate(LAYERS)
        for entry in entries
        if name == entry or name.startswith(f"{entry}.")
    ]
    assert fits, f"{name} has no place in LAYERS"
    entry, i = max(fits, key=lambda fit: len(fit[0]))
    return i, entry


@pytest.mark.parametrize("name", [name for name in MODULES if name != "a2v_tf"])
def test_imports_run_downwards(name):
    for imported in ours(name) - {"a2v_tf"}:  # the version
        (above, here), (below, there) = layer(name), layer(imported)
        assert above < below or here == there, f"{name} imports {imported}, which stands above it"


def test_no_circle():
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in done:
            for imported in ours(name) - {"a2v_tf"}:
                visit(imported, (*path, name))
            done.add(name)

    for name in MODULES:
        if name != "a2v_tf":  # its public names are imported on first use
            visit(name, ())


@pytest.mark.parametrize(
    "name", [name for name in MODULES if name.startswith(("a2v_tf.runtime", "a2v_tf.audio"))]
)
def test_runtime_and_audio_are_light(name):
    used = {module.partition(".")[0] for module in imports(MODULES[name])}
    fallback = {"tensorflow"} if name == "a2v_tf.runtime.embedder" else set()
    assert not (used & HEAVY) - fallback


def test_nothing_imports_export_but_commands_and_itself():
    for name in MODULES:
        if not name.startswith(("a2v_tf.export", "a2v_tf.commands")):
            assert not any(module.startswith("a2v_tf.export") for module in ours(name)), name
