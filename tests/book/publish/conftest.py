"""A shelf of four topics in two families, one of which requires a topic of the other."""

from pathlib import Path

import pytest

from tests.book.conftest import CONFIG

LISTED = f"""\
{CONFIG}nav:
  - Home: index.md
  - Optimizers:
      - optimizers/index.md
      - AdamW: optimizers/adamw.md
      - optimizers/adam.md
  - Gradients:
      - gradients/index.md
      - Clipping: gradients/clipping.md
      - gradients/loss.md
"""

CARD = """\
/// {verdict} | {statement}
    attrs: {{id: {id}, data-source: "001:16-18", data-evidence: cited}}

{reason}
///
"""


def topic(title: str, requires: str = "", cards: str = "", figure: str = "") -> str:
    """Return the page of a topic."""
    image = f"![A curve that falls.](../assets/figures/{figure}.svg)\n\n" if figure else ""
    return (
        f"---\ntitle: {title}\ndescription: What {title} does. And more.\nlevel: basic\n"
        f"requires: [{requires}]\nsize: S\n---\n\n# {title}\n\n{image}## The idea\n\n"
        f"Words of {title}.\n\n## Statements, tested\n\n{cards}"
    )


def card(verdict: str, number: int, statement: str = "It is so.", reason: str = "No.") -> str:
    """Return a statement with its verdict."""
    return CARD.format(verdict=verdict, id=f"c-{number:03}", statement=statement, reason=reason)


FILES = {
    "index.md": "---\ntitle: Home\n---\n\n# A toy that holds\n\nText.\n",
    "optimizers/index.md": "---\ntitle: Optimizers\n---\n\n# Optimizers\n\nFamily.\n",
    "optimizers/adam.md": topic(
        "Adam and its step",
        "gradients/loss",
        card("holds", 1) + card("refuted", 2, "A $x$.", "See [there](adamw.md#a)."),
        "optimizers/adam/step",
    ),
    "optimizers/adamw.md": topic("AdamW", "optimizers/adam", card("refuted", 3)),
    "gradients/index.md": "---\ntitle: Gradients\n---\n\n# Gradients\n\nFamily.\n",
    "gradients/clipping.md": topic("Clipping gradients"),
    "gradients/loss.md": topic("Loss", cards=card("buggy", 4)),
}


@pytest.fixture
def shelf(tmp_path) -> Path:
    """Return the folder `docs` of a book."""
    (tmp_path / "mkdocs.yml").write_text(LISTED)
    for name, text in FILES.items():
        path = tmp_path / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "docs"
