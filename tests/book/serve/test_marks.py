"""What the browser says of pages, and on which address."""

import json
import socket
import time

import pytest

from dlkb.book.hold.verify import CACHE
from dlkb.book.read.parts import PageError
from dlkb.book.serve import serving
from dlkb.book.serve.marks import PATIENCE, mark, marks
from dlkb.book.serve.serving import address_of, serve

PAGE = b"<html><body>Text.</body></html>"


def note(root, **entries):
    (root / CACHE).parent.mkdir()
    (root / CACHE).write_text(json.dumps(entries))


def test_wrong_and_overdue_pages_are_marked(tmp_path):
    now = time.time()
    note(
        tmp_path,
        good={"key": "x", "displayed": []},
        bad={"wrong": ["toy.md:3: no", "toy.md:4: nor this"]},
        young={"since": now - PATIENCE + 2},
        old={"since": now - PATIENCE - 1},
    )
    said = marks(tmp_path, checking=True)
    assert said.keys() == {"bad", "old"}
    assert said["bad"] == "toy.md:3: no\ntoy.md:4: nor this"
    assert "overdue" in said["old"]
    assert marks(tmp_path, checking=False).keys() == {"bad"}, "left by a check that was stopped"


@pytest.mark.parametrize(
    ("path", "stem"),
    [
        ("optimizers/toy/", "optimizers/toy"),
        ("optimizers/toy/index.html", "optimizers/toy"),
        ("optimizers/", "optimizers/index"),
        ("", "index"),
    ],
)
def test_the_mark_is_on_its_page(path, stem):
    marked = mark(PAGE, path, {stem: "a < b"}).decode()
    assert marked.count("a &lt; b</div></body>") == 1
    assert mark(PAGE, path, {"other": "a < b"}) == PAGE


@pytest.mark.parametrize(
    "address", ["8000", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:0", "127.0.0.1:65536"]
)
def test_what_is_no_address(address):
    with pytest.raises(PageError, match="write host:port, such as 127"):
        address_of(address)


def test_an_address_in_use_is_said_before_anything_is_prepared(tmp_path, monkeypatch):
    monkeypatch.setattr(serving, "prepare", lambda root: pytest.fail("prepared"))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PageError, match=f"cannot serve on 127.0.0.1:{port}: .*in use"):
            serve(tmp_path, f"127.0.0.1:{port}")
    assert address_of(f"127.0.0.1:{port}") == ("127.0.0.1", port)
