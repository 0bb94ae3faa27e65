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
    found: dict[str, object] = {}
    for call in _calls(text):
        if _name_of(call.func) in _TAKES_SETTINGS:
            for keyword in call.keywords:
                if keyword.arg in _NAMES and isinstance(keyword.value, ast.Constant):
                    found[keyword.arg] = keyword.value.value
    return found


def passed_settings(text: str) -> dict[str, object]:
    """Return what a script passes to `run()` as keyword arguments with literal values, of any name.

    Only a plain `run(...)` counts, for `asyncio.run(...)` and others take no settings.
    """
    return {
        keyword.arg: value
        for call in _calls(text)
        if isinstance(call.func, ast.Name) and call.func.id == "run"
        for keyword in call.keywords
        if keyword.arg is not None and (value := _literal(keyword.value)) is not _COMPUTED
    }


_COMPUTED = object()


def _literal(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return _COMPUTED


def _calls(text: str) -> list[ast.Call]:
    try:
        return [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _name_of(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""
