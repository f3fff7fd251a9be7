import pytest

from dlkb.book.hold.evidence import evidence_problems
from dlkb.book.read.book import read_book


def messages(book):
    return [message for _, message in evidence_problems(read_book(book.root)[0])]


CALL = ">>> verdict(as_stated=square(2) == 5)\n'refuted'\n"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("/// refuted", "/// holds", "the card says 'holds', its last fence shows 'refuted'"),
        ("'refuted'", "'imprecise'", "the card says 'refuted', its last fence shows 'imprecise'"),
        (CALL, "", "the card's last fence must end with `verdict(…)`"),
        (CALL, ">>> 'refuted' + str(square)[:0]\n'refuted'\n", "must end with `verdict(…)`"),
        (CALL, CALL + ">>> square(1)\n1\n", "must end with `verdict(…)`"),
        ("as_stated=square(2) == 5", "as_stated=False", "'as_stated' is a literal"),
        ("as_stated=square(2) == 5", "as_stated=2 + 2 == 5", "'as_stated' is a literal"),
        (
            "as_stated=square(2) == 5",
            "as_stated=square(2) == 5, mended=True",
            "'mended' is a literal",
        ),
        (
            "as_stated=square(2) == 5",
            "as_stated=verdict(as_stated=False) == 'holds'",
            "'as_stated' is a literal",
        ),
        ("/// refuted", "/// buggy", "the card says 'buggy'"),
    ],
)
def test_a_verdict_is_computed_and_is_the_type_of_the_card(moved, old, new, message):
    moved.edit(old, new)
    found = messages(moved)
    assert len(found) == 1
    assert message in found[0]
    assert found[0].startswith("claim c-001: ")


@pytest.mark.parametrize(
    ("fence", "message"),
    [
        ("```pycon\n>>> y = square(3)\n```", "shows nothing"),
        ("```python\ny = square(3)\n```", "shows nothing"),
        ("```pycon\n>>> 1 + 1\n2\n```", "shows 2, computed from no name of the page"),
        ("```pycon\n>>> True\nTrue\n```", "shows True, computed from no name"),
        ("```pycon\n>>> True, bool(1)\n(True, True)\n```", "shows (True, True), computed from no"),
        ("```python\nprint('so')\n```\n\n```output\nso\n```", "shows so, computed from no name"),
        ("```pycon\n>>> [i for i in range(2)]\n[0, 1]\n```", "computed from no name"),
        ("```python\nassert 1\n```", "shows a constant"),
    ],
)
def test_evidence_could_come_out_otherwise(moved, fence, message):
    moved.edit("No.\n", f"No.\n\n{fence}\n")
    found = messages(moved)
    assert len(found) == 1
    assert message in found[0]


@pytest.mark.parametrize(
    "fence",
    [
        "```pycon\n>>> square(3) == 9\nTrue\n```",
        "```pycon\n>>> 1 + 1\n2\n>>> square(3)\n9\n```",
        "```pycon\n>>> assert square(3) == 9\n```",
        "```python\nassert square(3) == 9\n```",
        "```python\nfor i in range(2):\n    print(square(i))\n```\n\n```output\n0\n1\n```",
        "```pycon\n>>> square('a')\nTraceback (most recent call last):\nTypeError: no\n```",
    ],
)
def test_evidence_that_computes_something(moved, fence):
    moved.edit("No.\n", f"No.\n\n{fence}\n")
    assert messages(moved) == []


def test_the_problem_is_at_the_fence(moved):
    moved.edit("/// refuted", "/// holds")
    ((line, _),) = evidence_problems(read_book(moved.root)[0])
    assert line == moved.line(">>> from dlkb.verdict")


@pytest.mark.parametrize("verdict", ["opinion", "outdated", "missing"])
def test_these_need_no_verdict(moved, verdict):
    moved.edit("/// refuted", f"/// {verdict}")
    moved.edit(CALL, "")
    assert messages(moved) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [("/// refuted", "/// opinion"), ("/// refuted", "/// outdated")],
)
def test_a_verdict_that_is_computed_is_the_card_s_whatever_its_type(moved, old, new):
    moved.edit(old, new)
    (message,) = messages(moved)
    assert f"the card says '{new[4:]}', its last fence shows 'refuted'" in message


def test_what_is_cited_needs_no_verdict(moved):
    moved.edit("data-evidence: checked", "data-evidence: cited")
    moved.edit(CALL, "")
    assert messages(moved) == []


def test_a_python_fence_prints_its_verdict(moved):
    text = moved.page.read_text()
    start, end = text.index("```pycon\n>>> from dlkb"), text.index("///\n\n## Derivation")
    code = (
        "```python\nfrom dlkb.verdict import code_verdict\n\n"
        "print(square(4))\n"
        "print(code_verdict(runs=bool(square(1)), agrees=square(2) == 5,\n"
        "                   repaired_agrees=square(2) == 4))\n"
        "```\n\n```output\n16\nbuggy\n```\n"
    )
    moved.page.write_text((text[:start] + code + text[end:]).replace("/// refuted", "/// buggy"))
    assert messages(moved) == []
    moved.edit("16\nbuggy", "16\nholds")
    assert "its last fence shows 'holds'" in messages(moved)[0]


def test_a_verdict_is_printed_alone(moved):
    moved.edit(
        ">>> square(4)\n16\n>>> verdict(as_stated=square(2) == 5)\n'refuted'\n",
        ">>> print(verdict(as_stated=square(2) == 5), end='\\n')\nrefuted\n",
    )
    assert messages(moved) == []
    moved.edit("square(2) == 5), end='\\n'", "square(2) == 5), '', sep=''")
    assert "must end with `verdict(…)`" in messages(moved)[0]
