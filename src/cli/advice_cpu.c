// The settings of CPUs, and their interruptions. Idle states, governors, isolation and ticks are
// checked on the CPUs of vCPUs, or on those of the proposed pins; interrupts on the CPUs of vCPUs
// and workers.
#include "advice_check.h"

#include <errno.h>
#include <string.h>

#define IDLE_PROBLEM_US 50 // package states; a deadline of 2 ms loses a fortieth at each packet
#define IDLE_HINT_US 5
// Interrupts within the window: one costs some 5 us with its softirq, 100 a second 0.5 ms.
#define FIRED_PROBLEM 100
#define TICKS_HINT 50
#define MAX_NAMED 6
#define SYS_CPU "/sys/devices/system/cpu"

// As whole words: "CPUs 2,4".
static void
say_cpus(struct advice_finding *f, const struct cpus *set, const char *format)
{
	char buf[CPUS_TEXT_SIZE];

	cpus_format(set, buf, sizeof(buf));
	ADVICE_SAY(f, "CPU%s %s", cpus_count(set) == 1 ? "" : "s", buf);
	ADVICE_SAY(f, "%s", format);
}

enum advice_severity
advice_cpu_isolated(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	struct cpus open = p->vcpus;
	char buf[CPUS_TEXT_SIZE];

	for (unsigned i = 0; i < m->n_workers; i++)
		cpus_add(&open, m->workers[i].cpu);
	if (!cpus_count(&open))
		return ADVICE_NONE;
	if (m->isolated_rc)
		return advice_unreadable(f, m->isolated_rc, SYS_CPU "/isolated");
	(void)cpus_format(&open, buf, sizeof(buf));
	ADVICE_SHELL(f, "isolcpus=domain,managed_irq,%s on the kernel's command line", buf);
	cpus_subtract(&open, &m->isolated);
	if (!cpus_count(&open)) {
		f->shell[0] = '\0';
		ADVICE_SAY(f, "the CPUs of vCPUs and workers are");
		return ADVICE_OK;
	}
	say_cpus(f, &open, ", for vCPUs and workers, not isolated");
	return ADVICE_HINT;
}

enum advice_severity
advice_cpu_tick(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	struct cpus ticking = p->vcpus, callbacks;
	char buf[CPUS_TEXT_SIZE];
	int64_t most = -1;

	if (!cpus_count(&ticking))
		return ADVICE_NONE;
	if (m->nohz_rc && m->nohz_rc != -ENOENT)
		return advice_unreadable(f, m->nohz_rc, SYS_CPU "/nohz_full");
	cpus_subtract(&ticking, &m->nohz_full);
	if (m->cmdline_rc && cpus_count(&ticking))
		return advice_unreadable(f, m->cmdline_rc, "/proc/cmdline");
	callbacks = ticking; // nohz_full implies rcu_nocbs
	cpus_subtract(&callbacks, &m->rcu_nocbs);
	if (!cpus_count(&ticking)) {
		ADVICE_SAY(f, "the vCPUs' CPUs have no tick while one thread runs (nohz_full)");
		return ADVICE_OK;
	}
	for (unsigned cpu = cpus_next(&p->vcpus, 0); cpu < CPUS_MAX; cpu = cpus_next(&p->vcpus, cpu + 1))
		most = m->cpu[cpu].ticks > most ? m->cpu[cpu].ticks : most;
	say_cpus(f, &ticking, " not in nohz_full");
	if (cpus_count(&callbacks))
		ADVICE_SAY(f, " or rcu_nocbs");
	if (m->nohz_rc)
		ADVICE_SAY(f, "; this kernel was built without CONFIG_NO_HZ_FULL");
	if (most >= 0)
		ADVICE_SAY(f, "; up to %lld timer interrupts in %.0f ms", (long long)most, (double)m->window_ns / 1e6);
	(void)cpus_format(&p->vcpus, buf, sizeof(buf));
	ADVICE_SHELL(f, "nohz_full=%s rcu_nocbs=%s on the kernel's command line", buf, buf);
	return ADVICE_HINT;
}

// The deepest state that the CPU may enter; -1: none. A latency that a program asked for at
// /dev/cpu_dma_latency bounds the states.
static int
deepest(const struct machine_facts *m, const struct machine_cpu *c)
{
	int found = -1;

	for (unsigned i = 0; i < c->n_idle; i++)
		if (!c->idle[i].is_disabled && (m->dma_latency_us < 0 || c->idle[i].latency_us <= m->dma_latency_us) &&
			(found < 0 || c->idle[i].latency_us >= c->idle[found].latency_us))
			found = (int)i;
	return found;
}

static enum advice_severity
say_idle(const struct machine_facts *m, const struct machine_cpu *c, unsigned cpu, const struct cpus *cpus,
	struct advice_finding *f)
{
	int d = deepest(m, c);
	int64_t us = d < 0 ? 0 : c->idle[d].latency_us;

	ADVICE_SAY(f, "CPU %u may sleep in %s, which takes %lld us to leave", cpu, d < 0 ? "no state" : c->idle[d].name,
		(long long)us);
	if (us <= IDLE_HINT_US)
		return ADVICE_OK;
	if (m->dma_latency_us < 0) {
		ADVICE_SAY(f, ", unless it is bound by ");
		(void)advice_unreadable(f, m->dma_latency_us, "/dev/cpu_dma_latency");
	}
	for (unsigned k = cpus_next(cpus, 0); k < CPUS_MAX; k = cpus_next(cpus, k + 1))
		for (unsigned i = 0; i < m->cpu[k].n_idle; i++)
			if (m->cpu[k].idle[i].latency_us > IDLE_HINT_US && !m->cpu[k].idle[i].is_disabled)
				ADVICE_SHELL(f, "%secho 1 > " SYS_CPU "/cpu%u/cpuidle/state%u/disable",
					f->shell[0] ? "; " : "", k, i);
	return us > IDLE_PROBLEM_US ? ADVICE_PROBLEM : ADVICE_HINT;
}

enum advice_severity
advice_cpu_idle(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	unsigned worst = CPUS_MAX;
	int64_t worst_us = -1;

	if (m->is_idle_poll) {
		ADVICE_SAY(f, "the kernel was started with idle=poll: CPUs do not sleep");
		return ADVICE_OK;
	}
	for (unsigned cpu = cpus_next(&p->vcpus, 0); cpu < CPUS_MAX; cpu = cpus_next(&p->vcpus, cpu + 1)) {
		const struct machine_cpu *c = &m->cpu[cpu];
		int d = deepest(m, c);
		int64_t us = d < 0 ? 0 : c->idle[d].latency_us;

		if (c->idle_rc)
			return advice_unreadable(f, c->idle_rc, SYS_CPU "/cpu%u/cpuidle/state0/latency", cpu);
		if (us > worst_us) {
			worst = cpu;
			worst_us = us;
		}
	}
	return worst == CPUS_MAX ? ADVICE_NONE : say_idle(m, &m->cpu[worst], worst, &p->vcpus, f);
}

enum advice_severity
advice_cpu_frequency(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	struct cpus slow = {0};
	const char *governor = "";

	for (unsigned cpu = cpus_next(&p->vcpus, 0); cpu < CPUS_MAX; cpu = cpus_next(&p->vcpus, cpu + 1)) {
		const struct machine_cpu *c = &m->cpu[cpu];

		if (c->governor_rc)
			return advice_unreadable(f, c->governor_rc, SYS_CPU "/cpu%u/cpufreq/scaling_governor", cpu);
		if (!strcmp(c->governor, "performance"))
			continue;
		governor = c->governor;
		cpus_add(&slow, cpu);
		ADVICE_SHELL(f, "%secho performance > " SYS_CPU "/cpu%u/cpufreq/scaling_governor",
			f->shell[0] ? "; " : "", cpu);
	}
	if (!cpus_count(&p->vcpus))
		return ADVICE_NONE;
	if (!cpus_count(&slow)) {
		ADVICE_SAY(f, "the vCPUs' CPUs have the governor performance");
		return ADVICE_OK;
	}
	say_cpus(f, &slow, " with the governor ");
	ADVICE_SAY(f, "%s", governor);
	return ADVICE_HINT;
}

enum advice_severity
advice_cpu_irqs(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	uint64_t n_fired = 0;
	char rest[CPUS_TEXT_SIZE];
	unsigned n_named = 0;
	struct cpus quiet;

	machine_quiet_cpus(m, &quiet);
	if (!cpus_count(&quiet))
		return ADVICE_NONE;
	if (m->irqs_rc)
		return advice_unreadable(f, m->irqs_rc, "/proc/interrupts");
	(void)cpus_format(&p->rest, rest, sizeof(rest));
	for (unsigned i = 0; i < m->n_irqs; i++) {
		const struct machine_irq *irq = &m->irqs[i];

		n_fired += irq->n_fired;
		ADVICE_SHELL(f, "%secho %s > /proc/irq/%u/smp_affinity_list", i ? "; " : "", rest, irq->number);
		if (irq->n_fired && ++n_named <= MAX_NAMED)
			ADVICE_SAY(f, "%s%u (%s) %llu times", n_named > 1 ? ", " : "interrupts ", irq->number,
				irq->name, (unsigned long long)irq->n_fired);
	}
	if (m->n_irqs)
		ADVICE_SHELL(f, "    # those that the kernel manages refuse: isolcpus=managed_irq,... moves them");
	if (n_named)
		ADVICE_SAY(f, " within the last %.0f ms on CPUs of vCPUs and workers", (double)m->window_ns / 1e6);
	else if (m->n_irqs)
		ADVICE_SAY(f, "%u interrupts go to CPUs of vCPUs and workers, none within the last %.0f ms", m->n_irqs,
			(double)m->window_ns / 1e6);
	else
		ADVICE_SAY(f, "none goes to CPUs of vCPUs and workers");
	if (!m->n_irqs)
		return ADVICE_OK;
	return n_fired >= FIRED_PROBLEM ? ADVICE_PROBLEM : ADVICE_HINT;
}

enum advice_severity
advice_cpu_irqbalance(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	struct cpus open = p->vcpus, kept;
	char buf[CPUS_TEXT_SIZE];

	for (unsigned i = 0; i < m->n_workers; i++)
		cpus_add(&open, m->workers[i].cpu);
	if (!cpus_count(&open))
		return ADVICE_NONE;
	if (!m->irqbalance_pid) {
		ADVICE_SAY(f, "irqbalance does not run");
		return ADVICE_OK;
	}
	(void)cpus_format(&open, buf, sizeof(buf));
	// Without a list of its own it leaves out what is isolated or nohz_full.
	kept = m->irqbalance_banned;
	if (!cpus_count(&kept)) {
		kept = m->isolated;
		cpus_unite(&kept, &m->nohz_full);
	}
	cpus_subtract(&open, &kept);
	if (!cpus_count(&open)) {
		ADVICE_SAY(f, "irqbalance (pid %d) leaves the CPUs of vCPUs and workers out", m->irqbalance_pid);
		return ADVICE_OK;
	}
	ADVICE_SAY(f, "irqbalance (pid %d) runs, and may use ", m->irqbalance_pid);
	say_cpus(f, &open, "");
	ADVICE_SHELL(
		f, "echo IRQBALANCE_BANNED_CPULIST=%s >> /etc/default/irqbalance; systemctl restart irqbalance", buf);
	return ADVICE_HINT;
}

enum advice_severity
advice_cpu_coalescing(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	const struct machine_device *unknown = NULL;
	unsigned n = 0, n_asked = 0;

	(void)p;
	for (unsigned i = 0; i < m->n_devices; i++) {
		const struct machine_device *d = &m->devices[i];

		if (d->rx_usecs == -EOPNOTSUPP) // tun, veth
			continue;
		n_asked++;
		unknown = d->rx_usecs < 0 ? d : unknown;
		if (d->rx_usecs <= 0 && d->adaptive_rx <= 0)
			continue;
		n++;
		ADVICE_SAY(f, "%s%s of port %s: rx-usecs %lld, adaptive-rx %s", n > 1 ? ", " : "", d->name, d->port,
			(long long)d->rx_usecs, d->adaptive_rx > 0 ? "on" : "off");
		ADVICE_SHELL(f, "%sethtool -C %s rx-usecs 0 adaptive-rx off", n > 1 ? "; " : "", d->name);
	}
	if (n)
		return ADVICE_HINT;
	if (unknown)
		return advice_unreadable(f, unknown->rx_usecs, "ethtool -c %s", unknown->name);
	if (n_asked)
		ADVICE_SAY(f, "no interface of the switch holds its interrupts back");
	return n_asked ? ADVICE_OK : ADVICE_NONE;
}

enum advice_severity
advice_cpu_clock(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	static const char *const fast[] = {"tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"};

	(void)p;
	if (m->clocksource_rc)
		return advice_unreadable(
			f, m->clocksource_rc, "/sys/devices/system/clocksource/clocksource0/current_clocksource");
	ADVICE_SAY(f, "the host's clock is %s", m->clocksource);
	for (unsigned i = 0; i < sizeof(fast) / sizeof(*fast); i++)
		if (!strcmp(fast[i], m->clocksource))
			return ADVICE_OK;
	ADVICE_SHELL(f,
		"echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource    # dmesg says why it is "
		"not");
	return ADVICE_HINT;
}
