#!/bin/sh
# Installs what is missing of the packages in deps/packages, and of those named. As root.
# Usage: deps/install-packages.sh [PACKAGE]...
# Nothing is asked of the archive when nothing is missing.
set -eu

here=$(CDPATH='' cd "$(dirname "$0")" && pwd)
missing=
for package in $(sed '/^#/d' "$here/packages") "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

apt-get update -qq
# shellcheck disable=SC2086 # a list
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
