"""The command line `dlkb`."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

try:
    import typer
    from rich.console import Console
    from rich.markup import escape
    from rich.syntax import Syntax
    from rich.table import Table

    from dlkb.book.read.book import read_book
    from dlkb.book.read.parts import Page, PageError
    from dlkb.book.read.roots import find_checkout, find_root
except ModuleNotFoundError as missing:
    sys.exit(f"dlkb: {missing.name} is not installed: pip install 'dlkb[docs]'")

if TYPE_CHECKING:
    from dlkb.book.hold.check import Problem
    from dlkb.book.run.session import Outcome

app = typer.Typer(
    help="A deep-learning knowledge base whose pages run.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(highlight=False, emoji=False)  # eq:m: is no emoji

Pages = Annotated[list[str] | None, typer.Argument(metavar="[PAGE]...", help="Default: all.")]
OnePage = Annotated[str, typer.Argument(metavar="PAGE", help="For example optimizers/adam.")]
Device = Annotated[str, typer.Option(help="Where torch runs: cpu or cuda.")]


@app.command("list")
def list_pages() -> None:
    """List the pages, with what each holds."""
    from dlkb.book.hold.budget import unfolded_words
    from dlkb.book.hold.numbers import held_counts

    table = Table(box=None, pad_edge=False)
    table.add_column("page", no_wrap=True)
    for name in ("words", "fences", "claims", "figures", "numbers held"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("title")
    for page in read_book(find_root()):
        figures = {image.name for image in page.images}
        counts = (unfolded_words(page), len(page.runnable), len(page.claims), len(figures))
        held = held_counts(page)
        share = f"{held['printed'] + held['bound']} of {sum(held.values())}"
        table.add_row(page.stem, *(str(count or "") for count in counts), share, page.title)
    console.print(table)


def _show(page: Page, found: Iterable["Outcome | Problem"]) -> bool:
    """Print what comes of a page while it comes; return whether all of it agrees."""
    from dlkb.book.hold.check import Problem

    total, heading, agrees = 0.0, "", True
    console.rule(f"[bold]{escape(page.title)}[/bold]  {page.stem}", align="left")
    for outcome in found:
        if isinstance(outcome, Problem):
            console.print(f"[red]{escape(str(outcome))}[/red]", soft_wrap=True)
            agrees = False
            continue
        total += outcome.seconds
        if outcome.fence.heading != heading:
            heading = outcome.fence.heading
            console.print(f"\n[bold]{escape(heading)}[/bold]")
        console.print(f"[dim]line {outcome.fence.line}, {outcome.seconds:.2f} s[/dim]")
        if outcome.output:
            console.print(escape(outcome.output.rstrip()), soft_wrap=True)
        if outcome.error:
            console.print(f"[red]{page.path}:{outcome.line}: wrong[/red]", soft_wrap=True)
            console.print(Syntax(outcome.error, "diff", background_color="default"))
            return False
    if agrees:
        agreed = f"{len(page.runnable)} fences agree with the page"
        console.print(f"\n[green]{agreed}[/green], {total:.1f} s")
    return agrees


@app.command()
def run(
    pages: Annotated[list[str], typer.Argument(metavar="PAGE...", help="optimizers/adam, adam, …")],
    device: Device = "cpu",
) -> None:
    """Run the code of pages in the terminal; exit 1 where one differs from what is shown."""
    from dlkb.book.hold.verify import run_book

    root = find_root()
    agree = [_show(*ran) for ran in run_book(root, read_book(root, pages), device)]
    if not all(agree):
        raise typer.Exit(1)


@app.command()
def verify(
    pages: Pages = None,
    device: Device = "cpu",
    as_data: Annotated[bool, typer.Option("--json", help="As data, on standard output.")] = False,
) -> None:
    """Say what of the pages holds with the versions installed here; exit 1 where not all does."""
    from dlkb.book.hold.installed import HOLDS, as_json, as_table, held
    from dlkb.book.read.freshness import versions

    root = find_root()
    with Console(stderr=True).status("Running the pages …"):
        found = [one for _, items in held(root, read_book(root, pages), device) for one in items]
    lost = [one for one in found if one.state != HOLDS]
    if as_data:
        print(as_json(found))
    else:
        console.print(", ".join(versions()), soft_wrap=True)
        console.print(as_table(found))
    for one in lost if not as_data else ():
        place = f"{root / 'docs' / one.page}.md:{one.line}"
        console.print(
            f"\n[red]{escape(f'{place}: {one.kind} {one.name}: {one.state}')}[/red] "
            f"{escape(one.said)}\n{escape(one.output)}".rstrip(),
            soft_wrap=True,
        )
    if lost:
        raise typer.Exit(1)


@app.command()
def check(pages: Pages = None) -> None:
    """Check the rules of pages, claims, math and figures; draws figures that are stale."""
    from dlkb.book.draw.figures import draw, figure_stems
    from dlkb.book.hold.check import book_problems

    root = find_root()
    stems = {page.stem for page in read_book(root, pages)}
    report = draw(root, sorted(stems & {*figure_stems(root)}))
    if report.failed:
        report.show(console)
        raise typer.Exit(1)
    problems = book_problems(root, pages)
    for problem in problems:
        console.print(escape(str(problem)), soft_wrap=True)
    if problems:
        raise typer.Exit(1)
    console.print(f"[green]{len(read_book(root, pages))} pages keep the rules[/green]")


@app.command()
def peers(pages: Pages = None) -> None:
    """Run the libraries of tables about them: print the rows; exit 1 where a page differs."""
    from dlkb.book.hold.peers import FOLDER, run_and_compare

    root = find_root()
    wrong = False
    for page in read_book(root, pages):
        if not (root / FOLDER / f"{page.stem}.py").is_file():
            continue
        returned, problems = run_and_compare(root, page)
        for name, rows in returned.items():
            console.print(f"[bold]{page.stem}: {name}[/bold]")
            for row, cells in rows.items():
                console.print(escape(f"| {' | '.join([row, *cells])} |"), soft_wrap=True)
        for line, message in problems:
            console.print(f"[red]{escape(f'{page.path}:{line}: {message}')}[/red]", soft_wrap=True)
        wrong |= bool(problems)
    if wrong:
        raise typer.Exit(1)


@app.command()
def figures(
    pages: Pages = None,
    force: Annotated[bool, typer.Option(help="Draw again what is up to date.")] = False,
) -> None:
    """Draw the figures that are stale, each light and dark."""
    from dlkb.book.draw.figures import draw

    if draw(find_root(), pages, force=force).show(console):
        raise typer.Exit(1)


@app.command()
def export(
    page: OnePage,
    to: Annotated[str, typer.Option(help="ipynb or py.")] = "ipynb",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; FAMILY_TOPIC.ipynb by default.")
    ] = None,
) -> None:
    """Export a page that runs as a notebook or a script."""
    from dlkb.book.draw.figures import draw, figure_stems
    from dlkb.book.hold.verify import ran, verify
    from dlkb.book.publish.export import to_script
    from dlkb.book.publish.notebook import to_notebook

    if to not in ("ipynb", "py"):
        raise PageError(f"--to is '{to}': choose ipynb or py")
    root = find_root()
    found = read_book(root, [page])[0]
    path = output or Path(f"{found.stem.replace('/', '_')}.{to}")
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise PageError(f"--output is '{output}': name a file, in a folder that is there")
    drawn = draw(root, [found.stem]) if found.stem in figure_stems(root) else None
    if drawn and drawn.failed:
        drawn.show(console)
        raise typer.Exit(1)
    if problems := verify(root, [page]):  # only what has run is offered
        raise PageError("\n".join(str(problem) for problem in problems))
    whole = ran(root, found)
    text = to_notebook(whole, root) if to == "ipynb" else to_script(whole, root)
    draft = path.with_name(path.name + ".part")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise PageError(f"cannot write {path}: {error.strerror}: try another --output") from None
    console.print(f"wrote {escape(str(path))}", soft_wrap=True)


@app.command()
def claims(
    as_json: Annotated[bool, typer.Option("--json", help="As data, on standard output.")] = False,
) -> None:
    """List every claim of the notes with verdict, evidence, source, page; as data with anchor."""
    from dlkb.book.publish.ledger import claim_rows

    rows = claim_rows(read_book(find_root()))
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    table = Table(box=None, pad_edge=False)
    for name in ("id", "verdict", "evidence", "source", "page", "statement"):
        table.add_column(name, no_wrap=name in ("id", "verdict"))
    for row in rows:
        fields = ("id", "verdict", "evidence", "source", "topic", "statement")
        table.add_row(*(escape(row[field]) for field in fields))
    console.print(table)


@app.command()
def review(
    pages: Annotated[list[str], typer.Argument(metavar="PAGE...", help="optimizers/adam, adam, …")],
) -> None:
    """Note that the claims of pages were compared with the notes, as they stand now."""
    from dlkb.book.hold.reviewed import review as note

    new = note(root := find_checkout(), read_book(root, pages))
    console.print(f"reviewed: {', '.join(new) or 'nothing that was not'}", soft_wrap=True)


@app.command()
def new(topic: Annotated[str, typer.Argument(metavar="FAMILY/TOPIC")]) -> None:
    """Lay out a topic's page, formula, tests, planted bugs and figures."""
    from dlkb.book.serve.new import lay_out

    for path in lay_out(find_checkout(), topic):
        console.print(f"wrote {path}")
    console.print(f"`dlkb check {topic}` lists what is still to write")


@app.command()
def prepare() -> None:
    """Write what the site is built from: stale figures, notebooks and scripts, the ledger."""
    from dlkb.book.publish.site import prepare as prepare_site

    if ran := prepare_site(find_checkout()):
        console.print(f"[green]pages agree with what they print:[/green] {', '.join(ran)}")


@app.command()
def build() -> None:
    """Prepare, and build the site into site/, with a zip to read offline."""
    from dlkb.book.publish.site import build as build_site

    raise typer.Exit(build_site(find_checkout()))


@app.command()
def serve(
    address: Annotated[str, typer.Option(help="Host and port.")] = "127.0.0.1:8000",
) -> None:
    """Serve the site with live reload; figures and ledger follow the edits."""
    from dlkb.book.serve.serving import serve as serve_site

    raise typer.Exit(serve_site(find_checkout(), address))


def main() -> None:
    """Run the command line; what the reader can mend is one message, not a traceback."""
    try:
        app()
    except PageError as error:
        message = f"[red]dlkb: {escape(str(error))}[/red]"
        Console(stderr=True, highlight=False).print(message, soft_wrap=True)
        sys.exit(2)
