"""The one family of errors that this package raises on purpose.

A message is one line, names the setting or the Apache directive to change, and never holds a string
of the scoreboard: messages go to logs and to viewers.
"""

# What the dashboard says of a path that it doesn't know; `doctor` knows a wrong ProxyPass by it.
NOTHING_HERE = "There is nothing at this address."


class DashboardError(Exception):
    """Base of every error that the dashboard raises on purpose; its text is fit for an operator."""


class UsageError(DashboardError):
    """Options of a command exclude each other, or have values that aren't accepted."""


class SettingsError(DashboardError):
    """A setting is unknown or has a value that isn't accepted."""


class MetricsOff(DashboardError):
    """`mod_wsgi.server_metrics()` gave `None`: this daemon process group may not read the scoreboard."""

    def __init__(self) -> None:
        super().__init__(
            "Apache's scoreboard can't be read: server metrics are off for this daemon process"
            " group. Set server-metrics=on on its WSGIDaemonProcess directive, or pass"
            " --server-metrics to mod_wsgi-express, and restart Apache."
            " (WSGIServerMetrics On is for embedded mode and has no effect here.)"
        )


class ShapeError(DashboardError):
    """`mod_wsgi.server_metrics()` gave something that this version can't read."""


class NotInsideApache(DashboardError):
    """The process doesn't run inside mod_wsgi, where alone the scoreboard can be read."""
