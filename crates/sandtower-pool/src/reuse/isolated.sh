# Runs the command $CLEAN as a user without rights over a home directory that $CASE has filled. Run by `unshare`, in
# namespaces of its own for processes, mounts and the network. $SCRATCH is an empty folder, $OUTSIDE a file that nothing
# here may write, $NAMESPACE the namespace of processes of whoever has started this.
set -eu

fail() {
    echo "not isolated: $1"
    exit 3
}

mount -t tmpfs -o mode=755,size=16m tmpfs "$SCRATCH" || fail "no file system of its own"
# All that is mounted but this becomes read-only.
awk '{ print $5 }' /proc/self/mountinfo | while read -r at; do
    case "$at" in
        "$SCRATCH" | /proc | /proc/* | /dev | /dev/* | /sys | /sys/*) ;;
        *) mount -o remount,bind,ro "$at" 2>/dev/null || true ;;
    esac
done

# Before anything else is run.
[ $$ = 1 ] || fail "it is process $$"
[ "$(readlink /proc/self/ns/pid)" != "$NAMESPACE" ] || fail "it sees all processes"
for process in /proc/[0-9]*; do
    seen=${seen:-0}
    seen=$((seen + 1))
done
[ "$seen" -le 2 ] || fail "it sees $seen processes"
if (echo >>"$OUTSIDE") 2>/dev/null; then fail "it can write $OUTSIDE"; fi

mkdir "$SCRATCH/home" "$SCRATCH/other"
: >"$SCRATCH/other/kept"
if [ "$(cat /proc/self/uid_map | awk '{ print $3; exit }')" -gt 1 ]; then
    user="--reuid=65533 --regid=65533 --clear-groups"
    chown -R 65533:65533 "$SCRATCH/home" "$SCRATCH/other"
else
    user=
fi
# shellcheck disable=SC2086
as_user() {
    setpriv $user --no-new-privs --inh-caps=-all --bounding-set=-all \
        env -i HOME="$SCRATCH/home" OTHER="$SCRATCH/other" PATH=/usr/bin:/bin "$@"
}
as_user sh -c 'grep -q "^CapEff:[[:space:]]*0*$" /proc/self/status' || fail "the user has rights"

ulimit -t 20
mount_in_home() {
    mkdir "$SCRATCH/home/mounted"
    mount -t tmpfs -o mode=777 tmpfs "$SCRATCH/home/mounted"
    : >"$SCRATCH/home/mounted/kept"
}
root_in_home() {
    mkdir -m 700 "$SCRATCH/home/of-root"
    : >"$SCRATCH/home/of-root/file"
}
linked_home() {
    mv "$SCRATCH/home" "$SCRATCH/real"
    ln -s real "$SCRATCH/home"
}
[ -z "$SETUP" ] || "$SETUP"
as_user bash -c "$CASE" </dev/null >/dev/null 2>&1
for process in /proc/[0-9]*; do
    running=$((${running:-0} + 1))
done
echo "running: $running"
echo "before: $(find "$SCRATCH/home/" -mindepth 1 | tr -d '\n' | wc -c)"
as_user bash -l -c "$CLEAN" </dev/null | sed 's/^/printed: /'
echo "home: $(find "$SCRATCH/home/" -mindepth 1 | tr '\n' ' ')"
echo "other: $(find "$SCRATCH/other" -mindepth 1 -printf '%f ')"
for process in /proc/[0-9]*; do
    process=${process#/proc/}
    if [ "$process" != 1 ] && grep -q '^State:.[^Z]' "/proc/$process/status" 2>/dev/null; then
        echo "process: $(tr '\0' ' ' <"/proc/$process/cmdline")"
    fi
done
