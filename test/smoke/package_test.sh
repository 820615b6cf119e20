#!/usr/bin/env bash
# The Debian packages: built, and put into a minimal Debian 13 system that runs its own systemd;
# upgraded, removed, purged. Their dependencies come from that system's apt cache (scripts/setup),
# nothing from the network: an undeclared dependency is missing there.
. "$(dirname "$0")/lib.sh"
. "$top/test/smoke/systemd.sh"

# Packages are built without sanitizers, whatever $build has: once is enough.
[ "$(meson introspect --buildoptions "$build" | json 'next(o["value"] for o in d if o["name"] == "b_sanitize")')" = none ] || exit 0
clean=$(clean_dir)
exec 9<"$clean" # scripts/setup does not remove it meanwhile
flock -s 9
mkdir "$work/packages" "$work/next"

packages_are_built() {
	"$top/scripts/package" --out "$work/packages"
	version=$(dpkg-deb -f "$work"/packages/rtvswitch_*.deb Version)
	for name in rtvswitch rtvswitch-tools rtvswitch-dev rtvswitch-doc python3-rtvswitch; do
		ls "$work/packages/${name}_$version"_*.deb
	done
	expect "the program's version" "$version" "$("$rtvswitchd" --version | awk '{print $NF}')"
}
lint() { lintian --allow-root -EvIL +pedantic "$@" 2>&1; }
lintian_says_nothing() { expect "what lintian says" "" "$(lint "$work"/packages/*.changes)"; }

# The same as it would be in the next version, with first configuration files that are not the same.
unpack() { # PACKAGE
	dpkg-deb -R "$work/packages/$1"_*.deb "$work/next/$1"
}
pack() { # PACKAGE
	dpkg-deb -Znone -b "$work/next/$1" "$work/next/$1.deb"
	rm -r "$work/next/$1"
}
lintian_would_say_something() {
	unpack rtvswitch
	chmod 666 "$work/next/rtvswitch/etc/default/rtvswitchd"
	pack rtvswitch
	expect_match 'non-standard-file-perm 0666' "$(lint "$work/next/rtvswitch.deb" || :)"
}
next_version_is_made() {
	local name
	for name in rtvswitch rtvswitch-tools; do
		unpack $name
		sed -i "/^Version:\|^Recommends:/s/$version/$version+next/" "$work/next/$name/DEBIAN/control"
		if [ $name = rtvswitch ]; then
			for file in rtvswitchd rtvswitch-hugepages; do
				echo "# of the next version" >>"$work/next/rtvswitch/etc/default/$file"
			done
		fi
		pack $name
	done
}

# A machine for the packages: its / is an overlay that ends with the test.
cat >"$work/place.sh" <<'END'
set -eu
work=$1 clean=$2
mount -t overlay -o "lowerdir=$clean,upperdir=$work/upper,workdir=$work/overlay" overlay "$work/system"
cd "$work/system"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/shm dev/pts dev/net packages
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
for file in null zero full random urandom tty net/tun; do
	touch "dev/$file"
	mount --bind "/dev/$file" "dev/$file"
done
mount --bind "$work" packages
exec env -i container=rtvs /usr/sbin/chroot . /usr/lib/systemd/systemd --system --log-target=console --show-status=no
END
machine_begin() {
	mkdir -p "$work/overlay" "$work/system" "$work/upper/etc/dpkg/dpkg.cfg.d"
	# Nobody's machine: what dpkg writes need not survive a power cut.
	echo force-unsafe-io >"$work/upper/etc/dpkg/dpkg.cfg.d/test"
	place_run multi-user.target "$work/place.sh" "$work" "$clean"
}
inside() {
	nsenter --target "$systemd" --mount --pid --uts --cgroup --root --wd -- env -i DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 \
		PATH=/usr/sbin:/usr/bin "$@"
}
show() { inside systemctl show --value --property "$1" "${2:-rtvswitchd}"; }
ctl() { inside rtvsctl "$@"; }
is_serving() { ctl port list; }
has() { inside test -e "$1" || fail "$1 is not there"; }
has_not() { ! inside test -e "$1" || fail "$1 is there"; }
all_is_configured() { expect "what dpkg has not finished" "" "$(inside dpkg --audit)"; }

apt_installs_them() {
	# As libvirt's package makes it.
	inside adduser --quiet --system --no-create-home libvirt-qemu 2>/dev/null || inside useradd --system libvirt-qemu
	inside sh -c 'cd /packages/packages && apt-get install -y --no-install-recommends $(ls -d ./*.deb | grep -v dbgsym)'
	all_is_configured
}
service_runs() {
	expect "state" active "$(show ActiveState)"
	expect "enabled" enabled "$(show UnitFileState)"
	expect "version" "$version" "$(ctl -j system info | json 'd["version"]')"
	ctl bridge add br0
	ctl port add vm1 bridge=br0 deadline=2ms
	# Which waits for a libvirt.
	expect "state of the listener" active "$(show ActiveState rtvswitch-libvirt)"
	expect_match ' rtvswitch-vhost ' " $(inside id -Gn libvirt-qemu) "
	expect "mode of /run/rtvswitch/vm1.sock" "660 rtvswitch-vhost" "$(inside stat -c '%a %G' /run/rtvswitch/vm1.sock)"
}
everything_is_there() {
	local page
	for page in rtvsctl rtvs-move rtvs-wake rtvs-sim rtvs-vni rtvswitch-api rtvswitchd rtvswitch-hugepages; do
		inside man -w $page
	done
	inside bash -c 'set +u; . /usr/share/bash-completion/bash_completion; _comp_load rtvsctl || _completion_loader rtvsctl; complete -p rtvsctl'
	expect "port" vm1 "$(inside python3 -c 'import rtvswitch; print(rtvswitch.Client().port.list()[0]["name"])')"
	has /usr/include/rtvswitch/client.h
	# Links of README lead somewhere.
	for file in $(inside sed -n 's/.*](\(docs\/[^)#]*\).*/\1/p' /usr/share/doc/rtvswitch/README.md); do
		has "/usr/share/doc/rtvswitch/$file"
	done
	has /usr/share/doc/rtvswitch/docs/operations.md
	has /usr/share/doc/rtvswitch/examples/two-guests.json
	for file in /usr/libexec/rtvswitch/rtvs-hook /usr/libexec/rtvswitch/rtvs-virt /etc/libvirt/hooks/qemu.d/50-rtvswitch; do
		inside test -x $file
	done
	inside sh -c 'rtvs-sim --version && rtvs-move --version && rtvs-vni --version && /usr/libexec/rtvswitch/rtvs-vni.static --version && rtvs-wake --version && rtvswitch-hugepages'
}
# With the files of the package alone, from where it was unpacked.
c_program_is_built() {
	local dev=$work/dev flags
	dpkg-deb -x "$work"/packages/rtvswitch-dev_*.deb "$dev"
	dpkg-deb -x "$work"/packages/rtvswitch-doc_*.deb "$dev"
	flags=$(PKG_CONFIG_PATH=$(dirname "$dev"/usr/lib/*/pkgconfig/rtvswitch.pc) PKG_CONFIG_SYSROOT_DIR=$dev pkg-config --cflags --libs rtvswitch)
	# shellcheck disable=SC2086 # words
	clang -Wall -Werror -o "$work/late-ports" "$dev/usr/share/doc/rtvswitch/examples/clients/late-ports.c" $flags
	expect "what it prints" "vm1: deadline 2ms, 0 packets missed it" "$(inside /packages/late-ports)"
}
configuration_is_closed() {
	expect "modes" "750 640" "$(inside stat -c %a /etc/rtvswitch /etc/rtvswitch/rtvswitch.json | paste -sd' ')"
	expect_fails denied inside setpriv --reuid 12345 --regid 12345 --clear-groups cat /etc/rtvswitch/rtvswitch.json
}

is_port_there() { ctl port show vm1; }
upgrade_keeps_and_replaces() {
	local pid
	ctl config save
	inside sh -c 'echo "RTVSWITCHD_OPTIONS=\"--idle adaptive --log-level warning\"" >/etc/default/rtvswitchd; umask 077; echo 1 00 >/etc/rtvswitch/host2.key'
	pid=$(show MainPID)
	inside sh -c 'apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-confold /packages/next/rtvswitch.deb /packages/next/rtvswitch-tools.deb'
	all_is_configured
	expect "version" "$version+next" "$(inside dpkg-query -W -f '${Version}' rtvswitch)"
	expect "state" active "$(show ActiveState)"
	[ "$(show MainPID)" != "$pid" ] || fail "the daemon was not replaced"
	is_port_there
	# It took over: its configuration is not that of a file.
	expect "restarts" 0 "$(show NRestarts)"
	expect "process" "$(show MainPID)" "$(ctl -j system info | json 'd["pid"]')"
	# What was edited stays, what was not is the new version's.
	inside grep -q 'log-level warning' /etc/default/rtvswitchd
	has /etc/default/rtvswitchd.dpkg-dist
	inside grep -q 'of the next version' /etc/default/rtvswitch-hugepages
	inside grep -q vm1 /etc/rtvswitch/rtvswitch.json
	inside grep -q '^1 00' /etc/rtvswitch/host2.key
	expect "modes" "750 640" "$(inside stat -c %a /etc/rtvswitch /etc/rtvswitch/rtvswitch.json | paste -sd' ')"
}
# Deleted is a decision, too.
deleted_hook_stays_away() {
	inside rm /etc/libvirt/hooks/qemu.d/50-rtvswitch
	inside dpkg -i /packages/next/rtvswitch.deb
	inside systemd-tmpfiles --create
	has_not /etc/libvirt/hooks/qemu.d/50-rtvswitch
	inside dpkg --force-confmiss -i /packages/next/rtvswitch.deb
	has /etc/libvirt/hooks/qemu.d/50-rtvswitch
}
disabled_service_stays_off() {
	inside systemctl disable --now rtvswitchd
	inside dpkg -i /packages/next/rtvswitch.deb
	expect "enabled" disabled "$(show UnitFileState)"
	expect "state" inactive "$(show ActiveState)"
	inside systemctl enable --now rtvswitchd
	expect "state" active "$(show ActiveState)"
}
bad_configuration_does_not_stop_dpkg() {
	inside systemctl reset-failed rtvswitchd # it was started more often than a minute allows
	inside sh -c 'echo "[{\"method\": \"no.such\"}]" >/etc/rtvswitch/rtvswitch.json'
	inside dpkg -i /packages/next/rtvswitch.deb
	all_is_configured
	expect "state" active "$(show ActiveState)" # the running configuration goes on
	inside systemctl stop rtvswitchd
	inside dpkg -i /packages/next/rtvswitch.deb
	all_is_configured
	expect "state" failed "$(show ActiveState)"
	expect "status" 2 "$(show ExecMainStatus)"
	inside sh -c 'echo [] >/etc/rtvswitch/rtvswitch.json; systemctl reset-failed rtvswitchd; systemctl start rtvswitchd'
	expect "state" active "$(show ActiveState)"
}
# Its user is made when it is configured, which may be after us.
libvirt_may_come_later() {
	inside sh -c 'gpasswd -d libvirt-qemu rtvswitch-vhost; userdel libvirt-qemu'
	mkdir -p "$work/next/driver/DEBIAN" "$work/next/driver/etc/libvirt"
	printf '%s\n' 'Package: driver' 'Version: 1' 'Architecture: all' 'Maintainer: nobody <nobody@localhost>' 'Description: like libvirt' \
		>"$work/next/driver/DEBIAN/control"
	printf '#!/bin/sh\nuseradd --system libvirt-qemu\n' >"$work/next/driver/DEBIAN/postinst"
	chmod 755 "$work/next/driver/DEBIAN/postinst"
	: >"$work/next/driver/etc/libvirt/qemu.conf"
	pack driver
	inside apt-get install -y /packages/next/driver.deb
	expect_match ' rtvswitch-vhost ' " $(inside id -Gn libvirt-qemu) "
	inside dpkg --purge driver
}

ours() { inside find / -xdev \( -name '*rtvs*' -o -path '*/rtvswitch*' \) -not -path '/packages/*' -not -path '/var/log/*' -not -path '/tmp/*' -not -path '/var/lib/dpkg/*' | sort; }
is_inactive() { [ "$(show ActiveState)" = inactive ]; }
removal_keeps_the_configuration() {
	inside sh -c ': >/var/lib/rtvswitch/t1.pcapng'
	inside apt-get remove -y rtvswitch
	wait_for 10 is_inactive
	has_not /usr/sbin/rtvswitchd
	has_not /run/rtvswitch
	has /etc/rtvswitch/rtvswitch.json
	has /etc/default/rtvswitchd
	has /var/lib/rtvswitch/t1.pcapng
	expect_fails 'cannot reach rtvswitchd' ctl port list
	# The hook of a package that is gone lets guests start.
	inside /etc/libvirt/hooks/qemu.d/50-rtvswitch guest prepare begin - </dev/null
}
purge_leaves_others_files() {
	inside apt-get purge -y rtvswitch rtvswitch-tools rtvswitch-dev rtvswitch-doc python3-rtvswitch
	expect "what is left" "/etc/rtvswitch /etc/rtvswitch/host2.key" "$(ours | paste -sd' ')"
	inside getent group rtvswitch rtvswitch-vhost
	all_is_configured
}
purge_would_be_seen() {
	inside touch /etc/default/rtvswitch-left
	expect_match 'rtvswitch-left' "$(ours)"
}

# Containers and images are made where nothing runs.
bare() {
	unshare --mount --propagation private bash -c 'mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/overlay" overlay "$2/system"
		mount -t proc proc "$2/system/proc"; mount --bind "$2" "$2/system/packages"; shift 2; exec "$@"' bash "$clean" "$work" \
		env -i DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin /usr/sbin/chroot "$work/system" "$@"
}
works_without_systemd() {
	stop place
	bare sh -c 'dpkg -i $(ls /packages/packages/*.deb | grep -v dbgsym)'
	expect "what dpkg has not finished" "" "$(bare dpkg --audit)"
	bare rtvswitchd --version
	expect_match 'multi-user.target.wants/rtvswitchd.service' "$(bare ls /etc/systemd/system/multi-user.target.wants/rtvswitchd.service)"
	bare sh -c 'dpkg --purge rtvswitch rtvswitch-tools rtvswitch-dev rtvswitch-doc python3-rtvswitch'
	expect "what dpkg has not finished" "" "$(bare dpkg --audit)"
}

run_case "scripts/package makes the packages" packages_are_built
version=$(dpkg-deb -f "$work"/packages/rtvswitch_*.deb Version)
run_case "lintian has nothing to say" lintian_says_nothing
run_case "lintian would say something" lintian_would_say_something
next_version_is_made
machine_begin
run_case "apt installs them in a minimal system" apt_installs_them
run_case "the service runs, rtvsctl talks to it" service_runs
run_case "manual pages, completion, Python's and C's files" everything_is_there
run_case "a program in C with the library's package" c_program_is_built
run_case "the configuration is for root alone" configuration_is_closed
run_case "an upgrade keeps the configuration, replaces the daemon" upgrade_keeps_and_replaces
run_case "a hook that was deleted stays away" deleted_hook_stays_away
run_case "a service that was disabled stays so" disabled_service_stays_off
run_case "a wrong configuration does not stop dpkg" bad_configuration_does_not_stop_dpkg
run_case "libvirt may come later" libvirt_may_come_later
run_case "removing keeps the configuration" removal_keeps_the_configuration
run_case "purging leaves what others made" purge_leaves_others_files
run_case "what is left would be seen" purge_would_be_seen
run_case "installing without a running systemd" works_without_systemd
