"""Books of any number of generated pages, to see how the cost grows."""

import shutil
from pathlib import Path
from typing import Any

import yaml

from dlkb.book.hold.contract import PARTS
from scripts.bench.processes import copy_repository

FAMILY = 25
"""Topics in a family."""

FIGURE = """\
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

DATA = (0, 1, 0)


def wave() -> Figure:
    figure, ax = plt.subplots()
    ax.plot(DATA)
    return figure


def wave_says() -> dict[str, bool]:
    return {"rises and falls": DATA[0] < DATA[1] > DATA[2]}
"""

_PAGE = """\
---
title: Topic {number}
description: A generated page.
tags: [generated]
level: basic
requires: []
size: M
---

# Topic {number}

Multiply by {factor}<!--= factor -->. **You may be here because** a number is too small.

![A wave that rises and falls.](../assets/figures/family_00/topic_000/wave.svg)

## The idea

Each of $n$ entries is scaled, so the sum is, and the sum of squares twice over:

$$ \\mathbf{{y}} = {factor}\\,\\mathbf{{x}}, \\qquad
\\sum_{{i=1}}^n y_i = {factor} \\sum_{{i=1}}^n x_i \\label{{eq:sum}} $$

$$ \\lVert\\mathbf{{y}}\\rVert^2 = \\sum_{{i=1}}^n ({factor}\\,x_i)^2
= {square}\\,\\lVert\\mathbf{{x}}\\rVert^2 \\label{{eq:square}} $$

<!--untied eq:sum: no function of the package scales-->

<!--untied eq:square: no function of the package scales-->

```pycon
>>> number, factor = {number}, {factor}
>>> number, factor, factor**2
({number}, {factor}, {square})
```

## In practice

| letter | is |
|---|---|
| $n$ | the number of entries |
| $i$ | an entry |

## In code

```python
import numpy as np

x = np.arange(1.0, 101.0)


def scale(x):
    return factor * x


print(scale(x).sum())
```

```output
{sum}
```

## Statements, tested

/// refuted | The norm grows with the square of the factor.
    attrs: {{id: {claim}, data-source: "001:16-18", data-evidence: checked}}

The squared norm does.

```pycon
>>> from dlkb.verdict import verdict
>>> grows = np.linalg.norm(scale(x)) / np.linalg.norm(x)
>>> float(round(grows, 3))
{factor}.0
>>> float(round((scale(x) ** 2).sum() / (x**2).sum(), 3))
{square}.0
>>> verdict(as_stated=bool(np.isclose(grows, factor**2)))
'refuted'
```
///

## Derivation

Equation $\\eqref{{eq:sum}}$ is the distributive law, $\\eqref{{eq:square}}$ is the same law twice.

## Exercises

Which factor keeps the norm? One that is 1 or −1.

## References
"""


def stems(pages: int) -> list[str]:
    """Return the names of the topics."""
    return [f"family_{number // FAMILY:02}/topic_{number:03}" for number in range(pages)]


def page(number: int) -> str:
    """Return the text of a page."""
    factor = number % 90 + 10  # a number of one digit is not held
    return _PAGE.format(
        number=10 * number + 1001,  # of four digits, so printed anywhere on the page
        factor=factor,
        square=factor**2,
        sum=factor * 5050.0,
        claim=claim(number),
    )


def claim(number: int) -> str:
    """Return the id of a page's only claim."""
    return f"c-{number + 1:03}"


def write_book(root: Path, pages: int) -> None:
    """Write a book: the repository's configuration and engine, other pages, one figure."""
    assert all(f"\n## {part}\n" in _PAGE for part in PARTS)
    copy_repository(root)
    for folder in (root / "scripts" / "figures").iterdir():
        if folder.is_dir():
            shutil.rmtree(folder)
    script = root / "scripts" / "figures" / f"{stems(1)[0]}.py"
    script.parent.mkdir()
    script.write_text(FIGURE)
    shutil.rmtree(root / "benchmarks", ignore_errors=True)  # their page shows figures
    docs = root / "docs"
    for entry in docs.iterdir():
        if entry.is_dir() and entry.name != "assets":
            shutil.rmtree(entry)
        elif entry.suffix in (".md", ".toml", ".bib"):
            entry.unlink()
    config: dict[str, Any] = yaml.safe_load((root / "mkdocs.yml").read_text(encoding="utf-8"))
    del config["nav"]
    (root / "mkdocs.yml").write_text(yaml.safe_dump(config))
    for name in ("index", "errata"):  # the ledger links to errata
        (docs / f"{name}.md").write_text("# Generated\n")
    assigned = []
    for number, stem in enumerate(stems(pages)):
        path = docs / f"{stem}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(page(number), encoding="utf-8")
        assigned.append(f'["{stem}"]\nclaims = ["{claim(number)}"]\n')
    (docs / "claims.toml").write_text("\n".join(assigned))
