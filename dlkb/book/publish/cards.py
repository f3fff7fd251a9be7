"""The generated parts of the home page, of families and of topics, as elements.

Links lead to files below `docs`, from there: `dlkb.book.publish.front_markup` makes them relative
to the page, so that a build finds those that are missing.
"""

from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

from dlkb.book.draw.style import THEMES
from dlkb.book.publish.counts import Counts
from dlkb.book.publish.learning_map import lanes
from dlkb.book.publish.summaries import Summary
from dlkb.book.publish.thumbnails import address
from dlkb.book.read.parts import VERDICTS

SAID = {name: name for name in VERDICTS} | {"holds": "hold"}
"""How a count of verdicts is read: 3 hold, 2 refuted."""


def _text(parent: Element, tag: str, text: str, **attributes: str) -> Element:
    child = SubElement(parent, tag, {name.rstrip("_"): v for name, v in attributes.items()})
    child.text = text
    return child


def picture(stem: str, docs: Path) -> Element:
    """Return the thumbnail of a topic, empty where there is none."""
    box = Element("span", {"class": "thumbnail"})
    for theme in THEMES:
        source = address(stem, theme)
        if (docs / source).is_file():
            of = {"src": f"{source}#only-{theme}", "alt": "", "loading": "lazy"}
            SubElement(box, "img", of)
    return box


def verdict_bar(verdicts: tuple[tuple[str, int], ...]) -> Element:
    """Return a bar with a part for each verdict, as long as its share."""
    said = ", ".join(f"{count} {SAID[name]}" for name, count in verdicts)
    bar = Element("span", {"class": "bar", "role": "img", "aria-label": said})
    for name, count in verdicts:
        SubElement(bar, "span", {"class": name, "style": f"flex-grow: {count}"})
    return bar


def legend(verdicts: tuple[tuple[str, int], ...]) -> Element:
    """Return the counts of verdicts in words, each with its icon."""
    row = Element("span", {"class": "legend"})
    for name, count in verdicts:
        _text(row, "span", f"{count} {SAID[name]}", class_=f"verdict {name}")
    return row


def family_cards(topics: list[Summary], docs: Path) -> Element:
    """Return a card for each topic: picture, title, level, minutes, description, verdicts."""
    cards = Element("ul", {"class": "cards"})
    for topic in topics:
        card = SubElement(cards, "li")
        card.append(picture(topic.stem, docs))
        link = SubElement(SubElement(card, "h2"), "a", {"href": f"{topic.stem}.md"})
        link.text = topic.title
        facts = f"{topic.level.capitalize()} · {topic.minutes} min"
        _text(card, "p", facts.strip(" ·"), class_="facts")
        _text(card, "p", topic.description)
        if topic.verdicts:
            card.extend([verdict_bar(topic.verdicts), legend(topic.verdicts)])
    return cards


def topic_list(topics: tuple[Summary, ...], names: dict[str, str], docs: Path) -> Element:
    """Return all topics by family, each with picture, name and one line."""
    box = Element("div", {"class": "topics"})
    for family, members in lanes(topics).items():
        part = SubElement(box, "section")
        title = SubElement(part, "h3")
        if (docs / family / "index.md").is_file():
            title = SubElement(title, "a", {"href": f"{family}/index.md"})
        title.text = names.get(family, family)
        rows = SubElement(part, "ul")
        for topic in members:
            row = SubElement(rows, "li")
            row.append(picture(topic.stem, docs))
            _text(row, "a", topic.title, href=f"{topic.stem}.md")
            _text(row, "span", topic.line, class_="line")
    return box


def numbers(found: Counts) -> Element:
    """Return what of the book is held, in four numbers and a bar."""
    box = Element("div", {"class": "numbers"})
    rows = SubElement(box, "dl")
    shown = [
        (f"{found.claims:,}", "statements with a verdict", "claims.md"),
        (f"{found.tied:,}", "equations tied to the code that computes them", "claims.md"),
        (f"{found.held:,}", "numbers in sentences held by a run", ""),
    ]
    if found.lies:
        planted, noticed = found.lies
        share = f"{100 * noticed // planted} %"
        shown.append((share, f"of {planted:,} planted lies noticed", ""))
    for number, said, link in shown:
        row = SubElement(rows, "div")
        _text(row, "dt", said)
        value = SubElement(row, "dd")
        if link:
            value = SubElement(value, "a", {"href": link})
        value.text = number
    box.extend([verdict_bar(found.verdicts), legend(found.verdicts)])
    return box


def learning_list(topics: tuple[Summary, ...], names: dict[str, str]) -> Element:
    """Return the topics in the order of learning, each with what it requires."""
    titles = {topic.stem: topic.title for topic in topics}
    rows = Element("ol", {"class": "order-list"})
    for topic in topics:
        row = SubElement(rows, "li")
        _text(row, "a", topic.title, href=f"{topic.stem}.md").tail = " "
        facts = [names.get(topic.family, topic.family), topic.level]
        if needs := [titles[stem] for stem in topic.requires if stem in titles]:
            facts.append(f"read before: {', '.join(needs)}")
        _text(row, "small", " · ".join(filter(None, facts)))
    return rows


def neighbours(stem: str, topics: tuple[Summary, ...]) -> Element | None:
    """Return links to the topics before and after this one; None if it is none of them."""
    at = next((n for n, topic in enumerate(topics) if topic.stem == stem), None)
    if at is None:
        return None
    box = Element("nav", {"class": "neighbours", "aria-label": "In the order of learning"})
    for step, name, kind in ((-1, "Previous", "prev"), (1, "Next", "next")):
        if 0 <= at + step < len(topics):
            link = SubElement(box, "a", {"href": f"{topics[at + step].stem}.md", "rel": kind})
            _text(link, "small", name)
            _text(link, "span", topics[at + step].name)
    return box
