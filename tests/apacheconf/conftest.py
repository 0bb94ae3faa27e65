"""What the tests of apacheconf share."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def site_root() -> Iterator[Path]:
    """A directory that Apache's user may enter, which pytest's own are closed to."""
    path = Path(tempfile.mkdtemp(prefix="doctor-test-", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)
