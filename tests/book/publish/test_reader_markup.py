"""What the template makes of a page: cards, folds, the lines under the title, explained words."""

import markdown
import pytest
from bs4 import BeautifulSoup

from dlkb.book.publish.which import which_page
from dlkb.book.read.notation import words
from dlkb.book.read.parts import VERDICTS

CONFIG = """\
site_name: x
site_description: x
site_url: https://x.org/book/
repo_url: https://x.org/source
extra: {colab: https://colab.org}
"""
GLOSSARY = """\
# Glossary

| word | stands for |
|---|---|
| SVD | singular value decomposition |
"""
META = "---\ntitle: Adam\nlevel: basic\nrequires: [optimizers/sgd]\nsize: S\n---\n"
TEXT = """\
# Adam {#adam}

Use the SVD, the SVD, `SVD`.

## SVD

Another SVD.

## Statements, tested

/// refuted | It fails.
    attrs: {id: c-035, data-source: "001:16-18", data-evidence: checked}

Because of $x$.

```pycon
>>> 1
1
```

And more.
///

/// opinion | It is good.
    attrs: {id: c-036, data-source: "001:19", data-evidence: cited}

Somebody says so.
///

## Derivation

One sentence.

### First step

```pycon
>>> 2
2
```

### Second step

Text.

## Exercises

### Not folded

Text.
"""


LONG = "\n".join(f"a = {i}" for i in range(9))


@pytest.fixture
def docs(tmp_path):
    folder = tmp_path / "docs"
    (folder / "optimizers").mkdir(parents=True)
    (tmp_path / "mkdocs.yml").write_text(CONFIG)
    (folder / "glossary.md").write_text(GLOSSARY)
    (folder / "optimizers/sgd.md").write_text("---\ntitle: Gradient descent\n---\n# SGD\n")
    (folder / "optimizers/adam.md").write_text(META + TEXT)
    return folder


def rendered(docs, text=TEXT):
    ours = ["math", "fold_markup", "head_markup", "word_markup"]
    ours = [f"dlkb.book.publish.{name}" for name in ours]
    out = markdown.markdown(
        text,
        extensions=[
            "attr_list",
            "toc",
            "pymdownx.highlight",
            "pymdownx.superfences",
            "pymdownx.blocks.admonition",
            "dlkb.book.publish.claim_markup",
            *ours,
        ],
        extension_configs={
            "toc": {"permalink": True},
            "pymdownx.highlight": {"pygments_lang_class": True},
            "pymdownx.blocks.admonition": {"types": list(VERDICTS)},
            **{name: {"docs": str(docs)} for name in ours},
        },
    )
    return BeautifulSoup(out, "html.parser")


def test_a_card_shows_the_reason_and_folds_from_the_first_fence_on(docs):
    card = rendered(docs).find(id="c-035")
    evidence = card.find("details", class_="evidence")
    assert evidence.summary.text == "Evidence: checked"
    assert evidence.find(class_="highlight")
    assert "And more." in evidence.text
    assert not evidence.has_attr("open")
    line, title, reason, last = card.find_all(recursive=False)
    assert line.find(class_="claim-verdict").text == "Refuted"
    assert line.find(class_="claim-about").text == "C-035 · notes 001, lines 16–18"
    assert title["class"] == ["admonition-title"]
    assert reason.text.startswith("Because of")
    assert last is evidence


def test_a_card_without_code_folds_nothing_and_names_its_evidence(docs):
    card = rendered(docs).find(id="c-036")
    assert card.find("details") is None
    assert card.find(class_="claim-about").text.endswith("line 19 · cited")


@pytest.mark.parametrize("first", ["![A curve.](a.png)", "| a |\n|---|\n| b |", "    >>> 1"])
def test_evidence_may_begin_with_a_figure_or_a_table(docs, first):
    text = TEXT.replace("Because of $x$.", f"Because.\n\n{first}\n\nTail.")
    md = markdown.Markdown(
        extensions=["tables", "pymdownx.blocks.admonition", "dlkb.book.publish.claim_markup"],
        extension_configs={"pymdownx.blocks.admonition": {"types": list(VERDICTS)}},
    )
    card = BeautifulSoup(md.convert(text), "html.parser").find(id="c-035")
    assert [p.text for p in card.find_all("p", recursive=False)][-1] == "Because."
    assert "Tail." in card.details.text


def test_sections_of_the_derivation_are_folded_with_their_headings(docs):
    page = rendered(docs)
    folded = page.find_all("details", class_="derivation")
    assert [box.summary.h3["id"] for box in folded] == ["first-step", "second-step"]
    assert folded[0].find(class_="highlight")
    assert "Exercises" not in folded[1].text
    assert page.find(id="not-folded").find_parent("details") is None
    sentence = page.find("p", string="One sentence.")
    assert sentence.find_parent("details") is None


def test_no_link_stands_in_a_summary_and_each_section_keeps_one(docs):
    page = rendered(docs)
    assert page.select("summary a") == []
    links = page.select("details.derivation > a.headerlink")
    assert [link["href"] for link in links] == ["#first-step", "#second-step"]


def test_the_line_under_the_title_says_level_time_and_what_to_read_before(docs):
    page = rendered(docs)
    box = page.h1.find_next_sibling()
    assert box["class"] == ["about"]
    assert box.find(class_="facts").text == "Basic · 1 minute · Read before: Gradient descent"
    assert box.find(class_="facts").a["href"] == "sgd.md"
    links = {a.text: a["href"] for a in box.find(class_="take").find_all("a")}
    assert links == {
        "Notebook": "../downloads/optimizers/adam.ipynb",
        "Colab": "https://colab.org/optimizers/adam.ipynb",
        "Script": "../downloads/optimizers/adam.py",
        "Markdown": "../downloads/optimizers/adam.md.txt",
    }


def test_minutes_count_what_stands_unfolded(docs):
    words_, more = "word " * 390, "word " * 1000
    long = TEXT.replace("Use the SVD,", words_ + "Use the SVD,").replace(
        "Text.\n\n##", f"{more}\n\n##"
    )
    (docs / "optimizers/adam.md").write_text(META + long)
    assert "Basic · 3 minutes" in rendered(docs, long).find(class_="facts").text


def test_a_front_page_has_no_line_under_its_title(docs):
    (docs / "index.md").write_text("# Home\n\nText.\n")
    assert rendered(docs, "# Home\n\nText.\n").find(class_="about") is None


def test_an_abbreviation_is_explained_where_a_section_first_uses_it(docs):
    page = rendered(docs)
    explained = page.select("abbr[title]")
    assert [abbr["title"] for abbr in explained] == ["singular value decomposition"] * 2
    assert all(abbr["tabindex"] == "0" for abbr in explained)
    assert explained[1].find_parent("p").text == "Another SVD."
    assert page.code.text == "SVD"
    assert page.select("h2 abbr[title], h2 abbr[tabindex]") == []


def test_the_glossary_does_not_explain_itself(docs):
    assert words(GLOSSARY) == {"SVD": "singular value decomposition"}
    assert rendered(docs, GLOSSARY).find("abbr") is None


def test_a_page_is_known_by_its_text_and_an_edit_is_seen(docs):
    assert which_page(f"\n{TEXT}\n\n", docs).stem == "optimizers/adam"
    assert which_page("A docstring.", docs) is None
    edited = TEXT + "\nAn edit that makes the file longer.\n"
    (docs / "optimizers/adam.md").write_text(META + edited)
    assert which_page(edited, docs).stem == "optimizers/adam"
    assert which_page(TEXT, docs) is None


@pytest.mark.parametrize(
    ("heading", "lines", "folds"),
    [("In practice", 9, 1), ("The idea", 9, 1), ("In practice", 8, 0), ("In code", 9, 0)],
)
def test_long_code_before_in_code_is_folded_and_its_output_is_not(docs, heading, lines, folds):
    code = "\n".join(LONG.split("\n")[:lines])
    text = f"# Adam\n\n## {heading}\n\n```python\n{code}\n```\n\n```output\n8\n```\n"
    (docs / "optimizers/adam.md").write_text(META + text)
    page = rendered(docs, text)
    found = page.find_all("details", class_="code")
    assert len(found) == folds
    assert not page.find(class_="language-output").find_parent("details")
    for fold in found:
        assert fold.summary.text == "Code, 9 lines"
        assert fold.find(class_="language-python").text.strip() == LONG


def test_a_long_session_is_folded_with_its_output(docs):
    session = "\n".join(f">>> a = {i}" for i in range(9))
    text = f"# Adam\n\n## The idea\n\n```pycon\n{session}\n```\n"
    (docs / "optimizers/adam.md").write_text(META + text)
    page = rendered(docs, text)
    assert page.find("details", class_="code").summary.text == "Code and output, 9 lines"
