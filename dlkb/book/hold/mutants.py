"""What an equation would say if one sign, exponent, factor or relation of it were wrong."""

from collections.abc import Iterator

from dlkb.book.read.nodes import Node, Statement

_ONE = Node("number", "1")
_TWO = Node("number", "2")
_FLIPPED = {"<=": ">=", ">=": "<=", "<": ">", ">": "<", "!=": "="}


def mutants(statement: Statement) -> Iterator[Statement]:
    r"""Yield statements that differ in one sign, exponent, factor or relation other than `=`."""
    for place, side in enumerate(statement.sides):
        before, after = statement.sides[:place], statement.sides[place + 1 :]
        for changed in (Node("neg", args=(side,)), *changes(side)):
            yield Statement((*before, changed, *after), statement.relations)
    for place, relation in enumerate(statement.relations):
        if relation in _FLIPPED:
            flipped = [*statement.relations]
            flipped[place] = _FLIPPED[relation]
            yield Statement(statement.sides, tuple(flipped))


def changes(node: Node) -> Iterator[Node]:
    """Yield a formula with one change at the top or below."""
    yield from _here(node)
    for place, arg in enumerate(node.args):
        if node.kind == "over" and place == 1:
            continue  # the index is a name
        for changed in changes(arg):
            yield Node(node.kind, node.name, (*node.args[:place], changed, *node.args[place + 1 :]))


def _here(node: Node) -> Iterator[Node]:
    args = node.args
    match node.kind:
        case "number":
            whole = node.name.isdigit()
            yield Node("number", str(int(node.name) + 1) if whole else f"{node.name}1")
        case "symbol" | "bold" | "index" | "apply":
            yield Node("pow", args=(node, _TWO))
        case "neg":
            yield args[0]
        case "add":
            for place, term in enumerate(args):
                other = term.args[0] if term.kind == "neg" else Node("neg", args=(term,))
                yield Node("add", args=(*args[:place], other, *args[place + 1 :]))
        case "mul" | "hadamard":
            for place in range(len(args)):
                rest = (*args[:place], *args[place + 1 :])
                yield rest[0] if len(rest) == 1 else Node(node.kind, args=rest)
        case "div":
            yield args[0]
            yield Node("mul", args=args)
            yield Node("div", args=(_ONE, args[1])) if args[0] != _ONE else args[1]
        case "pow" | "transpose":
            yield args[0]
        case "call" if node.name == "sqrt":
            yield args[0]
        case "relation" if node.name in _FLIPPED:
            yield Node("relation", _FLIPPED[node.name], args)
