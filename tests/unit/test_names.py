"""What comments, docstrings and documents name is there, and no two modules need each other."""

from __future__ import annotations

import ast
import builtins
import importlib.util
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path for package in ("academy", "workers") for path in (ROOT / package).rglob("*.py")
)
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TEXTS = [*SOURCES, *PAGES, ROOT / "celeryconfig.py", *(ROOT / "tests").rglob("*.py")]
#: What changed is told under the names of that time; a guide shows files that are to be written.
ELSEWHERE = {ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"}

_QUOTED = re.compile(r"(?<!`)`([A-Za-z_][A-Za-z0-9_.]*)`(?!`)")
_DOTTED = re.compile(r"(?:`|python -m |from |import )((?:academy|workers)(?:\.[A-Za-z_]\w*)+)")
_PATH = re.compile(r"(?<![\w/.-])((?:academy|workers|tests|docs)/[\w/.-]*\w\.(?:py|md))\b")
_FILE = re.compile(r"\.(?:json|jsonl|jinja|txt|py|log)$")


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.fixture(scope="module")
def modules() -> dict[str, ast.Module]:
    return {name_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}


def names_in(tree: ast.AST) -> Iterator[str]:
    """Everything that the code calls by a name, also as a keyword, a column or a string."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.Name(id=name):
                yield name
            case ast.Attribute(attr=name) | ast.arg(arg=name):
                yield name
            case ast.keyword(arg=str(name)):
                yield name
            case ast.alias(name=name, asname=other):
                yield from name.split(".")
                yield other or name
            case ast.Constant(value=str(text)) if text.replace(".", "_").isidentifier():
                yield text


def found(pattern: re.Pattern[str], path: Path) -> Iterator[tuple[str, str]]:
    """What the pattern finds in a file, and where."""
    text = path.read_text(encoding="utf-8")
    for match in pattern.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield match.group(1), f"{path.relative_to(ROOT)}:{line}: {match.group(1)}"


def is_there(name: str, modules: dict[str, ast.Module]) -> bool:
    """Whether a dotted name is a module or something that a module has, or else a file."""
    if _FILE.search(name):
        return True
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        module = ".".join(parts[:length])
        if module in modules:
            return length == len(parts) or parts[length] in set(names_in(modules[module]))
    return False


def test_every_name_in_backticks_is_in_the_code(modules: dict[str, ast.Module]) -> None:
    known = set(dir(builtins)) | {"dmesg"} | {part for name in modules for part in name.split(".")}
    for tree in modules.values():
        known.update(names_in(tree))
    unknown = [
        where
        for path in SOURCES
        for name, where in found(_QUOTED, path)
        if not set(name.split(".")) <= known
        and not _FILE.search(name)
        and importlib.util.find_spec(name.partition(".")[0]) is None
    ]
    assert not unknown, "\n".join(unknown)


def test_every_module_that_a_text_names_is_there(modules: dict[str, ast.Module]) -> None:
    # Labels and Celery tasks have such names, too, and are spelled out where they are defined.
    spelled = set(names_in(modules["academy.training.launchers.habitat"]))
    gone = [
        where
        for path in TEXTS
        if path not in ELSEWHERE and path != Path(__file__)
        for name, where in found(_DOTTED, path)
        if name not in spelled and not is_there(name, modules)
    ]
    assert not gone, "\n".join(gone)


def test_every_file_that_a_text_names_is_there() -> None:
    gone = [
        where
        for path in TEXTS
        if path not in ELSEWHERE
        for name, where in found(_PATH, path)
        if not (ROOT / name).exists()
    ]
    assert not gone, "\n".join(gone)


def test_no_two_modules_need_each_other(modules: dict[str, ast.Module]) -> None:
    """Also not by an import that is hidden in a function or behind TYPE_CHECKING."""
    needs = {name: set(imports(name, tree, modules)) for name, tree in modules.items()}
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        pytest.fail("a circle of imports: " + " → ".join(error.args[1]))


def imports(name: str, tree: ast.Module, modules: dict[str, ast.Module]) -> Iterator[str]:
    for node in ast.walk(tree):
        given: list[str] = []
        if isinstance(node, ast.Import):
            given = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            for each in node.names:
                whole = f"{node.module}.{each.name}"
                given.append(whole if whole in modules else str(node.module))
        yield from (each for each in given if each in modules and each != name)
