// A line that is not understood fails the test.
#include "wake_script.h"

#include "../unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const types[EVENT_COUNT] = {"waking", "in", "out", "preempted"};

static void
find_thread(const char *who, uint32_t *ret_tgid, uint32_t *ret_tid, const char **ret_comm)
{
	static const struct {
		const char *who, *comm;
		uint32_t tgid, tid;
	} all[] = {
		{"loop", "qemu-system-x86", SCRIPT_QEMU, SCRIPT_QEMU},
		{"cpu0", "CPU 0/KVM", SCRIPT_QEMU, SCRIPT_CPU0},
		{"cpu1", "CPU 1/KVM", SCRIPT_QEMU, SCRIPT_CPU1},
		{"switch", "worker", SCRIPT_SWITCH, SCRIPT_SWITCH + 1},
		{"kernel", "", 0, 0},
	};
	unsigned guest = 0, i = 0;
	int n = 0;

	if (sscanf(who, "g%u.%n", &guest, &n) == 1 && n)
		who += n;
	while (i < sizeof(all) / sizeof(*all) && strcmp(all[i].who, who))
		i++;
	assert_true(i < sizeof(all) / sizeof(*all));
	*ret_tgid = all[i].tgid + guest * 1000;
	*ret_tid = all[i].tid + guest * 1000;
	*ret_comm = all[i].comm;
}

static struct event
parse(const char *line, uint64_t base_ns)
{
	char type[16], who[16], by[16] = "kernel";
	unsigned long long at;
	struct event e = {0};
	const char *comm;
	unsigned i = 0;
	uint32_t tgid, tid;
	int n = sscanf(line, "%llu %15s %15s by %15s", &at, type, who, by);

	assert_true(n == 3 || n == 4);
	while (i < EVENT_COUNT && strcmp(types[i], type))
		i++;
	assert_true(i < EVENT_COUNT);
	find_thread(by, &e.waker_tgid, &e.waker_tid, &comm);
	find_thread(who, &tgid, &tid, &comm);
	e.tgid = tgid;
	e.tid = tid;
	e.type = i;
	e.ts_ns = base_ns + at;
	memcpy(e.comm, comm, strnlen(comm, sizeof(e.comm)));
	return e;
}

void
wake_script_each(const char *text, uint64_t base_ns, void (*fn)(void *arg, const struct event *e), void *arg)
{
	char *copy = strdup(text), *at = copy;

	assert_non_null(copy);
	for (char *line; (line = strsep(&at, ";"));) {
		struct event e;

		if (!line[strspn(line, " ")])
			continue;
		e = parse(line, base_ns);
		fn(arg, &e);
	}
	free(copy);
}

static void
add(void *arg, const struct event *e)
{
	assert_int_equal(threads_event(arg, e), 0);
}

struct threads *
wake_script_threads(const char *text, uint64_t base_ns)
{
	struct threads *t = threads_create(SCRIPT_QEMU);

	assert_non_null(t);
	assert_int_equal(threads_add(t, SCRIPT_QEMU, "qemu-system-x86", THREADS_ASLEEP), 0);
	assert_int_equal(threads_add(t, SCRIPT_CPU0, "CPU 0/KVM", THREADS_ASLEEP), 0);
	wake_script_each(text, base_ns, add, t);
	return t;
}
