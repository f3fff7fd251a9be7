"""Each symptom has a reproduction that runs, a check, a fix that runs, and a page that explains."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
from markdown.extensions.toc import slugify

from dlkb.book.read.book import read_book
from dlkb.book.read.parts import Fence

ROOT = Path(__file__).parent.parent
BOOK = {page.stem: page for page in read_book(ROOT)}
PAGE = BOOK["symptoms"]
LINES = PAGE.path.read_text().split("\n")
DOCUMENTATION = "](https://docs.pytorch.org/docs/stable/"
TELL, FIX = "**How to tell.**", "**Fix.**"


def topic_links(text: str) -> set[str]:
    """Return the stems of the topics that a piece of the page links to."""
    linked = set(re.findall(r"\]\(([\w/]+)\.md[#)]", text))
    return {stem for stem in linked if stem in BOOK and BOOK[stem].is_topic}


def section(heading) -> tuple[str, list[Fence], list[Fence], list[Fence]]:
    """Return a symptom's text, and its fences: what fails, what tells, what mends."""
    starts = [h.line for h in PAGE.headings if h.level == 2] + [len(LINES) + 1]
    start, end = next((a, b) for a, b in pairwise(starts) if a == heading.line)
    text = "\n".join(LINES[start - 1 : end - 1])
    assert text.count(TELL) == text.count(FIX) == 1
    tell = start + text[: text.index(TELL)].count("\n")
    fix = start + text[: text.index(FIX)].count("\n")
    parts = [
        [fence for fence in PAGE.runnable if low < fence.line < high]
        for low, high in pairwise((start, tell, fix, end))
    ]
    return text, *parts


SYMPTOMS = [h for h in PAGE.headings if h.level == 2 and h.text != "References"]
TABLE = dict(
    re.findall(r"^\| \[(.+?)\]\(#([\w-]+)\) \|", "\n".join(LINES[: SYMPTOMS[0].line]), re.M)
)


def test_there_are_symptoms():
    assert len(SYMPTOMS) >= 35


def test_table_leads_to_every_symptom_in_order():
    assert list(TABLE) == [heading.text for heading in SYMPTOMS]
    assert list(TABLE.values()) == [slugify(heading.text, "-") for heading in SYMPTOMS]


@pytest.mark.parametrize("heading", SYMPTOMS, ids=lambda heading: slugify(heading.text, "-"))
def test_symptom_fails_is_told_and_is_mended(heading):
    text, fails, tells, mends = section(heading)
    assert fails, "no reproduction runs"
    assert tells, "no check runs"
    assert mends, "no fix runs"
    assert all(shows(part) for part in (fails, tells, mends)), "nothing is shown, so nothing held"
    assert text.split("\n")[2].startswith("*Also: "), "the words people search for are missing"
    assert topic_links(text) or DOCUMENTATION in text, "no topic explains it, nor the library"
    folded = text.index("/// details | Reproduce"), text.index("\n///\n")
    for fence in fails:  # a reader with the symptom knows what it looks like
        assert folded[0] < text.index(fence.code) < folded[1], "the reproduction is not folded"


def shows(fences: list[Fence]) -> bool:
    """Whether one of the fences says what it prints, so that the page's test can fail."""
    return any(
        fence.shown or re.search(r"^(?!>>>|\.\.\.)\S", fence.code, re.M)
        for fence in fences
        if fence.shown or fence.language == "pycon"
    )


@pytest.mark.parametrize("heading", SYMPTOMS, ids=lambda heading: slugify(heading.text, "-"))
def test_symptom_is_short(heading):
    _, *parts = section(heading)
    assert sum(len(code_lines(fence)) for part in parts for fence in part) <= 32  # at 72 columns


def code_lines(fence: Fence) -> list[str]:
    prompts = (">>>", "...") if fence.language == "pycon" else ("",)
    return [row for row in fence.code.split("\n") if row.strip() and row.startswith(prompts)]


@pytest.mark.parametrize("row", [r for r in LINES if r.startswith("| [")], ids=lambda r: r[3:30])
def test_table_names_a_topic_that_the_section_links_to(row):
    heading = next(h for h in SYMPTOMS if row.startswith(f"| [{h.text}]"))
    named, linked = topic_links(row), topic_links(section(heading)[0])
    assert len(named) == 1 or (row.endswith("| – |") and not linked)
    assert named <= linked


LINKS = sorted(set(re.findall(r"\]\(([\w/]+)\.md#([\w-]+)\)", "\n".join(LINES))))


@pytest.mark.parametrize(("stem", "anchor"), LINKS)
def test_section_that_is_linked_exists(stem, anchor):
    assert anchor in {slugify(heading.text, "-") for heading in BOOK[stem].headings}


@pytest.mark.parametrize("heading", SYMPTOMS, ids=lambda heading: slugify(heading.text, "-"))
def test_title_has_no_number_of_our_data(heading):
    assert not re.search(r"\b\d{2}|\d\.\d", heading.text)


def test_links_within_the_page_lead_to_a_symptom():
    linked = set(re.findall(r"\]\(#([\w-]+)\)", "\n".join(LINES)))
    assert linked <= {slugify(heading.text, "-") for heading in SYMPTOMS}
