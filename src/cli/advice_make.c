// The list of checks, in order. Each check is one function of a file advice_*.c and makes one
// finding; its reason is in the list.
#include "advice_check.h"

#include <string.h>

// The most important check is first: findings of the same severity stay in this order.
static const struct {
	const char *id;
	advice_fn *fn;
	const char *why;
} checks[] = {
	{"accel", advice_virt_accel,
		"TCG translates every instruction of the guest: it is ten times slower or more, and translating comes "
		"in bursts."},
	{"vcpu.names", advice_place_names, "Only threads that are known can be looked at."},
	{"vcpu.pin", advice_place_pin,
		"A vCPU that shares its CPU waits for whatever else runs there, and one that moves finds its caches "
		"cold."},
	{"vcpu.worker", advice_place_worker,
		"A worker of rtvswitchd may poll without a pause: a vCPU on its CPU gets what a worker with "
		"real-time priority leaves, 0.3 ms in each 5 ms, or half of it without, in slices of milliseconds."},
	{"worker.priority", advice_time_worker_priority,
		"Without real-time priority a worker waits for whatever else wakes on its CPU, for milliseconds at a "
		"time, and all packets with it."},
	{"vcpu.guests", advice_place_guests,
		"When both guests are busy, each waits for the other's time slice to end."},
	{"vcpu.emulator", advice_place_emulator,
		"The emulator's main loop wakes for timers, the console and device emulation, and takes the CPU from "
		"the vCPU."},
	{"vcpu.iothread", advice_place_iothread,
		"An iothread works while the guest waits for its disk, on the guest's own CPU."},
	{"vcpu.wait", advice_time_wait, "For as long as a vCPU waits for a CPU, the guest stands still."},
	{"vcpu.policy", advice_time_policy, "A thread of a lower class runs only when nobody else wants to."},
	{"cgroup.quota", advice_time_quota,
		"Once a quota is used up the group stands still to the end of the period, with the guest in the middle "
		"of something."},
	{"cgroup.weight", advice_time_weight, "With a smaller weight than its neighbours it gets the CPU after them."},
	{"cpu.steal", advice_time_steal,
		"This host is a guest itself: while its hypervisor runs somebody else, nothing that is set here "
		"helps."},
	{"halt.poll", advice_virt_halt,
		"An idle guest executes HLT; the host gives its CPU away, and to get it back takes far longer than to "
		"wake a real CPU."},
	{"halt.guest", advice_virt_guest,
		"A guest that polls before HLT wakes without the host; this cannot be seen from outside."},
	{"cpu.idle", advice_cpu_idle,
		"A CPU that sleeps deeply needs that long to wake for each packet that finds it idle."},
	{"irq.affinity", advice_cpu_irqs,
		"An interrupt stops the vCPU or the worker for as long as its handler and softirq take."},
	{"irq.balance", advice_cpu_irqbalance,
		"It moves interrupts every ten seconds, also onto CPUs that were kept clear."},
	{"nic.coalesce", advice_cpu_coalescing,
		"Packets wait in the NIC until the timer runs out or enough of them are there."},
	{"mem.swap", advice_virt_swap,
		"The guest stands still while a page comes back from disk, and does not know why."},
	{"mem.huge", advice_virt_huge,
		"With pages of 4 KiB address translation misses the TLB far more often, and each page takes a fault "
		"when first used."},
	{"mem.compact", advice_virt_compaction,
		"To make a huge page the kernel moves others about, in the guest's own time."},
	{"mem.ksm", advice_virt_ksm, "A write to a page that was merged with another guest's copies it first."},
	{"mem.node", advice_place_node,
		"Memory of another node takes half as long again to reach, through a link that is shared."},
	{"cpu.smt", advice_place_siblings,
		"Two hardware threads share one core's units and caches: each is slower when the other works."},
	{"cpu.isolated", advice_cpu_isolated,
		"The scheduler puts any thread of the host on CPUs that are not isolated."},
	{"cpu.tick", advice_cpu_tick,
		"The timer tick and RCU callbacks interrupt the guest, each with an exit from it."},
	{"cpu.frequency", advice_cpu_frequency,
		"After an idle moment the CPU starts slowly, and speeds up only after the packet is late."},
	{"clock", advice_cpu_clock, "Reading a clock other than the TSC takes a microsecond and more, under a lock."},
	{"vdpa.timeout", advice_time_vduse,
		"While the daemon is away, whoever sets up, resets or unbinds a driver of its device waits in the "
		"kernel that long: QEMU with its guest, and commands."},
	{"workers", advice_time_workers, "Which CPUs workers poll on is known only to the daemon."},
};

// Insertion sort: the order of equal ones stays.
static void
add(struct advice *a, unsigned at)
{
	static struct advice_finding moved; // too large for a stack; one thread only

	memcpy(&moved, &a->findings[at], sizeof(moved));
	for (; at && a->findings[at - 1].severity > moved.severity; at--)
		memcpy(&a->findings[at], &a->findings[at - 1], sizeof(moved));
	memcpy(&a->findings[at], &moved, sizeof(moved));
}

void
advice_make(const struct machine_facts *m, struct advice *ret_advice)
{
	struct advice *a = ret_advice;
	struct advice_plan p;

	_Static_assert(sizeof(checks) / sizeof(*checks) <= ADVICE_MAX, "a place for each check");
	a->n = 0;
	advice_plan_make(m, &p);
	for (unsigned i = 0; i < sizeof(checks) / sizeof(*checks); i++) {
		struct advice_finding *f = &a->findings[a->n];

		f->id = checks[i].id;
		f->why = checks[i].why;
		f->text[0] = f->libvirt[0] = f->shell[0] = '\0';
		f->severity = checks[i].fn(m, &p, f);
		if (f->severity == ADVICE_NONE)
			continue;
		add(a, a->n++);
	}
}
