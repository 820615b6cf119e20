// The kernel's side of rtvs-wake: when threads of watched processes are woken, get a CPU and lose
// it. Runs wherever the scheduler switches, so it leaves early for threads that are not watched.
// Needs Linux 5.8 (ring buffer). Processes are known by their numbers in the watcher's pid
// namespace, which own_level and own_ino name.
#include "event.h"
#include "kernel.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define MAX_WATCHED 1024
#define MAX_LEVEL 32 // the kernel's limit of pid namespaces in each other
#define LEVEL_UNKNOWN UINT32_MAX
#define RING_BYTES (4u << 20)
#define ISA_VMX 1
#define EXIT_HLT_VMX 12
#define EXIT_HLT_SVM 0x78

struct kvm_exit_args {
	uint64_t common;
	uint32_t exit_reason;
	uint64_t guest_rip;
	uint32_t isa;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_WATCHED);
	__type(key, uint32_t);
	__type(value, struct event_counts);
} watched SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RING_BYTES);
} events SEC(".maps");

// Written by the watcher before it attaches.
uint32_t own_pid = 0, own_ino = 0;
// Found when the watcher itself gives its CPU away.
uint32_t own_level = LEVEL_UNKNOWN;
uint64_t n_lost = 0;

char LICENSE[] SEC("license") = "GPL";

// A task's number at a level, if the namespace there is the watcher's.
static __always_inline uint32_t
number_at(struct task_struct *task, uint32_t level)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	struct upid *number;

	if (level >= MAX_LEVEL || BPF_CORE_READ(pid, level) < level)
		return 0;
	number = (struct upid *)((char *)__builtin_preserve_access_index(&pid->numbers) +
		level * bpf_core_type_size(struct upid));
	if (BPF_CORE_READ(number, ns, ns.inum) != own_ino)
		return 0;
	return (uint32_t)BPF_CORE_READ(number, nr);
}

static __always_inline uint32_t
number_of(struct task_struct *task)
{
	return own_level ? number_at(task, own_level) : (uint32_t)BPF_CORE_READ(task, pid);
}

static __always_inline uint32_t
process_of(struct task_struct *task)
{
	return own_level ? number_at(BPF_CORE_READ(task, group_leader), own_level) :
			   (uint32_t)BPF_CORE_READ(task, tgid);
}

// NULL: it is not watched.
static __always_inline struct event_counts *
counts_of(struct task_struct *task)
{
	uint32_t tgid = process_of(task);

	return tgid ? bpf_map_lookup_elem(&watched, &tgid) : 0;
}

static __always_inline void
tell(struct task_struct *task, uint32_t type)
{
	struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e) {
		__atomic_fetch_add(&n_lost, 1, __ATOMIC_RELAXED);
		return;
	}
	e->ts_ns = bpf_ktime_get_ns();
	e->type = type;
	e->tgid = process_of(task);
	e->tid = number_of(task);
	e->cpu = bpf_get_smp_processor_id();
	e->waker_tid = 0;
	e->waker_tgid = 0;
	if (type == EVENT_WAKING) {
		struct task_struct *waker = (struct task_struct *)bpf_get_current_task();

		e->waker_tid = number_of(waker);
		e->waker_tgid = process_of(waker);
	}
	bpf_probe_read_kernel(e->comm, sizeof(e->comm), __builtin_preserve_access_index(&task->comm));
	bpf_ringbuf_submit(e, 0);
}

// Task states are 0 for one that wants to go on running.
static __always_inline bool
wants_to_run(struct task_struct *task)
{
	if (bpf_core_field_exists(task->__state))
		return !BPF_CORE_READ(task, __state);
	return !BPF_CORE_READ((struct task_struct___before_5_14 *)task, state);
}

static __always_inline void
find_own_level(struct task_struct *prev)
{
	struct task_struct *leader = BPF_CORE_READ(prev, group_leader);
	uint32_t level = BPF_CORE_READ(leader, thread_pid, level);

	if (number_at(leader, level) == own_pid)
		own_level = level;
}

SEC("tp_btf/sched_switch")
int
BPF_PROG(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	if (own_level == LEVEL_UNKNOWN) {
		find_own_level(prev);
		return 0;
	}
	if (counts_of(prev))
		tell(prev, preempt || wants_to_run(prev) ? EVENT_PREEMPTED : EVENT_OUT);
	if (counts_of(next))
		tell(next, EVENT_IN);
	return 0;
}

static __always_inline void
woken(struct task_struct *task)
{
	if (own_level != LEVEL_UNKNOWN && counts_of(task))
		tell(task, EVENT_WAKING);
}

SEC("tp_btf/sched_waking")
int
BPF_PROG(on_waking, struct task_struct *task)
{
	woken(task);
	return 0;
}

// Where there is no sched_waking.
SEC("tp_btf/sched_wakeup")
int
BPF_PROG(on_wakeup, struct task_struct *task)
{
	woken(task);
	return 0;
}

// args: ns, waited, valid.
SEC("raw_tp/kvm_vcpu_wakeup")
int
on_halt_end(struct bpf_raw_tracepoint_args *ctx)
{
	struct event_counts *counts =
		own_level == LEVEL_UNKNOWN ? 0 : counts_of((struct task_struct *)bpf_get_current_task());

	if (!counts)
		return 0;
	__atomic_fetch_add(&counts->halts, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&counts->halted_ns, ctx->args[0], __ATOMIC_RELAXED);
	if (ctx->args[1] & 1)
		__atomic_fetch_add(&counts->waited, 1, __ATOMIC_RELAXED);
	return 0;
}

SEC("tp/kvm/kvm_exit")
int
on_exit(struct kvm_exit_args *ctx)
{
	struct event_counts *counts;

	if (ctx->exit_reason != (ctx->isa == ISA_VMX ? EXIT_HLT_VMX : EXIT_HLT_SVM) || own_level == LEVEL_UNKNOWN)
		return 0;
	counts = counts_of((struct task_struct *)bpf_get_current_task());
	if (counts)
		__atomic_fetch_add(&counts->hlt_exits, 1, __ATOMIC_RELAXED);
	return 0;
}
