"""Debian's stock Apache configuration, for tests; it is made once and kept between runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
STOCK = REPOSITORY / ".venv" / "stock-apache"


def stock_apache() -> Path:
    """Return the directory that has Debian's etc/apache2 and usr/sbin/apachectl; nobody changes it."""
    if not (STOCK / "etc" / "apache2" / "apache2.conf").exists():
        script = REPOSITORY / "tools" / "stock_apache.sh"
        made = subprocess.run([script, STOCK], capture_output=True, text=True, timeout=100, check=False)
        # Another run may have been faster.
        assert made.returncode == 0 or STOCK.exists(), made.stderr
    return STOCK
