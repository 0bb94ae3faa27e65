#!/bin/sh
# Make sure that the system has what `make demo`, `make run` or `make test` needs (the argument).
# As root on Debian it installs what is missing; otherwise it names it in one line and fails.
set -eu

python=${PYTHON:-python3}
missing=

need() { # PACKAGE COMMAND...: the package is missing if the command fails
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

header() {
    "$python" -c 'import os, sysconfig, sys
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'
}

need python3 "$python" --version
need python3-venv "$python" -c 'import ensurepip, venv'
need ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
case $1 in run | test)
    # apache2-bin is httpd and its modules without the service that the package apache2 would start.
    need apache2-bin test -x /usr/sbin/apache2
    need apache2-dev command -v apxs
    need gcc command -v gcc
    need libc6-dev test -e /usr/include/stdio.h
    need python3-dev header
    ;;
esac
if [ "$1" = test ]; then
    need libapache2-mod-wsgi-py3 test -e /usr/lib/apache2/modules/mod_wsgi.so
    need chromium command -v chromium
    # Chromium draws no text without a font, and names none of its dependencies.
    need fonts-dejavu-core test -d /usr/share/fonts/truetype/dejavu
fi

[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing Debian packages:$missing"
    apt-get update -q
    # shellcheck disable=SC2086  # one word a package
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
else
    echo "Missing on this machine: run  sudo apt-get install --no-install-recommends$missing" >&2
    exit 1
fi
