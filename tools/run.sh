#!/bin/sh
# A real Apache with the dashboard, on loopback, until Ctrl-C. PORT and DASHBOARD_PORT move it.
set -eu

cd "$(dirname "$0")/.."
port=${PORT:-8000}
PATH=$PWD/.venv/bin:$PATH
MOD_WSGI_DASHBOARD_LISTEN=127.0.0.1:${DASHBOARD_PORT:-8765}
export PATH MOD_WSGI_DASHBOARD_LISTEN

if [ "$(id -u)" = 0 ]; then
    user=${APACHE_RUN_USER:-www-data}
    if ! setpriv --reuid "$user" --regid "$user" --clear-groups test -r "$PWD/src"; then
        echo "Apache's user $user can't read $PWD: move the checkout out of closed directories," \
            "or run make as an ordinary user" >&2
        exit 1
    fi
fi

# In the background, so that Ctrl-C reaches this script and not Apache, whose children would
# outlive its parent; Apache then gets its own signal to stop, and takes all of them along.
examples/express/start.sh --host 127.0.0.1 --port "$port" --server-root "$PWD/run" "$@" &
apache=$!
trap 'kill -TERM $apache 2>/dev/null || true' INT TERM HUP

url=http://127.0.0.1:$port/metrics/
if python tools/await.py "$url"readyz "$apache"; then
    echo
    echo "Apache with the dashboard: $url   (Ctrl-C ends it)"
    echo "Something to look at:      curl 'http://127.0.0.1:$port/slow?s=20'"
else
    echo "The dashboard did not come up; see $PWD/run/error_log" >&2
    kill -TERM $apache 2>/dev/null || true
fi
# A trapped signal ends the first wait; the second one is for Apache's end.
wait $apache || wait $apache || true
