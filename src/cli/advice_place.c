// The CPUs of vCPUs, the guest's other threads, workers and other guests. One list of pins serves
// all of these findings.
#include "advice_check.h"

#include <errno.h>
#include <stdio.h>

#define MAX_NAMED 6 // vCPUs in one sentence

static bool
is_pinned(const struct machine_thread *t)
{
	return cpus_count(&t->allowed) == 1;
}

// Pins of all vCPUs as planned.
static void
put_vcpu_pins(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	char buf[CPUS_TEXT_SIZE];

	if (!cpus_count(&p->vcpus))
		return;
	ADVICE_XML(f, "<cputune>");
	for (unsigned i = 0; i < p->n_vcpus; i++) {
		if (p->cpu[i] < 0)
			continue;
		ADVICE_XML(f, "<vcpupin vcpu='%d' cpuset='%d'/>", m->threads[i].vcpu < 0 ? 0 : m->threads[i].vcpu,
			p->cpu[i]);
		ADVICE_SHELL(f, "%staskset -pc %d %d", f->shell[0] ? "; " : "", p->cpu[i], m->threads[i].tid);
	}
	ADVICE_XML(f, "<emulatorpin cpuset='%s'/></cputune>", cpus_format(&p->rest, buf, sizeof(buf)));
}

static void
say_missing(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	if (m->online_rc) {
		ADVICE_SAY(f, "; no CPUs are proposed: ");
		(void)advice_unreadable(f, m->online_rc, "/sys/devices/system/cpu/online");
		return;
	}
	if (!p->n_missing)
		return;
	ADVICE_SAY(f,
		"; %u vCPUs, %u CPUs of workers and other guests, and one for the host are more than the %u that are "
		"online",
		p->n_vcpus, cpus_count(&p->taken), cpus_count(&m->online));
	if (p->n_missing < p->n_vcpus)
		ADVICE_XML(f, " and <vcpu>%u</vcpu>", p->n_vcpus - p->n_missing);
}

enum advice_severity
advice_place_names(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	if (p->n_vcpus)
		return ADVICE_NONE;
	ADVICE_SAY(f,
		"/proc/%d/task: none of %u threads is called \"CPU n/KVM\" or \"CPU n/TCG\", so it is not known where "
		"the vCPUs run",
		m->pid, m->n_threads + m->n_threads_left_out);
	ADVICE_SHELL(f, "qemu-system-... -name guest=%s,debug-threads=on", m->name[0] ? m->name : "NAME");
	return ADVICE_UNKNOWN;
}

enum advice_severity
advice_place_pin(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	char buf[CPUS_TEXT_SIZE], name[32];
	unsigned n = 0;

	for (unsigned i = 0; i < p->n_vcpus; i++) {
		const struct machine_thread *t = &m->threads[i];
		unsigned k = 0;

		while (k < i &&
			!(is_pinned(t) && is_pinned(&m->threads[k]) &&
				cpus_overlap(&t->allowed, &m->threads[k].allowed)))
			k++;
		if (is_pinned(t) && k == i)
			continue;
		if (++n > MAX_NAMED)
			continue;
		ADVICE_SAY(f, "%s%s ", n > 1 ? ", " : "", advice_vcpu(t, name));
		if (is_pinned(t))
			ADVICE_SAY(f, "shares CPU %u with vCPU %d", cpus_next(&t->allowed, 0), m->threads[k].vcpu);
		else
			ADVICE_SAY(f, "may run on CPUs %s", cpus_format(&t->allowed, buf, sizeof(buf)));
	}
	if (n > MAX_NAMED)
		ADVICE_SAY(f, ", and so on: %u of %u vCPUs have no CPU of their own", n, p->n_vcpus);
	if (n) {
		put_vcpu_pins(m, p, f);
		say_missing(m, p, f);
		return ADVICE_PROBLEM;
	}
	if (p->n_vcpus)
		ADVICE_SAY(f, "each vCPU has one CPU (%u looked at)", p->n_vcpus);
	return p->n_vcpus ? ADVICE_OK : ADVICE_NONE;
}

enum advice_severity
advice_place_worker(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	char name[32];
	unsigned n = 0;

	for (unsigned i = 0; i < p->n_vcpus; i++)
		for (unsigned k = 0; k < m->n_workers; k++) {
			if (!cpus_has(&m->threads[i].allowed, m->workers[k].cpu) || ++n > MAX_NAMED)
				continue;
			ADVICE_SAY(f, "%s%s %s CPU %u, which is worker %u's", n > 1 ? ", " : "",
				advice_vcpu(&m->threads[i], name), is_pinned(&m->threads[i]) ? "is on" : "may run on",
				m->workers[k].cpu, k);
		}
	if (n) {
		put_vcpu_pins(m, p, f);
		say_missing(m, p, f);
		return ADVICE_PROBLEM;
	}
	if (p->n_vcpus && m->n_workers)
		ADVICE_SAY(f, "no vCPU may run where a worker polls");
	return p->n_vcpus && m->n_workers ? ADVICE_OK : ADVICE_NONE;
}

enum advice_severity
advice_place_guests(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	char buf[CPUS_TEXT_SIZE];
	unsigned n = 0;

	for (unsigned k = 0; k < m->n_others; k++) {
		struct cpus shared = {0};

		for (unsigned i = 0; i < p->n_vcpus; i++)
			cpus_unite(&shared, &m->threads[i].allowed);
		for (unsigned cpu = 0; cpu < CPUS_MAX / 64; cpu++)
			shared.word[cpu] &= m->others[k].vcpus.word[cpu];
		if (!cpus_count(&shared) || ++n > MAX_NAMED)
			continue;
		ADVICE_SAY(f, "%sCPUs %s also run vCPUs of %s (pid %d)", n > 1 ? ", " : "",
			cpus_format(&shared, buf, sizeof(buf)), m->others[k].name[0] ? m->others[k].name : "a guest",
			m->others[k].pid);
	}
	if (n) {
		put_vcpu_pins(m, p, f);
		say_missing(m, p, f);
		ADVICE_XML(f, "%s<vcpupin/> elsewhere for the other guests", f->libvirt[0] ? ", and " : "");
		return ADVICE_PROBLEM;
	}
	if (!p->n_vcpus || !m->n_others)
		return ADVICE_NONE;
	for (unsigned k = 0; k < m->n_others; k++) {
		if (cpus_count(&m->others[k].vcpus))
			continue;
		ADVICE_SAY(f, "/proc/%d/task: no thread of %s tells that it is a vCPU", m->others[k].pid,
			m->others[k].name[0] ? m->others[k].name : "a guest");
		return ADVICE_UNKNOWN;
	}
	ADVICE_SAY(f, "no other guest may run on this one's CPUs (%u looked at)", m->n_others);
	return ADVICE_OK;
}

// Threads of one kind that may run where a vCPU is alone otherwise.
static enum advice_severity
check_threads(const struct machine_facts *m, const struct advice_plan *p, enum machine_thread_kind kind,
	const char *what, struct advice_finding *f)
{
	char rest[CPUS_TEXT_SIZE], buf[CPUS_TEXT_SIZE];
	struct cpus pinned = {0}, shared = {0};
	unsigned n_all = 0, n = 0;

	(void)cpus_format(&p->rest, rest, sizeof(rest));
	for (unsigned i = 0; i < p->n_vcpus; i++)
		if (is_pinned(&m->threads[i]))
			cpus_unite(&pinned, &m->threads[i].allowed);
	for (unsigned i = p->n_vcpus; i < m->n_threads; i++) {
		const struct machine_thread *t = &m->threads[i];

		n_all += t->kind == kind;
		if (t->kind != kind || !cpus_overlap(&t->allowed, &pinned))
			continue;
		n++;
		cpus_unite(&shared, &t->allowed);
		ADVICE_SHELL(f, "%staskset -pc %s %d", f->shell[0] ? "; " : "", rest, t->tid);
	}
	// Where nothing is pinned, vcpu.pin says it.
	if (!n_all || !cpus_count(&pinned))
		return ADVICE_NONE;
	if (!n) {
		ADVICE_SAY(f, "%s threads keep off the vCPUs' CPUs (%u looked at)", what, n_all);
		return ADVICE_OK;
	}
	ADVICE_SAY(f, "%u of %u %s threads may run on CPUs %s, where pinned vCPUs are", n, n_all, what,
		cpus_format(&shared, buf, sizeof(buf)));
	if (kind == MACHINE_IOTHREAD)
		ADVICE_XML(f, "<cputune><iothreadpin iothread='1' cpuset='%s'/></cputune>, one for each of <iothreads>",
			rest);
	else
		ADVICE_XML(f, "<cputune><emulatorpin cpuset='%s'/></cputune>", rest);
	return ADVICE_PROBLEM;
}

enum advice_severity
advice_place_emulator(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	return check_threads(m, p, MACHINE_EMULATOR, "emulator", f);
}

enum advice_severity
advice_place_iothread(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	return check_threads(m, p, MACHINE_IOTHREAD, "I/O", f);
}

// The other hardware threads of the vCPUs' cores. Those of workers and other guests are a problem,
// those that any program may use a hint.
enum advice_severity
advice_place_siblings(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	struct cpus siblings = {0}, open;
	char buf[CPUS_TEXT_SIZE];
	bool is_taken;

	if (!p->n_vcpus || !cpus_count(&p->vcpus))
		return ADVICE_NONE;
	for (unsigned cpu = cpus_next(&p->vcpus, 0); cpu < CPUS_MAX; cpu = cpus_next(&p->vcpus, cpu + 1)) {
		if (m->cpu[cpu].siblings_rc)
			return advice_unreadable(f, m->cpu[cpu].siblings_rc,
				"/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list", cpu);
		cpus_unite(&siblings, &m->cpu[cpu].siblings);
	}
	cpus_subtract(&siblings, &p->vcpus);
	open = siblings;
	cpus_subtract(&open, &m->isolated);
	is_taken = cpus_overlap(&siblings, &p->taken);
	if (!is_taken && !cpus_count(&open)) {
		ADVICE_SAY(f, "nobody else uses the other half of the vCPUs' cores");
		return ADVICE_OK;
	}
	ADVICE_SAY(f, "CPUs %s are other halves of the vCPUs' cores, and %s", cpus_format(&siblings, buf, sizeof(buf)),
		is_taken ? "a worker or another guest runs there" : "the host may run anything there");
	cpus_subtract(&open, &p->taken);
	// CPU 0 stays on.
	for (unsigned cpu = cpus_next(&open, 1); cpu < CPUS_MAX; cpu = cpus_next(&open, cpu + 1))
		ADVICE_SHELL(f, "%secho 0 > /sys/devices/system/cpu/cpu%u/online", f->shell[0] ? "; " : "", cpu);
	if (is_taken)
		ADVICE_SHELL(f, "%sgive the worker (rtvswitchd --workers) or the other guest a core of its own",
			f->shell[0] ? "; " : "");
	return is_taken ? ADVICE_PROBLEM : ADVICE_HINT;
}

enum advice_severity
advice_place_node(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	int64_t node = cpus_count(&p->vcpus) ? m->cpu[cpus_next(&p->vcpus, 0)].node : -ENODATA;
	uint64_t all_kib = 0, away_kib = 0;
	bool is_home[MACHINE_MAX_NODES] = {false};

	if (m->numa_rc == -ENODATA || node < 0)
		return ADVICE_NONE;
	if (m->numa_rc)
		return advice_unreadable(f, m->numa_rc, "/proc/%d/numa_maps", m->pid);
	for (unsigned cpu = cpus_next(&p->vcpus, 0); cpu < CPUS_MAX; cpu = cpus_next(&p->vcpus, cpu + 1))
		if (m->cpu[cpu].node >= 0 && m->cpu[cpu].node < MACHINE_MAX_NODES)
			is_home[m->cpu[cpu].node] = true;
	for (unsigned i = 0; i < MACHINE_MAX_NODES; i++) {
		all_kib += m->node_kib[i];
		away_kib += is_home[i] ? 0 : m->node_kib[i];
	}
	ADVICE_SAY(f, "%llu of %llu MiB are on other nodes than the vCPUs' CPUs", (unsigned long long)away_kib / 1024,
		(unsigned long long)all_kib / 1024);
	// Libraries and the page cache are anywhere: a twentieth does not matter.
	if (away_kib <= all_kib / 20)
		return ADVICE_OK;
	ADVICE_XML(f, "<numatune><memory mode='strict' nodeset='%lld'/></numatune>", (long long)node);
	ADVICE_SHELL(f, "migratepages %d all %lld", m->pid, (long long)node);
	return away_kib > all_kib / 2 ? ADVICE_PROBLEM : ADVICE_HINT;
}
