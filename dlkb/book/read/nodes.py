"""What an equation says, as a tree, and how a tree is written on one line."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """A piece of a formula: what it is, its name if it has one, its parts.

    Kinds: number, constant, symbol, bold, dots, index (`x_i` under a sum), apply (an unknown
    function), call (a known one), neg, add, mul, hadamard, div, pow, transpose, norm, over (a
    sum, product, maximum: body, index, bounds if there are any), cases (value, condition, …),
    relation.
    """

    kind: str
    name: str = ""
    args: tuple["Node", ...] = ()

    def walk(self) -> Iterator["Node"]:
        """Yield the node and all below it."""
        yield self
        for arg in self.args:
            yield from arg.walk()


@dataclass(frozen=True)
class Statement:
    """Sides and the relations between them; one side and no relation is a bare expression."""

    sides: tuple[Node, ...]
    relations: tuple[str, ...] = ()


_STRENGTH = {"relation": 0, "add": 1, "neg": 2, "mul": 3, "hadamard": 3, "div": 3, "pow": 4}
_JOINT = {"add": " + ", "mul": "*", "hadamard": " .* ", "div": "/", "pow": "^"}


def show(node: Node) -> str:
    """Write a formula on one line, in the names that Python uses.

    Example:
        >>> x, two = Node("symbol", "x"), Node("number", "2")
        >>> show(Node("apply", "E", (Node("pow", args=(x, two)),)))
        'E(x^2)'
    """
    parts = [show(arg) for arg in node.args]
    if node.kind in _STRENGTH:
        strict = [node.kind in ("div", "pow") and place > 0 for place in range(len(parts))]
        strict[0] |= node.kind == "pow"
        parts = [
            f"({part})"
            if _STRENGTH.get(arg.kind, 9) < _STRENGTH[node.kind] + above
            or (arg.kind == "neg" and place > 0 and node.kind != "add")
            else part
            for place, (arg, part, above) in enumerate(zip(node.args, parts, strict, strict=True))
        ]
    match node.kind:
        case "neg":
            return f"-{parts[0]}"
        case "relation":
            return f"{parts[0]} {node.name} {parts[1]}"
        case "transpose":
            return f"{parts[0]}^T" if not node.args[0].args else f"({parts[0]})^T"
        case "norm":
            return f"norm{node.name and '_'}{node.name}({parts[0]})"
        case "index":
            return f"{node.name}[{', '.join(parts)}]"
        case "call" if node.name == "sqrt" and node.args[1] == Node("number", "2"):
            return f"sqrt({parts[0]})"
        case "apply" | "call" | "over":
            return f"{node.name}({', '.join(parts)})"
        case "cases":
            return f"cases({', '.join(parts)})"
        case kind if kind in _JOINT:
            return _JOINT[kind].join(parts).replace("+ -", "- ")
    return node.name


def key(text: str) -> str:
    """Return a formula on one line as it is looked up: no spaces, one kind of brackets.

    Example:
        >>> key("E[z^2]")
        'E(z^2)'
    """
    return "".join(text.split()).replace("[", "(").replace("]", ")")
