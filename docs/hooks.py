"""Pages that MkDocs makes from what lies outside docs/: the commands' flags, and other files.

So each fact has one source, and no page is copied by hand.
"""

import importlib
import importlib.metadata
import pathlib
import re
import textwrap
from collections.abc import Iterator
from types import ModuleType

from absl import flags
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = pathlib.Path(__file__).parent.parent

# Page of the site: file of the project. Pictures that such a file shows come along.
FILES = {
    "reference/data-sets.md": "a2v_tf/data/builders/README.md",
    "reference/android.md": "android_demo/README.md",
    "reference/web.md": "web_demo/README.md",
    "reference/web-package.md": "web_demo/package/README.md",
    "results/model-card.md": "a2v_tf/pretrained/card.md",
    "project/contributing.md": "CONTRIBUTING.md",
    "project/changelog.md": "CHANGELOG.md",
    "project/security.md": "SECURITY.md",
    "project/build-notes.md": "BUILD_NOTES.md",
}
FILES |= {  # the encoders beside `pretrained`
    f"results/model-card-{path.parent.name}.md": path.relative_to(ROOT).as_posix()
    for path in sorted((ROOT / "a2v_tf/pretrained").glob("*/card.md"))
}
_CODE = re.compile(r"(`[^`]+`|(?<![\w-])--[a-z]\w*(?:=[^\s,;:()]*[^\s,.;:()'])?)")
_IMAGE = re.compile(r"!\[[^]]*\]\((?!https?:)([^)\s]+)\)|<img[^>]*src=\"(?!https?:)([^\"]+)\"")
_LINK = re.compile(r"(?<!!)\[([^]]+)\]\((?!https?:|#)([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to those of docs/."""
    for page in (*command_pages(config), *project_pages(config)):
        files.append(page)
    return files


# ---- Files of the project ----


def project_pages(config: MkDocsConfig) -> Iterator[File]:
    """The pages of `FILES`, and their pictures."""
    for uri, source in FILES.items():
        path = ROOT / source
        text = path.read_text(encoding="utf-8")
        yield File.generated(config, uri, content=_links_within_the_site(text, uri, source))
        for image in {first or second for first, second in _IMAGE.findall(text)}:
            image_uri = str(pathlib.PurePosixPath(uri).parent / image)
            yield File.generated(config, image_uri, abs_src_path=str(path.parent / image))


def _links_within_the_site(text: str, uri: str, source: str) -> str:
    """Let links to other files of the project lead to their pages, or be plain file names."""
    pages = {path: page for page, path in FILES.items()} | {"README.md": "index.md"}
    folder = pathlib.PurePosixPath(uri).parent

    def link(match: re.Match[str]) -> str:
        label, target = match.groups()
        path, _, anchor = target.partition("#")
        file = (ROOT / source).parent.joinpath(path).resolve()
        page = pages.get(file.relative_to(ROOT).as_posix()) if file.is_relative_to(ROOT) else None
        if page is None and path.startswith("docs/"):
            page = path.removeprefix("docs/")
        if page is None:
            return label if label.startswith("`") else f"{label} (`{path}`)"
        up = "/".join([".."] * len(folder.parts) + [page])
        return f"[{label}]({up}{'#' * bool(anchor)}{anchor})"

    return _LINK.sub(link, text)


# ---- Commands ----


def command_pages(config: MkDocsConfig) -> Iterator[File]:
    """An overview of the commands, and a section for each: its docstring and its flags."""
    commands = {
        entry.name: importlib.import_module(entry.module)
        for entry in importlib.metadata.distribution("a2v_tf").entry_points
        if entry.group == "console_scripts"
    }
    sections = [_section(name, module) for name, module in commands.items()]
    head = [
        "# Commands",
        "Made from the flags themselves, so what stands here is what `--help` says. Every command "
        "also takes `--verbosity`, and `--flagfile=FILE` with a flag in each line.",
    ]
    content = "\n\n".join([*head, *sections])
    yield File.generated(config, "reference/commands.md", content=content)


def _section(name: str, module: ModuleType) -> str:
    return "\n\n".join([f"## {name}", docstring_to_markdown(module.__doc__), *flag_entries(module)])


def docstring_to_markdown(docstring: str) -> str:
    """A command's docstring, where indented paragraphs are commands, or text as it stands."""
    parts = []
    for paragraph in re.split(r"\n\s*\n", docstring.strip("\n")):
        if all(line.startswith("  ") for line in paragraph.splitlines()):
            language = "sh" if re.match(r" +(a2v_|export_|python )", paragraph) else "text"
            parts.append(f"```{language}\n{textwrap.dedent(paragraph)}\n```")
        else:
            parts.append(_escape(paragraph))
    return "\n\n".join(parts)


def flag_entries(module: ModuleType) -> list[str]:
    """An entry of a definition list for each flag of a command, required ones first."""
    known = set(flags.FLAGS)
    module.define_flags()
    try:
        by_module = flags.FLAGS.flags_by_module_dict().values()
        defined = [flag for group in by_module for flag in group if flag.name not in known]
        defined.sort(key=lambda flag: not _is_required(flag))  # the order stays otherwise
        return [
            f"`--{flag.name}`{{ .flag }} *{_kind(flag)}*\n:   {_escape(_help(flag))}"
            for flag in defined
        ]
    finally:
        flags.FLAGS.remove_flag_values(set(flags.FLAGS) - known)


def _help(flag: flags.Flag) -> str:
    """The help text, without the choices that absl puts in front of it."""
    return re.sub(r"^<[^>]*>: ", "", flag.help)


def _is_required(flag: flags.Flag) -> bool:
    """Whether a validator of this flag alone refuses what the flag is by default."""
    for validator in flag.validators:
        if list(validator.get_flags_names()) == [flag.name]:
            try:
                validator.verify(flags.FLAGS)
            except flags.ValidationError:
                return True
    return False


def _kind(flag: flags.Flag) -> str:
    """What a flag takes, and what it is by default."""
    takes = {
        "string": "text",
        "int": "whole number",
        "float": "number",
        "bool": "yes or no",
        "comma separated list of strings": "names, separated by commas",
    }.get(flag.flag_type(), flag.flag_type())
    if isinstance(flag, flags.EnumFlag):
        takes = f"one of {', '.join(f'`{choice}`' for choice in flag.parser.enum_values)}"
    if _is_required(flag):
        return f"{takes}; required"
    default = flag.default
    if default is None or default == [] or default == "":
        return takes
    if isinstance(default, bool):
        return f"{takes}; default: {'yes' if default else 'no'}"
    shown = ",".join(default) if isinstance(default, list) else default
    return f"{takes}; default: `{shown}`"


def _escape(text: str) -> str:
    """Plain text as Markdown: `code` stays, flags become code."""
    parts = _CODE.split(re.sub(r"\s*\n\s*", " ", text))
    parts[::2] = [re.sub(r"([\\*_\[\]<>|])", r"\\\1", prose) for prose in parts[::2]]
    parts[1::2] = [f"`{code.strip('`')}`" for code in parts[1::2]]
    return "".join(parts)
