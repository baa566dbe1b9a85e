#!/bin/sh
# What the README promises a stranger: a clone builds, serves and passes its tests as an ordinary user,
# also in a path with a space, and so does a tree without git. Takes minutes, so `make test` leaves it
# out. Run it from the root of the project, which must have been built (its tarballs are used).
set -eu
. tests/support/check.sh

root=$PWD
sources=$root/build/deps/sources
head=$(git rev-parse HEAD)
unset VERSION COMMIT DESCRIPTION NAME MAKEFLAGS MFLAGS MAKELEVEL NO_SKIP

# as_user COMMAND...: runs it as a user without privileges.
as_user() {
    if [ "$(id -u)" = 0 ]; then
        HOME=$scratch setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
    else
        "$@"
    fi
}

# last_child PID: the process at the end of a chain of only children.
last_child() {
    pid=$1
    while children=$(cat "/proc/$pid/task/$pid/children") && [ -n "$children" ]; do
        pid=${children%% *}
    done
    echo "$pid"
}

# use FOLDER COMMIT [no-tests]: builds, serves, tests and installs there. Only the first clone builds the libraries.
use() {
    folder=$1
    [ ! -d "$libraries" ] || { mkdir "$folder/build" && cp -r "$libraries" "$folder/build/deps"; }
    [ "$(id -u)" != 0 ] || chown -R 65534:65534 "$scratch"
    chmod 755 "$scratch"
    as_user make -C "$folder" DEPS_MIRROR="$sources" >"$scratch/log" 2>&1 ||
        fail "make: $(tail -n 30 "$scratch/log")"
    as_user make -s -C "$folder" run ARGS='--port=0 --log-format=json' 2>"$scratch/serve" &
    make=$!
    while ! grep -q '"msg":"listening"' "$scratch/serve"; do
        kill -0 $make || fail "make run: $(cat "$scratch/serve")"
        sleep 0.1
    done
    port=$(sed -n 's/.*"port":\([0-9]*\).*/\1/p' "$scratch/serve" | head -n 1)
    answer=$(curl -sS "http://localhost:$port/version")
    kill -TERM "$(last_child $make)"
    wait $make || fail "make run ended with $?: $(cat "$scratch/serve")"
    case $answer in
    *"\"commit\":\"$2\""*) ;;
    *) fail "answered: $answer" ;;
    esac
    [ "${3-}" = no-tests ] || as_user make -j "$(nproc)" -C "$folder" test >"$scratch/log" 2>&1 ||
        fail "make test: $(tail -n 50 "$scratch/log")"
    as_user make -s -C "$folder" install DESTDIR="$scratch/an image" PREFIX=/usr
    expect_equal "$(cd "$scratch/an image" && find . -type f | sort)" "./usr/bin/versiond
./usr/lib/systemd/system/versiond.service
./usr/lib/systemd/system/versiond.socket
./usr/share/doc/versiond/LICENSE
./usr/share/doc/versiond/cJSON/LICENSE
./usr/share/doc/versiond/libmicrohttpd/COPYING"
    "$scratch/an image/usr/bin/versiond" --version >/dev/null
}

clone_in_path_with_space_is_used_without_root_and_stays_clean() {
    git clone -q "$root" "$scratch/a clone"
    use "$scratch/a clone" "$head"
    cp -r "$scratch/a clone/build/deps" "$libraries"
    expect_equal "$(git -c safe.directory='*' -C "$scratch/a clone" status --porcelain)" ''
}

tree_without_git_is_used() {
    mkdir "$scratch/tree"
    git ls-files -z | xargs -0 cp --parents -t "$scratch/tree"
    use "$scratch/tree" unknown
}

# It has no git either, as the tree before, which has run the tests.
tarball_is_used_and_knows_its_commit() {
    git archive --prefix=tarball/ HEAD | tar -x -C "$scratch"
    use "$scratch/tarball" "$head" no-tests
}

libraries=$(mktemp -d)/deps
trap 'rm -rf "${libraries%/deps}"' EXIT
run_tests clone_in_path_with_space_is_used_without_root_and_stays_clean tree_without_git_is_used \
    tarball_is_used_and_knows_its_commit
