// Methods of the noun worker: its load, and when another thread had its core.
#include "answer.h"
#include "events.h"
#include "methods.h"
#include "plane.h"
#include "port_json.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

struct worker_params {
	uint32_t worker, pos;
};

#define P(member, type, ...) RPC_PARAM(struct worker_params, member, type, __VA_ARGS__)

static const struct rpc_param stalls_params[] = {
	P(worker, RPC_UINT, .max = DP_MAX_WORKERS - 1, .def = "0", .help = "number of the worker"),
	P(pos, RPC_UINT, .def = "0", .help = "only stalls from this position on: `next` of the previous answer"),
};

// CPUs that the thread may use, as people write them; "": not known.
static void
format_cpus(int tid, char *buf, size_t size)
{
	cpu_set_t set;
	size_t len = 0;
	int last;

	buf[0] = '\0';
	if (tid <= 0 || sched_getaffinity(tid, sizeof(set), &set) < 0)
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE && len < size; cpu = last + 1) {
		for (last = cpu; last < CPU_SETSIZE && CPU_ISSET(last, &set);)
			last++;
		if (last == cpu)
			continue;
		len += (size_t)snprintf(buf + len, size - len, "%s%d", len ? "," : "", cpu);
		if (--last > cpu && len < size)
			len += (size_t)snprintf(buf + len, size - len, "-%d", last);
	}
}

static int
worker_list(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct plane *plane = ctx;
	json_t *list = json_array();

	(void)params;
	(void)present;
	for (unsigned i = 0; i < dp_n_workers(plane->dp); i++) {
		struct dp_worker_stats s;
		char cpus[256];
		if (dp_worker_stats(plane->dp, i, &s) < 0)
			continue;
		format_cpus(s.tid, cpus, sizeof(cpus));
		(void)json_array_append_new(list,
			json_pack("{s:i, s:i, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:o}",
				"worker", (int)i, "cpu", (int)s.cpu, "cpus", cpus, "priority",
				dp_priority_names[s.priority], "turns", (json_int_t)s.turns, "turns_with_work",
				(json_int_t)s.turns_with_work, "sleeps", (json_int_t)s.sleeps, "pkts",
				(json_int_t)s.pkts, "events_lost", (json_int_t)s.events_lost, "cycles_busy",
				(json_int_t)s.cycles_busy, "cycles_total", (json_int_t)s.cycles_total, "tsc_hz",
				(json_int_t)s.tsc_hz, "busy_percent",
				s.cycles_total ? 100.0 * (double)s.cycles_busy / (double)s.cycles_total : 0.0,
				"cycles_per_pkt", s.pkts ? (double)s.cycles_busy / (double)s.pkts : 0.0, "stalls",
				port_json_hist(&s.stalls)));
	}
	return ctl_answer(ret_result, list, err);
}

static int
worker_refuse(struct rpc_error *err, unsigned n)
{
	rpc_error_set(err, RPC_INVALID_PARAMS, "worker: must be 0 to %u, the workers that there are", n - 1);
	return -1;
}

static int
worker_stalls(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct plane *plane = ctx;
	const struct worker_params *p = params;
	uint64_t now_ns = events_now_ns(), next = p->pos;
	struct dp_stall *stalls;
	json_t *list;
	unsigned n;

	(void)present;
	if (p->worker >= dp_n_workers(plane->dp))
		return worker_refuse(err, dp_n_workers(plane->dp));
	stalls = calloc(DP_STALLS_KEPT, sizeof(*stalls));
	if (!stalls)
		return ctl_refuse(err, -ENOMEM, "");
	n = dp_worker_stalls(plane->dp, p->worker, stalls);
	list = json_array();
	for (unsigned i = 0; i < n; i++) {
		json_t *entry;

		next = stalls[i].number + 1;
		if (stalls[i].number < p->pos)
			continue;
		entry = json_pack("{s:I, s:I}", "time_ns", (json_int_t)(now_ns - stalls[i].ago_ns), "stall_ns",
			(json_int_t)stalls[i].took_ns);
		events_add_time(entry, now_ns - stalls[i].ago_ns);
		(void)json_array_append_new(list, entry);
	}
	free(stalls);
	return ctl_answer(ret_result, json_pack("{s:o, s:I}", "stalls", list, "next", (json_int_t)next), err);
}

#define SIZE sizeof(struct worker_params)
const struct rpc_method rpc_worker_methods[] = {
	{"worker.list", "Show the workers: load, cost per packet, and stalls: times when another thread had the core.",
		"List of workers; cpu: its CPU at the start, cpus: CPUs where it may run; priority: as system.init's "
		"worker_priority, as far as the kernel grants it; stalls: percentiles in ns and "
		"buckets [low, high, count].",
		worker_list, NULL, 0, 0, RPC_READ_ONLY},
	{"worker.stalls",
		"Show the last 1,024 stalls of 50 us or more of a worker: when each ended, and how long it was.",
		"{stalls, next}: oldest first, time_ns: CLOCK_REALTIME; next: the position to continue at.",
		worker_stalls, stalls_params, 2, SIZE, RPC_READ_ONLY},
	{0},
};
