"""The run of pages with other random numbers."""

import re
import shutil
import subprocess
import sys

import pytest

from dlkb.book.read.book import read_book
from scripts import draws, processors
from scripts.draws import SHIFT, differences, words

PAGE = "docs/luck/luck.md"

LUCK = [
    "np.random.default_rng(0).normal() > 0.12",
    "np.random.default_rng([0, 1]).normal() < 0.2",
    "np.random.RandomState(0).normal() > 1.7",
    "check_random_state(0).normal() > 1.7",
    "torch.manual_seed(0) and torch.randn(()).item() > 1.5",
    "torch.randn((), generator=torch.Generator().manual_seed(0)).item() > 1.5",
]
"""True of these seeds."""

KEPT = [
    "isinstance(torch.default_generator, torch.Generator)",
    "isinstance(torch.Generator().manual_seed(0), torch.Generator)",
    "check_random_state(None).normal() > -9",
    "check_random_state(check_random_state(None)).normal() > -9",
    "np.random.default_rng(np.random.default_rng(0)).normal(size=99).std() > 0.5",
    "np.random.default_rng().normal() > -9",
]

SCRIPT = """
import numpy as np


def start() -> float:
    return np.random.default_rng(0).normal()


def line() -> "Figure":
    import matplotlib.pyplot as plt

    return plt.figure()


def line_says() -> dict[str, bool]:
    return {f"begins at {start():.2f}": True, "above 0": start() > 0, "a line": start() < 9}
"""


@pytest.fixture
def book(tmp_path):
    """Return a page whose code and caption tell luck, line 8 and on, and what is none."""
    (tmp_path / "docs" / "luck").mkdir(parents=True)
    (tmp_path / "mkdocs.yml").write_text("nav:\n  - luck/luck.md\n  - luck/end.md\n")
    (tmp_path / "docs" / "luck" / "end.md").write_text("# End\n")
    code = [f">>> bool({one})\nTrue" for one in [*LUCK, *KEPT]]
    imports = ">>> import numpy as np, torch\n>>> from sklearn.utils import check_random_state"
    number = ">>> float(np.random.default_rng(0).normal())\n0.1257302210933933"
    text = ["# Luck", "", "```pycon", imports, number, *code, "```", ""]
    text += ["![A line.](../assets/figures/luck/luck/line.svg)", "/// figure-caption"]
    text += ["It begins at 0.13, above 0.", "///", ""]
    (tmp_path / PAGE).write_text("\n".join(text))
    (tmp_path / "scripts" / "figures" / "luck").mkdir(parents=True)
    (tmp_path / "scripts" / "figures" / "luck" / "luck.py").write_text(SCRIPT)
    for module in (draws, processors):
        shutil.copy(module.__file__, tmp_path / "scripts")
    return tmp_path


def test_words_are_compared_without_numbers_and_blanks():
    assert words("[0.  0.5] −3 True") == words("[0.1 1e-5]  4 True")
    assert words("True") != words("False")


def differing(root, *arguments):
    """Run the command in a checkout of its own; return status, output and the page's lines."""
    command = [sys.executable, "-m", "scripts.draws", *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert not done.stderr
    return done.returncode, done.stdout, ["", *(root / PAGE).read_text().splitlines()]


def test_luck_is_found_and_what_all_draws_keep_is_not(book):
    status, output, lines = differing(book, "--draws", "1")
    found = re.findall(rf"{PAGE}:(\d+): in (\d) of 1 draws\n(.*)\n", output)
    told = {lines[int(line)]: (times, text) for line, times, text in found}
    image = next(line for line in lines if line.startswith("!["))
    assert set(told) == {f">>> bool({one})" for one in LUCK} | {image}
    assert told[f">>> bool({LUCK[0]})"] == ("1", "--- the page shows")
    assert "-True\n+False\n" in output
    assert told[image] == ("1", "line: above 0")
    assert status == 1


def test_without_luck_all_is_the_same_and_a_page_that_ends_is_named(book):
    text = (book / PAGE).read_text().partition("![")[0]
    for one in LUCK:
        text = text.replace(f">>> bool({one})\nTrue\n", "")
    (book / PAGE).write_text(text)
    (book / "docs" / "luck" / "end.md").write_text("# End\n\n```pycon\n>>> exit(3)\n```\n")
    shutil.rmtree(book / "scripts")
    [(place, [why])] = differences(read_book(book), SHIFT, book).items()
    assert place == ("docs/luck/end.md", 4)
    assert "SystemExit: 3" in why


def test_the_command_says_where_and_how_often(book, monkeypatch, capsys):
    monkeypatch.setattr(draws, "ROOT", book)
    monkeypatch.setattr(draws, "differences", lambda book, by: {("a.md", 3): ["x"]} if by else {})
    monkeypatch.setattr(sys, "argv", ["draws", "--draws", "2"])
    assert draws.main() == 1
    assert "a.md:3: in 2 of 2 draws\nx\n" in capsys.readouterr().out
    monkeypatch.setattr(draws, "differences", lambda book, by: {})
    assert draws.main() == 0
    assert capsys.readouterr().out == "the same with all draws\n"
