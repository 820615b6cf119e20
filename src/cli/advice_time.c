// Processor time that the guest loses: the measurements of the window, and the limits.
#include "advice_check.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

// Shares of the window for which a vCPU waits, in millionths. 1 ms of a second costs a deadline of
// 2 ms half its time. 0.1 ms is the sum of occasional wake-ups of a kernel thread.
#define WAIT_PROBLEM_PPM 1000
#define WAIT_HINT_PPM 100
#define STEAL_PROBLEM_PERMILLE 10
#define MAX_NAMED 6
#define VDUSE_WAIT_MAX_S 5 // far more than a restart of the daemon takes

static double
ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

enum advice_severity
advice_time_wait(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	double window_ms = ms(m->window_ns);
	int64_t worst_ns = 0;
	unsigned n = 0;
	char name[32];

	for (unsigned i = 0; i < p->n_vcpus; i++) {
		const struct machine_thread *t = &m->threads[i];

		if (t->waited_ns < 0)
			return advice_unreadable(f, t->waited_ns, "/proc/%d/task/%d/schedstat", m->pid, t->tid);
		worst_ns = t->waited_ns > worst_ns ? t->waited_ns : worst_ns;
		if (++n > MAX_NAMED)
			continue;
		ADVICE_SAY(
			f, "%s%s waited %.1f ms", n > 1 ? ", " : "", advice_vcpu(t, name), ms((uint64_t)t->waited_ns));
		if (t->preempted > 0)
			ADVICE_SAY(f, " (preempted %lld times)", (long long)t->preempted);
	}
	if (!n)
		return ADVICE_NONE;
	if (n > MAX_NAMED)
		ADVICE_SAY(f, ", the longest of all %u %.1f ms", n, ms((uint64_t)worst_ns));
	if (m->window_ns >= 900000000 && m->window_ns < 1100000000)
		ADVICE_SAY(f, " of the last second for a CPU");
	else
		ADVICE_SAY(f, " of the last %.0f ms for a CPU", window_ms);
	if ((uint64_t)worst_ns <= m->window_ns / 1000000 * WAIT_HINT_PPM)
		return ADVICE_OK;
	ADVICE_XML(f, "<cputune> with a <vcpupin/> for each vCPU: see vcpu.pin");
	ADVICE_SHELL(
		f, "ps -eLo psr,pid,tid,pcpu,comm --sort=-pcpu | head    # who else runs on its CPU (first column)");
	return (uint64_t)worst_ns > m->window_ns / 1000000 * WAIT_PROBLEM_PPM ? ADVICE_PROBLEM : ADVICE_HINT;
}

enum advice_severity
advice_time_policy(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	static const char *const names[] = {
		"SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "", "SCHED_IDLE", "SCHED_DEADLINE"};
	char name[32];

	for (unsigned i = 0; i < p->n_vcpus; i++) {
		const struct machine_thread *t = &m->threads[i];
		const char *policy;

		if (t->policy < 0)
			return advice_unreadable(f, t->policy, "/proc/%d/task/%d/stat", m->pid, t->tid);
		policy = t->policy < (int64_t)(sizeof(names) / sizeof(*names)) ? names[t->policy] : "another policy";
		if (!i)
			ADVICE_SAY(f, "%s is %s", advice_vcpu(t, name), policy);
		if (t->policy != SCHED_BATCH && t->policy != SCHED_IDLE && (t->policy || t->nice <= 20))
			continue;
		f->text[0] = '\0';
		ADVICE_SAY(f, "%s is %s with nice %lld", advice_vcpu(t, name), policy, (long long)t->nice - 20);
		ADVICE_XML(f,
			"<cputune><vcpusched vcpus='0-%u' scheduler='fifo' priority='1'/></cputune>, with a CPU for "
			"each vCPU only",
			p->n_vcpus - 1);
		for (unsigned k = 0; k < p->n_vcpus; k++)
			ADVICE_SHELL(f, "%schrt -o -p 0 %d; renice -n 0 -p %d", k ? "; " : "", m->threads[k].tid,
				m->threads[k].tid);
		return ADVICE_PROBLEM;
	}
	return p->n_vcpus ? ADVICE_OK : ADVICE_NONE;
}

enum advice_severity
advice_time_quota(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	(void)p;
	if (m->cgroup_rc)
		return advice_unreadable(f, m->cgroup_rc, "/proc/%d/cgroup", m->pid);
	for (unsigned i = 0; i < m->n_cgroups; i++) {
		const struct machine_cgroup *g = &m->cgroups[i];

		if (!g->quota_us)
			continue;
		ADVICE_SAY(f, "%s may run %lld us in each %lld us", g->path, (long long)g->quota_us,
			(long long)g->period_us);
		if (g->throttled_us >= 0)
			ADVICE_SAY(f, ", and was stopped for %.1f ms of the last %.0f ms",
				(double)g->throttled_us / 1e3, ms(m->window_ns));
		ADVICE_XML(f,
			"<cputune><vcpu_quota>-1</vcpu_quota><emulator_quota>-1</emulator_quota><global_quota>-1</"
			"global_quota></cputune>");
		ADVICE_SHELL(f,
			strncmp(g->path, "/sys/fs/cgroup/cpu", 18) ? "echo max > '%s/cpu.max'" :
								     "echo -1 > '%s/cpu.cfs_quota_us'",
			g->path);
		return ADVICE_PROBLEM;
	}
	ADVICE_SAY(f, "no control group bounds its time (%u looked at)", m->n_cgroups);
	return ADVICE_OK;
}

enum advice_severity
advice_time_weight(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	(void)p;
	for (unsigned i = 0; i < m->n_cgroups; i++) {
		const struct machine_cgroup *g = &m->cgroups[i];

		if (g->weight < 0 || g->weight >= 100)
			continue;
		ADVICE_SAY(f, "%s has a weight of %lld, others have 100", g->path, (long long)g->weight);
		ADVICE_XML(f, "<cputune><shares>1024</shares></cputune>");
		ADVICE_SHELL(f,
			strncmp(g->path, "/sys/fs/cgroup/cpu", 18) ? "echo 100 > '%s/cpu.weight'" :
								     "echo 1024 > '%s/cpu.shares'",
			g->path);
		return ADVICE_HINT;
	}
	return ADVICE_NONE;
}

enum advice_severity
advice_time_steal(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	(void)p;
	if (m->steal_ticks < 0)
		return advice_unreadable(f, m->steal_ticks, "/proc/stat");
	if (m->all_ticks <= 0)
		return ADVICE_NONE;
	ADVICE_SAY(f, "a hypervisor below this host took %.1f %% of its processor time within the last %.0f ms",
		100.0 * (double)m->steal_ticks / (double)m->all_ticks, ms(m->window_ns));
	if (!m->steal_ticks)
		return ADVICE_OK;
	ADVICE_SHELL(f, "run guests with deadlines on a machine of their own, or give this one dedicated CPUs below");
	return m->steal_ticks * 1000 > m->all_ticks * STEAL_PROBLEM_PERMILLE ? ADVICE_PROBLEM : ADVICE_HINT;
}

// On a CPU that is isolated no other thread wakes.
enum advice_severity
advice_time_worker_priority(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	unsigned n = 0, n_known = 0;

	(void)p;
	for (unsigned i = 0; i < m->n_workers; i++) {
		const struct machine_worker *w = &m->workers[i];

		n_known += w->priority[0] != '\0';
		if (!w->priority[0] || !strcmp(w->priority, "fifo") ||
			(!m->isolated_rc && cpus_has(&m->isolated, w->cpu)))
			continue;
		ADVICE_SAY(f, "%sworker %u on CPU %u, which is not isolated, has worker_priority=%s", n++ ? ", " : "",
			i, w->cpu, w->priority);
	}
	if (n) {
		ADVICE_SHELL(f, "systemctl edit rtvswitchd: LimitRTPRIO=2 in [Service]; and --worker-priority fifo");
		return ADVICE_PROBLEM;
	}
	if (!n_known)
		return ADVICE_NONE;
	ADVICE_SAY(f, "each worker has real-time priority or an isolated CPU (%u looked at)", n_known);
	return ADVICE_OK;
}

enum advice_severity
advice_time_workers(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	(void)p;
	if (m->is_daemon_known)
		return ADVICE_NONE;
	ADVICE_SAY(f, "%s", m->daemon_problem);
	ADVICE_SHELL(f, "rtvsctl -s SOCKET advise ...");
	return ADVICE_UNKNOWN;
}

enum advice_severity
advice_time_vduse(const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f)
{
	(void)p;
	if (!m->vduse[0])
		return ADVICE_NONE;
	if (m->vduse_wait_s)
		ADVICE_SAY(f, "the kernel waits up to %lld s for the program of VDUSE device %s",
			(long long)m->vduse_wait_s, m->vduse);
	else
		ADVICE_SAY(f, "the kernel waits for the program of VDUSE device %s without limit", m->vduse);
	if (m->vduse_wait_s && m->vduse_wait_s <= VDUSE_WAIT_MAX_S)
		return ADVICE_OK;
	ADVICE_SHELL(f, "echo %d > /sys/class/vduse/%s/msg_timeout", VDUSE_WAIT_MAX_S, m->vduse);
	return m->vduse_wait_s ? ADVICE_HINT : ADVICE_PROBLEM;
}
