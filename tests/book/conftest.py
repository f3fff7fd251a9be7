"""A small book in a temporary folder."""

import textwrap
from pathlib import Path

import pytest

from dlkb.book.hold.verify import Ran
from dlkb.book.read.parts import Page
from dlkb.book.run.session import Session

CLAIMS = '["optimizers/toy"]\nclaims = ["c-001"]\n'

CONFIG = """\
site_name: toy
site_description: A book for tests.
site_url: https://example.org/toy/
repo_url: https://example.org/toy-repository
extra: {colab: "https://colab.example.org/notebooks"}
"""

PAGE = """\
---
title: Toy
description: A page for tests.
---

# Toy

## The idea

$$ x^2 \\label{eq:square} $$

See $\\eqref{eq:square}$.

```python
def square(x):
    return x * x
```

## Derivation

``` {.pycon .digits}
>>> square(3)
9
>>> 1 / 3
0.333
```

## In code

```python
print(square(2))
```

```output
4
```

## What the notes say

/// refuted | The square of two is five.
    attrs: {id: c-001, data-source: "001:16-18", data-evidence: checked}

No.

```pycon
>>> square(2) == 5
False
>>> square("a")
Traceback (most recent call last):
TypeError: can't multiply sequence by non-int of type 'str'
```
///

## In practice

```bash
make serve
```

## Exercises

## References
"""

HELD = """\
---
title: Toy
description: A page for tests.
level: basic
requires: []
size: S
---

# Toy

![A wave that rises and falls.](../assets/figures/other/wave.svg)

## The idea

$$ x^2 \\label{eq:square} $$

<!--untied eq:square: a term, which no function returns-->

See $\\eqref{eq:square}$.

```python
def square(x):
    return x * x
```

## In practice

```bash
make serve
```

## In code

```python
print(square(2))
```

```output
4
```

## Statements, tested

/// refuted | The square of two is five.
    attrs: {id: c-001, data-source: "001:16-18", data-evidence: checked}

No.

```pycon
>>> square(2) == 5
False
>>> square("a")
Traceback (most recent call last):
TypeError: can't multiply sequence by non-int of type 'str'
>>> from dlkb.verdict import verdict
>>> verdict(as_stated=square(2) == 5)
'refuted'
```
///

## Derivation

``` {.pycon .digits}
>>> square(3)
9
>>> 1 / 3
0.333
```

## Exercises

## References
"""
"""Breaks no rule, as `PAGE` does, which is read, run and shown all the same."""


def whole(page: Page) -> Ran:
    """Run a page here, whatever rules it breaks."""
    session = Session(page)
    for fence in page.runnable:
        assert session.outcomes_through(fence).error is None
    values = {number.expression: number.value for number in session.bound()}
    return Ran(page, frozenset(session.displayed), values)


class Book:
    """A book whose only page can be edited."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.page = root / "docs" / "optimizers" / "toy.md"
        self.page.parent.mkdir(parents=True)
        (root / "mkdocs.yml").write_text(CONFIG)
        (root / "docs" / "claims.toml").write_text(CLAIMS)
        self.page.write_text(PAGE)

    def edit(self, old: str, new: str) -> None:
        text = self.page.read_text()
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        self.page.write_text(text.replace(old, textwrap.dedent(new)))

    def line(self, text: str) -> int:
        """Return the line on which `text` stands."""
        return self.page.read_text().split(text)[0].count("\n") + 1


def hold(book: Book) -> Book:
    """Give the book a page that breaks no rule, and its figure."""
    book.page.write_text(HELD)
    for theme in ("light", "dark"):
        figure = book.root / f"docs/assets/figures/other/wave-{theme}.svg"
        figure.parent.mkdir(parents=True, exist_ok=True)
        figure.write_text('<svg viewBox="0 0 80 60" width="80pt"></svg>')
    return book


@pytest.fixture
def book(tmp_path) -> Book:
    return Book(tmp_path)
