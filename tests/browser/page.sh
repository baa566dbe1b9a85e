#!/bin/sh
# The page and the badge in a real browser: page.mjs, with three builds. Fetches what drives the browser, so `make test`
# leaves it out. Run it from the root of the project.
# Environment: SCREENSHOTS, a folder: what the page looks like is left there. NO_SKIP or CI set: without a browser it
# fails.
set -eu
. tests/support/check.sh

unset MAKEFLAGS MFLAGS MAKELEVEL
builds=build/browser
hash=0123456789abcdef0123456789abcdef01234567

# build FOLDER NAME VARIABLE=VALUE...: leaves a program of that name as FOLDER/program.
build() {
    folder=$builds/$1 name=$2
    shift 2
    make --no-print-directory BUILD_DIR="$folder" "NAME=$name" SANITIZE= COVERAGE= VALGRIND= STATIC= CC=cc RELEASE= \
        SOURCE_URL= BUILD_URL= COMMIT=$hash SOURCE_DATE_EPOCH=1795338000 "$@" >"$folder.log" 2>&1 || {
        cat "$folder.log"
        exit 1
    }
    ln -sf "plain/$name" "$folder/program"
}

# a LENGTH: as many letters.
a() { printf "%0$1d" 0 | tr 0 a; }

browser_can_be_had() {
    status=0
    why=$(scripts/tools.sh playwright) || status=$?
    case $status in
    0) ;;
    77) skip "${why#skipped: }" ;;
    *) fail 'as said above' ;;
    esac
}

result=$(run_tests browser_can_be_had) || {
    echo "$result"
    exit 1
}
case $result in
*'[  SKIPPED ]'*)
    echo "$result"
    exit
    ;;
esac

mkdir -p "$builds"
build full versiond VERSION=1.4.2 DESCRIPTION='Says which build is running here' \
    SOURCE_URL=https://example.org/team/service BUILD_URL=https://ci.example.org/team/service/runs/4711
build least a VERSION=0.0.0-dev "DESCRIPTION=-"
# As long and as foul as the build takes it.
build foul "$(a 63)" VERSION="1.2.3-$(a 300)+$(a 200)" SOURCE_URL="https://example.org/?a='b'&c=$(a 480)" \
    BUILD_URL="https://ci.example.org/$(a 480)" \
    DESCRIPTION="</p><script>alert(1)</script><img src=x onerror=alert(2)> &lt; \" ' {{version}} Grüße, 你好, 🚀 $(a 390)"
exec node tests/browser/page.mjs "$(command -v chromium)" "$(scripts/tools.sh playwright)" "$builds"
