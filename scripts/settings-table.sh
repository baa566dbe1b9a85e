#!/bin/sh
# Writes what PROGRAM prints, the table of settings, into README between the lines
#   <!-- settings: made by make docs -->
#   <!-- /settings -->
# Usage: scripts/settings-table.sh PROGRAM README [--check]
# With --check README is only compared.
# Exit status: 0; 1 with a line on stderr when it failed or, with --check, when README differs;
# 2 for wrong arguments.
set -eu

die() {
    printf 'settings-table: %s\n' "$1" >&2
    exit 1
}

if [ "$#" -lt 2 ] || [ "$#" -gt 3 ] || [ "${3---check}" != --check ]; then
    echo 'usage: scripts/settings-table.sh PROGRAM README [--check]' >&2
    exit 2
fi
program=$1
readme=$2
check=${3-}

[ -f "$readme" ] || die "$readme: no such file"
table=$("$program") || die "$program failed"
[ -n "$table" ] || die "$program prints nothing"
new=$(mktemp)
trap 'rm -f "$new" "$readme.$$"' EXIT
trap 'exit 1' HUP INT TERM

# The two lines must be there once, in this order.
TABLE=$table awk '
    $0 == "<!-- settings: made by make docs -->" { found = found "b"; print; print ENVIRON["TABLE"] }
    $0 == "<!-- /settings -->" { found = found "e" }
    found != "b" { print }
    END { exit found != "be" }
' "$readme" >"$new" || die "$readme: needs a line '<!-- settings: made by make docs -->' and, after it, a line '<!-- /settings -->', once each"

if cmp -s "$new" "$readme"; then
    exit 0
fi
[ -z "$check" ] || die "$readme: the table of settings differs from what $program prints; run 'make docs'"
cp -p "$readme" "$readme.$$" # with the mode of the old one
cat "$new" >"$readme.$$"
mv -f "$readme.$$" "$readme"
