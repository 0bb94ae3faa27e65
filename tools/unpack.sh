#!/bin/sh
# Unpack Debian packages into a folder, without installing them: their services would start, and listen to all.
# usage: unpack.sh FOLDER PACKAGE...
set -eu

folder=$1
shift
fetched=$(mktemp -d)
trap 'rm -rf "$fetched"' EXIT
# apt drops its rights for downloads.
[ "$(id -u)" != 0 ] || ! id _apt >/dev/null 2>&1 || chown _apt "$fetched"
fetch() { (cd "$fetched" && apt-get -q download "$@"); }

if ! command -v apt-get >/dev/null; then
    echo "Missing on this machine: put the programs of $* into $folder/usr/bin" >&2
    exit 1
fi
# Without lists, or with old ones, nothing is found.
if ! fetch "$@" >/dev/null 2>&1; then
    if [ "$(id -u)" != 0 ]; then
        echo "Debian's packages $* can't be fetched: run  sudo apt-get update" >&2
        exit 1
    fi
    apt-get update -q
    fetch "$@"
fi
mkdir -p "$folder"
for package in "$fetched"/*.deb; do
    dpkg-deb -x "$package" "$folder"
done
