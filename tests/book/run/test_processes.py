"""A page whose run ends badly is named, with its line, and takes nothing else down with it."""

import os
import random

import numpy as np
import pytest
import torch

from dlkb.book.hold.verify import examine, run_book, wrong
from dlkb.book.read.book import read_book
from dlkb.book.read.parts import PageError
from dlkb.book.run.processes import DONE, STARTED, _clean_start, run_apart
from dlkb.book.run.session import Outcome

CODE = "def square(x):"


def ending(book, code, limit=30.0):
    """Run the small book with `code` first, beside a good page; return what is wrong."""
    good = book.page.read_text()
    book.edit(CODE, f"{code}\n{CODE}")
    book.page.with_name("good.md").write_text(good)
    pages = read_book(book.root, ["toy", "good"])
    found = {page.stem: [] for page in pages}
    for page, item in run_apart(examine, book.root, pages, limit=limit):
        found[page.stem].append(item)
    for items in found.values():
        assert (items[0], items[-1]) == (STARTED, DONE)
    assert wrong(pages[1], found["optimizers/good"]) == []
    (problem,) = wrong(pages[0], found["optimizers/toy"])
    assert problem.path == book.page
    return problem.line - book.line(code.split("\n")[-1]), problem.message


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("import os\nos._exit(0)", "ended with status 0 while this ran"),
        ("import os\nos._exit(3)", "ended with status 3 while this ran"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "was killed by signal 9"),
        ("raise KeyboardInterrupt", "ended with status 1 while this ran"),
    ],
)
def test_a_page_that_ends_its_process(book, code, message):
    line, said = ending(book, code)
    assert message in said
    assert line in (0, -code.count("\n")), "the line, or the fence's first"


def test_an_endless_loop_is_stopped_at_the_limit(book):
    line, said = ending(book, "while True: pass", limit=4)
    assert "not done after 4 s, the limit of a page" in said
    assert line == 0


@pytest.mark.parametrize(
    "code",
    [
        "import socket\nsocket.create_connection(('127.0.0.1', 9))",
        "import urllib.request\nurllib.request.urlopen('http://example.org')",
    ],
)
def test_a_page_has_no_network(book, code):
    assert "a page may not use the network" in ending(book, code)[1]


def test_seeds_threads_and_print_options_end_with_their_page(book):
    before = random.getstate(), torch.initial_seed(), np.get_printoptions()
    code = (
        "import random, numpy, torch\nrandom.seed(1); torch.manual_seed(1); numpy.random.seed(1)\n"
        "numpy.set_printoptions(precision=2)\n_ = torch.set_num_threads(1)"
    )
    book.edit(CODE, f"{code}\n{CODE}")
    ((_, found),) = run_book(book.root, read_book(book.root))
    assert all(isinstance(item, Outcome) and not item.error for item in found)
    assert (random.getstate(), torch.initial_seed(), np.get_printoptions()) == before


def test_pages_run_side_by_side_as_they_run_alone(book):
    slow = book.page.read_text().replace(CODE, f"import time\ntime.sleep(1)\n{CODE}")
    book.page.with_name("slow.md").write_text(slow)
    book.page.with_name("wrong.md").write_text(book.page.read_text().replace("\n9\n", "\n8\n"))
    pages = read_book(book.root, ["slow", "toy", "wrong"])

    def results(shown):
        return [(outcome.fence, outcome.output, outcome.error) for outcome in shown]

    together = [(page, results(found)) for page, found in run_book(book.root, pages)]
    assert [page for page, _ in together] == pages
    for page, result in together:
        ((_, alone),) = run_book(book.root, [page])
        assert result == results(alone)
        assert len(result) == 4
    assert "-8\n+9" in together[2][1][1][2]


def test_who_stops_listening_stops_the_pages(book):
    book.edit(CODE, f"import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n{CODE}")
    events = run_apart(examine, book.root, read_book(book.root))
    assert next(events)[1] == STARTED
    events.close()  # a hanging page would keep this from returning


def test_the_environment_of_the_caller_is_left_alone(book):
    before = dict(os.environ)
    for _ in run_apart(examine, book.root, read_book(book.root)):
        pass
    assert dict(os.environ) == before


def refuse(session):
    """Raise what the caller must hear of."""
    yield "first"
    raise PageError("no such thing")


def test_what_cannot_be_done_is_raised_here(book):
    pages = read_book(book.root)
    with pytest.raises(PageError, match="no such thing"):
        list(run_apart(refuse, book.root, pages))


def test_a_page_without_code_has_no_process(book):
    (book.page.parent / "index.md").write_text("# Optimizers\n")
    pages = read_book(book.root)
    ran = {page.stem for page, _ in run_apart(refuse_nothing, book.root, pages)}
    assert len(pages) == 2
    assert ran == {"optimizers/toy"}


def refuse_nothing(session):
    """Yield nothing that matters."""
    yield session.page.stem


def test_the_line_of_a_later_fence_is_told(book):
    book.edit("print(square(2))", "import os\nos._exit(3)")
    (page,) = read_book(book.root)
    outcomes = [item for _, item in run_apart(examine, book.root, [page])]
    (problem,) = wrong(page, outcomes)
    assert problem.line == book.line("import os\nos._exit")


def test_what_the_server_needs_does_not_stay_in_the_environment(monkeypatch):
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    with _clean_start():
        assert os.environ["PYTHONSAFEPATH"] == "1"
    assert "PYTHONSAFEPATH" not in os.environ
