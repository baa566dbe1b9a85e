#!/bin/sh
# What must stop the build of the image stops it: each thing that the test stage guards is broken in a
# copy, and the default target must fail for that reason and leave no image. Takes
# minutes and an engine (scripts/with-engine.sh), so `make test` leaves it out. Run it from the root of the
# project.
# Environment: DOCKER (docker). container.sh has made the base image.
set -eu
. tests/support/check.sh

export BASE=versiond-base:trixie DOCKER="${DOCKER:-docker}"
unset VERSION COMMIT DESCRIPTION NAME SOURCE_URL BUILD_URL SOURCE_DATE_EPOCH RELEASE MAKEFLAGS MFLAGS MAKELEVEL
toolchain=$(make -s toolchain-image)
image=versiond-gate-test
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# copy: makes a copy of the tree in $scratch, and goes there.
copy() {
    git ls-files -z | xargs -0 cp --parents -t "$scratch"
    cd "$scratch"
}

# build FLAG...: of the default target.
build() {
    "$DOCKER" build --force-rm --build-arg TOOLCHAIN="$toolchain" --build-arg BASE="$toolchain" --tag $image "$@" .
}

# expect_stopped REASON FLAG...: the build fails and says REASON.
expect_stopped() {
    reason=$1
    shift
    if build "$@" >"$log" 2>&1; then
        "$DOCKER" image rm $image >/dev/null
        fail 'an image was built'
    fi
    expect_said "$reason"
}

# expect_said TEXT: the build that was stopped said it.
expect_said() { grep -qF "$1" "$log" || fail "stopped, but not with '$1': $(tail -n 30 "$log")"; }

# skip_to PATTERN: takes out lint, and what the test stage runs before the command that PATTERN is in, which costs
# minutes and has gates of its own. What comes after stays: else a guard that lets an image through would not be seen.
skip_to() {
    grep -q "^RUN .*$1" Dockerfile || fail "no command of the test stage has $1"
    sed -i -e '/^RUN .*lint-source$/d' -e "/^FROM build AS test/,/^RUN .*$1/{/^RUN/{/$1/!d;};}" Dockerfile
}

# keep_tests FILE...: of all tests those alone, as the others take their time to compile.
keep_tests() {
    tar -cf "$scratch/kept.tar" "$@"
    rm -r tests/unit/test_* tests/integration/test_* tests/e2e/test_* tests/fuzz
    tar -xf "$scratch/kept.tar"
    rm "$scratch/kept.tar"
}

# Each breaks what one linter alone looks at, and compiles.
break_format() { printf 'extern int  json_spaces;\n' >>include/json.h; }

break_clang_tidy() {
    printf '\nint json_number(const char *text);\nint json_number(const char *text)\n{\n    return atoi(text);\n}\n' >>src/json.c
    sed -i '0,/^#include </s//#include <stdlib.h>\n&/' src/json.c
}

break_cppcheck() {
    printf '\nint json_twice(int a);\nint json_twice(int a)\n{\n    int b = 0;\n\n    if (a > 1) {\n        b = a * 2;\n        return b;\n    }\n    return a;\n}\n' >>src/json.c
}

# shellcheck disable=SC2016 # as it stands
break_shellcheck() { echo 'echo $1' >>scripts/coverage.sh; }

# shellcheck disable=SC2016 # as it stands
break_settings() { sed -i 's/^| `-p`, `--port` | `PORT` | `5000`/| `-p`, `--port` | `PORT` | `8080`/' README.md; }

each_linter_stops() {
    copy
    break_format
    break_clang_tidy
    break_cppcheck
    break_shellcheck
    break_settings
    expect_stopped 'lint: clang-format: FAILED'
    for linter in clang-tidy cppcheck shellcheck 'settings in README.md'; do
        expect_said "lint: $linter: FAILED"
    done
}

# The undefined behaviour is in a test, where cppcheck does not look; the test passes without the sanitizer.
failing_test_and_undefined_behaviour_stop() {
    copy
    skip_to SANITIZE=
    keep_tests tests/unit/test_handlers.c tests/unit/test_parse.c tests/integration/test_http.c
    sed -i 's/"Method Not Allowed"/"Not Allowed"/' src/handlers.c
    sed -i '0,/^    (void)state;/s//    volatile int number = INT_MAX;\n\n    number++;\n    (void)state;/' tests/unit/test_parse.c
    sed -i '0,/^#include </s//#include <limits.h>\n&/' tests/unit/test_parse.c
    expect_stopped 'test_handlers: exit status'
    expect_said 'test_http: exit status'
    expect_said 'runtime error: signed integer overflow'
    expect_said 'test_parse: exit status 99'
}

# Only what ships is broken.
failing_test_of_the_static_program_stops() {
    copy
    skip_to 'STATIC=1 .* test$'
    keep_tests tests/integration/test_http.c tests/e2e/test_cli.c
    sed -i 's/^    router_print_allow(allow, sizeof allow, methods);/&\n#ifndef __GLIBC__\n    allow[0] = 0;\n#endif/' src/handlers.c
    sed -i 's/^    return finish_output(info->name);/#ifndef __GLIBC__\n    (void)puts("more");\n#endif\n&/' src/main.c
    expect_stopped 'test_http: exit status'
    expect_said 'test_cli: exit status'
}

vulnerable_library_stops() {
    copy
    skip_to audit
    awk '$1 == "cJSON" { print "cJSON", $2, $2, "-", "CVE-2999-0001 as a test" }' deps/pins >>deps/known-bad
    expect_stopped 'CVE-2999-0001'
}

archive_that_cannot_be_asked_stops() {
    copy
    skip_to audit
    expect_stopped '(AUDIT_OFFLINE=1 asks nobody)' --network none
    grep -q 'cJSON .*NOT ASKED' "$log" || fail "of no library: $(tail -n 10 "$log")"
}

malformed_and_missing_values_stop_by_name() {
    copy
    expect_stopped "build-info: VERSION: 'v1.2.3' is not" --build-arg VERSION=v1.2.3
    expect_stopped "build-info: COMMIT: 'abc' is not" --build-arg COMMIT=abc
    expect_stopped "build-info: SOURCE_DATE_EPOCH: 'now' is not" --build-arg SOURCE_DATE_EPOCH=now
    expect_stopped "build-info: BUILD_URL: 'a' is not" --build-arg BUILD_URL=a
    expect_stopped 'build-info: RELEASE=1 needs what is missing: VERSION COMMIT' --build-arg RELEASE=1
    expect_stopped 'build-info: RELEASE=1 needs what is missing: COMMIT' --build-arg RELEASE=1 --build-arg VERSION=1.2.3
}

run_tests malformed_and_missing_values_stop_by_name each_linter_stops failing_test_and_undefined_behaviour_stop \
    failing_test_of_the_static_program_stops vulnerable_library_stops archive_that_cannot_be_asked_stops
