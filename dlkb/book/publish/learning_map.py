"""The map of topics: what to read before what, arrows in the colours of the page.

A lane for each family; a topic stands to the right of all that it requires. Topics that require
nothing, and that nothing requires, fill a lane from the left.
"""

from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement

from dlkb.book.publish.summaries import Summary

WIDTH, HEIGHT = 152, 38
"""Of a topic, in pixels."""
ACROSS, DOWN = 34, 10
"""Between two topics."""
LABEL = 22
"""Height of a family's name over its lane."""
COLUMNS = 4
"""Topics beside each other that need no more room than that."""


@dataclass(frozen=True)
class Place:
    """Where a topic stands: row and column, from 0, the rows counted through all lanes."""

    row: int
    column: int


def neighbourhood(family: str, topics: tuple[Summary, ...]) -> tuple[Summary, ...]:
    """Return a family's topics, with what they require and what requires them, in order."""
    own = {topic.stem for topic in topics if topic.family == family}
    needed = {stem for topic in topics if topic.stem in own for stem in topic.requires}
    return tuple(
        topic for topic in topics if topic.stem in own | needed or own & set(topic.requires)
    )


def lanes(topics: tuple[Summary, ...]) -> dict[str, list[Summary]]:
    """Return the topics of each family, families in the order of their first topics."""
    found: dict[str, list[Summary]] = {}
    for topic in topics:
        found.setdefault(topic.family, []).append(topic)
    return found


def places(topics: tuple[Summary, ...], columns: int = COLUMNS) -> dict[str, Place]:
    """Return where each topic stands, by its stem.

    Args:
        topics: In an order in which what is required comes first.
        columns: How many topics without relations stand beside each other.
    """
    known = {topic.stem for topic in topics}
    required = {stem for topic in topics for stem in topic.requires}
    column: dict[str, int] = {}
    for topic in topics:
        before = [column[stem] for stem in topic.requires if stem in known]
        column[topic.stem] = 1 + max(before, default=-1)
    found: dict[str, Place] = {}
    first = 0
    for lane in lanes(topics).values():
        taken: set[Place] = set()
        for topic in lane:
            own = [stem for stem in topic.requires if stem in found and found[stem].row >= first]
            if topic.stem in required or known & set(topic.requires):
                row = found[own[0]].row if own else first
                place = Place(row, column[topic.stem])
                # Nothing else stands in a row that begins here, and nothing on the way.
                while any(
                    p.row == place.row and (not own or p.column >= place.column) for p in taken
                ):
                    place = Place(place.row + 1, place.column)
            else:
                spots = (Place(first + n // columns, n % columns) for n in range(len(lane) * 99))
                place = next(spot for spot in spots if spot not in taken)
            found[topic.stem] = place
            taken.add(place)
        first = 1 + max(place.row for place in taken)
    return found


def learning_map(
    topics: tuple[Summary, ...], names: dict[str, str], family: str = "", columns: int = COLUMNS
) -> Element:
    """Return the map.

    Args:
        topics: In the order in which they are learned.
        names: The names of the families.
        family: The family that the map is about; topics of others are drawn paler.
        columns: How many topics without relations stand beside each other.
    """
    at = places(topics, columns)
    tops: dict[str, int] = {}  # of the lanes' names
    corner: dict[str, tuple[int, int]] = {}
    for number, (lane, members) in enumerate(lanes(topics).items()):
        first = min(at[topic.stem].row for topic in members)
        tops[lane] = first * (HEIGHT + DOWN) + number * (LABEL + DOWN)
        for topic in members:
            place = at[topic.stem]
            top = tops[lane] + LABEL + (place.row - first) * (HEIGHT + DOWN)
            corner[topic.stem] = (1 + place.column * (WIDTH + ACROSS), top)
    width = 2 + max(x for x, _ in corner.values()) + WIDTH
    height = 2 + max(y for _, y in corner.values()) + HEIGHT
    box = Element("div", {"class": "topic-map", "style": f"width: {width}px; height: {height}px"})
    size = {"width": str(width), "height": str(height), "viewBox": f"0 0 {width} {height}"}
    ways = SubElement(box, "svg", {"aria-hidden": "true", **size})
    for topic in topics:
        for stem in topic.requires:
            if stem in corner:
                SubElement(ways, "path", {"d": _way(corner[stem], corner[topic.stem])})
    titles = {topic.stem: topic.title for topic in topics}
    for lane, members in lanes(topics).items():
        name = SubElement(box, "span", {"class": "lane", "style": f"top: {tops[lane]}px"})
        name.text = names.get(lane, lane)
        for topic in members:
            box.append(_node(topic, corner[topic.stem], titles, outside=family not in ("", lane)))
    return box


def _way(start: tuple[int, int], end: tuple[int, int]) -> str:
    """Return the curve from the right side of a topic to the left side of another, and its tip."""
    x0, y0 = start[0] + WIDTH, start[1] + HEIGHT // 2
    x1, y1 = end[0] - 3, end[1] + HEIGHT // 2
    bend = ACROSS * 2 // 3
    return f"M{x0} {y0}C{x0 + bend} {y0} {x1 - bend} {y1} {x1} {y1}m-5 -3.5l5 3.5l-5 3.5"


def _node(
    topic: Summary, corner: tuple[int, int], titles: dict[str, str], *, outside: bool
) -> Element:
    place = f"left: {corner[0]}px; top: {corner[1]}px; width: {WIDTH}px; height: {HEIGHT}px"
    link = Element("a", {"href": f"{topic.stem}.md", "style": place})
    link.text = topic.name
    if outside:
        link.set("class", "outside")
    if needs := ", ".join(titles[stem] for stem in topic.requires if stem in titles):
        link.set("aria-label", f"{topic.name}, read before: {needs}")
    return link
