"""Writes the files of apache/: the configurations that most operators want, with values to edit.

`python -m tools.apache_files` writes them; the tests hold them equal to what it would write.
"""

from __future__ import annotations

from pathlib import Path

from mod_wsgi_dashboard.apacheconf.choices import Access, Choices, Member, Tls
from mod_wsgi_dashboard.apacheconf.render import render
from mod_wsgi_dashboard.settings import UnixAddress

APACHE = Path(__file__).resolve().parents[1] / "apache"

SOCKET = UnixAddress("/run/mod_wsgi-dashboard/dashboard.sock")
PASSWORDS = "/etc/apache2/dashboard.htpasswd"

FILES = {
    "dashboard.conf": Choices(in_place=True),
    "dashboard-unix-socket.conf": Choices(in_place=True, listen=SOCKET),
    "dashboard-rewrite.conf": Choices(in_place=True, proxy="rewrite"),
    "dashboard-basic-auth.conf": Choices(in_place=True, access=Access("basic", (PASSWORDS,))),
    "dashboard-balancer.conf": Choices(in_place=True, members=(Member("http://10.0.0.2:8765"),)),
    "dashboard-tls.conf": Choices(
        in_place=True,
        mount="/",
        server_name="status.example.org",
        port=443,
        tls=Tls("/etc/ssl/certs/status.example.org.pem", "/etc/ssl/private/status.example.org.key"),
        listen=SOCKET,
    ),
}


def texts() -> dict[str, str]:
    """Return the text of each file, by its name."""
    return {name: render(choices) for name, choices in FILES.items()}


def main() -> None:
    """Write the files."""
    for name, text in texts().items():
        (APACHE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
