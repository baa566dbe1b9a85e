#!/bin/bash
# Boots this machine's systemd as process 1 of new namespaces, on a copy-on-write view of the machine's files, with only the
# given units. It changes nothing outside. Requires root; SIGTERM stops it.
# Usage: boot_systemd.sh WORK ROOT
# WORK is an empty folder. The files of ROOT are copied over those of the machine; /units has the units, of which default.target
# is started. Its control groups are below that of this script.
set -eu

if [ -z "${INSIDE-}" ]; then
    # The only control group that it can see.
    own=$(findmnt -nt cgroup2 -o TARGET | head -n 1)/versiond-test.$$
    # Its processes exit slightly later than process 1.
    remove() { while [ -d "$own" ] && ! find "$own" -depth -type d -exec rmdir {} + 2>/dev/null; do sleep 0.05; done; }
    mkdir "$own"
    INSIDE=$own unshare --pid --mount --net --uts --ipc --fork --kill-child -- "$0" "$@" &
    child=$!
    trap 'kill -KILL "$child"; remove; exit 143' TERM INT
    wait "$child" || echo "systemd exited with status $?"
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
mount -o remount,ro,bind proc/sys # these settings apply to the whole machine
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
