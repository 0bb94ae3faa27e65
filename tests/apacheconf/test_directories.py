"""Directories of the machine: bounded walks, packages, and who may write."""

from __future__ import annotations

from pathlib import Path

import pytest

from mod_wsgi_dashboard.apacheconf import directories


def test_files_of_a_name_are_found_near_ones_first(tmp_path: Path) -> None:
    """Regular files of the name are found, at any level within bounds; links are not followed."""
    for name in ("b", "a", "a/deep"):
        (tmp_path / name).mkdir()
    for name in ("a/deep/.htaccess", "b/.htaccess", ".htaccess", "a/htaccess"):
        (tmp_path / name).write_text("", encoding="utf-8")
    (tmp_path / "a" / ".htaccess").symlink_to(tmp_path / ".htaccess")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    found = directories.Walk().named(str(tmp_path), ".htaccess")
    expected = [".htaccess", "b/.htaccess", "a/deep/.htaccess"]
    assert expected == [str(Path(path).relative_to(tmp_path)) for path in found]


def test_a_directory_is_walked_once(tmp_path: Path) -> None:
    """Document roots within one another give their files once."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("", encoding="utf-8")
    walk = directories.Walk()
    assert 1 == len([*walk.named(str(tmp_path), "x"), *walk.named(f"{tmp_path}/a/", "x")])


def test_walks_have_bounds(tmp_path: Path) -> None:
    """Neither depth nor breadth of a tree makes a walk long."""
    deep = tmp_path
    for _ in range(directories.MAX_DEPTH + 2):
        (deep / "x").write_text("", encoding="utf-8")
        deep = deep / "d"
        deep.mkdir()
    assert directories.MAX_DEPTH == len(list(directories.Walk().named(str(tmp_path), "x")))
    walk = directories.Walk(names_left=3)
    assert 2 >= len(list(walk.named(str(tmp_path), "x")))
    assert 0 == walk.names_left


@pytest.mark.parametrize("path", ["/nowhere", "/proc/self/cmdline", "/\x00"])
def test_what_can_not_be_read_is_not_there(path: str) -> None:
    """A missing directory, a file and an impossible name hold nothing."""
    assert [] == list(directories.Walk().named(path, "x"))
    assert frozenset() == directories.packages(path)
    assert not directories.writable_by_all(path)


def test_packages_of_an_environment(tmp_path: Path) -> None:
    """Packages are found in lib and lib64, of whatever Python."""
    for name in (
        "lib/python3.11/site-packages/numpy",
        "lib64/python3.9/site-packages/lxml",
        "lib/python3/x",
    ):
        (tmp_path / name).mkdir(parents=True)
    assert frozenset({"numpy", "lxml"}) == directories.packages(str(tmp_path))


@pytest.mark.parametrize(
    ("mode", "expected"), [(0o777, True), (0o1777, True), (0o775, False), (0o700, False)]
)
def test_who_may_write(tmp_path: Path, mode: int, expected: bool) -> None:
    """A directory that others may write to is told, with the sticky bit as well."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d").chmod(mode)
    assert expected == directories.writable_by_all(str(tmp_path / "d"))
