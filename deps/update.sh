#!/bin/sh
# Renews deps/pins with what Debian's archive has now: asks for the newest upstream version of every library,
# downloads what is newer, and rewrites version, Debian's version, SHA-256, tarball and upstream address. A new
# revision of the same upstream version is noted too. Comments stay.
#
#   deps/update.sh        (no arguments; TMPDIR is honoured)
#
# Prints `NAME OLD -> NEW`, Debian's versions, for each renewed pin, else `up to date`. Nothing is written unless all went well.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

export LC_ALL=C
work='' new=$here/.pins.$$

# Rewrites the line of NAME in the new pins from version OLD to VERSION of TARBALL, whose SHA-256 is SHA256 and
# which is DEBIAN in the archive.
# The upstream address follows the version, also where a folder of it is the version's first part (2.0/cmocka-2.0.2).
rewrite() {
    old=$(echo "$2" | sed 's/\./\\./g')
    sed -e "/^$1 /{" -e "s|$old|$3|g" -e "s|/${old%\\.*}/|/${3%.*}/|" -e "s|\.tar\.[a-z0-9]*|.tar.${4##*.}|g" \
        -e "s|^\([^ ]* *[^ ]* *\)[^ ]* \( *\)[^ ]*|\1$6 \2$5|" -e '}' "$new" >"$work/pins.new"
    cp "$work/pins.new" "$new"
}

finish() { rm -rf "$work" "$new"; }

finish_always
make_work

pins >"$work/pins"
# shellcheck disable=SC2046 # a list
if ! archive_open "$(pinned_suite)" || ! archive_newest $(source_packages <"$work/pins") >"$work/newest" ||
    ! archive_versions $(source_packages <"$work/pins") >"$work/versions"; then
    die "cannot ask the archive: $why"
fi

cp "$here/pins" "$new"
while read -r name version debian sha256 tarball _; do
    package=${tarball%%_*}
    newest=$(grep "^${package}_" "$work/newest") || die "the archive has no tarball of $name"
    latest=$(version_of "$newest")
    case $latest in *[!0-9.]*) die "the archive's $newest is not upstream's own tarball: pin $name by hand" ;; esac
    revision=$(newest_version "$package" <"$work/versions")
    # A pin may be ahead of the archive.
    dpkg --compare-versions "$revision" gt "$debian" || continue
    if [ "$latest" != "$version" ]; then
        archive_download "$work" "$package" || die "cannot download $newest: $why"
        sha256=$(sha256_of "$work/$newest")
    fi
    rewrite "$name" "$version" "$latest" "$newest" "$sha256" "$revision"
    echo "$name $debian -> $revision"
done <"$work/pins" >"$work/changes"

if [ -s "$work/changes" ]; then
    mv -f "$new" "$here/pins"
    cat "$work/changes"
else
    echo 'up to date'
fi
