// The host's side of the facts: its CPUs, interrupts, memory settings. Counters are read twice with
// the window in between; nothing else is read within it. CPUs that a file does not mention keep a
// negative errno.
#include "machine.h"

#include "guest_proc.h"
#include "sysfile.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CPU "/sys/devices/system/cpu"
#define INTERRUPTS_SIZE (16u << 20) // 1,000 CPUs and 1,500 interrupts
#define CMDLINE_SIZE 16384
#define MAX_IRQ 65535

void
machine_quiet_cpus(const struct machine_facts *m, struct cpus *ret_set)
{
	memset(ret_set, 0, sizeof(*ret_set));
	for (unsigned i = 0; i < m->n_threads; i++)
		if (m->threads[i].kind == MACHINE_VCPU && cpus_count(&m->threads[i].allowed) == 1)
			cpus_unite(ret_set, &m->threads[i].allowed);
	for (unsigned i = 0; i < m->n_workers; i++)
		cpus_add(ret_set, m->workers[i].cpu);
}

// A word of the kernel's command line, NULL: not there. No caller looks for quoted ones.
static const char *
find_word(const char *cmdline, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = cmdline; *at; at += strcspn(at, " \n"), at += strspn(at, " \n"))
		if (!strncmp(at, word, len))
			return at + len;
	return NULL;
}

static void
read_kernel_settings(const char *root, struct machine_facts *m)
{
	char text[CMDLINE_SIZE];
	const char *nocbs;
	ssize_t n = sysfile_read(root, text, sizeof(text), "/proc/cmdline");

	m->cmdline_rc = n < 0 ? (int)n : 0;
	m->is_idle_poll = n > 0 && find_word(text, "idle=poll");
	nocbs = n > 0 ? find_word(text, "rcu_nocbs=") : NULL;
	// "all" and open ranges: whatever is no plain list is everything.
	if (nocbs && cpus_parse(nocbs, &m->rcu_nocbs))
		m->rcu_nocbs = m->online;
	m->nohz_rc = sysfile_cpus(root, &m->nohz_full, CPU "/nohz_full");
	m->isolated_rc = sysfile_cpus(root, &m->isolated, CPU "/isolated");
	m->halt_poll_ns = sysfile_number(root, "/sys/module/kvm/parameters/halt_poll_ns");
	n = sysfile_read(root, text, sizeof(int32_t) + 1, "/dev/cpu_dma_latency");
	m->dma_latency_us = n < 0 ? n : -ENODATA;
	if (n == sizeof(int32_t)) {
		int32_t us;

		memcpy(&us, text, sizeof(us));
		m->dma_latency_us = us < 0 ? -ENODATA : us;
	}
	m->clocksource_rc = sysfile_line(root, m->clocksource, sizeof(m->clocksource),
		"/sys/devices/system/clocksource/clocksource0/current_clocksource");
}

static int
read_idle_states(const char *root, unsigned cpu, struct machine_cpu *c)
{
	for (unsigned i = 0; i < MACHINE_MAX_IDLE_STATES; i++) {
		int64_t latency = sysfile_number(root, CPU "/cpu%u/cpuidle/state%u/latency", cpu, i);

		if (latency < 0)
			return i ? 0 : (int)latency;
		c->idle[i].latency_us = latency;
		c->idle[i].is_disabled = sysfile_number(root, CPU "/cpu%u/cpuidle/state%u/disable", cpu, i) > 0;
		(void)sysfile_line(
			root, c->idle[i].name, sizeof(c->idle[i].name), CPU "/cpu%u/cpuidle/state%u/name", cpu, i);
		c->n_idle = i + 1;
	}
	return 0;
}

static int64_t
node_of(const char *root, unsigned cpu)
{
	for (unsigned node = 0; node < MACHINE_MAX_NODES; node++) {
		struct cpus set;
		int rc = sysfile_cpus(root, &set, "/sys/devices/system/node/node%u/cpulist", node);

		if (rc)
			return rc;
		if (cpus_has(&set, cpu))
			return node;
	}
	return -ENODATA;
}

static void
read_cpus(const char *root, struct machine_facts *m)
{
	m->online_rc = sysfile_cpus(root, &m->online, CPU "/online");
	for (unsigned cpu = cpus_next(&m->online, 0); cpu < CPUS_MAX; cpu = cpus_next(&m->online, cpu + 1)) {
		struct machine_cpu *c = &m->cpu[cpu];

		c->siblings_rc = sysfile_cpus(root, &c->siblings, CPU "/cpu%u/topology/thread_siblings_list", cpu);
		c->node = node_of(root, cpu);
		c->idle_rc = read_idle_states(root, cpu, c);
		c->governor_rc = sysfile_line(
			root, c->governor, sizeof(c->governor), CPU "/cpu%u/cpufreq/scaling_governor", cpu);
		c->ticks = -ENODATA;
	}
}

// The word in brackets of "always [madvise] never".
static int
read_choice(const char *root, char *buf, size_t size, const char *file)
{
	char line[128], *begin, *end;
	int rc = sysfile_line(root, line, sizeof(line), "/sys/kernel/mm/transparent_hugepage/%s", file);

	if (rc)
		return rc;
	begin = strchr(line, '[');
	end = begin ? strchr(begin, ']') : NULL;
	if (!end || (size_t)(end - begin) > size)
		return -ENODATA;
	(void)snprintf(buf, size, "%.*s", (int)(end - begin - 1), begin + 1);
	return 0;
}

static void
read_memory_settings(const char *root, struct machine_facts *m)
{
	char swaps[4096];
	const char *line;
	ssize_t n;

	m->thp_rc = read_choice(root, m->thp_enabled, sizeof(m->thp_enabled), "enabled");
	if (!m->thp_rc)
		m->thp_rc = read_choice(root, m->thp_defrag, sizeof(m->thp_defrag), "defrag");
	m->ksm_run = sysfile_number(root, "/sys/kernel/mm/ksm/run");
	n = sysfile_read(root, swaps, sizeof(swaps), "/proc/swaps");
	line = n < 0 ? NULL : strchr(swaps, '\n');
	m->has_swap = n < 0 ? n : line && line[1]; // below the heading
}

static bool
is_longer(int64_t wait_s, int64_t than_s)
{
	return than_s && (!wait_s || wait_s > than_s); // 0: without limit
}

static void
read_vduse(const char *root, struct machine_facts *m)
{
	char path[SYSFILE_PATH_SIZE];
	struct dirent *entry;
	DIR *dir;

	if ((size_t)snprintf(path, sizeof(path), "%s/sys/class/vduse", root) >= sizeof(path))
		return;
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		int64_t wait_s = sysfile_number(root, "/sys/class/vduse/%s/msg_timeout", entry->d_name);

		// The directory also has the kernel's control file.
		if (wait_s < 0 || (m->vduse[0] && !is_longer(wait_s, m->vduse_wait_s)))
			continue;
		m->vduse_wait_s = wait_s;
		(void)snprintf(m->vduse, sizeof(m->vduse), "%.63s", entry->d_name);
	}
	if (dir)
		closedir(dir);
}

static void
read_irqbalance(const char *root, struct machine_facts *m)
{
	static const char key[] = "IRQBALANCE_BANNED_CPULIST=";
	char text[SYSFILE_TEXT_SIZE];
	ssize_t n;

	if (!m->irqbalance_pid)
		return;
	n = sysfile_read(root, text, sizeof(text), "/proc/%d/environ", m->irqbalance_pid);
	for (ssize_t at = 0; at < n; at += (ssize_t)strlen(text + at) + 1)
		if (!strncmp(text + at, key, sizeof(key) - 1))
			(void)cpus_parse(text + at + sizeof(key) - 1, &m->irqbalance_banned);
}

static int
read_others(const char *root, struct machine_facts *m)
{
	struct qemu_process *list = calloc(QEMU_MAX, sizeof(*list));
	int n = list ? qemu_list(root, list, QEMU_MAX, &m->irqbalance_pid) : -ENOMEM;

	for (int i = 0; i < n; i++) {
		struct machine_other *other = &m->others[m->n_others];

		if (list[i].pid == m->pid)
			continue;
		other->pid = list[i].pid;
		memcpy(other->name, list[i].name, sizeof(other->name));
		guest_proc_read_other(root, other);
		m->n_others++;
	}
	free(list);
	return n < 0 ? n : 0;
}

// /proc/interrupts on quiet CPUs, at two times.
struct irq_counts {
	uint64_t n[MAX_IRQ + 1]; // by interrupt; modulo 2^64, only differences count
	uint64_t ticks[CPUS_MAX];
};

// The CPU of each column, from the heading "  CPU0  CPU1  CPU4". Their number.
static unsigned
parse_heading(const char *line, size_t len, uint16_t columns[CPUS_MAX])
{
	const char *at = line, *end = line + len;
	unsigned n = 0;

	while (n < CPUS_MAX && (at = memmem(at, (size_t)(end - at), "CPU", 3))) {
		unsigned long cpu = strtoul(at + 3, NULL, 10);

		columns[n++] = (uint16_t)(cpu < CPUS_MAX ? cpu : CPUS_MAX);
		at += 3;
	}
	return n;
}

// The columns of one line: adds those of quiet CPUs to *n, or each CPU's to per_cpu (may be NULL).
// Returns the text behind them.
static const char *
sum_columns(const char *at, const uint16_t *columns, unsigned n_columns, const struct cpus *quiet, uint64_t *n,
	uint64_t *per_cpu)
{
	for (unsigned i = 0; i < n_columns; i++) {
		char *end;
		uint64_t count;

		at += strspn(at, " ");
		if (*at < '0' || *at > '9')
			break;
		count = strtoull(at, &end, 10);
		if (cpus_has(quiet, columns[i]))
			*n += count;
		if (per_cpu && columns[i] < CPUS_MAX)
			per_cpu[columns[i]] = count;
		at = end;
	}
	return at + strspn(at, " ");
}

// "PCI-MSIX-0000:00:01.0   0-edge      virtio0-config" is named by its end, two blanks or more
// before it.
static void
take_name(const char *text, char *name, size_t size)
{
	size_t len = strcspn(text, "\n");
	const char *last = text;

	for (size_t i = 2; i < len; i++)
		if (text[i] != ' ' && text[i - 1] == ' ' && text[i - 2] == ' ')
			last = text + i;
	(void)snprintf(name, size, "%.*s", (int)(len - (size_t)(last - text)), last);
	sysfile_make_printable(name);
}

struct irq_reader {
	const char *root;
	struct cpus quiet;
	uint16_t columns[CPUS_MAX];
	unsigned n_columns;
	struct irq_counts first, second;
};

static void
count_line(const char *line, bool is_second, struct irq_reader *r, struct machine_facts *m)
{
	struct irq_counts *c = is_second ? &r->second : &r->first;
	uint64_t ignored = 0;
	char *end;
	unsigned long number;
	const char *rest;
	struct machine_irq *irq;

	line += strspn(line, " ");
	if (!strncmp(line, "LOC:", 4)) {
		(void)sum_columns(line + 4, r->columns, r->n_columns, &r->quiet, &ignored, c->ticks);
		return;
	}
	number = strtoul(line, &end, 10);
	if (end == line || *end != ':' || number > MAX_IRQ)
		return;
	c->n[number] = 0;
	rest = sum_columns(end + 1, r->columns, r->n_columns, &r->quiet, &c->n[number], NULL);
	if (!is_second || m->n_irqs == MACHINE_MAX_IRQS)
		return;
	irq = &m->irqs[m->n_irqs];
	*irq = (struct machine_irq){.number = (unsigned)number,
		.n_fired = c->n[number] > r->first.n[number] ? c->n[number] - r->first.n[number] : 0};
	irq->effective_rc = sysfile_cpus(r->root, &irq->effective, "/proc/irq/%lu/effective_affinity_list", number);
	if (irq->effective_rc)
		irq->effective_rc = sysfile_cpus(r->root, &irq->effective, "/proc/irq/%lu/smp_affinity_list", number);
	take_name(rest, irq->name, sizeof(irq->name));
	// An interrupt that was made within the window began at zero.
	m->n_irqs += irq->n_fired || cpus_overlap(&irq->effective, &r->quiet);
}

static void
count_interrupts(bool is_second, struct irq_reader *r, struct machine_facts *m)
{
	char *text = malloc(INTERRUPTS_SIZE), *next;
	ssize_t n = text ? sysfile_read(r->root, text, INTERRUPTS_SIZE, "/proc/interrupts") : -ENOMEM;

	if (n < 0 || !is_second)
		m->irqs_rc = n < 0 ? (int)n : 0;
	if (n > 0)
		r->n_columns = parse_heading(text, strcspn(text, "\n"), r->columns);
	for (char *line = n > 0 ? strchr(text, '\n') : NULL; line && *++line; line = next) {
		next = strchr(line, '\n');
		if (!next) // cut off: not the whole line
			break;
		*next = '\0';
		count_line(line, is_second, r, m);
	}
	for (unsigned cpu = cpus_next(&r->quiet, 0); is_second && cpu < CPUS_MAX; cpu = cpus_next(&r->quiet, cpu + 1))
		if (r->second.ticks[cpu])
			m->cpu[cpu].ticks = (int64_t)(r->second.ticks[cpu] - r->first.ticks[cpu]);
	free(text);
}

// "cpu  user nice system idle iowait irq softirq steal ...", ticks since the start.
static void
count_steal(const char *root, bool is_second, struct machine_facts *m)
{
	char line[256];
	int64_t value[8] = {0}, sum = 0;
	int rc = sysfile_line(root, line, sizeof(line), "/proc/stat");
	const char *at = line + 3;

	if (!rc && strncmp(line, "cpu ", 4))
		rc = -ENODATA;
	for (unsigned i = 0; !rc && i < 8; i++) {
		char *end;

		value[i] = strtoll(at, &end, 10);
		if (end == at || value[i] < 0)
			rc = -ENODATA;
		sum += value[i] & INT64_C(0xffffffffffffff);
		at = end;
	}
	if (rc || (is_second && m->steal_ticks < 0)) {
		m->steal_ticks = m->all_ticks = rc ? rc : m->steal_ticks;
		return;
	}
	m->steal_ticks = value[7] - (is_second ? m->steal_ticks : 0);
	m->all_ticks = sum - (is_second ? m->all_ticks : 0);
}

// Counters: before the window and after it.
static void
count(bool is_second, struct irq_reader *r, struct machine_facts *m)
{
	guest_proc_count(r->root, is_second, m);
	count_interrupts(is_second, r, m);
	count_steal(r->root, is_second, m);
}

int
machine_read(const struct machine_source *source, int pid, struct machine_facts *m)
{
	struct irq_reader *r = calloc(1, sizeof(*r));
	int rc = r ? qemu_read(source->root, pid, &m->options) : -ENOMEM;

	m->pid = pid;
	if (!rc) {
		memcpy(m->name, m->options.name, sizeof(m->name));
		rc = guest_proc_read(source->root, m);
	}
	if (!rc)
		rc = read_others(source->root, m);
	if (!rc) {
		read_cpus(source->root, m);
		read_kernel_settings(source->root, m);
		read_memory_settings(source->root, m);
		read_vduse(source->root, m);
		read_irqbalance(source->root, m);
		for (unsigned i = 0; i < m->n_devices; i++)
			source->coalesce(source->ctx, &m->devices[i]);
		r->root = source->root;
		machine_quiet_cpus(m, &r->quiet);
		count(false, r, m);
		m->window_ns = source->wait(source->ctx);
		count(true, r, m);
		rc = qemu_read(source->root, pid, &m->options); // still there
	}
	free(r);
	return rc;
}
