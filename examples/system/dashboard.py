"""A service script with settings of its own, for a system Apache.

Copy it to where DASHBOARD_SCRIPT in apache/dashboard.conf points. A setting that stands here wins over
the environment; add `listen="unix:/run/mod_wsgi-dashboard/dashboard.sock"` for the unix socket of
apache/dashboard-unix-socket.conf.
"""

from mod_wsgi_dashboard.service import run

run(
    max_request_workers=16,  # as in Apache's own configuration: mod_wsgi can't tell
    allow_parameters=["page", "lang"],  # query values that may be shown
)
