# shellcheck shell=sh disable=SC2034,SC2154,SC2164 # used by, and set in, who sources it; set -e
# For test scripts about the build information: trees to ask it of. To be sourced after check.sh, from the
# root of the project; CC names the compiler.

root=$PWD
CC=${CC:-cc}
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
