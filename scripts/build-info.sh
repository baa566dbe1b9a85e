#!/bin/sh
# Prints the build information, or refuses a malformed value.
# Usage: scripts/build-info.sh [values]
# Without an argument: the compiler's arguments that bake it in, one -D a line, in the syntax of a
# response file (gcc @file). "values": VARIABLE=VALUE lines, as they are, without those not known.
#
# Environment: NAME and DESCRIPTION (needed), VERSION, COMMIT, SOURCE_DATE_EPOCH, SOURCE_URL, BUILD_URL
# (an empty one counts as not given), RELEASE (1: VERSION and COMMIT must be given). Not given: asked
# of git, or in a release tarball of the file archive-info, else "unknown".
# Exit status: 0; 1 with one line on stderr that names the variable, the value and the format.
# Run it from the root of the project.
set -eu
LC_ALL=C
export LC_ALL

release_pattern='(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)'
prerelease_pattern='(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)'
semver_pattern="$release_pattern(-$prerelease_pattern(\\.$prerelease_pattern)*)?"
semver_pattern="$semver_pattern(\\+[0-9A-Za-z-]+(\\.[0-9A-Za-z-]+)*)?"
url_pattern="https?://[A-Za-z0-9[][][A-Za-z0-9._~:/?#@!\$&'()*+,;=%-]*"

die() {
    printf 'build-info: %s\n' "$1" >&2
    exit 1
}

# defines: prints MACRO VALUE lines on stdin as arguments of the compiler. The bytes of a value become
# octal escapes of C, so that none means anything to a shell, to the compiler's argument parser or to
# the preprocessor.
defines() {
    awk 'BEGIN { for (i = 1; i < 256; i++) octal[sprintf("%c", i)] = sprintf("\\\\%03o", i) }
        {
            at = index($0, " ")
            value = substr($0, at + 1)
            escaped = ""
            for (i = 1; i <= length(value); i++) escaped = escaped octal[substr(value, i, 1)]
            printf "-D%s=\\\"%s\\\"\n", substr($0, 1, at - 1), escaped
        }'
}

# refuse VARIABLE VALUE FORMAT: what cannot be printed is shown as '?'.
refuse() {
    die "$1: '$(printf '%.100s' "$2" | tr -c '[:print:]' '?')' is not $3"
}

# check VARIABLE VALUE PATTERN FORMAT: the whole value, which is one line, matches the pattern.
check() {
    case $2 in *"
"*) refuse "$1" "$2" "$4" ;; esac
    [ "${#2}" -le 512 ] || refuse "$1" "$2" "$4"
    printf '%s\n' "$2" | grep -Eqx -- "$3" || refuse "$1" "$2" "$4"
}

# check_description VALUE: valid UTF-8 without control characters, the C1 ones (U+0080 to U+009F,
# bytes c2 80 to c2 9f) included. Only what UTF-16 can hold is UTF-8 (RFC 3629, section 3).
check_description() {
    format='1 to 512 bytes of UTF-8 without control characters'
    case ${#1} in 0) refuse DESCRIPTION '' "$format" ;; esac
    [ "${#1}" -le 512 ] || refuse DESCRIPTION "$1" "$format"
    case $1 in *[!\ -~]*) ;; *) return 0 ;; esac # all of it is printable ASCII
    printf '%s' "$1" | iconv -f UTF-8 -t UTF-16 >/dev/null 2>&1 || refuse DESCRIPTION "$1" "$format"
    case $(printf '%s' "$1" | od -An -v -tx1 | tr -d '\n') in
    *' 0'[0-9a-f]* | *' 1'[0-9a-f]* | *' 7f'* | *' c2 8'[0-9a-f]* | *' c2 9'[0-9a-f]*)
        refuse DESCRIPTION "$1" "$format"
        ;;
    esac
}

# to_semver DESCRIBED: what git-describe(1) says, as SemVer. Commits after a release come before the
# next one: version1.2.3-4-gabc becomes 1.2.4-dev.4+gabc, and after 1.3.0-rc.1, 1.3.0-rc.1.dev.4+gabc.
to_semver() {
    printf '%s\n' "$1" | sed -nE \
        -e 's/^[vV]ersion//' \
        -e "/^$semver_pattern\$/{/-[0-9]+-g[0-9a-f]+\$/!{p;q;};}" \
        -e 's/^([0-9.]+)-([0-9]+)-(g[0-9a-f]+)$/\1 \2 \3/p' \
        -e 's/^([0-9.]+-[^+]+)-([0-9]+)-(g[0-9a-f]+)$/\1.dev.\2+\3/p' |
        awk 'NF == 3 { split($1, n, "."); $0 = n[1] "." n[2] "." n[3] + 1 "-dev." $2 "+" $3 } { print }'
}

# head_commit: the commit of a clone where git is not installed.
head_commit() {
    head=$(cat .git/HEAD)
    case $head in
    'ref: '*)
        ref=${head#ref: }
        if [ -f ".git/$ref" ]; then
            cat ".git/$ref"
        elif [ -f .git/packed-refs ]; then
            awk -v ref="$ref" '$2 == ref { print $1 }' .git/packed-refs
        fi
        ;;
    *) printf '%s\n' "$head" ;;
    esac
}

# ask_git COMMAND...: also in a tree that belongs to another user, as in a container: whose Makefile
# runs may be asked for its commit.
ask_git() {
    git -c safe.directory="$PWD" -c core.fsmonitor=false "$@"
}

# Set found_commit, found_epoch, found_version and found_dirty to what the source tree says of itself;
# what it does not say stays empty.
found_commit='' found_epoch='' found_version='' found_dirty=''
ask_tree() {
    if [ -e .git ] && command -v git >/dev/null 2>&1; then
        found_commit=$(ask_git log -1 --no-show-signature --format='%H %ct' 2>/dev/null) || found_commit=
        [ -n "$found_commit" ] || return 0 # no commit yet
        found_epoch=${found_commit#* }
        found_commit=${found_commit% *}
        found_version=$(ask_git describe --tags --match '[vV]ersion*' 2>/dev/null) || found_version=''
        # A file that git does not know yet counts where it would be compiled.
        found_dirty=$(ask_git status --porcelain | sed -n -e '/^?? /!p' -e '/^?? src\//p' -e '/^?? include\//p')
    elif [ -d .git ]; then
        found_commit=$(head_commit)
    else
        read -r found_commit found_epoch found_version <scripts/archive-info
        # shellcheck disable=SC2016 # the text that git-archive(1) has not replaced
        case $found_commit in '$Format:'*) found_commit='' found_epoch='' found_version='' ;; esac
    fi
}

# dirty VERSION: with "dirty" among its build metadata.
dirty() {
    case $1 in
    *+*) printf '%s.dirty\n' "$1" ;;
    *) printf '%s+dirty\n' "$1" ;;
    esac
}

check NAME "${NAME-}" '[a-z][a-z0-9-]{0,62}' \
    "a lower-case letter, then at most 62 lower-case letters, digits and '-'"
check_description "${DESCRIPTION-}"
case ${RELEASE:-0} in
0) ;;
1)
    missing=
    [ -n "${VERSION-}" ] || missing="$missing VERSION"
    [ -n "${COMMIT-}" ] || missing="$missing COMMIT"
    [ -z "$missing" ] || die "RELEASE=1 needs what is missing:$missing"
    ;;
*) refuse RELEASE "$RELEASE" '0 or 1' ;;
esac

ask_tree
commit=${COMMIT:-${found_commit:-unknown}}
version=${VERSION-}
epoch=${SOURCE_DATE_EPOCH-}
if [ -z "$version" ]; then
    [ -z "$found_version" ] || version=$(to_semver "$found_version")
    version=${version:-0.0.0-dev}
    [ -z "$found_dirty" ] || version=$(dirty "$version")
fi
# The time of a commit that is not the tree's is not known.
if [ -z "$epoch" ] && [ "$commit" = "$found_commit" ]; then
    epoch=$found_epoch
fi
[ "${RELEASE:-0}" = 0 ] || [ -n "$epoch" ] || die "RELEASE=1 needs what is missing: SOURCE_DATE_EPOCH"

check VERSION "$version" "$semver_pattern" \
    "a SemVer 2.0.0 version without a leading 'v', such as 1.2.3 or 1.2.3-rc.1"
case ${COMMIT:+given}$commit in
unknown) ;;
*) check COMMIT "$commit" '[0-9a-f]{40}' '40 lower-case hex digits' ;;
esac
check SOURCE_DATE_EPOCH "${epoch:-0}" '0|[1-9][0-9]{0,10}' \
    'a number of seconds since 1970-01-01, without leading zeros, of at most 11 digits'
[ -z "${SOURCE_URL-}" ] ||
    check SOURCE_URL "$SOURCE_URL" "$url_pattern" 'an http or https URL of at most 512 bytes'
[ -z "${BUILD_URL-}" ] ||
    check BUILD_URL "$BUILD_URL" "$url_pattern" 'an http or https URL of at most 512 bytes'

build_date=$(date -u -d "@${epoch:-0}" +%Y-%m-%dT%H:%M:%SZ)
if [ "${1-}" = values ]; then
    [ "$commit" != unknown ] || commit=
    for pair in "NAME=$NAME" "VERSION=$version" "COMMIT=$commit" "DESCRIPTION=$DESCRIPTION" \
        "SOURCE_DATE_EPOCH=$epoch" "BUILD_DATE=$build_date" "SOURCE_URL=${SOURCE_URL-}" \
        "BUILD_URL=${BUILD_URL-}" "RELEASE=${RELEASE-}"; do
        [ -z "${pair#*=}" ] || printf '%s\n' "$pair"
    done
    exit
fi
{
    printf '%s\n' "NAME $NAME" "VERSION $version" "COMMIT $commit" "DESCRIPTION $DESCRIPTION" "BUILD_DATE $build_date"
    [ -z "${SOURCE_URL-}" ] || printf '%s\n' "SOURCE_URL $SOURCE_URL"
    [ -z "${BUILD_URL-}" ] || printf '%s\n' "BUILD_URL $BUILD_URL"
} | defines
