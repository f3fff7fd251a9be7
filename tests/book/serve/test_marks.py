"""What the browser says of pages, and on which address."""

import json
import os
import socket
import time

import pytest

from dlkb.book.hold.verify import CACHE, RUNNING
from dlkb.book.read.parts import PageError
from dlkb.book.serve import serving
from dlkb.book.serve.marks import PATIENCE, mark, marks
from dlkb.book.serve.serving import address_of, serve

PAGE = b"<html><body>Text.</body></html>"


def note(root, stem, entry=None, age=None):
    file = root / CACHE / stem
    file.parent.mkdir(parents=True, exist_ok=True)
    if entry is not None:
        file.with_suffix(".json").write_text(json.dumps(entry))
    if age is not None:
        file.with_suffix(RUNNING).touch()
        os.utime(file.with_suffix(RUNNING), (time.time() - age, time.time() - age))


def test_wrong_and_overdue_pages_are_marked(tmp_path):
    wrong = {"wrong": ["toy.md:3: no", "toy.md:4: nor this"]}
    note(tmp_path, "good", {"key": "x", "displayed": []})
    note(tmp_path, "family/bad", wrong)
    note(tmp_path, "young", age=PATIENCE - 2)
    note(tmp_path, "old", age=PATIENCE + 1)
    note(tmp_path, "mended", wrong, age=PATIENCE - 2)
    said = marks(tmp_path, checking=True)
    assert said.keys() == {"family/bad", "old"}
    assert said["family/bad"] == "toy.md:3: no\ntoy.md:4: nor this"
    assert "overdue" in said["old"]
    left = marks(tmp_path, checking=False)
    assert left.keys() == {"family/bad", "mended"}, "the check was stopped"


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
