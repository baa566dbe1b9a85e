#!/bin/sh
# What the build takes and refuses: build information, from variables, git and tarballs, and releases
# of libmicrohttpd. Run it from the root of the project; CC names the compiler.
set -eu
. tests/support/check.sh

root=$PWD
CC=${CC:-cc}
MAKE=${MAKE:-make}
unset VERSION COMMIT DESCRIPTION NAME SOURCE_URL BUILD_URL SOURCE_DATE_EPOCH RELEASE MAKEFLAGS MFLAGS MAKELEVEL
hash=0123456789abcdef0123456789abcdef01234567

# tree: makes a source tree without git in $scratch, with what the build information needs.
tree() {
    mkdir -p "$scratch/tree/scripts"
    cp "$root/scripts/build-info.sh" "$scratch/tree/scripts"
    cd "$scratch/tree"
    # As git has it; in a tarball the project's own is filled in.
    # shellcheck disable=SC2016
    echo '$Format:%H %ct %(describe:tags=true,match=?ersion*)$' >scripts/archive-info
}

# info VARIABLE=VALUE...: what build-info.sh prints, or its complaint.
info() {
    env NAME=a DESCRIPTION=b "$@" scripts/build-info.sh 2>&1
}

# show MACRO VARIABLE=VALUE...: the value of the macro, its escapes read as C reads them.
show() {
    macro=$1
    shift
    info "$@" >"$scratch/args" || fail "refused: $(cat "$scratch/args")"
    # shellcheck disable=SC2059 # nothing but octal escapes
    printf "$(sed -n '/^-D'"$macro"'=/{s/^[^"]*"\(.*\)\\"$/\1/;s/\\\\/\\/gp;}' "$scratch/args")"
}

# compile VARIABLE=VALUE...: what a program prints that was compiled with them, a macro a line.
compile() {
    info "$@" >"$scratch/args" || fail "refused: $(cat "$scratch/args")"
    # shellcheck disable=SC2086 # CC may have arguments
    printf '#include <stdio.h>\nint main(void) { puts(%s); }\n' \
        'VERSION "\n" COMMIT "\n" BUILD_DATE "\n" SOURCE_URL "\n" BUILD_URL "\n" DESCRIPTION' |
        $CC -std=c17 "@$scratch/args" -x c -o "$scratch/show" -
    "$scratch/show"
}

# expect_refused COMPLAINT VARIABLE=VALUE...
expect_refused() {
    complaint=$1
    shift
    if actual=$(info "$@"); then
        fail "taken: $*"
    fi
    expect_equal "$actual" "build-info: $complaint"
}

without_git_the_defaults_say_so() {
    tree
    expect_equal "$(show VERSION)" 0.0.0-dev
    expect_equal "$(show COMMIT)" unknown
    expect_equal "$(show BUILD_DATE)" 1970-01-01T00:00:00Z
    ! info | grep -q URL || fail 'a URL was made up'
}

valid_values_are_taken() {
    tree
    for version in 1.2.3 0.0.0 1.2.3-rc.1 1.2.3+b.01 1.2.3-0a.-.1+001 10.20.30-alpha-a.b-c; do
        expect_equal "$(show VERSION VERSION=$version)" "$version"
    done
    expect_equal "$(show BUILD_DATE SOURCE_DATE_EPOCH=1700000000)" 2023-11-14T22:13:20Z
}

values_reach_the_program_to_the_byte() {
    tree
    # shellcheck disable=SC2016 # as it stands
    for text in 'quote " and '\'' and \ and \n' 'Grüße, 世界 🚀' '$(touch x) `touch x` $HOME ${HOME}' \
        '-DX=1 @file %s %% ??/ /* */ // #' ' a  b ' '; touch x'; do
        expect_equal "$(compile VERSION=1.2.3 COMMIT=$hash SOURCE_DATE_EPOCH=1700000000 \
            SOURCE_URL='https://a.b/c?d=e&f=%20' BUILD_URL=http://a DESCRIPTION="$text")" "1.2.3
$hash
2023-11-14T22:13:20Z
https://a.b/c?d=e&f=%20
http://a
$text"
    done
    [ ! -e x ] || fail 'a command was run'
}

malformed_values_are_refused_by_name() {
    tree
    semver="is not a SemVer 2.0.0 version without a leading 'v', such as 1.2.3 or 1.2.3-rc.1"
    for version in banana v1.2.3 1.2 1.2.3.4 01.2.3 1.02.3 1.2.03 1.2.3- 1.2.3-01 1.2.3-a..b 1.2.3+ \
        1.2.3+a+b ' 1.2.3' '1.2.3 ' -1.2.3 '1.2.3";x' 1.2.3-ä; do
        expect_refused "VERSION: '$(printf %s "$version" | LC_ALL=C tr -c '[:print:]' '?')' $semver" \
            "VERSION=$version"
    done
    for commit in xyz ${hash}0 "${hash%?}" 0123456789ABCDEF0123456789ABCDEF01234567 unknown; do
        expect_refused "COMMIT: '$commit' is not 40 lower-case hex digits" "COMMIT=$commit"
    done
    for epoch in -1 01 1.5 1e3 100000000000 today; do
        expect_refused "SOURCE_DATE_EPOCH: '$epoch' is not a number of seconds since 1970-01-01, without \
leading zeros, of at most 11 digits" "SOURCE_DATE_EPOCH=$epoch"
    done
    for url in ftp://a a.b https:// 'https://a b' 'https://a"b' 'javascript:alert(1)' 'https://a<b'; do
        expect_refused "SOURCE_URL: '$url' is not an http or https URL of at most 512 bytes" \
            "SOURCE_URL=$url"
        expect_refused "BUILD_URL: '$url' is not an http or https URL of at most 512 bytes" \
            "BUILD_URL=$url"
    done
    expect_refused "RELEASE: 'yes' is not 0 or 1" RELEASE=yes
    expect_refused "NAME: 'A' is not a lower-case letter, then at most 62 lower-case letters, digits \
and '-'" NAME=A
}

several_lines_and_control_characters_are_refused_by_name() {
    tree
    lines=$(printf 'a\nb')
    format='is not 1 to 512 bytes of UTF-8 without control characters'
    expect_refused "DESCRIPTION: 'a?b' $format" "DESCRIPTION=$lines"
    expect_refused "DESCRIPTION: 'a?' $format" "DESCRIPTION=a
"
    expect_refused "DESCRIPTION: '?' $format" "DESCRIPTION=$(printf '\033')"
    expect_refused "DESCRIPTION: '?' $format" "DESCRIPTION=$(printf '\177')"
    expect_refused "DESCRIPTION: '??' $format" "DESCRIPTION=$(printf '\302\205')"
    expect_refused "DESCRIPTION: '?' $format" "DESCRIPTION=$(printf '\377')"
    expect_refused "DESCRIPTION: '??' $format" "DESCRIPTION=$(printf '\300\257')"
    expect_refused "DESCRIPTION: '' $format" DESCRIPTION=
    expect_refused "VERSION: '1.2.3?' is not a SemVer 2.0.0 version without a leading 'v', such as \
1.2.3 or 1.2.3-rc.1" "VERSION=1.2.3
"
}

length_is_bounded_on_both_sides() {
    tree
    long=$(printf '%0512d' 0)
    show DESCRIPTION "DESCRIPTION=$long" >/dev/null
    ! info "DESCRIPTION=${long}0" >/dev/null || fail 'a description of 513 bytes was taken'
    show VERSION "VERSION=1.2.3-a${long#0000000}" >/dev/null
    ! info "VERSION=1.2.3-a${long#000000}" >/dev/null || fail 'a version of 513 bytes was taken'
}

release_needs_its_values() {
    tree
    expect_refused 'RELEASE=1 needs what is missing: VERSION COMMIT' RELEASE=1
    expect_refused 'RELEASE=1 needs what is missing: COMMIT' RELEASE=1 VERSION=1.2.3
    expect_refused 'RELEASE=1 needs what is missing: SOURCE_DATE_EPOCH' RELEASE=1 VERSION=1.2.3 COMMIT=$hash
    expect_equal "$(show VERSION RELEASE=1 VERSION=1.2.3 COMMIT=$hash SOURCE_DATE_EPOCH=0)" 1.2.3
    expect_equal "$(show VERSION RELEASE=0)" 0.0.0-dev
}

# repository: makes a git repository of the tree, with one commit.
repository() {
    command -v git >/dev/null || skip 'git is not installed'
    tree
    export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
    export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
    export GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000'
    cp "$root/.gitattributes" .
    git init -q -b main .
    git add .
    git commit -q -m first
}

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

run_tests without_git_the_defaults_say_so valid_values_are_taken \
    values_reach_the_program_to_the_byte malformed_values_are_refused_by_name \
    several_lines_and_control_characters_are_refused_by_name length_is_bounded_on_both_sides \
    release_needs_its_values git_gives_version_commit_and_time dirty_tree_shows \
    untracked_source_shows_as_it_would_be_compiled tree_of_another_user_knows_its_commit \
    given_commit_is_not_dated_by_another repository_without_a_commit_builds \
    surrounding_repository_is_not_asked tarball_knows_its_commit clone_without_git_knows_its_commit \
    make_stops_with_one_clear_line make_passes_values_on_as_they_are make_takes_values_from_the_environment \
    make_refuses_other_switches_by_name dockerfile_has_the_name_and_description_of_the_makefile \
    crashing_libraries_are_refused_with_the_reason
