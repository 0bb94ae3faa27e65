"""Where a dashboard under a system Apache records: the directory, what makes it, what is wrong with it.

Owns the directory's name, the command for it, and the words of findings about recordings, which `doctor`
and the running dashboard share. Pure: it looks at no disk. Where a recording really is, is the
recorder's choice.
"""

from __future__ import annotations

import re
import shlex

from mod_wsgi_dashboard.apacheconf.findings import Finding, note, warning
from mod_wsgi_dashboard.settings import ENVIRONMENT_PREFIX

# The recorder takes it where it is there and may be written, and never makes it.
DIRECTORY = "/var/lib/mod_wsgi-dashboard"

MODE = "0700"

VARIABLE = f"{ENVIRONMENT_PREFIX}STATE_DIR"

# What a notice of the dashboard begins with while it records nothing.
FAILED = "Nothing is recorded"

# Where the recorder goes when no better directory is there. systemd gives a service directories of its
# own in place of these, for as long as it runs (PrivateTmp=). Who names one of them knows of it.
_LAST_RESORT = re.compile(r"/(?:var/)?tmp/mod_wsgi-dashboard-[0-9]+/recording-[^/]*\.sqlite3")

# Problems that another directory, or another owner of this one, does away with.
_OF_DIRECTORY = re.compile(r"can't be written|No directory")

_AFTERWARDS = "apachectl graceful   # the dashboard chooses its directory when it starts"


def making(user: str, directory: str = DIRECTORY) -> str:
    """Return the command that makes the directory, closed to all but a user (a name, or #NUMBER)."""
    return f"install -d -m {MODE} -o {shlex.quote(user.lstrip('#'))} {shlex.quote(directory)}"


def is_last_resort(path: str) -> bool:
    """Return whether a file is a recording that was made for want of a better directory."""
    return _LAST_RESORT.fullmatch(path) is not None


def failed(
    problem: str | None, *evidence: object, user: str | None, directory: str | None = None
) -> Finding:
    """Return the finding of a dashboard that records nothing.

    Args:
        problem: its own sentence, which says what to change.
        evidence: where that is seen.
        user: who it runs as; None where no directory of the system can be made for it.
        directory: what its setting `state_dir` says.
    """
    what = problem or f"{FAILED}."
    fix = "Mend what it says; the dashboard tries again by itself."
    if _OF_DIRECTORY.search(what):
        fix = remedy(user, directory)
    return warning("recording", what, *evidence, fix=fix)


def passing(path: str, *evidence: object, user: str | None) -> Finding:
    """Return the finding of a recording that may end with Apache; arguments as for `failed`."""
    return note(
        "recording",
        f"The recording is {path}: where systemd has PrivateTmp= on for Apache, it is thrown away when"
        " Apache stops.",
        *evidence,
        fix=remedy(user),
    )


def remedy(user: str | None, directory: str | None = None) -> str:
    """Return what gives a dashboard a directory to record in."""
    if user is None:
        return f"export {VARIABLE}=/a/directory   # one that its user may write to; then start it again"
    return f"{making(user, directory or DIRECTORY)}\n{_AFTERWARDS}"
