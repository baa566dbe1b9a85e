#!/bin/sh
# Runs a command with the cluster of KUBECONFIG_TEXT, which is in a file that nobody else can read for as long as it takes.
# Usage: KUBECONFIG_TEXT=… scripts/deploy/with-cluster.sh COMMAND [ARGUMENT]...
# Exit status: that of the command; 1 when there is no KUBECONFIG_TEXT.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. scripts/deploy/lib.sh

work=

finish() { rm -rf "$work"; }

[ -n "${KUBECONFIG_TEXT-}" ] || die 'KUBECONFIG_TEXT is empty: the environment has no secret KUBECONFIG'
umask 077
finish_always
make_work
KUBECONFIG=$work/kubeconfig
export KUBECONFIG
printf '%s\n' "$KUBECONFIG_TEXT" >"$KUBECONFIG"
unset KUBECONFIG_TEXT
run "$@"
