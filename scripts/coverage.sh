#!/bin/sh
# Shows which lines and branches of src/ the tests reached, and writes a report to read and, for CI, as Cobertura XML:
# OUT/report/index.html, coverage.txt and cobertura.xml.
# Usage: scripts/coverage.sh OUT
# OUT is the folder of a build with COVERAGE=1 whose tests have run.
# Exit status: 1 when a line was not reached.
set -eu

command -v gcovr >/dev/null || {
    echo "coverage: missing: gcovr; install with: apt-get install gcovr" >&2
    exit 1
}
mkdir -p "$1/report"
gcovr --root . --filter 'src/' --object-directory "$1" --print-summary --fail-under-line 100 \
    --exclude-unreachable-branches --txt "$1/report/coverage.txt" --html-details "$1/report/index.html" \
    --xml "$1/report/cobertura.xml" "$1"
gcovr --root . --filter 'src/' --object-directory "$1" --branches --exclude-unreachable-branches "$1"
echo "coverage: $1/report/index.html shows it line by line"
