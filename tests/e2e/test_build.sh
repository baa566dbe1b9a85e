#!/bin/sh
# What the build finds out and refuses: build information from git and tarballs, make's variables, releases
# of libmicrohttpd. Run it from the root of the project; CC names the compiler.
set -eu
. tests/support/check.sh
. tests/support/build_info.sh

MAKE=${MAKE:-make}

git_gives_version_commit_and_time() {
    repository
    expect_equal "$(show COMMIT)" "$(git rev-parse HEAD)"
    expect_equal "$(show BUILD_DATE)" 2023-11-14T22:13:20Z
    expect_equal "$(show VERSION)" 0.0.0-dev
    git tag other
    expect_equal "$(show VERSION)" 0.0.0-dev
    git tag version1.2.3
    expect_equal "$(show VERSION)" 1.2.3
    git commit -q --allow-empty -m second
    expect_equal "$(show VERSION)" "1.2.4-dev.1+g$(git rev-parse --short HEAD)"
    git tag Version1.3.0-rc.1
    expect_equal "$(show VERSION)" 1.3.0-rc.1
    git commit -q --allow-empty -m third
    expect_equal "$(show VERSION)" "1.3.0-rc.1.dev.1+g$(git rev-parse --short HEAD)"
    echo >>.gitattributes
    expect_equal "$(show VERSION)" "1.3.0-rc.1.dev.1+g$(git rev-parse --short HEAD).dirty"
    expect_equal "$(show VERSION VERSION=2.0.0)" 2.0.0
}

dirty_tree_shows() {
    repository
    echo >untracked
    expect_equal "$(show VERSION)" 0.0.0-dev
    echo >>.gitattributes
    expect_equal "$(show VERSION)" 0.0.0-dev+dirty
}

untracked_source_shows_as_it_would_be_compiled() {
    repository
    mkdir src
    echo >src/untracked.c
    expect_equal "$(show VERSION)" 0.0.0-dev+dirty
}

# As in a container, where the mounted tree belongs to somebody else.
tree_of_another_user_knows_its_commit() {
    [ "$(id -u)" = 0 ] || skip 'only root can give a tree away'
    repository
    head=$(git rev-parse HEAD)
    chown -R 65534 .
    expect_equal "$(show COMMIT)" "$head"
    expect_equal "$(show BUILD_DATE)" 2023-11-14T22:13:20Z
}

# What is given beats git, and git does not date a commit that it is not at.
given_commit_is_not_dated_by_another() {
    repository
    expect_equal "$(show BUILD_DATE COMMIT=$hash)" 1970-01-01T00:00:00Z
    expect_equal "$(show BUILD_DATE COMMIT="$(git rev-parse HEAD)")" 2023-11-14T22:13:20Z
    expect_refused 'RELEASE=1 needs what is missing: SOURCE_DATE_EPOCH' RELEASE=1 VERSION=1.2.3 COMMIT=$hash
    show VERSION RELEASE=1 VERSION=1.2.3 COMMIT="$(git rev-parse HEAD)" >/dev/null
}

repository_without_a_commit_builds() {
    repository
    rm -rf .git
    git init -q -b main .
    expect_equal "$(show COMMIT)" unknown
}

# A tree without git inside of another project's repository is not that project's commit.
surrounding_repository_is_not_asked() {
    repository
    mkdir inner
    cp -R scripts inner
    cd inner
    expect_equal "$(show COMMIT)" unknown
}

tarball_knows_its_commit() {
    repository
    git tag version1.2.3
    head=$(git rev-parse HEAD)
    git archive --prefix=tarball/ HEAD | tar -x -C "$scratch"
    cd "$scratch/tarball"
    expect_equal "$(show COMMIT)" "$head"
    expect_equal "$(show BUILD_DATE)" 2023-11-14T22:13:20Z
    expect_equal "$(show VERSION)" 1.2.3
}

# A clone on a machine that has no git.
clone_without_git_knows_its_commit() {
    repository
    head=$(git rev-parse HEAD)
    mkdir "$scratch/bin"
    for tool in sh env cat sed awk od tr grep iconv date; do
        ln -s "$(command -v "$tool")" "$scratch/bin/$tool"
    done
    expect_equal "$(PATH=$scratch/bin info | grep COMMIT)" "$(info COMMIT="$head" | grep COMMIT)"
    git pack-refs --all
    expect_equal "$(PATH=$scratch/bin info | grep COMMIT)" "$(info COMMIT="$head" | grep COMMIT)"
    git checkout -q --detach
    expect_equal "$(PATH=$scratch/bin info | grep COMMIT)" "$(info COMMIT="$head" | grep COMMIT)"
}

# make_info VARIABLE=VALUE...: the same through make, as a user would.
make_info() {
    $MAKE -s --no-print-directory OUT="$scratch/out" "$scratch/out/build-info.args" "$@" 2>&1
}

make_stops_with_one_clear_line() {
    for given in VERSION=banana COMMIT=xyz RELEASE=1; do
        if complaint=$(make_info "$given"); then
            fail "taken: $given"
        fi
        expect_equal "$(printf '%s\n' "$complaint" | grep -c '^build-info: ')" 1
        expect_equal "$(printf '%s\n' "$complaint" | grep -cv '^make: \*\*\*\|^build-info: ')" 0
    done
    [ ! -e "$scratch/out/build-info.args" ] || fail 'a file was left behind'
}

make_passes_values_on_as_they_are() {
    # shellcheck disable=SC2016 # as it stands
    text='$(shell touch x) $$ $(HOME) "a" '\''b'\'' \ `touch x` -DX # @y'
    make_info DESCRIPTION="$text" NAME=a
    expect_equal "$(grep DESCRIPTION "$scratch/out/build-info.args")" \
        "$(NAME=a DESCRIPTION=$text scripts/build-info.sh | grep DESCRIPTION)"
    [ ! -e x ] || fail 'a command was run'
}

make_takes_values_from_the_environment() {
    VERSION=9.9.9 SOURCE_DATE_EPOCH=86400 make_info COMMIT=$hash NAME=a DESCRIPTION=b
    expect_equal "$(cat "$scratch/out/build-info.args")" \
        "$(NAME=a DESCRIPTION=b VERSION=9.9.9 COMMIT=$hash SOURCE_DATE_EPOCH=86400 scripts/build-info.sh)"
}

make_refuses_other_switches_by_name() {
    for given in STATIC=yes COVERAGE=2 VALGRIND=on WERROR=-1; do
        ! make_info "$given" >"$scratch/complaint" || fail "taken: $given"
        grep -qF "${given%%=*}: '${given#*=}' is not 0 or 1" "$scratch/complaint" || fail "said: $(cat "$scratch/complaint")"
    done
    ! make_info SANITIZE=memory >"$scratch/complaint" || fail 'taken: SANITIZE=memory'
    grep -qF "SANITIZE: 'memory' is not one of address,undefined thread" "$scratch/complaint" ||
        fail "said: $(cat "$scratch/complaint")"
    make_info STATIC=0 COVERAGE=0 VALGRIND=0 WERROR=0
}

# Who builds the image without make gets the Dockerfile's.
dockerfile_has_the_name_and_description_of_the_makefile() {
    name=$(sed -n 's/^NAME *= *//p' Makefile)
    description=$(sed -n 's/^DESCRIPTION *?= *//p' Makefile)
    expect_equal "$(grep -c "^ARG DESCRIPTION=\"$description\"\$" Dockerfile)" 2
    grep -qF "org.opencontainers.image.title=\"$name\"" Dockerfile || fail "the title is not $name"
    grep -qxF "ENTRYPOINT [\"/$name\"]" Dockerfile || fail "the entry point is not /$name"
}

# expect_library_refused VERSION REASON: a library that says it is VERSION stops the compiler.
expect_library_refused() {
    mkdir -p "$scratch/include"
    printf '#define MHD_VERSION %s\n' "$1" >"$scratch/include/microhttpd.h"
    # shellcheck disable=SC2086 # CC may have arguments
    if $CC -std=c17 -D_GNU_SOURCE -I"$scratch/include" -Iinclude -fsyntax-only src/server.c \
        2>"$scratch/complaint"; then
        fail "compiled with $1"
    fi
    grep -qF "$2" "$scratch/complaint" || fail "said: $(head -n 5 "$scratch/complaint")"
}

crashing_libraries_are_refused_with_the_reason() {
    reason='one request crashes libmicrohttpd 1.0.0 to 1.0.9: 1.0.10 or later is needed'
    expect_library_refused 0x01000000 "$reason"
    expect_library_refused 0x01000900 "$reason"
    expect_library_refused 0x00097500 'libmicrohttpd 1.0.10 or later is needed'
}

run_tests git_gives_version_commit_and_time dirty_tree_shows \
    untracked_source_shows_as_it_would_be_compiled tree_of_another_user_knows_its_commit \
    given_commit_is_not_dated_by_another repository_without_a_commit_builds \
    surrounding_repository_is_not_asked tarball_knows_its_commit clone_without_git_knows_its_commit \
    make_stops_with_one_clear_line make_passes_values_on_as_they_are \
    make_takes_values_from_the_environment make_refuses_other_switches_by_name \
    dockerfile_has_the_name_and_description_of_the_makefile \
    crashing_libraries_are_refused_with_the_reason
