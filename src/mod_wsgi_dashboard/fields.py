"""The parameter `fields`: which members of a sample are wanted.

Owns its syntax, its limits, and what members there are, which it takes from the types of `core.wire`. It
must not know HTTP.

A wish is a list of names, separated by commas; dots lead into members: `rates.busy,capacity`. Through a
list they lead into each of its entries: `snapshot.processes.pid`. A name without more is all that is
below it.
"""

from __future__ import annotations

import zlib
from typing import Any

import msgspec
from msgspec import inspect

from mod_wsgi_dashboard.core import wire
from mod_wsgi_dashboard.core.errors import DashboardError

# More than this names nearly all, which needs no `fields`. No name is longer than 40 characters.
MOST_NAMES = 50
MOST_CHARACTERS = 41 * MOST_NAMES

# What is below a name; None for all of it.
Tree = dict[str, "Tree | None"]


class FieldError(DashboardError):
    """A name is not accepted: which, and what there is."""


def parse(text: str | None) -> Tree | None:
    """Return which members are wanted; None for all.

    Raises:
        FieldError: there is no such member, or the list is too long.
    """
    if text is None:
        return None
    names = text.split(",")
    if len(text) > MOST_CHARACTERS or len(names) > MOST_NAMES:
        raise FieldError(
            f"`fields` has at most {MOST_NAMES} names and {MOST_CHARACTERS} characters:"
            " name what they are part of."
        )
    wanted: Tree = {}
    for name in names:
        _add(wanted, name.split("."))
    return wanted


def _add(wanted: Tree, parts: list[str]) -> None:
    known: Tree | None = MEMBERS
    place: Tree | None = wanted
    for number, part in enumerate(parts):
        if known is None:
            # What led here is known, and so it is no client's own words.
            raise FieldError(f"`fields`: there is nothing below {'.'.join(parts[:number])}.")
        if part not in known:
            above = ".".join(parts[:number])
            where = f"below {above}" if above else "in a sample"
            raise FieldError(f"`fields`: the members {where} are {', '.join(known)}.")
        known = known[part]
        if place is not None and number == len(parts) - 1:
            place[part] = None
        elif place is not None:
            place = place.setdefault(part, {})


def tag(wanted: Tree) -> str:
    """Return a short text that differs where what is wanted does, for an ETag."""
    return f"{zlib.crc32(repr(_sorted(wanted)).encode()):08x}"


def _sorted(wanted: Tree | None) -> object:
    return None if wanted is None else [(name, _sorted(wanted[name])) for name in sorted(wanted)]


def encode(latest: wire.Sample | wire.Failure, wanted: Tree) -> bytes:
    """Encode what is wanted of a sample or a failure, in the plain format.

    What a failure has none of is left out; its `error` is always there, so that nobody misses why.
    """
    if isinstance(latest, wire.Failure):
        wanted = {**wanted, "error": None}
    return msgspec.json.encode(_chosen(latest, wanted))


def _chosen(value: object, wanted: Tree) -> Any:
    if isinstance(value, list):
        return [_chosen(each, wanted) for each in value]
    if not isinstance(value, msgspec.Struct):
        # None, where there may be a struct.
        return value
    chosen = {}
    for name in value.__struct_fields__:
        if name in wanted:
            below, member = wanted[name], getattr(value, name)
            chosen[name] = member if below is None else _chosen(member, below)
    return chosen


def _members(known: inspect.Type) -> Tree | None:
    """Return the names below a type; None where there are none."""
    if isinstance(known, inspect.Metadata):
        return _members(known.type)
    if isinstance(known, inspect.ListType):
        return _members(known.item_type)
    if isinstance(known, inspect.UnionType):
        return next(filter(None, map(_members, known.types)), None)
    if isinstance(known, inspect.StructType):
        return {field.name: _members(field.type) for field in known.fields}
    # Keys of a dict may be anything, even a dot, as the letter of an open slot.
    return None


MEMBERS: Tree = {
    **(_members(inspect.type_info(wire.Sample)) or {}),
    **(_members(inspect.type_info(wire.Failure)) or {}),
}
