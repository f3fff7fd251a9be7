"""Take the solutions of a page's exercises apart, for readers whose editor folds nothing."""

from dataclasses import replace

from dlkb.book.read.parts import Page
from dlkb.book.read.rows import rows

BELOW = "*Its solution stands at the end.*"


def apart(page: Page) -> tuple[Page, Page]:
    """Return the page without the solutions, and the solutions alone, each line where it was."""
    body: list[str] = []
    alone: list[str] = []
    fenced: set[int] = set()
    inside = False
    for number, row in enumerate(rows(page.text), start=page.first_line):
        outermost = len(row.blocks) == 1
        if outermost and row.kind == "title" and row.text.endswith("| Solution"):
            inside = True
            exercise = next((part for part in row.place if part.startswith("/exercise ")), "")
            body.append(BELOW)
            alone.append(f"**Solution{exercise.replace('/', ' of ')}**")
        elif inside:
            ends = outermost and row.kind == "end"
            body.append("")
            alone.append("" if ends or (row.kind == "options" and outermost) else row.text)
            fenced.add(number)
            inside = not ends
        else:
            body.append(row.text)
            alone.append("")
    return (
        replace(
            page,
            text="\n".join(body),
            fences=tuple(fence for fence in page.fences if fence.line not in fenced),
        ),
        replace(
            page,
            text="\n".join(alone),
            fences=tuple(fence for fence in page.fences if fence.line in fenced),
        ),
    )
