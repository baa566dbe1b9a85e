#!/bin/sh
# Tests the build information (scripts/build-info.sh): values from git, from tarballs and from the caller; and how make checks its
# variables. Run it from the root of the project; CC is the compiler.
set -eu
. tests/support/check.sh

root=$PWD
CC=${CC:-cc}
MAKE=${MAKE:-make}
unset VERSION COMMIT DESCRIPTION NAME SOURCE_URL BUILD_URL SOURCE_DATE_EPOCH RELEASE MAKEFLAGS MFLAGS MAKELEVEL
hash=0123456789abcdef0123456789abcdef01234567

# tree: makes and enters a source tree without git, in $scratch/tree.
tree() {
    mkdir -p "$scratch/tree/scripts"
    cp "$root/scripts/build-info.sh" "$scratch/tree/scripts"
    cd "$scratch/tree"
    # shellcheck disable=SC2016 # git archive replaces it
    echo '$Format:%H %ct %(describe:tags=true,match=?ersion*)$' >scripts/archive-info
}

# repository: makes a git repository of the tree, with one commit.
repository() {
    needs git
    tree
    export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
    export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
    export GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000'
    cp "$root/.gitattributes" .
    git init -q -b main .
    git add .
    git commit -q -m first
    head=$(git rev-parse HEAD)
}

# info VARIABLE=VALUE...: prints the output or the error message of build-info.sh.
info() { env NAME=a DESCRIPTION=b "$@" scripts/build-info.sh 2>&1; }

# expect_values VALUES VARIABLE=VALUE...: VALUES are version, commit and build date.
expect_values() {
    expected=$1
    shift
    env NAME=a DESCRIPTION=b "$@" scripts/build-info.sh values >"$scratch/values" 2>&1 || fail "refused: $(cat "$scratch/values")"
    expect_equal "$(sed -nE 's/^(VERSION|COMMIT|BUILD_DATE)=//p' "$scratch/values" | paste -sd ' ' -)" "$expected"
}

# expect_refused MESSAGE VARIABLE=VALUE...
expect_refused() {
    message=$1
    shift
    ! actual=$(info "$@") || fail "accepted: $*"
    case $actual in "build-info: $message"*) ;; *) fail "expected '$message': $actual" ;; esac
}

takes_version_commit_and_time_from_git() {
    repository
    date=2023-11-14T22:13:20Z
    git tag other
    expect_values "0.0.0-dev $head $date"
    git tag version1.2.3
    expect_values "1.2.3 $head $date"
    git commit -q --allow-empty -m second
    short=$(git rev-parse --short HEAD)
    expect_values "1.2.4-dev.1+g$short $(git rev-parse HEAD) $date"
    echo >untracked
    git tag Version1.3.0-rc.1
    expect_values "1.3.0-rc.1 $(git rev-parse HEAD) $date"
    git commit -q --allow-empty -m third
    mkdir src
    echo >src/untracked.c
    expect_values "1.3.0-rc.1.dev.1+g$(git rev-parse --short HEAD).dirty $(git rev-parse HEAD) $date"
    # The time of another commit is unknown.
    expect_values "2.0.0 $hash 1970-01-01T00:00:00Z" VERSION=2.0.0 COMMIT=$hash
    # As in a container, where the source belongs to another user.
    head=$(git rev-parse HEAD)
    [ "$(id -u)" != 0 ] || chown -R 65534 .
    expect_values "2.0.0 $head $date" VERSION=2.0.0
    # Nor is a tree in another repository of that repository.
    cp -R scripts src
    cd src
    expect_values '0.0.0-dev 1970-01-01T00:00:00Z' # the commit is unknown
}

tarball_and_clone_without_git_know_their_commit() {
    repository
    git tag version1.2.3
    git archive --prefix=tarball/ HEAD | tar -x -C "$scratch"
    mkdir "$scratch/bin"
    for tool in sh env cat sed awk od tr grep iconv date paste; do
        ln -s "$(command -v "$tool")" "$scratch/bin/$tool"
    done
    (PATH=$scratch/bin && expect_values "0.0.0-dev $head 1970-01-01T00:00:00Z")
    git pack-refs --all
    (PATH=$scratch/bin && expect_values "0.0.0-dev $head 1970-01-01T00:00:00Z")
    cd "$scratch/tarball"
    expect_values "1.2.3 $head 2023-11-14T22:13:20Z"
}

values_reach_the_program_byte_by_byte() {
    tree
    # shellcheck disable=SC2016 # not expanded
    text=' " '\'' \ \n Grüße 🚀 $(touch x) `touch x` $HOME ${HOME} -DX=1 @file %s %% ??/ /* */ // # ; touch x '
    info VERSION=1.2.3 COMMIT=$hash SOURCE_URL='https://a.b/c?d=e&f=%20' DESCRIPTION="$text" >"$scratch/args"
    # shellcheck disable=SC2086 # CC may have arguments
    printf '#include <stdio.h>\nint main(void) { puts(VERSION COMMIT SOURCE_URL DESCRIPTION); }\n' |
        $CC -std=c17 "@$scratch/args" -x c -o "$scratch/show" -
    expect_equal "$("$scratch/show")" "1.2.3${hash}https://a.b/c?d=e&f=%20$text"
    [ ! -e x ] || fail 'a command was executed'
}

refuses_malformed_values_by_name() {
    tree
    long=$(printf '%0512d' 0)
    for value in "NAME=$(printf '%063d' 0 | tr 0 a)" 'SOURCE_URL=http://[::1]:8080/' VERSION=1.2.3--1+0.-- \
        VERSION=99999999999999999999999.999999999999999999.99999999999999999 VERSION=1.2.3-0a.-.1+001 VERSION=10.20.30-alpha-a.b-c VERSION="1.2.3-a${long#0000000}" "DESCRIPTION=$long" RELEASE=0; do
        info "$value" >"$scratch/said" || fail "refused: $(cat "$scratch/said")"
    done
    for value in VERSION=v1.2.3 VERSION=1.2 VERSION=01.2.3 VERSION=1.2.3-01 VERSION=1.2.3-a..b VERSION=1.2.3+ VERSION='1.2.3 ' \
        VERSION=1.2.3.4 VERSION=1.2.3-a_b VERSION=1.2.3-a. VERSION=1.2.3-00 VERSION=1.2.3+a+b VERSION=1..3 VERSION=1.2.3+a_b \
        'VERSION=1.2.3";x' COMMIT=xyz COMMIT=${hash}0 COMMIT=0123456789ABCDEF0123456789ABCDEF01234567 COMMIT=unknown \
        SOURCE_DATE_EPOCH=-1 SOURCE_DATE_EPOCH=01 SOURCE_DATE_EPOCH=1e3 SOURCE_DATE_EPOCH=100000000000 \
        SOURCE_URL=ftp://a SOURCE_URL=https:// SOURCE_URL=http:///path SOURCE_URL=HTTPS://a 'SOURCE_URL=http://?' \
        'SOURCE_URL=https://a b' 'BUILD_URL=https://a"b' 'BUILD_URL=javascript:alert(1)' \
        RELEASE=yes NAME=A NAME=1a NAME=a_b NAME=-a "NAME=$(printf '%064d' 0 | tr 0 a)" DESCRIPTION=; do
        expect_refused "${value%%=*}: '${value#*=}' is not " "$value"
    done
    expect_refused "DESCRIPTION: 'a?b' is not" "DESCRIPTION=$(printf 'a\nb')"
    expect_refused "VERSION: '1.2.3?.' is not" "$(printf 'VERSION=1.2.3\n.')"
    # Control characters; no UTF-8: a byte that never occurs, an overlong form, a surrogate, above U+10FFFF, five bytes, half a character.
    for bytes in '\033' '\177' '\302\205' '\377' '\300\257' '\355\240\200' '\364\220\200\200' '\370\210\200\200\200' 'a\342\202'; do
        # shellcheck disable=SC2059 # escapes
        expect_refused 'DESCRIPTION: ' "DESCRIPTION=$(printf "$bytes")"
    done
    expect_refused 'VERSION: ' "VERSION=1.2.3-a${long#000000}"
    expect_refused 'DESCRIPTION: ' "DESCRIPTION=${long}0"
    expect_refused 'RELEASE=1 needs what is missing: VERSION COMMIT' RELEASE=1
    expect_refused 'RELEASE=1 needs what is missing: SOURCE_DATE_EPOCH' RELEASE=1 VERSION=1.2.3 COMMIT=$hash
    expect_values "1.2.3 $hash 1970-01-01T00:00:00Z" RELEASE=1 VERSION=1.2.3 COMMIT=$hash SOURCE_DATE_EPOCH=0
}

# page VARIABLE=VALUE...: prints the page filled in with these values.
page() {
    env NAME=a DESCRIPTION=b VERSION=1.2.3 SOURCE_DATE_EPOCH=0 "$@" "$root/scripts/build-info.sh" values >"$scratch/values"
    LC_ALL=C awk -f "$root/scripts/fill-template.awk" "$scratch/values" "$root/src/page.html" >"$scratch/page"
    sed '1,/^<h1>/{/^<h1>/!d;};/^<nav/,$d' "$scratch/page"
}

page_has_the_known_values_escaped() {
    tree
    expect_equal "$(page)" '<h1>a <b>1.2.3</b></h1>
<p>b</p>
<dl>
<dt>Commit</dt>
<dd><code>unknown</code></dd>
<dt>Built</dt>
<dd><time>1970-01-01T00:00:00Z</time></dd>
</dl>'
    expect_equal "$(page COMMIT=$hash SOURCE_URL="https://a/?b=c&d='e'" BUILD_URL='http://b/&' \
        DESCRIPTION="Grüße & \\& <b> \"c\" 'd' {{version}} %s = \\1")" "<h1>a <b>1.2.3</b></h1>
<p>Grüße &amp; \\&amp; &lt;b&gt; &quot;c&quot; &#39;d&#39; {{version}} %s = \\1</p>
<dl>
<dt>Commit</dt>
<dd><a href=\"https://a/?b=c&amp;d=&#39;e&#39;\"><code>$hash</code></a></dd>
<dt>Built</dt>
<dd><time>1970-01-01T00:00:00Z</time></dd>
<dt>CI run</dt>
<dd><a href=\"http://b/&amp;\">http://b/&amp;</a></dd>
</dl>"
    ! grep '{{[#^]' "$scratch/page" || fail 'a condition is left'
}

badge_fits_the_version() {
    for version in 0.0.1 "1.2.3-$(printf '%0506d' 0 | tr 0 a)"; do
        echo "VERSION=$version" >"$scratch/values"
        awk -f scripts/fill-template.awk "$scratch/values" src/badge.svg >"$scratch/badge"
        grep -qF "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"$((7 * ${#version} + 73))\"" "$scratch/badge" || fail "$(cat "$scratch/badge")"
        grep -qxF "<text x=\"67\" y=\"14\" textLength=\"$((7 * ${#version}))\">$version</text>" "$scratch/badge" || fail "$(cat "$scratch/badge")"
    done
}

# make_info VARIABLE=VALUE...: as info, through make.
make_info() { $MAKE -s --no-print-directory OUT="$scratch/out" "$scratch/out/build-info.args" "$@" 2>&1; }

make_passes_values_on_or_refuses_them() {
    # shellcheck disable=SC2016 # not expanded
    text='$(shell touch x) $$ $(HOME) "a" '\''b'\'' \ `touch x` -DX # @y'
    VERSION=9.9.9 make_info DESCRIPTION="$text" NAME=a
    expect_equal "$(cat "$scratch/out/build-info.args")" "$(NAME=a VERSION=9.9.9 DESCRIPTION=$text scripts/build-info.sh)"
    [ ! -e x ] || fail 'a command was executed'
    rm "$scratch/out/build-info.args"
    for value in VERSION=banana RELEASE=1 STATIC=yes COVERAGE=2 SANITIZE=memory TEST=nothing BUILD_DIR=/; do
        ! make_info "$value" >"$scratch/said" || fail "accepted: $value"
        grep -qE "(\*\*\*|build-info:) ${value%%=*}[:=]" "$scratch/said" || fail "$value: $(cat "$scratch/said")"
    done
    [ ! -e "$scratch/out/build-info.args" ] || fail 'left a file behind'
}

links_tests_without_lto() {
    $MAKE -n OUT="$scratch/out" CFLAGS='-O2 -flto' build "$scratch/out/tests/unit/test_json" >"$scratch/said"
    expect_equal "$(grep -c -- '-fno-lto' "$scratch/said")" 1
}

dockerfile_has_the_name_and_description_of_the_makefile() {
    name=$(sed -n 's/^NAME *= *//p' Makefile)
    description=$(sed -n 's/^DESCRIPTION *?= *//p' Makefile)
    expect_equal "$(grep -c "^ARG DESCRIPTION=\"$description\"\$" Dockerfile)" 2
    grep -qxF "ENTRYPOINT [\"/$name\"]" Dockerfile || fail "the entry point is not /$name"
}

refuses_libraries_that_a_request_crashes() {
    mkdir "$scratch/include"
    for version in 0x01000900 0x00097500; do
        echo "#define MHD_VERSION $version" >"$scratch/include/microhttpd.h"
        # shellcheck disable=SC2086 # CC may have arguments
        ! $CC -std=c17 -D_GNU_SOURCE -I"$scratch/include" -Iinclude -fsyntax-only src/server.c 2>"$scratch/said" || fail "accepted $version"
        grep -qF '1.0.10 or later is required' "$scratch/said" || fail "$(head -n 5 "$scratch/said")"
    done
}

run_tests takes_version_commit_and_time_from_git tarball_and_clone_without_git_know_their_commit \
    values_reach_the_program_byte_by_byte page_has_the_known_values_escaped badge_fits_the_version refuses_malformed_values_by_name make_passes_values_on_or_refuses_them \
    links_tests_without_lto dockerfile_has_the_name_and_description_of_the_makefile refuses_libraries_that_a_request_crashes
