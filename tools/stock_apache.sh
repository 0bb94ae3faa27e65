#!/bin/sh
# Put Debian's stock Apache configuration below a directory, as a fresh install of the package has it.
#
#   tools/stock_apache.sh DIR      then: APACHE_CONFDIR=DIR/etc/apache2 DIR/usr/sbin/apachectl -t
#
# The package is unpacked, not installed: the machine's own configuration stays as it is. What is enabled
# is read from the package's postinst, and enabled by the package's a2enmod, which knows dependencies.
# Only /var is moved: its directories for pids, locks, logs and pages are below DIR, too, so that a
# configuration test neither needs nor changes those of the machine.
# DIR must not be there yet; it appears complete or not at all.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
target=$(realpath -m "$1")
[ ! -e "$target" ] || { echo "$target is there already: remove it first" >&2; exit 1; }
mkdir -p "$(dirname "$target")"
work=$(mktemp -d "$(dirname "$target")/.stock-apache.XXXXXX")
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"

# apt's own user can't write here, which is worth a warning to apt and nothing to us.
download() { (cd "$work" && apt-get -q -o APT::Sandbox::User=root download apache2 >download.log 2>&1); }
download || { apt-get -q update >"$work/update.log" 2>&1; download; } || { cat "$work/download.log" >&2; exit 1; }
dpkg-deb -x "$work"/apache2_*.deb "$work/root"
dpkg-deb -e "$work"/apache2_*.deb "$work/control"

export APACHE_CONFDIR="$work/root/etc/apache2" APACHE_STATE_DIRECTORY="$work/state"
export APACHE_MODULES_DIR=/usr/lib/apache2/modules
# The words after "for module in" and "for conf in" of the postinst, with its line continuations.
listed() { sed -e ':a' -e '/\\$/N; s/\\\n//; ta' "$work/control/postinst" | sed -n "s/.*for $1 in \(.*\); do.*/\1/p"; }
modules=$(listed module)
confs=$(listed conf)
[ -n "$modules" ] && [ -n "$confs" ] || { echo "the package's postinst has no list of modules" >&2; exit 1; }
enable() { "$work/root/usr/sbin/$1" -m -q "$2" >>"$work/enable.log" 2>&1 || { cat "$work/enable.log" >&2; exit 1; }; }
mkdir -p "$APACHE_CONFDIR/mods-enabled" "$APACHE_CONFDIR/conf-enabled" "$APACHE_CONFDIR/sites-enabled"
for module in mpm_event $modules; do enable a2enmod "$module"; done
for conf in $confs; do enable a2enconf "$conf"; done
enable a2ensite 000-default

sed -i "s,/var/\(run\|lock\|log\)/apache2,$target&," "$APACHE_CONFDIR/envvars"
sed -i "s,/var/www,$target&," "$APACHE_CONFDIR"/apache2.conf "$APACHE_CONFDIR"/sites-available/*.conf
mkdir -p "$work/root/var/run/apache2" "$work/root/var/lock" "$work/root/var/log/apache2" "$work/root/var/www/html"

# -T: into no directory that somebody else made meanwhile.
mv -T "$work/root" "$target"
