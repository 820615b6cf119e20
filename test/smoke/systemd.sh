# shellcheck shell=bash
# A systemd of its own, as process 1 of a place that has the files of `meson install`. Sourced after
# lib.sh:
#
#     place_install               # into $work/root; $prefix is where
#     place_unit NAME LINE...     # a drop-in of the section Service, before the start; repeat for each unit
#     place_start                 # systemd runs, nothing else does
#     inside COMMAND [ARG...]     # there
#     place_journal               # a journal of its own, in its /run
#
# or with a script of one's own in place of all but inside: place_run UNIT SCRIPT [ARG...].
#
# /etc, /var/lib and /run there are copies or empty, and the installed files lie over the prefix.
# Its control groups are below one of ours, and end with it. The network is that of the test.

place_install() {
	prefix=$(meson introspect --buildoptions "$build" | json 'next(o["value"] for o in d if o["name"] == "prefix")')
	DESTDIR=$work/root meson install -C "$build" --no-rebuild --quiet
}

# The rest of a system is not there: no default dependencies.
place_unit() { # NAME LINE...
	local dir=$work/run/systemd/system/$1.d
	shift
	mkdir -p "$dir"
	printf '%s\n' '[Unit]' 'DefaultDependencies=no' '[Service]' "$@" >"$dir/test.conf"
}

# Runs a command in namespaces of its own, and ends all that is there when it is ended itself.
place_outer() {
	cat <<'END'
set -eu
work=$1
shift
mkdir "$work/groups"
mount -t cgroup2 cgroup2 "$work/groups"
group=$(mktemp -d "$work/groups/rtvs-XXXXXX")
end() {
	trap '' TERM
	[ -z "${child:-}" ] || kill -KILL "$child" 2>/dev/null || :
	wait || :
	echo $$ >"$work/groups/cgroup.procs"
	for i in $(seq 20); do
		find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && break
		sleep 0.1
	done
	umount "$work/groups"
}
trap end EXIT
trap 'exit 0' TERM
echo $$ >"$group/cgroup.procs"
unshare --mount --pid --uts --cgroup --fork --kill-child --propagation private "$@" &
child=$!
wait $child
END
}

# What we have, with the installed files over it.
place_script() {
	cat <<'END'
set -eu
work=$1 prefix=$2
mkdir -p "$work/upper" "$work/overlay" "$prefix"
mount -t proc proc /proc
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /var/lib
mount -t overlay -o "lowerdir=/etc,upperdir=$work/upper,workdir=$work/overlay" overlay /etc
mount -t overlay -o "lowerdir=$work/root$prefix:$prefix" overlay "$prefix"
mount -t tmpfs -o mode=755 tmpfs /run
cp -r "$work/run/." /run
exec env -i container=rtvs PATH="$PATH" /usr/lib/systemd/systemd --system --unit=test.target --log-target=console --show-status=no
END
}

place_find() {
	local outer
	outer=$(cat "/proc/$(pid_of place)/task/$(pid_of place)/children")
	systemd=$(cat "/proc/${outer%% *}/task/${outer%% *}/children")
	systemd=${systemd%% *}
	[ -n "$systemd" ] && [ "$(cat "/proc/$systemd/comm")" = systemd ]
}
inside() { nsenter --target "$systemd" --mount --pid --uts --cgroup --root --wd -- "$@"; }
place_is_up() { place_find && inside systemctl is-active "$1"; } # UNIT

place_run() { # UNIT SCRIPT [ARG...]: the script makes the place and becomes its systemd, which has started when the unit is active
	place_outer >"$work/outer.sh"
	start place bash "$work/outer.sh" "$work" bash "${@:2}"
	wait_until 60 place_is_up "$1" || { cat "$work/place.log"; return 1; }
	place_find
}

place_start() {
	mkdir -p "$work/run/systemd/system"
	printf '[Unit]\nDefaultDependencies=no\n' >"$work/run/systemd/system/test.target"
	place_script >"$work/place.sh"
	place_run test.target "$work/place.sh" "$work" "$prefix"
}

place_journal() {
	inside mkdir -p /run/systemd/journald.conf.d
	printf '%s\n' '[Journal]' Storage=volatile ReadKMsg=no ForwardToKMsg=no ForwardToConsole=no ForwardToWall=no |
		inside tee /run/systemd/journald.conf.d/test.conf
	inside systemctl start systemd-journald.service
}
