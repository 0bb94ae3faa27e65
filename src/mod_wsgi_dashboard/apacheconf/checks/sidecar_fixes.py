"""The texts of fixes: directives with an option set, commands that take a block away.

Owns how an option is put into a directive that is there. Must not know what is wrong.
"""

from __future__ import annotations

import re
import shlex
import stat

from mod_wsgi_dashboard.apacheconf.machine import Block
from mod_wsgi_dashboard.apacheconf.topology import Group


def group_with(group: Group, /, **options: str) -> str:
    """Return a group's directive with options set; `_` in a name stands for `-`."""
    raw = group.directive.raw
    for name, value in options.items():
        raw = with_option(raw, name.replace("_", "-"), value)
    return f"{group.directive.name} {raw}"


def with_option(raw: str, name: str, value: str) -> str:
    """Return the arguments of a directive with an option set, in place of any that it has."""
    pattern = rf"\s+{re.escape(name)}=(?:'[^']*'|\"[^\"]*\"|\S*)"
    without = re.sub(pattern, "", raw, flags=re.IGNORECASE)
    # A line that goes on in the next one has its indentation in the middle; quotes keep theirs.
    if not set(without) & set("'\""):
        without = " ".join(without.split())
    return f"{without.strip()} {name}={value}"


def unquoted(value: str) -> str:
    """Return the value of an option; mod_wsgi takes quotes inside of a word as well."""
    quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if quoted else value


def listing(block: Block, kind: int = stat.S_IFDIR) -> str:
    """Return a block as `ls -l` has it: "drwx------ root /home/x"; `kind` is the file's, as in stat."""
    kind = stat.S_IFREG if block.reason in {"not readable", "not executable"} else kind
    return f"{stat.filemode(block.mode | kind)} {block.owner} {block.path}"


def opened(block: Block) -> str:
    """Return the command that takes a block away."""
    bit = {"not searchable": "x", "not writable": "w"}.get(block.reason, "r")
    return f"chmod o+{bit} {shlex.quote(block.path)}"
