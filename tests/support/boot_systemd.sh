#!/bin/bash
# Boots this machine's systemd as process 1 of namespaces of its own, on a copy-on-write view of the machine's files, with
# the units of a folder and no others: it changes nothing outside.
# Usage: boot_systemd.sh WORK ROOT
# WORK is an empty folder, ROOT a folder whose files are copied over the machine's; its /units are the units, of which
# default.target is started. Its cgroups are below the one that it is started in. Root's rights are
# needed. SIGTERM ends it.
set -eu

if [ -z "${INSIDE-}" ]; then
    # The only cgroups that it may see, and move processes between.
    own=$(findmnt -nt cgroup2 -o TARGET | head -n 1)/versiond-test.$$
    # Its processes are gone a moment after the first of them.
    remove() { while [ -d "$own" ] && ! find "$own" -depth -type d -exec rmdir {} + 2>/dev/null; do sleep 0.05; done; }
    mkdir "$own"
    INSIDE=$own unshare --pid --mount --net --uts --ipc --fork --kill-child -- "$0" "$@" &
    child=$!
    trap 'kill -KILL "$child"; remove; exit 143' TERM INT
    wait "$child" || echo "systemd ended with $?"
    remove
    exit
fi

work=$1 files=$2
if [ "$INSIDE" != entered ]; then
    echo 0 >"$INSIDE/cgroup.procs"
    INSIDE=entered exec unshare --cgroup -- "$0" "$@"
fi
root=$work/root
mount --make-rprivate /
mount -t tmpfs tmpfs "$work"
mkdir "$root" "$work/upper" "$work/scratch"
mount -t overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/scratch" overlay "$root"
cp -r "$files/." "$root/"
cd "$root"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,ro,bind proc/sys # settings of the whole machine
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
for folder in run tmp dev; do mount -t tmpfs tmpfs $folder; done
for device in null zero full random urandom tty; do
    touch dev/$device
    mount --bind /dev/$device dev/$device
done
mkdir dev/shm dev/mqueue dev/pts run/old
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
pivot_root . run/old
umount -l /run/old
exec env -i container=test PATH="$PATH" SYSTEMD_UNIT_PATH=/units /lib/systemd/systemd </dev/null
