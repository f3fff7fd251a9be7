from pathlib import Path

import pytest

from dlkb.book.read import roots
from dlkb.book.read.parts import PageError
from dlkb.book.read.roots import find_checkout, find_root, unpacked

ROOT = Path(__file__).parents[3]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Make a package as a wheel installs it."""
    folder = tmp_path / "site-packages" / "dlkb"
    (folder / "_book" / "docs").mkdir(parents=True)
    (folder / "_book" / "mkdocs.yml").write_text("site_name: toy")
    (folder / "_book" / "docs" / "claims.toml").write_text("")
    (folder / "arrays.py").write_text("x = 1")
    monkeypatch.setattr(roots, "PACKAGE", folder)
    monkeypatch.setattr(roots.platformdirs, "user_cache_path", lambda name: tmp_path / name)
    return folder


def test_root_is_found_from_below(book, package):
    assert find_root(book.page.parent) == book.root
    assert find_checkout(book.page.parent) == book.root


def test_the_checkout_beside_an_editable_install_serves(tmp_path):
    assert find_root(tmp_path) == find_checkout(tmp_path) == ROOT


def test_outside_a_checkout_the_wheel_s_book_is_copied_to_the_cache(package, tmp_path):
    root = find_root(tmp_path)
    assert root.parent == tmp_path / "dlkb"
    assert (root / "mkdocs.yml").read_text() == "site_name: toy"
    assert list((tmp_path / "dlkb").iterdir()) == [root]  # no draft is left
    (root / "docs" / "kept").write_text("")
    assert find_root(tmp_path) == root
    assert (root / "docs" / "kept").is_file()
    with pytest.raises(PageError, match="clone the repository"):
        find_checkout(tmp_path)


@pytest.mark.parametrize("changed", ["arrays.py", "_book/mkdocs.yml"])
def test_a_changed_package_gets_a_copy_of_its_own(package, tmp_path, changed):
    before = find_root(tmp_path)
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "arrays.pyc").write_text("")
    assert find_root(tmp_path) == before
    (package / changed).write_text("x = 2")
    assert find_root(tmp_path) != before


def test_a_renamed_file_is_a_change(package, tmp_path):
    before = find_root(tmp_path)
    (package / "arrays.py").rename(package / "lists.py")
    assert find_root(tmp_path) != before


def test_a_cache_that_cannot_be_written_is_replaced(package, tmp_path):
    (tmp_path / "file").write_text("")
    root = unpacked(package, tmp_path / "file" / "cache")
    assert (root / "mkdocs.yml").is_file()
    assert tmp_path not in root.parents or root.parent.name.startswith("dlkb-")


def test_a_copy_that_another_process_made_meanwhile_serves(package, tmp_path, monkeypatch):
    copytree = roots.shutil.copytree
    cache = tmp_path / "cache"
    wanted = cache / roots._digest(package)

    def slow(source, target):
        monkeypatch.setattr(roots.shutil, "copytree", copytree)
        copytree(source, target)
        copytree(source, wanted)  # by another process

    monkeypatch.setattr(roots.shutil, "copytree", slow)
    assert unpacked(package, cache) == wanted
    assert list(cache.iterdir()) == [wanted]


def test_a_package_without_a_book_says_what_to_do(package, tmp_path):
    (package / "_book").rename(tmp_path / "elsewhere")
    with pytest.raises(PageError, match="clone the repository, or install a wheel"):
        find_root(tmp_path)
