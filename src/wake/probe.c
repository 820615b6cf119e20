// libbpf loads wake.bpf.c, which is part of this program. Each BPF program is loaded only where the
// kernel has its tracepoint, and is attached by itself. So a kernel without KVM's tracepoints still
// shows its scheduler.
#include "probe.h"

#include "wake.skel.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BTF_PATH "/sys/kernel/btf/vmlinux"
#define LEVEL_UNKNOWN UINT32_MAX
#define MAX_NAPS 100u // of a millisecond, until the kernel has seen this process

struct probe {
	probe_event_fn on_event;
	void *arg;
	struct wake *skeleton;
	struct ring_buffer *ring;
	bool has_sched;
	unsigned n_missing;
	struct watch_missing missing[WATCH_MAX_MISSING];
};

static const char hides_sched[] = "whether the guest slept, waited for a CPU or ran: stages emulator, wake and run";
static const char hides_halts[] = "how often and how long virtual processors halted";
static const char hides_exits[] = "how often the guest executed HLT";

static int
be_quiet(enum libbpf_print_level level, const char *fmt, va_list args)
{
	(void)level;
	(void)fmt;
	(void)args;
	return 0;
}

static void
miss(struct probe *p, const char *name, const char *why, const char *hides)
{
	struct watch_missing *m = &p->missing[p->n_missing];

	if (p->n_missing == WATCH_MAX_MISSING)
		return;
	p->n_missing++;
	(void)snprintf(m->name, sizeof(m->name), "%s", name);
	(void)snprintf(m->why, sizeof(m->why), "%s", why);
	(void)snprintf(m->hides, sizeof(m->hides), "%s", hides);
}

static const char *
reason(int err, char *buf, size_t size)
{
	if (err == EPERM || err == EACCES)
		return "not permitted: needs root, or CAP_BPF and CAP_PERFMON";
	if (err == ENOENT)
		return "this kernel does not have it";
	(void)snprintf(buf, size, "%s", strerror(err));
	return buf;
}

static void
miss_all(struct probe *p, const char *why)
{
	miss(p, "sched_switch", why, hides_sched);
	miss(p, "sched_waking", why, hides_sched);
	miss(p, "kvm_vcpu_wakeup", why, hides_halts);
	miss(p, "kvm_exit", why, hides_exits);
}

// Which of the scheduler's tracepoints there are is written in the kernel's BTF.
static bool
choose_sched(struct wake *s, const struct btf *kernel, struct probe *p)
{
	bool has_switch = btf__find_by_name_kind(kernel, "btf_trace_sched_switch", BTF_KIND_TYPEDEF) > 0;
	bool has_waking = btf__find_by_name_kind(kernel, "btf_trace_sched_waking", BTF_KIND_TYPEDEF) > 0;
	bool has_wakeup = btf__find_by_name_kind(kernel, "btf_trace_sched_wakeup", BTF_KIND_TYPEDEF) > 0;

	(void)bpf_program__set_autoload(s->progs.on_switch, has_switch);
	(void)bpf_program__set_autoload(s->progs.on_waking, has_waking);
	(void)bpf_program__set_autoload(s->progs.on_wakeup, has_wakeup && !has_waking);
	if (!has_switch)
		miss(p, "sched_switch", reason(ENOENT, NULL, 0), hides_sched);
	if (!has_waking)
		miss(p, "sched_waking", reason(ENOENT, NULL, 0),
			has_wakeup ? "the way from the call that wakes to the run queue (sched_wakeup stands in)" :
				     hides_sched);
	return has_switch && (has_waking || has_wakeup);
}

static bool
attach(struct probe *p, const struct bpf_program *prog, struct bpf_link **link, const char *name, const char *hides)
{
	char buf[128];

	if (!bpf_program__autoload(prog))
		return false;
	*link = bpf_program__attach(prog);
	if (*link)
		return true;
	miss(p, name, reason(errno, buf, sizeof(buf)), hides);
	return false;
}

static bool
has_tracefs(void)
{
	return !access("/sys/kernel/tracing/events", F_OK) || !access("/sys/kernel/debug/tracing/events", F_OK);
}

static void
attach_kvm(struct probe *p)
{
	struct wake *s = p->skeleton;

	(void)attach(p, s->progs.on_halt_end, &s->links.on_halt_end, "kvm_vcpu_wakeup", hides_halts);
	if (has_tracefs())
		(void)attach(p, s->progs.on_exit, &s->links.on_exit, "kvm_exit", hides_exits);
	else
		miss(p, "kvm_exit", "tracefs is not mounted: mount -t tracefs tracefs /sys/kernel/tracing",
			hides_exits);
}

static bool
attach_sched(struct probe *p)
{
	struct wake *s = p->skeleton;
	bool is_woken, is_switched;

	is_woken = attach(p, s->progs.on_waking, &s->links.on_waking, "sched_waking", hides_sched) ||
		attach(p, s->progs.on_wakeup, &s->links.on_wakeup, "sched_wakeup", hides_sched);
	is_switched = attach(p, s->progs.on_switch, &s->links.on_switch, "sched_switch", hides_sched);
	return is_woken && is_switched;
}

// Yields the CPU until the kernel's side has seen this thread, and with it the level of its pid
// namespace.
static bool
show_itself(const struct wake *s)
{
	for (unsigned i = 0; i < MAX_NAPS; i++) {
		(void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
		if (__atomic_load_n(&s->bss->own_pid, __ATOMIC_RELAXED) &&
			__atomic_load_n(&s->data->own_level, __ATOMIC_RELAXED) != LEVEL_UNKNOWN)
			return true;
	}
	return false;
}

static int
load(struct probe *p, const struct btf *kernel)
{
	struct wake *s = wake__open();
	struct stat own;
	int rc;

	if (!s)
		return -ENOMEM;
	p->has_sched = choose_sched(s, kernel, p);
	rc = stat("/proc/self/ns/pid", &own) ? -errno : 0;
	if (!rc) {
		s->bss->own_pid = (uint32_t)getpid();
		s->bss->own_ino = (uint32_t)own.st_ino;
		rc = wake__load(s);
	}
	if (rc) {
		wake__destroy(s);
		p->n_missing = 0;
		p->has_sched = false;
		return rc;
	}
	p->skeleton = s;
	return 0;
}

static void
start(struct probe *p)
{
	p->has_sched = attach_sched(p) && p->has_sched;
	if (p->has_sched && !show_itself(p->skeleton)) {
		miss(p, "sched_switch", "it did not show this process: is /proc another pid namespace's?", hides_sched);
		p->has_sched = false;
	}
	if (p->has_sched)
		attach_kvm(p);
}

static int
on_sample(void *arg, void *data, size_t size)
{
	const struct probe *p = arg;

	if (size >= sizeof(struct event))
		p->on_event(p->arg, data);
	return 0;
}

struct probe *
probe_create(probe_event_fn on_event, void *arg)
{
	struct probe *p = calloc(1, sizeof(*p));
	struct btf *kernel;
	char buf[128];
	int rc;

	if (!p)
		return NULL;
	p->on_event = on_event;
	p->arg = arg;
	(void)libbpf_set_print(be_quiet);
	kernel = btf__load_vmlinux_btf();
	if (!kernel) {
		miss_all(p, "this kernel does not describe itself: no " BTF_PATH " (CONFIG_DEBUG_INFO_BTF)");
		return p;
	}
	rc = load(p, kernel);
	btf__free(kernel);
	if (rc) {
		miss_all(p, reason(-rc, buf, sizeof(buf)));
		return p;
	}
	p->ring = ring_buffer__new(bpf_map__fd(p->skeleton->maps.events), on_sample, p, NULL);
	if (p->ring)
		start(p);
	else
		miss_all(p, reason(errno, buf, sizeof(buf)));
	return p;
}

void
probe_destroy(struct probe *p)
{
	if (!p)
		return;
	ring_buffer__free(p->ring);
	wake__destroy(p->skeleton);
	free(p);
}

bool
probe_has_sched(const struct probe *p)
{
	return p->has_sched;
}

unsigned
probe_missing(const struct probe *p, const struct watch_missing **ret_missing)
{
	*ret_missing = p->missing;
	return p->n_missing;
}

int
probe_watch(struct probe *p, uint32_t pid)
{
	const struct event_counts none = {0};

	if (!p->has_sched)
		return 0;
	return bpf_map__update_elem(p->skeleton->maps.watched, &pid, sizeof(pid), &none, sizeof(none), BPF_NOEXIST);
}

void
probe_unwatch(struct probe *p, uint32_t pid)
{
	if (p->has_sched)
		(void)bpf_map__delete_elem(p->skeleton->maps.watched, &pid, sizeof(pid), 0);
}

void
probe_drain(struct probe *p)
{
	if (p->ring)
		(void)ring_buffer__consume(p->ring);
}

uint64_t
probe_n_lost(const struct probe *p)
{
	return p->skeleton ? __atomic_load_n(&p->skeleton->bss->n_lost, __ATOMIC_RELAXED) : 0;
}

struct event_counts
probe_counts(const struct probe *p, uint32_t pid)
{
	struct event_counts counts = {0};

	if (p->has_sched)
		(void)bpf_map__lookup_elem(p->skeleton->maps.watched, &pid, sizeof(pid), &counts, sizeof(counts), 0);
	return counts;
}
