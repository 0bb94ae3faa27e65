#!/bin/sh
# A WSGI application under mod_wsgi-express with the dashboard at http://localhost:8000/metrics/
#
# Any argument goes on to mod_wsgi-express, so `./start.sh --port 8080 --processes 2` works.
# MOD_WSGI_DASHBOARD_LISTEN (HOST:PORT or unix:/path) moves the dashboard's own listener.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
script=${DASHBOARD_SCRIPT:-$(mod_wsgi-dashboard service-script)}
listen=${MOD_WSGI_DASHBOARD_LISTEN:-127.0.0.1:8765}

case $listen in
    unix:*) backend="$listen|http://mod-wsgi-dashboard/" ;;
    *) backend="http://$listen/" ;;
esac

# Apache's children never run as root, so root has to name a user; Red Hat's is apache.
if [ "$(id -u)" = 0 ]; then
    set -- --user "${APACHE_RUN_USER:-www-data}" --group "${APACHE_RUN_GROUP:-www-data}" "$@"
fi

# The built-in locale, en_US.UTF-8, is absent from small systems.
exec mod_wsgi-express start-server "$here/wsgi.py" \
    --locale C.UTF-8 \
    --server-metrics \
    --service-script dashboard "$script" \
    --proxy-mount-point /metrics/ "$backend" \
    "$@"
