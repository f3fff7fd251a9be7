"""The book against what people use today, on the same pages.

Each contestant is a whole process, timed from outside, in a temporary copy of the repository. Our
verification compares what the fences print with what the page shows; the others only run them,
and that they did is checked here. Where code runs, the others get the one thread that we give
ourselves, without which they are slower on a busy machine; and both run the same sample of the
topics. `scripts.bench.peers` says who is missing.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from dlkb.book.draw.kept import AFRESH
from scripts.bench import peers, synthetic
from scripts.bench.processes import (
    ONE_THREAD,
    copy_repository,
    environment,
    fetch,
    free_port,
    seconds,
    serving,
)
from scripts.bench.search import search
from scripts.bench.timing import ROOT, once_in_turn

ROUNDS = 2
FEW = 1
"""Rounds of what takes minutes."""
EDITS = 3
EDITED = "optimizers/adam"
SIZES = (50, 200, 800)
"""Pages of the synthetic books."""

DLKB = ("-m", "dlkb.book")
MKDOCS = ("-m", "mkdocs")
BUILD = (*MKDOCS, "build", "--strict", "--quiet")

_PLAIN_FIGURES = """
import importlib
from pathlib import Path

import matplotlib
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from dlkb.book.draw.figures import find_figures
from dlkb.book.draw.style import THEMES

matplotlib.use("svg")
for theme, style in THEMES.items():
    with matplotlib.rc_context(style):
        for figure in find_figures(Path()):
            module = importlib.import_module(f"scripts.figures.{figure.stem.replace('/', '.')}")
            drawn = getattr(module, figure.name)()
            if not isinstance(drawn, Figure):
                drawn.show(*(slider.values[slider.start] for slider in drawn.sliders))
                drawn = drawn.figure
            drawn.savefig(f"../plain/{figure.stem.replace('/', '-')}-{figure.name}-{theme}.svg")
            plt.close("all")
"""
"""The figures as they would be drawn without an engine: one after the other, in both themes.

Without the frames of what the reader can move.
"""


def remove(*paths: Path) -> None:
    """Remove files and folders that may be there."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def prepared(book: Path, folder: Path) -> None:
    """Write what the measurements need: figures, notebooks, and the peers' sites."""
    copy_repository(book)
    for kept in (".cache", "docs/assets/figures"):  # of pages that were verified as they are
        if (ROOT / kept).is_dir():
            shutil.copytree(ROOT / kept, book / kept)
    seconds(book, environment(book), *DLKB, "prepare")
    for name, execute in {"executed": True, "shown": False}.items():
        options = {"execute": execute, "allow_errors": False}
        peers.write_site(folder / name, {"mkdocs-jupyter": options})
    pages = peers.sample(book)
    peers.write_notebooks(book, pages, folder / "executed" / "docs")
    for page in peers.topics(book):  # shown as exported, outputs included
        shown = folder / "shown" / "docs" / f"{page.stem}.ipynb"
        shown.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(peers.exported(book, page.stem), shown)
    site = peers.write_site(folder / "markdown-exec", {"markdown-exec": {}})
    peers.write_executable(book, pages, site / "docs")
    (folder / "plain").mkdir()


def executed_by_nbclient(book: Path, folder: Path, env: dict[str, str]) -> float:
    """Execute the notebooks one after the other, each in a fresh kernel."""
    remove(folder / "notebooks")
    pages = peers.sample(book)
    peers.write_notebooks(book, pages, folder / "notebooks")
    notebooks = map(str, sorted((folder / "notebooks").rglob("*.ipynb")))
    elapsed = seconds(folder, env, "-c", peers.NBCLIENT, "--inplace", *notebooks)
    peers.check_notebooks(book, pages, folder / "notebooks")
    return elapsed


def executed_by_mkdocs_jupyter(book: Path, folder: Path, env: dict[str, str]) -> float:
    """Build a site of the notebooks, which executes them."""
    remove(folder / "executed" / ".cache")
    elapsed = seconds(folder / "executed", env, *BUILD)
    peers.check_jupyter_site(book, peers.sample(book), folder / "executed")
    return elapsed


def executed_by_markdown_exec(book: Path, folder: Path, env: dict[str, str]) -> float:
    """Build a site of the pages, which executes their fences."""
    elapsed = seconds(folder / "markdown-exec", env, *BUILD)
    peers.check_executable_site(peers.sample(book), folder / "markdown-exec")
    return elapsed


def verification(book: Path, folder: Path) -> Iterator[dict[str, Any]]:
    """Run the code of topics, first with one thread as we do, then with as many as come."""
    pages = peers.sample(book)
    stems = [page.stem for page in pages]
    row = {"pages": len(stems), "fences": sum(len(page.runnable) for page in pages)}
    ours = partial(seconds, book, environment(book), *DLKB, "run", *stems)
    alike = environment(book, **ONE_THREAD)
    contestants: dict[str, Callable[[], float]] = {
        "ours": ours,
        "nbclient": partial(executed_by_nbclient, book, folder, alike),
        "mkdocs-jupyter": partial(executed_by_mkdocs_jupyter, book, folder, alike),
        "markdown-exec": partial(executed_by_markdown_exec, book, folder, alike),
    }
    rounds = once_in_turn(contestants, FEW)
    yield {"name": "verification", **row, "rounds": rounds}
    as_it_comes = partial(executed_by_nbclient, book, folder, environment(book))
    rounds = once_in_turn({"ours": ours, "nbclient": as_it_comes}, 1)
    yield {"name": "verification, threads not limited", **row, "rounds": rounds}
    every = [page.stem for page in peers.topics(book)]
    whole = partial(seconds, book, environment(book), *DLKB, "run", *every)
    rounds = once_in_turn({"ours": whole}, ROUNDS)
    yield {"name": "verification of all topics", "pages": len(every), "rounds": rounds}


def figures(book: Path, folder: Path) -> Iterator[dict[str, Any]]:
    """Draw all figures, and look whether they are up to date."""
    env = environment(book)
    alike = environment(book, **ONE_THREAD, **{AFRESH: "1"})  # computes the data, as we do by force
    rounds = once_in_turn(
        {
            "cold": partial(seconds, book, env, *DLKB, "figures", "--force"),
            "warm": partial(seconds, book, env, *DLKB, "figures"),
            "one plain process": partial(seconds, book, alike, "-c", _PLAIN_FIGURES),
        },
        FEW,
    )
    drawn = len(list((folder / "plain").glob("*-light.svg")))
    yield from cold_and_warm("figures", rounds, "one plain process", {"figures": drawn})


def cold_and_warm(
    name: str, rounds: dict[str, list[float]], peer: str, row: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield our cold and our warm times, each beside the peer's; it may have no warm ones."""
    for ours in ("cold", "warm"):
        theirs = rounds.get(f"{peer}, {ours}", rounds.get(peer, []))
        yield {"name": f"{name}, {ours}", **row, "rounds": {"ours": rounds[ours], peer: theirs}}


def site_from_nothing(book: Path) -> float:
    """Build the site with nothing but the figures there, which runs all pages."""
    generated = [book / "docs" / name for name in ("downloads", "claims.md", "claims.json")]
    caches = [p for p in (book / ".cache").iterdir() if p.name != "figures.json"]
    remove(book / "site", book / "docs" / "llms.txt", *generated, *caches)
    return seconds(book, environment(book), *DLKB, "build")


def peer_site_from_nothing(book: Path, folder: Path) -> float:
    """Build the peer's site of notebooks that are not executed."""
    remove(folder / "site", folder / ".cache")
    return seconds(folder, environment(book), *BUILD)


def sites(book: Path, folder: Path) -> Iterator[dict[str, Any]]:
    """Build the site from nothing, and again; search what was built."""
    shown = folder / "shown"
    env = environment(book)
    rounds = once_in_turn(
        {
            "cold": partial(site_from_nothing, book),
            "warm": partial(seconds, book, env, *DLKB, "build"),
            "mkdocs-jupyter, cold": partial(peer_site_from_nothing, book, shown),
            "mkdocs-jupyter, warm": partial(seconds, shown, env, *BUILD),
        },
        ROUNDS,
    )
    pages = peers.topics(book)
    peers.check_jupyter_site(book, pages, shown)
    yield from cold_and_warm("site", rounds, "mkdocs-jupyter", {"pages": len(pages)})
    yield from search(book / "site", len(pages))


def shows(address: str, word: str) -> bool:
    """Return whether the page at an address holds a word."""
    return word in (fetch(address) or "")


def refreshes(
    folder: Path,
    env: dict[str, str],
    command: list[str],
    edit: Callable[[str], None],
    edits: int,
) -> list[float]:
    """Serve a site and return the seconds from each edit to its word being served.

    The server is left alone until it is calm, as it is when somebody reads before typing on.
    """
    at = f"127.0.0.1:{free_port()}"
    addresses = [f"http://{at}{base}/{EDITED}/" for base in ("", "/dlkb")]
    found = []
    with serving(folder, env, *command, at) as server:
        server.wait_for(lambda: any(map(fetch, addresses)))
        address = next(address for address in addresses if fetch(address))
        for number in range(edits):
            server.wait_until_calm()
            word = f"sesquipedalian{number}"
            edit(word)
            found.append(server.wait_for(partial(shows, address, word)))
    return [float(f"{elapsed:.4g}") for elapsed in found]


def refresh(book: Path, folder: Path) -> Iterator[dict[str, Any]]:
    """Measure the seconds from an edit of a page until it is served."""
    page, env = book / "docs" / f"{EDITED}.md", environment(book)
    mkdocs_serve = [*MKDOCS, "serve", "--quiet", "--livereload", "--dev-addr"]
    before = page.read_text()
    rounds = {}
    for name, command in {"ours": [*DLKB, "serve", "--address"], "mkdocs": mkdocs_serve}.items():
        edit = partial(peers.edit_page, page)
        rounds[name] = refreshes(book, env, command, edit, EDITS)
        page.write_text(before)
    for name, site in {"mkdocs-jupyter": "shown", "mkdocs-jupyter, executing": "executed"}.items():
        edit = partial(peers.edit_notebook, folder / site / "docs" / f"{EDITED}.ipynb")
        rounds[name] = refreshes(folder / site, env, mkdocs_serve, edit, EDITS)
    yield {"name": "edit to refresh", "pages": len(peers.topics(book)), "rounds": rounds}


def growth(device: str) -> Iterator[dict[str, Any]]:
    """Verify and build synthetic books; what device there is does not matter to them."""
    del device
    for pages in SIZES:
        with tempfile.TemporaryDirectory() as name:
            book = Path(name).resolve() / "book"
            synthetic.write_book(book, pages)
            for task, command in {
                "verification of synthetic pages": ("run", *synthetic.stems(pages)),
                "site of synthetic pages": ("build",),
            }.items():
                ours = partial(seconds, book, environment(book), *DLKB, *command)
                yield {"name": task, "pages": pages, "rounds": once_in_turn({"ours": ours}, 1)}


def in_a_copy(
    *tasks: Callable[[Path, Path], Iterator[dict[str, Any]]],
) -> Callable[[str], Iterator[dict[str, Any]]]:
    """Return what does tasks in a copy of the book, and yields a row for each."""

    def measure(device: str) -> Iterator[dict[str, Any]]:
        del device  # what there is does not matter to a book
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name).resolve()
            book = folder / "book"
            prepared(book, folder)
            for task in tasks:
                yield from task(book, folder)

    return measure
