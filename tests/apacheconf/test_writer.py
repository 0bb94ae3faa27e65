"""Files put in place: what is overwritten, what never is, and what is left when it fails."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from mod_wsgi_dashboard.apacheconf.targets import File
from mod_wsgi_dashboard.apacheconf.writer import EXISTING_BYTES, Change, compare, diff, write
from mod_wsgi_dashboard.core.errors import DashboardError

CONF = File("/etc/apache2/x.conf", "ExtendedStatus On\n")
SCRIPT = File("/etc/apache2/x.py", "run()\n")


def there(root: Path) -> dict[str, str]:
    """Return the text of every file below a directory, by its path in it."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_text(encoding="utf-8") for path in files}


def test_new_files(tmp_path: Path) -> None:
    """They come with their directories, readable for Apache whatever the umask, and alone."""
    umask = os.umask(0o077)
    try:
        write(compare([CONF, SCRIPT], tmp_path))
    finally:
        os.umask(umask)
    assert {"etc/apache2/x.conf": CONF.text, "etc/apache2/x.py": SCRIPT.text} == there(tmp_path)
    assert {0o644} == {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("x.*")}


def test_the_same_files_again(tmp_path: Path) -> None:
    """What is there already is left alone, and is no conflict."""
    write(compare([CONF], tmp_path))
    (change,) = compare([CONF], tmp_path)
    before = change.path.stat().st_mtime_ns
    write([change])
    assert (True, "", before) == (change.unchanged, diff(change), change.path.stat().st_mtime_ns)


def test_somebodys_work_is_not_overwritten(tmp_path: Path) -> None:
    """Nor is any other file of the plan written then, and the message says how to go on."""
    path = tmp_path / "etc/apache2/x.py"
    path.parent.mkdir(parents=True)
    path.write_text("mine\n", encoding="utf-8")
    with pytest.raises(DashboardError, match=r"x\.py is there and differs: .*--force"):
        write(compare([CONF, SCRIPT], tmp_path))
    assert {"etc/apache2/x.py": "mine\n"} == there(tmp_path)


def test_force(tmp_path: Path) -> None:
    """With it the file has the new text and mode."""
    path = tmp_path / "etc/apache2/x.conf"
    path.parent.mkdir(parents=True)
    path.write_text("mine\n", encoding="utf-8")
    path.chmod(0o600)
    write(compare([CONF], tmp_path), force=True)
    assert {"etc/apache2/x.conf": CONF.text} == there(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_file_that_came_meanwhile_stays(tmp_path: Path) -> None:
    """Between the look and the writing somebody may write one, too."""
    changes = compare([CONF], tmp_path)
    changes[0].path.parent.mkdir(parents=True)
    changes[0].path.write_text("mine\n", encoding="utf-8")
    with pytest.raises(DashboardError, match="just now"):
        write(changes, force=True)
    assert {"etc/apache2/x.conf": "mine\n"} == there(tmp_path)


def test_a_diff(tmp_path: Path) -> None:
    """Is unified, from nothing or from what is there, and steers no terminal."""
    path = tmp_path / "etc/apache2/x.conf"
    (new,) = compare([CONF], tmp_path)
    assert diff(new) == f"--- /dev/null\n+++ {path}\n@@ -0,0 +1 @@\n+ExtendedStatus On\n"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"Extended\x1b[2JStatus\xff Off")
    (changed,) = compare([CONF], tmp_path)
    assert diff(changed).splitlines()[2:] == [
        "@@ -1 +1 @@",
        "-Extended\\x1b[2JStatus\\xff Off",
        "\\ No newline at end of file",
        "+ExtendedStatus On",
    ]


def test_what_is_no_file(tmp_path: Path) -> None:
    """A directory, a link, a pipe or something huge is never read or replaced; each is one line."""
    path = tmp_path / "etc/apache2/x.conf"
    path.parent.mkdir(parents=True)
    path.mkdir()
    with pytest.raises(DashboardError, match="is no regular file"):
        compare([CONF], tmp_path)
    path.rmdir()
    path.symlink_to("/etc/passwd")
    with pytest.raises(DashboardError, match="is a symbolic link"):
        compare([CONF], tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DashboardError, match="is no regular file"):
        compare([CONF], tmp_path)
    path.unlink()
    with path.open("wb") as file:
        file.truncate(EXISTING_BYTES + 1)
    with pytest.raises(DashboardError, match="far too large"):
        compare([CONF], tmp_path)


def test_a_failure_leaves_nothing_half_done(tmp_path: Path) -> None:
    """Where a directory can't be made it is one line, and no temporary file stays."""
    (tmp_path / "etc").write_text("a file\n", encoding="utf-8")
    with pytest.raises(DashboardError, match=r"x\.conf can't be (written|read): Not a directory"):
        write(compare([CONF], tmp_path))
    with pytest.raises(DashboardError, match=r"x\.conf can't be written: "):
        write([Change(tmp_path / "etc/apache2/x.conf", "text\n", None)])
    (tmp_path / "d").mkdir()
    target = tmp_path / "d" / "x.conf"
    target.mkdir()
    with pytest.raises(DashboardError, match=r"x\.conf can't be written: "):
        write([Change(target, "text\n", "before\n")], force=True)
    assert {"etc": "a file\n"} == there(tmp_path)
