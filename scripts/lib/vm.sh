# shellcheck shell=bash
# Virtual machines with vhost-user NICs, for tests and the demo. Sourced after processes.sh.
# One read-only image serves all guests; each is a process started with start(), a console socket on
# which commands run, and a QMP socket.

# KVM where a guest really comes up under it (nested or restricted /dev/kvm may hang), else TCG.
# Probed once per boot of the machine.
vm_accel() {
	local file boot
	boot=$(cat /proc/sys/kernel/random/boot_id)
	file=$cache/accel-$boot
	if [ ! -s "$file" ]; then
		rm -f "$cache"/accel-*
		if [ -w /dev/kvm ] && vm_probe_kvm; then echo kvm >"$file"; else echo tcg >"$file"; fi
	fi
	cat "$file"
}

vm_probe_kvm() {
	local log=$work/probe.log
	start probe qemu-system-x86_64 -M q35 -accel kvm -cpu host -m 256 -nodefaults -display none -no-reboot \
		-kernel "$(guest_dir)/vmlinuz" -initrd "$(guest_dir)/initrd.gz" -append "console=ttyS0 panic=1" \
		-drive "file=$(guest_dir)/root.sqfs,format=raw,if=none,id=d0,readonly=on,file.locking=off" \
		-device virtio-blk-pci,drive=d0 -serial "file:$log.serial"
	wait_until 12 grep -q G-READY "$log.serial"
	local rc=$?
	stop probe KILL
	return $rc
}

# The command that runs guests: Debian 13's QEMU, or the later one of scripts/setup, with that one's
# firmware. Sets vm_qemu.
vm_find_qemu() { # trixie|backports
	local dir
	vm_qemu=(qemu-system-x86_64)
	[ "$1" != trixie ] || return 0
	dir=$(qemu_dir)
	[ ! -e "$dir/missing" ] || die "no QEMU of trixie-backports: $(cat "$dir/missing")"
	vm_qemu=(env "LD_LIBRARY_PATH=$dir/usr/lib/x86_64-linux-gnu" "$dir/usr/bin/qemu-system-x86_64" -L "$dir/usr/share/qemu" -L "$dir/usr/share/seabios")
}

# The guests' kernel, unpacked: its own decompressor takes a third of a start under TCG. QEMU finds
# the PVH entry of the file. Made once per script. Sets vm_kernel.
vm_unpack_kernel() {
	local packed sectors offset bytes
	packed=$(guest_dir)/vmlinuz
	vm_kernel=$work/vmlinux
	[ ! -e "$vm_kernel" ] || return 0
	# Linux' Documentation/arch/x86/boot.rst: setup_sects, payload_offset, payload_length. The
	# last 4 bytes of the payload are the kernel's size.
	sectors=$(od -An -t u1 -j $((0x1f1)) -N 1 "$packed")
	read -r offset bytes < <(od -An -t u4 -j $((0x248)) -N 8 "$packed")
	if ! dd if="$packed" iflag=skip_bytes,count_bytes skip=$(((sectors + 1) * 512 + offset)) count=$((bytes - 4)) bs=1M status=none |
		zstd -dq -o "$vm_kernel"; then
		rm -f "$vm_kernel"
		die "$packed is not compressed with zstd"
	fi
}

vm_kernel_words="console=ttyS0 quiet panic=1 mitigations=off g.mods=virtio_net,8021q"

# Boots a guest whose NICs are vhost-user sockets; returns at once (vm_wait waits for it).
#   nic=PATH           next NIC: socket (options below, up to the next nic= or tap=, are its own)
#   tap=INTERFACE      next NIC: an existing tap, served by the kernel where it has vhost-net,
#                      else by QEMU
#   mode=client|server QEMU connects (default) or listens
#   mac=MAC queues=N packed=on|off csum=on|off tso=on|off mtu=N
#   with=PROPERTY=VALUE[,...]  further ones of the NIC
#   ip=ADDR/LEN        address of the first NIC;  guest_mtu=N its MTU
#   mem=MiB cpus=N     of the guest (default 256, 1)
#   memory=FILE        its memory is this file, in place of one without a name
#   append=WORD        one more of its kernel's command line
#   firmware=bios|uefi what boots it, from a NIC with=bootindex=0, in place of QEMU's own loader
#   segment=FILE       next ivshmem device: its memory is the file. The first is 0000:00:10.0 in
#                      the guest, then 11.0
#   files=TAR          what the guest unpacks from its second drive: vm_unpack
#   machine=TYPE       of QEMU (default q35, which differs between versions)
#   release=trixie|backports  whose QEMU runs it (default $RTVS_QEMU, else trixie)
#   qemu=WORD          one more of QEMU's command line
vm_start() { # NAME OPTION...
	local name=$1 word n=-1 mem=256 cpus=1 memory='' append='' firmware='' n_segments=0 machine=q35 release=${RTVS_QEMU:-trixie} accel
	local -a path mode mac queues extra args more=()
	shift
	printf '%q ' "$@" >"$work/$name.options"
	for word in "$@"; do
		case $word in
		nic=*) n=$((n + 1)); path[n]=${word#*=}; mode[n]=client; queues[n]=1; mac[n]=52:54:00:00:00:1$n; extra[n]='' ;;
		tap=*) n=$((n + 1)); path[n]=${word#*=}; mode[n]=tap; queues[n]=1; mac[n]=52:54:00:00:00:1$n; extra[n]='' ;;
		mode=*) mode[n]=${word#*=} ;;
		mac=*) mac[n]=${word#*=} ;;
		queues=*) queues[n]=${word#*=} ;;
		packed=*) extra[n]+=,packed=${word#*=} ;;
		csum=*) extra[n]+=,csum=${word#*=},guest_csum=${word#*=} ;;
		tso=*) extra[n]+=$(printf ',%s='"${word#*=}" host_tso4 host_tso6 guest_tso4 guest_tso6) ;;
		mtu=*) extra[n]+=,host_mtu=${word#*=} ;;
		with=*) extra[n]+=,${word#*=} ;;
		firmware=*) firmware=${word#*=} ;;
		ip=*) append+=" g.ip=${word#*=}" ;;
		guest_mtu=*) append+=" g.mtu=${word#*=}" ;;
		append=*) append+=" ${word#*=}" ;;
		mem=*) mem=${word#*=} ;;
		cpus=*) cpus=${word#*=} ;;
		memory=*) memory=${word#*=} ;;
		segment=*)
			more+=(-object "memory-backend-file,id=segment$n_segments,share=on,mem-path=${word#*=},size=$(stat -c %s "${word#*=}")"
				-device "ivshmem-plain,memdev=segment$n_segments,addr=0x1$n_segments")
			n_segments=$((n_segments + 1))
			;;
		files=*) more+=(-drive "file=${word#*=},format=raw,if=none,id=d1,readonly=on" -device virtio-blk-pci,drive=d1) ;;
		machine=*) machine=${word#*=} ;;
		release=*) release=${word#*=} ;;
		qemu=*) more+=("${word#*=}") ;;
		*) die "vm_start: unknown option $word" ;;
		esac
	done
	local backend=memfd
	[ -z "$memory" ] || backend=file,mem-path=$memory
	vm_find_qemu "$release"
	accel=$(vm_accel)
	# With names of threads that distinguish virtual processors from others (rtvs-wake, rtvsctl
	# advise).
	args=(-name "guest=$name,debug-threads=on" -M "$machine,memory-backend=mem" -m "$mem" -smp "$cpus"
		-object "memory-backend-$backend,id=mem,size=${mem%%,*}M,share=on"
		-nodefaults -display none
		-drive "file=$(guest_dir)/root.sqfs,format=raw,if=none,id=d0,readonly=on,file.locking=off"
		-device virtio-blk-pci,drive=d0 -device virtio-serial-pci
		-chardev "socket,id=con,path=$work/$name.con,server=on,wait=off" -device virtconsole,chardev=con
		-serial "file:$work/$name.serial" -qmp "unix:$work/$name.qmp,server=on,wait=off")
	append="$vm_kernel_words$append"
	case $firmware in
	'')
		vm_unpack_kernel
		args+=(-kernel "$vm_kernel" -initrd "$(guest_dir)/initrd.gz" -append "$append")
		;;
	uefi) for word in CODE VARS; do args+=(-drive "file=/usr/share/OVMF/OVMF_${word}_4M.fd,if=pflash,format=raw,snapshot=on"); done ;;
	esac
	# TCG runs "rep movsb" a byte at a time. Kernels use it for copies where these flags call it
	# fast.
	if [ "$accel" = kvm ]; then args+=(-accel kvm -cpu host); else args+=(-accel tcg,thread=multi -cpu max,erms=off,fsrm=off); fi
	for n in "${!path[@]}"; do
		local chardev="socket,id=c$n,path=${path[n]}" mq=''
		if [ "${mode[n]}" = tap ]; then
			[ -w /dev/vhost-net ] && mq=,vhost=on
			args+=(-netdev "tap,id=n$n,ifname=${path[n]},script=no,downscript=no$mq"
				-device "virtio-net-pci,netdev=n$n,mac=${mac[n]}${extra[n]}")
			continue
		fi
		if [ "${mode[n]}" = server ]; then chardev+=,server=on,wait=off; else chardev+=,reconnect-ms=100; fi
		[ "${queues[n]}" = 1 ] || mq=,mq=on,vectors=$((queues[n] * 2 + 2))
		args+=(-chardev "$chardev" -netdev "vhost-user,id=n$n,chardev=c$n,queues=${queues[n]}"
			-device "virtio-net-pci,netdev=n$n,mac=${mac[n]}$mq${extra[n]}")
	done
	rm -f "$work/$name".{serial,con,qmp}
	start "$name" "${vm_qemu[@]}" "${args[@]}" "${more[@]}"
}

vm_is_ready() { grep -q G-READY "$work/$1.serial"; }
vm_ready_or_dead() { vm_is_ready "$1" || is_stopped "$1"; }
vm_wait() { # NAME [SECONDS]
	wait_until "${2:-120}" vm_ready_or_dead "$1" && vm_is_ready "$1" && return
	# QEMU 10's TCG sometimes fails when a memory map changes while the guest starts: such a
	# guest starts once more.
	[ ! -e "$work/$1.again" ] && grep -q 'iotlb_to_section: Assertion' "$work/$1.log" || return 1
	touch "$work/$1.again"
	eval "vm_start $1 $(cat "$work/$1.options")"
	wait_until "${2:-120}" vm_ready_or_dead "$1" && vm_is_ready "$1"
}
vm_run() { python3 "$lib/guest.py" run "$work/$1.con" "$2" "$3"; } # NAME SECONDS COMMAND
vm_qmp() { # NAME COMMAND [JSON]
	local name=$1
	shift
	python3 "$lib/guest.py" qmp "$work/$name.qmp" "$@"
}
# What programs need in a guest, whose C library is theirs, as files=TAR: they go to /usr/bin, with
# DPDK's own drivers and those that are named (net_tap).
vm_pack() { # TAR PROGRAM... [pmd=NAME]...
	local tar=$1 word
	local -a programs=() pmds=()
	shift
	for word in "$@" pmd=bus_vdev pmd=mempool_ring; do
		case $word in
		pmd=*) pmds+=(/usr/lib/*/dpdk/pmds-*/"librte_${word#*=}".so*) ;;
		*) programs+=("$word") ;;
		esac
	done
	rm -rf "$tar.d"
	mkdir -p "$tar.d/usr/bin"
	cp "${programs[@]}" "$tar.d/usr/bin"
	strip --strip-debug "$tar.d/usr/bin/"* 2>/dev/null || : # scripts are among them
	# Where /lib leads to, which stays a link there.
	{
		printf '%s\n' "${pmds[@]}"
		ldd "${programs[@]}" "${pmds[@]}" 2>/dev/null | awk '$3 ~ /^\// && $1 !~ /^(libc|libm)\.so/ {print $3}' || :
	} | sort -u | tar -chPf - --transform='s,^/lib/,/usr/lib/,' -T - | tar -xf - -C "$tar.d"
	tar -cf "$tar" -C "$tar.d" .
}
vm_unpack() { vm_run "$1" 10 "tar -xf /dev/vdb -C $2"; } # NAME DIR
# Restarts the guest's kernel inside the same QEMU; vm_wait then waits for the new one.
vm_reboot() {
	: >"$work/$1.serial"
	vm_qmp "$1" system_reset >/dev/null
}
