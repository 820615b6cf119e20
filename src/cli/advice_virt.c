// How QEMU and KVM run the guest, and the memory that it gets.
#include "advice_check.h"

#include <errno.h>
#include <string.h>

enum accel {
	ACCEL_UNKNOWN,
	ACCEL_KVM,
	ACCEL_TCG
};

// Threads' names and descriptors are what is; the command line is what was asked for.
static enum accel
accel_of(const struct machine_facts *m, const struct advice_plan *p)
{
	const char *name = p->n_vcpus ? strchr(m->threads[0].comm, '/') : NULL;

	if (name && !strncmp(name, "/KVM", 4))
		return ACCEL_KVM;
	if (name && !strncmp(name, "/TCG", 4))
		return ACCEL_TCG;
	if (m->has_kvm_fd == 1)
		return ACCEL_KVM;
	if (m->has_kvm_fd == 0)
		return ACCEL_TCG;
	return m->options.asks_kvm == m->options.asks_tcg ? ACCEL_UNKNOWN : m->options.asks_kvm ? ACCEL_KVM : ACCEL_TCG;
}

enum advice_severity
advice_virt_accel(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	switch (accel_of(m, p)) {
	case ACCEL_KVM:
		ADVICE_SAY(f, "the guest runs under KVM");
		return ADVICE_OK;
	case ACCEL_UNKNOWN:
		return advice_unreadable(f, m->has_kvm_fd, "/proc/%d/fd", m->pid);
	default:
		ADVICE_SAY(f, "the guest runs under TCG: QEMU translates its instructions");
		ADVICE_XML(f, "<domain type='kvm'>");
		ADVICE_SHELL(f, "qemu-system-... -accel kvm -cpu host");
		return ADVICE_PROBLEM;
	}
}

// Whether each vCPU is alone on its CPU, as far as pins go.
static bool
has_own_cpus(const struct machine_facts *m, const struct advice_plan *p)
{
	for (unsigned i = 0; i < p->n_vcpus; i++)
		if (p->cpu[i] < 0 || cpus_count(&m->threads[i].allowed) != 1 ||
			!cpus_has(&m->threads[i].allowed, (unsigned)p->cpu[i]))
			return false;
	return p->n_vcpus;
}

#define CPU_PM_XML                                                                                          \
	"<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'> ... <qemu:commandline><qemu:arg " \
	"value='-overcommit'/><qemu:arg value='cpu-pm=on'/></qemu:commandline>"

enum advice_severity
advice_virt_halt(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	bool is_alone = has_own_cpus(m, p);

	if (accel_of(m, p) != ACCEL_KVM)
		return ADVICE_NONE;
	if (m->options.cpu_pm) {
		ADVICE_SAY(f, "HLT and MWAIT do not leave the guest (cpu-pm=on)");
		if (is_alone || !p->n_vcpus)
			return ADVICE_OK;
		ADVICE_SAY(f,
			", but its vCPUs have no CPUs of their own: an idle guest takes all of those that it shares");
		ADVICE_XML(f, "<cputune> with a <vcpupin/> for each vCPU: see vcpu.pin");
		ADVICE_SHELL(f, "pins as in vcpu.pin, or without -overcommit cpu-pm=on");
		return ADVICE_PROBLEM;
	}
	if (m->halt_poll_ns < 0)
		return advice_unreadable(f, m->halt_poll_ns, "/sys/module/kvm/parameters/halt_poll_ns");
	ADVICE_SAY(f, "HLT leaves the guest");
	if (m->halt_poll_ns)
		ADVICE_SAY(f,
			"; KVM waits up to %.0f us before it gives the CPU away, and longer pauses cost a wake-up",
			(double)m->halt_poll_ns / 1e3);
	else
		ADVICE_SAY(f, ", and KVM gives its CPU away at once (halt_poll_ns is 0)");
	ADVICE_XML(f, "%s%s", CPU_PM_XML, is_alone ? "" : ", once each vCPU has a CPU of its own (vcpu.pin)");
	ADVICE_SHELL(
		f, "qemu-system-... -overcommit cpu-pm=on%s", is_alone ? "" : ", once each vCPU has a CPU of its own");
	if (!m->halt_poll_ns)
		ADVICE_SHELL(f, "; until then: echo 200000 > /sys/module/kvm/parameters/halt_poll_ns");
	return m->halt_poll_ns ? ADVICE_HINT : ADVICE_PROBLEM;
}

enum advice_severity
advice_virt_guest(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	if (accel_of(m, p) != ACCEL_KVM || m->options.cpu_pm)
		return ADVICE_NONE;
	ADVICE_SAY(f,
		"whether the guest polls before HLT is to be seen in the guest: cat "
		"/sys/devices/system/cpu/cpuidle/current_driver "
		"current_governor; kvm-hint-dedicated is %s, kvm-poll-control %s",
		m->options.hint_dedicated ? "on" : "off", m->options.poll_control ? "on" : "off");
	ADVICE_XML(f,
		"<features><kvm><hint-dedicated state='on'/><poll-control state='on'/></kvm></features> with <cpu "
		"mode='host-passthrough'/>");
	ADVICE_SHELL(f,
		"qemu-system-... -cpu host,kvm-hint-dedicated=on,kvm-poll-control=on%s; in the guest: modprobe "
		"cpuidle-haltpoll force=1; echo haltpoll > "
		"/sys/devices/system/cpu/cpuidle/current_governor; "
		"echo 500000 > /sys/module/haltpoll/parameters/guest_halt_poll_ns; or idle=poll on its kernel's "
		"command line",
		has_own_cpus(m, p) ? "" : ", once each vCPU has a CPU of its own");
	return m->options.hint_dedicated && m->options.poll_control ? ADVICE_OK : ADVICE_HINT;
}

enum advice_severity
advice_virt_huge(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	(void)p;
	if (m->rss_kib < 0 || m->hugetlb_kib < 0)
		return advice_unreadable(f, m->rss_kib < 0 ? m->rss_kib : m->hugetlb_kib, "/proc/%d/status", m->pid);
	ADVICE_SAY(f,
		"%lld MiB of the guest's process are in hugepages, %lld MiB are not (transparent ones are not counted)",
		(long long)m->hugetlb_kib / 1024, (long long)m->rss_kib / 1024);
	if (m->hugetlb_kib > m->rss_kib)
		return ADVICE_OK;
	ADVICE_XML(f,
		"<memoryBacking><hugepages/><source type='memfd'/><access mode='shared'/><allocation "
		"mode='immediate'/></memoryBacking>");
	ADVICE_SHELL(f,
		"sysctl vm.nr_hugepages=N; qemu-system-... -object "
		"memory-backend-memfd,id=mem,size=SIZE,share=on,hugetlb=on,prealloc=on "
		"-machine memory-backend=mem");
	return ADVICE_HINT;
}

enum advice_severity
advice_virt_compaction(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	(void)p;
	if (m->hugetlb_kib > m->rss_kib && m->rss_kib >= 0)
		return ADVICE_NONE;
	if (m->thp_rc)
		return advice_unreadable(f, m->thp_rc, "/sys/kernel/mm/transparent_hugepage/enabled");
	ADVICE_SAY(f, "transparent hugepages are %s, defrag is %s", m->thp_enabled, m->thp_defrag);
	// With these a page fault does not compact memory itself. QEMU asks for huge pages: madvise
	// is yes for guests.
	if (!strcmp(m->thp_enabled, "never") || !strcmp(m->thp_defrag, "never") || !strcmp(m->thp_defrag, "defer"))
		return ADVICE_OK;
	ADVICE_XML(f, "<memoryBacking><hugepages/></memoryBacking>: see mem.huge");
	ADVICE_SHELL(f, "echo defer > /sys/kernel/mm/transparent_hugepage/defrag");
	return ADVICE_HINT;
}

enum advice_severity
advice_virt_ksm(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	(void)p;
	if (m->options.mem_merge_off || (m->hugetlb_kib > m->rss_kib && m->rss_kib >= 0))
		return ADVICE_NONE;
	if (m->ksm_run < 0 && m->ksm_run != -ENOENT)
		return advice_unreadable(f, m->ksm_run, "/sys/kernel/mm/ksm/run");
	if (m->ksm_run != 1) {
		ADVICE_SAY(f, "pages are not merged");
		return ADVICE_OK;
	}
	ADVICE_SAY(f, "KSM runs, and the guest's pages may be merged with others'");
	ADVICE_XML(f, "<memoryBacking><nosharepages/></memoryBacking>");
	ADVICE_SHELL(f, "qemu-system-... -machine ...,mem-merge=off; or echo 2 > /sys/kernel/mm/ksm/run");
	return ADVICE_HINT;
}

enum advice_severity
advice_virt_swap(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	(void)p;
	if (m->swap_kib < 0)
		return advice_unreadable(f, m->swap_kib, "/proc/%d/status", m->pid);
	ADVICE_XML(f,
		"<memoryBacking><locked/></memoryBacking> with <memtune><hard_limit "
		"unit='GiB'>N</hard_limit></memtune>");
	ADVICE_SHELL(f, "qemu-system-... -overcommit mem-lock=on; or swapoff -a");
	if (m->swap_kib) {
		ADVICE_SAY(f, "%lld KiB of the guest are swapped out", (long long)m->swap_kib);
		return ADVICE_PROBLEM;
	}
	if (m->has_swap == 1 && m->locked_kib <= 0 && m->hugetlb_kib <= m->rss_kib) {
		ADVICE_SAY(f, "nothing is swapped out, but the host has swap and the guest's memory is not locked");
		return ADVICE_HINT;
	}
	f->libvirt[0] = f->shell[0] = '\0';
	ADVICE_SAY(f, m->has_swap == 0 ? "the host has no swap" : "nothing is swapped out");
	return ADVICE_OK;
}
