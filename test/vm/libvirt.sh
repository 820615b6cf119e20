# shellcheck shell=bash
# Domains of real libvirtds, in mount namespaces of their own: lib.sh, and what the tests with
# libvirt share.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

libexec=$build/src/virt
[ -x "$libexec/rtvs-virt" ] || { echo "built without libvirt"; exit 77; }
export RTVS_LIBEXEC_DIR=$libexec LIBVIRT_DEFAULT_URI=qemu:///system
image=$(guest_dir)
vm_unpack_kernel
qemu_user=libvirt-qemu

# The directories of a libvirtd, in the mount namespace of this script; its sockets and QEMU's below
# /run.
libvirt_place() { # DIR LINE...: of libvirtd.conf
	local dir=$1 path
	shift
	mkdir -p "$dir"/{etc/hooks/qemu.d,lib/qemu,log/qemu,cache}
	for path in etc:/etc/libvirt lib:/var/lib/libvirt log:/var/log/libvirt cache:/var/cache/libvirt; do
		mount --bind "$dir/${path%%:*}" "${path#*:}"
	done
	printf '%s\n' 'dynamic_ownership=0' 'security_driver="none"' 'cgroup_controllers=[ ]' 'namespaces=[ ]' \
		'remember_owner=0' 'stdio_handler="file"' >/etc/libvirt/qemu.conf
	printf '%s\n' 'auth_unix_rw="none"' 'auth_unix_ro="none"' "$@" >/etc/libvirt/libvirtd.conf
	sed "s,@libexecdir@,$libexec," "$top/conf/libvirt-hook.in" >/etc/libvirt/hooks/qemu.d/50-rtvswitch
	chmod 755 /etc/libvirt/hooks/qemu.d/50-rtvswitch
	mkdir -p /run/rtvswitch
}
# QEMU runs as libvirt's user, who reaches the guests' sockets as a member of their group; the
# daemon has that group, as its service has.
people_place() {
	cp /etc/group "$work/group"
	echo "rtvswitch-vhost:x:890:$qemu_user" >>"$work/group"
	mount --bind "$work/group" /etc/group
	printf '#!/bin/sh\nexec setpriv --regid 890 --keep-groups "%s" "$@"\n' "$rtvswitchd" >"$work/rtvswitchd"
	chmod 755 "$work/rtvswitchd"
	rtvswitchd=$work/rtvswitchd
	chmod 777 "$work" # consoles and logs of guests
	# Where guests do not run under /dev/kvm, libvirt must not believe that they could: it would
	# probe QEMU again each time.
	if [ "$(vm_accel)" != kvm ] && [ -e /dev/kvm ]; then
		: >"$work/no-kvm"
		mount --bind "$work/no-kvm" /dev/kvm
		mount -o remount,bind,ro /dev/kvm
	fi
}
is_libvirt_up() { virsh -q list; }
libvirtd_start() { start libvirtd libvirtd; wait_until 30 is_libvirt_up; }
listener_start() { start listener "$libexec/rtvs-virt" listen; }
virt() { timeout 60 "$rtvsctl" -s "$work/rtvsd.sock" virt "$@"; }
v() { timeout 60 virsh -q "$@"; }

# NAME and pieces of XML: metadata's ports, interfaces, and memory where it is not shared.
domain_xml() { # NAME PORTS INTERFACES [MEMORY]
	cat <<-XML
		<domain type='$(vm_type)'>
		  <name>$1</name>
		  <metadata><rtvs:ports xmlns:rtvs='urn:rtvswitch:domain:1'>$2</rtvs:ports></metadata>
		  <memory unit='MiB'>192</memory>
		  <vcpu>1</vcpu>
		  ${4-<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>}
		  <os><type arch='x86_64' machine='q35'>hvm</type>
		    <kernel>$vm_kernel</kernel><initrd>$image/initrd.gz</initrd>
		    <cmdline>console=ttyS0 quiet panic=1 mitigations=off g.mods=virtio_net g.ip=10.0.0.${1#web}/24</cmdline></os>
		  <features><acpi/></features>
		  <cpu mode='maximum'/>
		  <devices>
		    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='$image/root.sqfs'/>
		      <target dev='vda' bus='virtio'/><readonly/></disk>
		    $3
		    <serial type='file'><source path='$work/$1.serial'/></serial>
		    <console type='unix'><source mode='bind' path='$work/$1.con'/><target type='virtio'/></console>
		    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
		    <memballoon model='none'/>
		  </devices>
		</domain>
	XML
}
vm_type() { if [ "$(vm_accel)" = kvm ]; then echo kvm; else echo qemu; fi; }
nic() { # MAC NAME MODE [MORE]
	local reconnect="<reconnect enabled='yes' timeout='1'/>" dir=/run/rtvswitch
	[ "$3" = client ] || { reconnect='' dir=/var/lib/libvirt/qemu; }
	echo "<interface type='vhostuser'><mac address='$1'/><source type='unix' path='$dir/$2.sock' mode='$3'>$reconnect</source><model type='virtio'/>${4:-}</interface>"
}
port() { echo "<rtvs:port mac='$1' bridge='br0' $2/>"; } # MAC ATTRIBUTES
define() { # NAME PORTS INTERFACES [MEMORY]
	domain_xml "$@" >"$work/$1.xml"
	v define "$work/$1.xml"
}
is_booted() { grep -q G-READY "$work/$1.serial"; }
# QEMU's process ends with the script, whatever libvirt does.
domain_start() { # NAME
	: >"$work/$1.serial"
	ln -sf "/run/libvirt/qemu/$1.pid" "$work/$1.pid"
	v start "$1"
}
booted_or_dead() { is_booted "$1" || [ "$(v domstate "$1")" != running ]; }
domain_wait() { # NAME
	wait_for 180 booted_or_dead "$1"
	is_booted "$1" && return
	# QEMU 10's TCG sometimes fails when a memory map changes while the guest starts: such a
	# guest starts once more.
	grep -q 'iotlb_to_section: Assertion' "/var/log/libvirt/qemu/$1.log" || fail "guest $1 ended"
	domain_start "$1"
	wait_for 180 is_booted "$1"
}
