// One function for each check: fills text and settings, returns the severity. Private to advice*.c.
#pragma once

#include "advice.h"
#include "advice_plan.h"

typedef enum advice_severity advice_fn(
	const struct machine_facts *m, const struct advice_plan *p, struct advice_finding *f);

// Appends to what buf of size bytes has.
void advice_put(char *buf, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
#define ADVICE_SAY(f, ...) advice_put((f)->text, sizeof((f)->text), __VA_ARGS__)
#define ADVICE_XML(f, ...) advice_put((f)->libvirt, sizeof((f)->libvirt), __VA_ARGS__)
#define ADVICE_SHELL(f, ...) advice_put((f)->shell, sizeof((f)->shell), __VA_ARGS__)
// "PATH: No such file or directory", or that it does not say it; for ADVICE_UNKNOWN. Returns that.
enum advice_severity advice_unreadable(struct advice_finding *f, int64_t rc, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
// "vCPU 3", or "the vCPUs" of a thread that runs all of them.
const char *advice_vcpu(const struct machine_thread *t, char buf[32]);

// advice_place.c: who runs where.
advice_fn advice_place_names, advice_place_pin, advice_place_worker, advice_place_emulator, advice_place_iothread,
	advice_place_guests, advice_place_siblings, advice_place_node;
// advice_time.c: who takes processor time away.
advice_fn advice_time_wait, advice_time_policy, advice_time_quota, advice_time_weight, advice_time_steal,
	advice_time_worker_priority, advice_time_workers, advice_time_vduse;
// advice_cpu.c: what CPUs are set to, and what interrupts them.
advice_fn advice_cpu_isolated, advice_cpu_tick, advice_cpu_idle, advice_cpu_frequency, advice_cpu_irqs,
	advice_cpu_irqbalance, advice_cpu_coalescing, advice_cpu_clock;
// advice_virt.c: how QEMU and KVM run the guest, and its memory.
advice_fn advice_virt_accel, advice_virt_halt, advice_virt_guest, advice_virt_huge, advice_virt_compaction,
	advice_virt_ksm, advice_virt_swap;
