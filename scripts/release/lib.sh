# shellcheck shell=sh disable=SC2034
# Shared by the scripts of a release, which run from the root of the project: tags, versions, the registry.
# shellcheck source-path=SCRIPTDIR source=../../deps/lib.sh
. deps/lib.sh

self=release
release_tags='[vV]ersion[0-9]*'
full_release='^[0-9]+\.[0-9]+\.[0-9]+$'

# is_version VERSION: SemVer 2.0.0, as the build takes it.
is_version() {
    env -u SOURCE_DATE_EPOCH -u SOURCE_URL -u BUILD_URL -u RELEASE NAME=a DESCRIPTION=a VERSION="$1" \
        scripts/build-info.sh values >/dev/null 2>&1
}

# is_prerelease VERSION
is_prerelease() { case $1 in *-*) ;; *) return 1 ;; esac }

# version_of_tag TAG: prints the version that it releases. The tag of an image takes no '+', nor more than 128 bytes.
version_of_tag() {
    version=${1#[vV]ersion}
    case $version in "$1" | *+*) version='' ;; esac
    [ "${#version}" -le 128 ] || version=''
    is_version "${version:-none}" ||
        die "tag: '$1' is not version1.2.3 or Version1.2.3 (SemVer 2.0.0; a pre-release as version1.2.3-rc.1; no build metadata)"
    echo "$version"
}

# last_release COMMIT [OPTION]...: prints the nearest tag of a release at or before COMMIT; nothing when there is
# none. OPTION is one of git-describe(1).
last_release() {
    revision=$1
    shift
    git describe --tags --abbrev=0 --match "$release_tags" "$@" "$revision" 2>/dev/null || test $? = 128
}

# prerelease_tags: a pattern for git-describe(1).
prerelease_tags='[vV]ersion[0-9]*-*'

# tls REPOSITORY: prints "false" for a registry on this machine, as engines speak to it, else "true".
tls() {
    case ${1%%/*} in
    localhost | localhost:* | 127.0.0.1 | 127.0.0.1:*) echo false ;;
    *) echo true ;;
    esac
}

# published_digest REPOSITORY VERSION: prints the digest of what has that tag; nothing when nothing has. Dies when the
# registry cannot be asked. "denied" is how GitHub's says that there is no such repository yet, before the first release;
# to whom it denies what is there, it denies the release, too.
published_digest() {
    if skopeo inspect --raw --tls-verify="$(tls "$1")" "docker://$1:$2" >"$work/manifest" 2>"$work/why"; then
        echo "sha256:$(sha256_of "$work/manifest")"
    elif grep -q 'permission denied' "$work/why" ||
        ! grep -qE 'manifest unknown|name unknown|: denied|resource is denied|403' "$work/why"; then
        die "cannot ask $1 for $2: $(tail -n 1 "$work/why")"
    fi
}

# refuse_published REPOSITORY VERSION [DIGEST]: dies when REPOSITORY has something as VERSION, other than DIGEST.
refuse_published() {
    published=$(published_digest "$1" "$2")
    case $published in
    '' | "${3-none}") ;;
    *) die "$2 is published already: $1@$published${3:+, and this is $3}; a release is never replaced" ;;
    esac
}

# wants TOOL...: dies when one is missing.
wants() {
    for tool; do
        command -v "$tool" >/dev/null || die "missing: $tool; install with: apt-get install $tool"
    done
}
