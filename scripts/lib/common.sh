# shellcheck shell=bash
# Shared by all scripts: paths, messages, entering the Debian 13 root. Sourced; sets top, cache,
# root. All built files are in $top/build, all downloaded ones in $cache.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${RTVS_CACHE:-/var/cache/rtvswitch}
lib=$top/scripts/lib

is_debian13() { grep -qs '^VERSION_CODENAME=trixie' /etc/os-release; }

say() { printf '%s\n' "$*"; }
step() { printf '==> %s\n' "$*"; }
die() {
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}
usage_error() {
	printf '%s: %s (see --help)\n' "$(basename "$0")" "$*" >&2
	exit 2
}

# grep -q behind a pipe ends at the first match: a program that still writes dies of SIGPIPE, and
# pipefail calls that a failure. This reads all.
has_line() { grep "$@" >/dev/null; }

# The comment block at the top of a script is its help.
print_help() { sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; }

need_root() { [ "$(id -u)" = 0 ] || die "needs root: run it with sudo"; }

# The lists that decide whether a cached root or guest image is still the right one.
list_hash() { cat "$@" | sha256sum | cut -c1-12; }
root_dir() { printf '%s/root-%s' "$cache" "$(list_hash "$lib/packages")"; }
guest_dir() {
	printf '%s/guest-%s' "$cache" "$(list_hash "$lib/guest-packages" "$top"/scripts/guest/*)"
}
# A later QEMU than Debian 13's. It runs with the libraries of the packages.
qemu_dir() { printf '%s/qemu-%s' "$cache" "$(list_hash "$lib/packages")"; }
clean_dir() { printf '%s/clean-%s' "$cache" "$(list_hash "$lib/clean-packages" "$lib/clean-downloads")"; }

# Re-executes the calling script in a private world that ends with it: own mounts, pids and
# network, and on anything but Debian 13 the cached Debian 13 root as /.
enter_world() {
	[ "${RTVS_WORLD:-}" = 1 ] && return 0
	need_root
	"$top/scripts/setup" --quiet
	exec "$top/scripts/enter" "$(readlink -f "$0")" "$@"
}
