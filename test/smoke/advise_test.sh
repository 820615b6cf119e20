#!/usr/bin/env bash
# rtvsctl advise with real QEMU processes: its findings, the cure by its own commands, and whom it
# refuses.
. "$(dirname "$0")/lib.sh"

[ "$(nproc)" -gt 1 ] || { echo "needs two CPUs"; exit 77; }
command -v qemu-system-x86_64 || { echo "no qemu-system-x86_64"; exit 77; }

# A paused guest without devices, under TCG.
guest() { # NAME [ARG...]
	local name=$1
	shift
	start "$name" qemu-system-x86_64 -S -nodefaults -display none -M q35 -accel tcg -m 64 "$@"
}
vcpu_of() { grep -l '^CPU 0/' "/proc/$(pid_of "$1")/task/"*/comm | cut -d/ -f5; }
allowed() { sed -n 's/^Cpus_allowed_list:\t//p' "/proc/$(pid_of "$1")/task/$(vcpu_of "$1")/status"; }
has_vcpu() { [ -n "$(vcpu_of "$1")" ]; }
# Of one finding of the guest: its severity, finding, libvirt, shell; "None" where there is none.
advice() { ctl -j advise "$1" | json "next((f['$3'] for f in d if f['id'] == '$2'), None)"; } # GUEST ID KEY
# Does as the finding says.
obey() { bash -c "$(advice "$1" "$2" shell)"; } # GUEST ID

after_failure() {
	local name
	for name in hog g4 g5 g6 rtvsd; do stop "$name"; done
}

guest g1 -object iothread,id=io1 -name guest=g1,debug-threads=on
guest g2 -name g2
wait_until 20 has_vcpu g1
wait_until 20 grep -q guest=g1 "/proc/$(pid_of g1)/cmdline"

finds_tcg_and_loose_vcpus() {
	expect "acceleration" problem "$(advice g1 accel severity)"
	expect_match "domain type='kvm'" "$(advice g1 accel libvirt)"
	expect "pins" problem "$(advice g1 vcpu.pin severity)"
	expect_match "^vCPU 0 may run on CPUs $(allowed g1)" "$(advice g1 vcpu.pin finding)"
	expect_match "<vcpupin vcpu='0' cpuset='[0-9]+'/>" "$(advice g1 vcpu.pin libvirt)"
	# By its pid it is the same guest.
	expect "pins, by pid" problem "$(advice "$(pid_of g1)" vcpu.pin severity)"
}

its_commands_cure_it() {
	obey g1 vcpu.pin
	expect_match '^[0-9]+$' "$(allowed g1)"
	expect "pins" ok "$(advice g1 vcpu.pin severity)"
	expect "the emulator" problem "$(advice g1 vcpu.emulator severity)"
	expect "I/O threads" problem "$(advice g1 vcpu.iothread severity)"
	obey g1 vcpu.emulator
	obey g1 vcpu.iothread
	expect "the emulator" ok "$(advice g1 vcpu.emulator severity)"
	expect "I/O threads" ok "$(advice g1 vcpu.iothread severity)"
	expect "acceleration is as it was" problem "$(advice g1 accel severity)"
	# And undone it is back.
	taskset -pc "0-$(($(nproc) - 1))" "$(vcpu_of g1)"
	expect "pins" problem "$(advice g1 vcpu.pin severity)"
}

says_what_it_cannot_know() {
	expect "threads without names" unknown "$(advice g2 vcpu.names severity)"
	expect_match "^/proc/$(pid_of g2)/task: " "$(advice g2 vcpu.names finding)"
	expect "no pins of what is not known" None "$(advice g2 vcpu.pin severity)"
	expect "no daemon" unknown "$(advice g1 workers severity)"
	expect_match "$work/rtvsd.sock" "$(advice g1 workers finding)"
}

prints_for_people() {
	ctl advise g1 >"$work/advise.txt"
	expect_match '^g1 \(pid [0-9]+\)' "$(head -n 1 "$work/advise.txt")"
	expect_match '^problem  accel ' "$(sed -n 3p "$work/advise.txt")"
	expect_match '^[0-9]+ problems?, [0-9]+ hints?$' "$(tail -n 1 "$work/advise.txt")"
	expect "problems" "$(ctl -j advise g1 | json 'sum(f["severity"] == "problem" for f in d)')" \
		"$(grep -c '^problem ' "$work/advise.txt")"
}

finds_workers_on_the_same_cpu() {
	local cpu
	daemon_start rtvsd
	cpu=$(ctl -j worker list | json 'd[0]["cpu"]')
	taskset -pc "$cpu" "$(vcpu_of g1)"
	expect "finding" "vCPU 0 is on CPU $cpu, which is worker 0's" "$(advice g1 vcpu.worker finding | cut -d';' -f1)"
	expect "severity" problem "$(advice g1 vcpu.worker severity)"
	taskset -pc "$(((cpu + 1) % $(nproc)))" "$(vcpu_of g1)"
	expect "on another CPU" ok "$(advice g1 vcpu.worker severity)"
	expect "workers are known" None "$(advice g1 workers severity)"
	stop rtvsd
}

# A guest that computes, and a program on its CPU: the guest waits half of the time.
sees_waiting() {
	printf '\xeb\xfe%508s\x55\xaa' '' >"$work/spin.img" # jmp to itself, and the mark of a boot sector
	start g6 qemu-system-x86_64 -nodefaults -display none -M pc -accel tcg -m 16 -name guest=g6,debug-threads=on \
		-drive "file=$work/spin.img,format=raw,if=floppy,readonly=on"
	wait_for 20 has_vcpu g6
	taskset -pc 1 "$(vcpu_of g6)"
	start hog taskset -c 1 bash -c 'while :; do :; done'
	is_waiting() { [ "$(advice g6 vcpu.wait severity)" = problem ]; }
	wait_for 20 is_waiting
	expect_match 'vCPU 0 waited [0-9.]+ ms \(preempted [0-9]+ times\) of the last' "$(advice g6 vcpu.wait finding)"
	advice g6 vcpu.wait finding
	stop hog
	stop g6
}

rc_of() { local rc=0; "$@" || rc=$?; echo $rc; }

refuses_others() {
	local dead
	expect_fails "no guest 'g3'; there are: g1 \(pid [0-9]+\), g2 \(pid [0-9]+\)" ctl advise g3
	expect_fails "process $$ is not QEMU; there are: g1" ctl advise $$
	guest g4 -name g4
	dead=$(pid_of g4)
	stop g4
	expect_fails "there is no process $dead; there are: g1" ctl advise "$dead"
	expect_fails "no guest '\.\./1'" ctl advise ../1
	expect "status" 1 "$(rc_of ctl advise g3 2>/dev/null)"
	expect "status of no guest" 2 "$(rc_of ctl advise 2>/dev/null)"
	expect "status of two" 2 "$(rc_of ctl advise g1 g2 2>/dev/null)"
	ctl advise g1 # has problems, and is no failure
}

same_names_need_a_pid() {
	guest g5 -name guest=g1,debug-threads=on
	wait_for 20 has_vcpu g5
	expect_fails "2 guests are called 'g1': give a pid" ctl advise g1
	expect "by pid" problem "$(advice "$(pid_of g5)" vcpu.guests severity)"
	stop g5
	expect "alone again" problem "$(advice g1 accel severity)"
}

run_case "TCG and vCPUs without pins are found" finds_tcg_and_loose_vcpus
run_case "the commands that it prints cure what it found" its_commands_cure_it
run_case "what cannot be known is told" says_what_it_cannot_know
run_case "a list for people, and its last line" prints_for_people
run_case "time that a vCPU waited for its CPU is measured" sees_waiting
run_case "a worker on a vCPU's CPU is found" finds_workers_on_the_same_cpu
run_case "what is no guest is refused, with those that there are" refuses_others
run_case "two guests of one name need a pid" same_names_need_a_pid
