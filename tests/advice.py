"""What the source advises: every text that tells somebody the next step, found by its syntax."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: Names whose values are advice: of classes, variables, arguments.
_NAMES = frozenset({"next_step", "todo", "way_out"})
#: Functions, and which of their arguments by place is advice.
_PLACES = {"failure_body": 2, "Finding": 3, "Failure": 2}


@dataclass(frozen=True)
class Advice:
    """A text that tells the next step, and where it stands."""

    where: str
    text: str


def advice_in(root: Path, *folders: str) -> list[Advice]:
    """All advice in the Python files of these folders; what is filled in stands as ``{}``."""
    found = []
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            for node, value in _advising(ast.parse(path.read_text())):
                where = f"{path.relative_to(root)}:{node.lineno}"
                found += [Advice(where, text) for text in _texts(value)]
    return found


def errors_without_advice(root: Path, *folders: str) -> list[str]:
    """The classes of errors that neither say a next step nor have it of a parent that does."""
    bases: dict[str, set[str]] = {}
    advising = set()
    for folder in folders:
        for path in (root / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    bases[node.name] = {_last(each) for each in node.bases}
                    asked = {arg.arg for each in ast.walk(node) for arg in _arguments(each)}
                    if "next_step" in asked or any(True for _ in _advising(node)):
                        advising.add(node.name)
    errors = {"AcademyError"}
    while more := {name for name, parents in bases.items() if parents & errors} - errors:
        errors |= more
    return sorted(
        name
        for name in errors - advising - {"AcademyError"}
        if not bases[name] & (advising - {"AcademyError"})
    )


def _advising(tree: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {_last(each) for each in targets}
            if names & _NAMES or any(name.endswith("_NEXT_STEPS") for name in names):
                yield node.value, node.value
        elif isinstance(node, ast.Call):
            for keyword in node.keywords:
                if keyword.arg in _NAMES:
                    yield keyword.value, keyword.value
            place = _PLACES.get(_last(node.func))
            if place is not None and len(node.args) > place:
                yield node.args[place], node.args[place]


def _arguments(node: ast.AST) -> list[ast.arg]:
    """What a function takes; a class that is told its next step says one."""
    return node.args.args + node.args.kwonlyargs if isinstance(node, ast.FunctionDef) else []


def _texts(value: ast.expr) -> list[str]:
    """The texts that an expression may be: those of its branches, parts and values."""
    if isinstance(value, ast.Constant):
        return [value.value] if isinstance(value.value, str) else []
    if isinstance(value, ast.JoinedStr):
        parts = [
            str(each.value) if isinstance(each, ast.Constant) else "{}" for each in value.values
        ]
        return ["".join(parts)]
    if isinstance(value, ast.Dict):
        return [text for each in value.values for text in _texts(each)]
    if isinstance(value, ast.IfExp):
        return _texts(value.body) + _texts(value.orelse)
    if isinstance(value, ast.BoolOp):
        return [text for each in value.values for text in _texts(each)]
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):  # such as str(…)
        return [text for each in value.args for text in _texts(each)]
    return []


def _last(node: ast.expr) -> str:
    """The last name of ``a.b.c``."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
