"""The configuration of a small site, around the operator's own files for the dashboard."""

import shutil
import subprocess
import sys
from pathlib import Path

VENV = Path(sys.prefix)
SYSTEM_MODULES = Path("/usr/lib/apache2/modules")

# Enough slots for an old generation beside a new one; few enough to be read in a failure.
POOL = """
ServerLimit {servers}
StartServers {start}
MaxRequestWorkers {workers}
"""
POOL_OF_THREADS = """
ThreadLimit {threads}
ThreadsPerChild {threads}
MinSpareThreads 1
MaxSpareThreads 24
"""
POOL_OF_PROCESSES = """
MinSpareServers 1
MaxSpareServers 16
"""

SITE = """
ServerRoot {root}
DefaultRuntimeDir {root}
PidFile httpd.pid
ServerName localhost
Listen 127.0.0.1:{port}
Timeout 60
KeepAliveTimeout 2
ErrorLog error.log
LogLevel warn wsgi:info
LogFormat "%h \\"%r\\" %>s %b" short
CustomLog access.log short
{user}
{modules}
{pool}
WSGISocketPrefix wsgi
WSGIDaemonProcess app processes=1 threads=12 display-name=%{{GROUP}} locale=C.UTF-8 \\
    python-home={venv}
WSGIScriptAlias / {examples}/express/wsgi.py process-group=app application-group=%{{GLOBAL}}
<Directory {examples}/express>
    Require all granted
</Directory>
Alias /static/ {root}/static/
<Directory {root}/static>
    Require all granted
</Directory>
<Location /server-status>
    SetHandler server-status
    Require local
</Location>
{defines}
{dashboard}
"""

MODULES = ("authz_core", "authz_host", "alias", "env", "headers", "proxy", "proxy_http", "status")


def load_modules(mpm: str, whose: str) -> str:
    """Return the LoadModule directives for an MPM and somebody's mod_wsgi."""
    names = (f"mpm_{mpm}", *MODULES)
    lines = [f"LoadModule {name}_module {SYSTEM_MODULES}/mod_{name}.so" for name in names]
    return "\n".join([*lines, f"LoadModule wsgi_module {wsgi_module(whose)}"])


def pool(mpm: str, workers: int) -> str:
    """Return the directives that size the pool of workers, an even number of them."""
    if mpm == "prefork":
        return (POOL + POOL_OF_PROCESSES).format(servers=2 * workers, start=8, workers=workers)
    threads = workers // 2
    return (POOL + POOL_OF_THREADS).format(servers=6, start=2, workers=workers, threads=threads)


def wsgi_module(whose: str) -> Path:
    """Return the path of mod_wsgi's module: PyPI's, or the distribution's.

    Raises:
        AssertionError: it is not installed; the message names the package.
    """
    if whose == "debian":
        path = SYSTEM_MODULES / "mod_wsgi.so"
        assert path.exists(), "missing: apt-get install libapache2-mod-wsgi-py3"
        return path
    express = executable("mod_wsgi-express", "mod_wsgi (pip)", VENV / "bin")
    location = subprocess.run([express, "module-location"], check=True, capture_output=True, text=True)
    return Path(location.stdout.strip())


def executable(name: str, package: str, directory: Path | None = None) -> str:
    """Return the path of a program.

    Raises:
        AssertionError: it is not installed; the message names the package.
    """
    search = str(directory) if directory else "/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin"
    path = shutil.which(name, path=search)
    assert path, f"missing: {name}, install {package}"
    return path
