// Greedy: vCPUs in their order each take the best CPU that is left. One CPU without an owner always
// stays for the host.
#include "advice_plan.h"

#include <errno.h>
#include <string.h>

int64_t
advice_plan_memory_node(const struct machine_facts *m)
{
	int64_t best = -ENODATA;

	for (unsigned node = 0; !m->numa_rc && node < MACHINE_MAX_NODES; node++)
		if (m->node_kib[node] && (best < 0 || m->node_kib[node] > m->node_kib[best]))
			best = node;
	return best;
}

static int
score(const struct machine_facts *m, const struct advice_plan *p, int64_t node, unsigned cpu)
{
	struct cpus siblings = m->cpu[cpu].siblings, used = p->vcpus;
	int points = cpu == 0 ? 0 : 1;

	cpus_unite(&used, &p->taken);
	if (m->cpu[cpu].siblings_rc || !cpus_overlap(&siblings, &used))
		points += 2;
	if (node < 0 || m->cpu[cpu].node == node)
		points += 4;
	if (cpus_has(&m->isolated, cpu))
		points += 8;
	return points;
}

// The best of the free ones, -1: only one is left.
static int
choose(const struct machine_facts *m, const struct advice_plan *p, const struct cpus *free_cpus)
{
	int64_t node = advice_plan_memory_node(m);
	int best = -1, best_score = -1;

	if (cpus_count(free_cpus) < 2)
		return -1;
	for (unsigned cpu = cpus_next(free_cpus, 0); cpu < CPUS_MAX; cpu = cpus_next(free_cpus, cpu + 1)) {
		int s = score(m, p, node, cpu);

		if (s > best_score) {
			best = (int)cpu;
			best_score = s;
		}
	}
	return best;
}

static void
take(struct advice_plan *p, struct cpus *free_cpus, unsigned i, int cpu)
{
	struct cpus one = {0};

	p->cpu[i] = cpu;
	if (cpu < 0) {
		p->n_missing++;
		return;
	}
	cpus_add(&one, (unsigned)cpu);
	cpus_unite(&p->vcpus, &one);
	cpus_subtract(free_cpus, &one);
}

static void
find_rest(const struct machine_facts *m, struct advice_plan *p)
{
	struct cpus rest = m->online;

	cpus_subtract(&rest, &p->vcpus);
	p->rest = cpus_count(&rest) ? rest : m->online;
	cpus_subtract(&rest, &p->taken);
	p->rest = cpus_count(&rest) ? rest : p->rest;
	cpus_subtract(&rest, &m->isolated);
	p->rest = cpus_count(&rest) ? rest : p->rest;
}

void
advice_plan_make(const struct machine_facts *m, struct advice_plan *ret_plan)
{
	struct advice_plan *p = ret_plan;
	struct cpus free_cpus = m->online;

	memset(p, 0, sizeof(*p));
	for (unsigned i = 0; i < m->n_workers; i++)
		cpus_add(&p->taken, m->workers[i].cpu);
	for (unsigned i = 0; i < m->n_others; i++)
		cpus_unite(&p->taken, &m->others[i].pinned);
	cpus_subtract(&free_cpus, &p->taken);
	while (p->n_vcpus < m->n_threads && m->threads[p->n_vcpus].kind == MACHINE_VCPU)
		p->n_vcpus++;
	for (unsigned i = 0; i < p->n_vcpus; i++) {
		const struct cpus *allowed = &m->threads[i].allowed;

		p->cpu[i] = -1;
		if (cpus_count(allowed) == 1 && cpus_is_within(allowed, &free_cpus))
			take(p, &free_cpus, i, (int)cpus_next(allowed, 0));
	}
	for (unsigned i = 0; i < p->n_vcpus; i++)
		if (p->cpu[i] < 0)
			take(p, &free_cpus, i, choose(m, p, &free_cpus));
	find_rest(m, p);
}
