#!/usr/bin/env bash
# Guests that boot from the network, through their ports: a by SeaBIOS and iPXE, u by OVMF and its
# own driver. Firmware initialises one pair of queues of the port's four, polls them, and negotiates
# no offloads. Linux has the device after it. Namespace t1 serves DHCP, TFTP and HTTP.
. "$(dirname "$0")/lib.sh"

# What OVMF loads is one EFI program: a stub, and the kernel, its command line and its initramfs as
# sections of it.
uefi_image() { # FILE COMMAND-LINE
	local stub=/usr/lib/systemd/boot/efi/linuxx64.efi.stub base
	base=0x$(objdump -p $stub | awk '$1 == "ImageBase" {print $2}')
	printf '%s' "$2" >"$work/cmdline"
	objcopy --add-section ".cmdline=$work/cmdline" --change-section-vma ".cmdline=$((base + 0x100000))" \
		--add-section ".initrd=$(guest_dir)/initrd.gz" --change-section-vma ".initrd=$((base + 0x200000))" \
		--add-section ".linux=$(guest_dir)/vmlinuz" --change-section-vma ".linux=$((base + 0x1000000))" "$stub" "$1"
}

daemon_start rtvsd
ctl bridge add br0
for port in a u; do ctl port add $port "socket=$work/$port.sock" bridge=br0 queues=4; done
tap_port t1 10.0.0.1/24 bridge=br0
# iPXE has a few receive buffers, and announces a larger window.
ip -n t1 route change 10.0.0.0/24 dev t1 cwnd lock 8
mkdir "$work/net"
ln -s "$(guest_dir)"/{vmlinuz,initrd.gz} "$work/net"
cat >"$work/net/linux.ipxe" <<END
#!ipxe
kernel http://10.0.0.1/vmlinuz $vm_kernel_words g.ip=10.0.0.11/24
initrd http://10.0.0.1/initrd.gz
boot
END
uefi_image "$work/net/linux.efi" "$vm_kernel_words g.ip=10.0.0.12/24"
start http ip netns exec t1 busybox httpd -f -p 80 -h "$work/net"
start dhcp ip netns exec t1 dnsmasq -d -C /dev/null --user=root --port=0 --dhcp-leasefile="$work/leases" --dhcp-range=10.0.0.100,10.0.0.120 \
	--enable-tftp --tftp-root="$work/net" --dhcp-match=set:efi,option:client-arch,7 --dhcp-boot=tag:efi,linux.efi --dhcp-boot=tag:!efi,linux.ipxe
vm_start u "nic=$work/u.sock" queues=4 mac=52:54:00:00:00:0b with=bootindex=0,romfile= firmware=uefi cpus=2
vm_start a "nic=$work/a.sock" queues=4 mac=52:54:00:00:00:0a with=bootindex=0 firmware=bios cpus=2

# The file's end is known to have arrived: Linux runs.
loaded_by_firmware() { # NAME MAC FILE OTHER-ADDRESS
	wait_guests "$1"
	grep "DHCPACK(t1) .* $2" "$work/dhcp.log"
	grep "sent .*/net/$3 to" "$work/dhcp.log"
	wait_for 20 guest_pings "$1" 10.0.0.1
	# Linux has a queue for each of its processors.
	wait_for 10 is_port_state "$1" queues 2
	is_conserved
}

guests_meet() {
	in_guest a 20 "ping -c 20 -i 0.05 -W 2 10.0.0.12"
	in_guest u 20 "ping -c 20 -i 0.05 -W 2 10.0.0.11"
}

# And the other way round: firmware has the device after Linux. Its first attempts are refused.
firmware_is_guarded() {
	: >"$work/dhcp.log"
	ctl port set a allowed_macs=52:54:00:00:00:99
	vm_reboot a
	wait_for 30 is_stat_above a spoof_mac 0
	grep 52:54:00:00:00:0a "$work/dhcp.log" && fail "the server heard of it"
	ctl port set a allowed_macs=52:54:00:00:00:0a
	loaded_by_firmware a 52:54:00:00:00:0a linux.ipxe
}

run_case "SeaBIOS and iPXE load Linux through a port" loaded_by_firmware a 52:54:00:00:00:0a linux.ipxe
run_case "OVMF loads Linux through a port" loaded_by_firmware u 52:54:00:00:00:0b linux.efi
run_case "guests that firmware loaded meet" guests_meet
run_case "firmware is guarded as guests are, and follows Linux" firmware_is_guarded
