"""What a service script tells the dashboard, read from its text.

Owns the finding of keyword arguments. Pure: the script is parsed, never run.
"""

from __future__ import annotations

import ast
import dataclasses

from mod_wsgi_dashboard.settings import Settings

# Calls that take settings as keyword arguments.
_TAKES_SETTINGS = {"run", "serve", "load", "Settings"}

_NAMES = {field.name for field in dataclasses.fields(Settings)}


def script_keywords(text: str) -> dict[str, object]:
    """Return the settings that a script passes as keyword arguments with literal values."""
    try:
        tree = ast.parse(text)
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    found: dict[str, object] = {}
    for call in calls:
        if _name_of(call.func) in _TAKES_SETTINGS:
            for keyword in call.keywords:
                if keyword.arg in _NAMES and isinstance(keyword.value, ast.Constant):
                    found[keyword.arg] = keyword.value.value
    return found


def _name_of(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""
