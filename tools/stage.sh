#!/bin/sh
# Print where to work instead, if root's checkout is closed to Apache's user (/root is, on Debian):
# a copy below /var/cache, brought up to date. Print nothing where the checkout itself will do.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
user=${APACHE_RUN_USER:-www-data}
readable() { # FILE: whether Apache's user can read it
    setpriv --reuid "$user" --regid "$user" --clear-groups test -r "$1"
}

[ "$(id -u)" = 0 ] || exit 0
! readable "$here/Makefile" || exit 0

copy=/var/cache/mod_wsgi-dashboard/$(echo "$here" | cksum | cut -d ' ' -f 1)
mkdir -p "$copy"
# What was built there stays; every source is the checkout's.
find "$copy" -mindepth 1 -maxdepth 1 ! -name .venv ! -name artifacts ! -name node_modules \
    ! -name run ! -name src -exec rm -rf {} +
find "$copy" -type f -path "$copy/src/*" ! -path '*/node_modules/*' ! -path '*/_web/*' -delete
tar -C "$here" --exclude=./.venv --exclude=./.git --exclude=./artifacts --exclude=./run \
    --exclude=node_modules --exclude=_web -cf - . | tar -C "$copy" --no-same-owner -xf -
chmod 755 "$copy" "${copy%/*}"
chmod -R go+rX "$copy/src" "$copy/examples" "$copy/apache" "$copy/Makefile"
readable "$copy/Makefile" || { echo "tools/stage.sh: $user can't read $copy either" >&2; exit 1; }
echo "$copy"
