"""The reference of a module as Markdown: signatures and docstrings, read without importing it."""

import ast
from pathlib import Path

_Definition = ast.FunctionDef | ast.ClassDef


def _called(node: ast.FunctionDef, name: str) -> str:
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{name}({ast.unparse(node.args)}){returns}"


def _signature(node: _Definition) -> str:
    """Return how a function or class is called, or a tuple's fields."""
    if isinstance(node, ast.FunctionDef):
        return _called(node, node.name)
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and part.name == "__init__":
            part.args.args = part.args.args[1:]
            part.returns = None
            return f"class {_called(part, node.name)}"
    fields = [ast.unparse(part) for part in node.body if isinstance(part, ast.AnnAssign)]
    return f"class {node.name}({', '.join(fields)})"


def reference(root: Path, module: str) -> list[str]:
    """Return, as lines of Markdown, what a module holds: functions, classes and their docstrings.

    Args:
        root: The folder that holds the package.
        module: Its dotted name. What has no file there is named, and no more.
    """
    path = root.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not file.is_file():
        return [f"`{module}`"]
    tree = ast.parse(file.read_text(encoding="utf-8"))
    lines = [f"**`{module}`** {ast.get_docstring(tree) or ''}".rstrip()]
    for node in tree.body:
        if isinstance(node, _Definition) and not node.name.startswith("_"):
            said = ast.get_docstring(node) or ""
            lines += ["", "````text", _signature(node), "", *said.split("\n"), "````"]
    return "\n".join(lines).split("\n")
