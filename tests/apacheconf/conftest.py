"""What the tests of apacheconf share."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# What these show takes an Apache that root started, and files of several accounts.
NEED_ROOT = [
    "test_setup.py", "test_sidecar.py", "test_sidecar_recording.py", "test_sidecar_running.py",
]  # fmt: skip

collect_ignore = NEED_ROOT if os.geteuid() != 0 else []


@pytest.fixture
def site_root() -> Iterator[Path]:
    """A directory that Apache's user may enter, which pytest's own are closed to."""
    path = Path(tempfile.mkdtemp(prefix="doctor-test-", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)
