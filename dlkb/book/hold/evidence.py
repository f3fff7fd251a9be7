"""Does the evidence of a claim decide it?

The last fence of a card ends with `dlkb.verdict`, called with what the code computed, and shows the
card's type. And no fence of evidence shows what could not have come out otherwise.
"""

import ast
from dataclasses import dataclass

from dlkb.book.hold.names import names_in, page_names
from dlkb.book.read.code import examples, tree_of
from dlkb.book.read.parts import Claim, Fence, Page

HELPERS = ("verdict", "code_verdict")
NO_VERDICT = ("opinion", "outdated", "missing")


@dataclass(frozen=True)
class _Shown:
    """A piece of code that shows something, and what."""

    code: ast.AST
    text: str


def evidence_problems(page: Page) -> list[tuple[int, str]]:
    """Return the cards whose verdict is not computed and the fences that decide nothing.

    Returns:
        Line of the file and message, one for each.
    """
    names = page_names(page) - set(HELPERS)
    found = []
    for claim in page.claims:
        fences = [fence for fence in claim.fences if fence.runnable]
        for fence in fences:
            if fault := _empty(fence, names):
                found.append((fence.line, f"claim {claim.id}: {fault}"))
        needed = claim.verdict not in NO_VERDICT and claim.evidence != "cited"
        decided = any(_last_call(fence) for fence in fences[-1:])  # then the type is that one
        if fences and (needed or decided) and (fault := _undecided(claim, fences[-1], names)):
            found.append((fences[-1].line, f"claim {claim.id}: {fault}"))
    return found


def _parse(source: str) -> ast.Module:
    try:
        return tree_of(source)
    except SyntaxError:
        return ast.Module([], [])  # running it will say so


def _shown(fence: Fence) -> list[_Shown]:
    """Return what a fence shows, in order: values and prints, exceptions, assertions."""
    if fence.language == "pycon":
        return [
            _Shown(_parse(example.source), example.exc_msg or example.want)
            for example in examples(fence.code)
            if example.want or example.exc_msg or _asserts(_parse(example.source))
        ]
    nodes = [node for node in _parse(fence.code).body if _asserts(node) or _prints(node)]
    last = (fence.shown or "").rstrip().rpartition("\n")[2]
    return [_Shown(node, last) for node in nodes]


def _asserts(tree: ast.AST) -> bool:
    return any(isinstance(node, ast.Assert) for node in ast.walk(tree))


def _prints(tree: ast.AST) -> bool:
    return any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        for node in ast.walk(tree)
    )


def _empty(fence: Fence, names: set[str]) -> str:
    """Say how a fence of evidence decides nothing."""
    shown = _shown(fence)
    if not shown:
        return "this fence shows nothing: print what decides the claim"
    if not any(names_in(piece.code) & names for piece in shown):
        return (
            f"this fence shows {shown[-1].text.strip() or 'a constant'}, computed from no name of "
            "the page: name what is compared"
        )
    return ""


def _undecided(claim: Claim, fence: Fence, names: set[str]) -> str:
    """Say how the last fence of a card does not show its verdict."""
    shown = _shown(fence)
    call = _last_call(fence)
    helper = "code_verdict" if claim.verdict == "buggy" else "verdict"
    if call is None or not shown:
        return f"the card's last fence must end with `{helper}(…)` of dlkb.verdict"
    text = shown[-1].text.strip().strip("'\"")
    if text != claim.verdict:
        return f"the card says '{claim.verdict}', its last fence shows '{text}'"
    for keyword in call.keywords:
        if not names_in(keyword.value) & names:
            return f"'{keyword.arg}' is a literal: give what the code computed"
    return ""


def _last_call(fence: Fence) -> ast.Call | None:
    """Return the call of a verdict that a fence ends with, printed in a `python` fence."""
    source = fence.code
    if fence.language == "pycon":
        prompts = examples(source)
        source = prompts[-1].source if prompts else ""
    body = _parse(source).body
    call = body[-1].value if body and isinstance(body[-1], ast.Expr) else None
    if isinstance(call, ast.Call) and _name(call) == "print" and len(call.args) == 1:
        call = call.args[0]
    return call if isinstance(call, ast.Call) and _name(call) in HELPERS else None


def _name(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""
