"""The check that the dashboard will accept what it is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mod_wsgi_dashboard.apacheconf.checks.sidecar_settings import toml
from mod_wsgi_dashboard.apacheconf.findings import Finding, error
from mod_wsgi_dashboard.apacheconf.keywords import passed_settings
from mod_wsgi_dashboard.apacheconf.system import System
from mod_wsgi_dashboard.core.errors import SettingsError
from mod_wsgi_dashboard.settings import CONFIG_VARIABLE, ENVIRONMENT_PREFIX, Settings


def setting(system: System) -> Iterator[Finding]:
    """A setting in a script, in the environment, or in the file that it names, that isn't accepted."""
    environ = {
        name: value
        for name, value in system.environ.items()
        if name.startswith(ENVIRONMENT_PREFIX) and name != CONFIG_VARIABLE
    }
    path = system.environ.get(CONFIG_VARIABLE)
    table = toml(system.script_text(path) or "") if path else {}
    for sidecar in system.sidecars:
        script = sidecar.script
        keywords = passed_settings(system.script_text(script.path) or "")
        for source, given, passed in ((script.path, environ, keywords), (path, {}, table)):
            refusal = _refusal(given, passed)
            if refusal is not None:
                yield error(
                    "setting",
                    f"The dashboard stays down: {refusal}.",
                    source,
                    script.directive.place,
                    fix="# mend it where it is set, then: apachectl restart",
                )


def _refusal(environ: Mapping[str, str], keywords: Mapping[str, object]) -> str | None:
    # A public address that isn't allowed is public-listener's to tell.
    try:
        Settings.load(environ, **{**keywords, "allow_public": True})
    except SettingsError as refusal:
        return str(refusal)
    return None
