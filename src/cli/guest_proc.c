// /proc/PID of a QEMU process. The names of its threads tell their roles when QEMU runs with
// debug-threads=on, as libvirt starts it. Threads come and go: vanished ones are omitted. smaps is
// not read: the kernel would go through all of the guest's memory.
#include "guest_proc.h"

#include "sysfile.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FDS 65536
#define NUMA_MAPS_SIZE (8u << 20)

// "CPU 3/KVM", "CPU 3/TCG", "ALL CPUs/TCG", "IO iothread1".
static void
classify(struct machine_thread *t)
{
	unsigned number;
	int end = 0;

	t->kind = MACHINE_EMULATOR;
	t->vcpu = -1;
	if (!strncmp(t->comm, "ALL CPUs/", 9)) {
		t->kind = MACHINE_VCPU;
	} else if (sscanf(t->comm, "CPU %4u/%n", &number, &end) == 1 && end) {
		t->kind = MACHINE_VCPU;
		t->vcpu = (int)number;
	} else if (!strncmp(t->comm, "IO ", 3)) {
		t->kind = MACHINE_IOTHREAD;
	}
}

// Calls fn for each number that is a name in the directory, in no order; 0 or a negative errno.
static int
each_number(const char *root, const char *sub, int pid, bool (*fn)(void *ctx, int number), void *ctx)
{
	char path[SYSFILE_PATH_SIZE];
	struct dirent *entry;
	DIR *dir;

	if ((size_t)snprintf(path, sizeof(path), "%s/proc/%d/%s", root, pid, sub) >= sizeof(path))
		return -ENAMETOOLONG;
	dir = opendir(path);
	if (!dir)
		return -errno;
	while ((entry = readdir(dir)))
		if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9' &&
			!fn(ctx, (int)strtol(entry->d_name, NULL, 10)))
			break;
	closedir(dir);
	return 0;
}

// Policy, niceness and priority from fields 19, 40 and 41 of stat; the second field, the name, may
// have any content.
static void
read_policy(const char *root, int pid, struct machine_thread *t)
{
	char text[4096];
	ssize_t n = sysfile_read(root, text, sizeof(text), "/proc/%d/task/%d/stat", pid, t->tid);
	const char *at = n < 0 ? NULL : strrchr(text, ')');
	long long value[42] = {0};
	int field = 3;

	t->policy = t->nice = t->rt_priority = n < 0 ? n : -ENODATA;
	if (!at || at[1] != ' ' || !at[2])
		return;
	at += 3; // the state, a letter
	for (field = 4; field <= 41; field++) {
		char *end;

		value[field] = strtoll(at, &end, 10);
		if (end == at)
			return;
		at = end;
	}
	t->nice = value[19] + 20;
	t->rt_priority = value[40];
	t->policy = value[41];
}

struct thread_list {
	const char *root;
	int pid;
	char *text; // SYSFILE_TEXT_SIZE
	struct machine_thread *threads;
	unsigned n, max, n_left_out;
};

static bool
add_thread(void *ctx, int tid)
{
	struct thread_list *l = ctx;
	struct machine_thread *t = &l->threads[l->n];
	const char *allowed;

	if (l->n == l->max) {
		l->n_left_out++;
		return true;
	}
	memset(t, 0, sizeof(*t));
	t->tid = tid;
	t->waited_ns = t->ran_ns = t->preempted = -ENODATA;
	if (sysfile_line(l->root, t->comm, sizeof(t->comm), "/proc/%d/task/%d/comm", l->pid, tid) ||
		sysfile_read(l->root, l->text, SYSFILE_TEXT_SIZE, "/proc/%d/task/%d/status", l->pid, tid) < 0)
		return true;
	allowed = sysfile_key(l->text, "Cpus_allowed_list:");
	if (!allowed || cpus_parse(allowed, &t->allowed))
		return true;
	classify(t);
	read_policy(l->root, l->pid, t);
	l->n++;
	return true;
}

static int
by_kind_and_number(const void *a, const void *b)
{
	const struct machine_thread *s = a, *t = b;

	if (s->kind != t->kind)
		return s->kind > t->kind ? -1 : 1;
	if (s->vcpu != t->vcpu)
		return s->vcpu < t->vcpu ? -1 : 1;
	return (s->tid > t->tid) - (s->tid < t->tid);
}

static int
read_threads(const char *root, int pid, struct thread_list *l)
{
	int rc;

	l->root = root;
	l->pid = pid;
	l->text = malloc(SYSFILE_TEXT_SIZE);
	if (!l->text)
		return -ENOMEM;
	rc = each_number(root, "task", pid, add_thread, l);
	free(l->text);
	if (!rc)
		qsort(l->threads, l->n, sizeof(*l->threads), by_kind_and_number);
	return rc;
}

struct kvm_search {
	const char *root;
	int pid;
	unsigned n;
	int64_t result;
};

static bool
find_kvm(void *ctx, int fd)
{
	struct kvm_search *s = ctx;
	char target[64];
	int rc = sysfile_link(s->root, target, sizeof(target), "/proc/%d/fd/%d", s->pid, fd);

	if (!rc && !strncmp(target, "anon_inode:kvm-vcpu", 19))
		s->result = 1;
	else if (rc && rc != -ENOENT && !s->result)
		s->result = rc;
	return s->result != 1 && ++s->n < MAX_FDS;
}

static void
read_memory(const char *root, struct machine_facts *m)
{
	char *text = malloc(SYSFILE_TEXT_SIZE);
	ssize_t n = text ? sysfile_read(root, text, SYSFILE_TEXT_SIZE, "/proc/%d/status", m->pid) : -ENOMEM;

	m->rss_kib = n < 0 ? n : sysfile_key_number(text, "VmRSS:");
	m->hugetlb_kib = n < 0 ? n : sysfile_key_number(text, "HugetlbPages:");
	m->swap_kib = n < 0 ? n : sysfile_key_number(text, "VmSwap:");
	m->locked_kib = n < 0 ? n : sysfile_key_number(text, "VmLck:");
	free(text);
}

// "7f.. default anon=3 N0=2 N1=1 kernelpagesize_kB=4"
static void
add_numa_line(char *line, uint64_t node_kib[MACHINE_MAX_NODES])
{
	const char *size = strstr(line, "kernelpagesize_kB=");
	unsigned long page_kib = size ? strtoul(size + 18, NULL, 10) : 4;

	for (char *at = line; (at = strstr(at, " N")); at++) {
		char *end;
		unsigned long node = strtoul(at + 2, &end, 10);

		if (end > at + 2 && *end == '=' && node < MACHINE_MAX_NODES && page_kib <= 1u << 20)
			node_kib[node] += (uint64_t)(uint32_t)strtoul(end + 1, NULL, 10) * page_kib;
	}
}

static void
read_numa(const char *root, struct machine_facts *m)
{
	char *text, *line, *save = NULL;
	ssize_t n;

	m->numa_rc = -ENODATA;
	if (sysfile_number(root, "/sys/devices/system/node/node1/cpulist") == -ENOENT)
		return;
	text = malloc(NUMA_MAPS_SIZE);
	n = text ? sysfile_read(root, text, NUMA_MAPS_SIZE, "/proc/%d/numa_maps", m->pid) : -ENOMEM;
	m->numa_rc = n < 0 ? (int)n : 0;
	for (line = n > 0 ? strtok_r(text, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save))
		add_numa_line(line, m->node_kib);
	free(text);
}

// Below /sys/fs/cgroup, from "0::/path" or "4:cpu,cpuacct:/path": the directory of the hierarchy
// with the cpu controller.
static int
find_cgroup(const char *text, char *dir, size_t size, bool *ret_is_v1)
{
	const char *line = text;

	for (; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		const char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
		int len, n;
		bool is_v1;

		if (!path || path[1] != '/')
			continue;
		path++;
		controllers++;
		len = (int)(path - 1 - controllers);
		is_v1 = len >= 3 && !strncmp(controllers, "cpu", 3) && (len == 3 || controllers[3] == ',');
		// The unified hierarchy of a machine with both has no cpu controller: its line
		// comes last.
		if (!is_v1 && len)
			continue;
		n = snprintf(dir, size, "/sys/fs/cgroup%s%.*s%.*s", is_v1 ? "/" : "", is_v1 ? len : 0, controllers,
			(int)strcspn(path, "\n"), path);
		if (n < 0 || (size_t)n >= size)
			return -ENAMETOOLONG;
		// Outside of our own cgroup namespace.
		if (strstr(dir, "/.."))
			return -EXDEV;
		if (n > 1 && dir[n - 1] == '/') // the root
			dir[n - 1] = '\0';
		*ret_is_v1 = is_v1;
		return 0;
	}
	return -ENODATA;
}

static void
read_quota(const char *root, bool is_v1, struct machine_cgroup *g)
{
	char text[64];
	long long quota = 0, period = 100000;

	if (is_v1) {
		int64_t shares = sysfile_number(root, "%s/cpu.shares", g->path);

		quota = (long long)sysfile_number(root, "%s/cpu.cfs_quota_us", g->path); // -1: none
		period = (long long)sysfile_number(root, "%s/cpu.cfs_period_us", g->path);
		g->weight = shares < 0 ? shares : shares * 100 / 1024;
	} else {
		if (sysfile_line(root, text, sizeof(text), "%s/cpu.max", g->path) ||
			sscanf(text, "%lld %lld", &quota, &period) < 1)
			quota = 0;
		g->weight = sysfile_number(root, "%s/cpu.weight", g->path);
	}
	g->quota_us = quota > 0 && period > 0 ? quota : 0;
	g->period_us = g->quota_us ? period : 0;
}

static int64_t
read_throttled_us(const char *root, const struct machine_cgroup *g)
{
	char text[4096];
	ssize_t n = sysfile_read(root, text, sizeof(text), "%s/cpu.stat", g->path);
	int64_t us = n < 0 ? n : sysfile_key_number(text, "throttled_usec");

	if (us == -ENODATA) { // cgroup v1
		us = sysfile_key_number(text, "throttled_time");
		us = us < 0 ? us : us / 1000;
	}
	return us;
}

// The group at dir and those above it, each once.
static void
add_cgroups(const char *root, char *dir, bool is_v1, struct machine_facts *m)
{
	size_t top = strlen("/sys/fs/cgroup/");

	while (strlen(dir) > top && m->n_cgroups < MACHINE_MAX_CGROUPS) {
		struct machine_cgroup *g = &m->cgroups[m->n_cgroups];
		char *slash = strrchr(dir, '/');

		for (unsigned i = 0; i < m->n_cgroups; i++)
			if (!strcmp(m->cgroups[i].path, dir))
				return;
		*g = (struct machine_cgroup){.throttled_us = -ENODATA};
		(void)snprintf(g->path, sizeof(g->path), "%s", dir);
		sysfile_make_printable(g->path);
		read_quota(root, is_v1, g);
		m->n_cgroups++;
		*slash = '\0';
	}
}

static void
read_cgroups(const char *root, struct machine_facts *m)
{
	char text[8192], dir[sizeof(m->cgroups[0].path)];

	m->cgroup_rc = -ENODATA;
	for (unsigned i = 0; i < m->n_threads && (m->threads[i].kind == MACHINE_VCPU || !i); i++) {
		bool is_v1 = false;
		ssize_t n =
			sysfile_read(root, text, sizeof(text), "/proc/%d/task/%d/cgroup", m->pid, m->threads[i].tid);

		m->cgroup_rc = n < 0 ? (int)n : find_cgroup(text, dir, sizeof(dir), &is_v1);
		if (!m->cgroup_rc)
			add_cgroups(root, dir, is_v1, m);
	}
}

int
guest_proc_read(const char *root, struct machine_facts *m)
{
	struct thread_list list = {.threads = m->threads, .max = MACHINE_MAX_THREADS};
	struct kvm_search kvm = {.root = root, .pid = m->pid};
	int rc = read_threads(root, m->pid, &list);

	if (rc || !list.n)
		return rc && rc != -ENOENT ? rc : -ESRCH;
	m->n_threads = list.n;
	m->n_threads_left_out = list.n_left_out;
	rc = each_number(root, "fd", m->pid, find_kvm, &kvm);
	m->has_kvm_fd = rc ? rc : kvm.result;
	read_memory(root, m);
	read_numa(root, m);
	read_cgroups(root, m);
	return 0;
}

// First the value, then by how much it grew.
static void
count_up(int64_t now, bool is_second, int64_t *value)
{
	if (!is_second)
		*value = now;
	else if (*value >= 0)
		*value = now >= *value ? now - *value : -ENODATA;
}

void
guest_proc_count(const char *root, bool is_second, struct machine_facts *m)
{
	char *text = malloc(SYSFILE_TEXT_SIZE), line[96];

	for (unsigned i = 0; text && i < m->n_threads && m->threads[i].kind == MACHINE_VCPU; i++) {
		struct machine_thread *t = &m->threads[i];
		long long ran = -ENODATA, waited = -ENODATA;
		int rc = sysfile_line(root, line, sizeof(line), "/proc/%d/task/%d/schedstat", m->pid, t->tid);
		ssize_t n = sysfile_read(root, text, SYSFILE_TEXT_SIZE, "/proc/%d/task/%d/status", m->pid, t->tid);

		if (rc)
			ran = waited = rc;
		else if (sscanf(line, "%lld %lld", &ran, &waited) != 2)
			ran = waited = -ENODATA;
		count_up(ran, is_second, &t->ran_ns);
		count_up(waited, is_second, &t->waited_ns);
		count_up(n < 0 ? n : sysfile_key_number(text, "nonvoluntary_ctxt_switches:"), is_second, &t->preempted);
	}
	for (unsigned i = 0; i < m->n_cgroups; i++)
		if (m->cgroups[i].quota_us)
			count_up(read_throttled_us(root, &m->cgroups[i]), is_second, &m->cgroups[i].throttled_us);
	free(text);
}

void
guest_proc_read_other(const char *root, struct machine_other *other)
{
	struct thread_list list = {
		.threads = calloc(MACHINE_MAX_THREADS, sizeof(*list.threads)), .max = MACHINE_MAX_THREADS};

	if (list.threads && !read_threads(root, other->pid, &list))
		for (unsigned i = 0; i < list.n && list.threads[i].kind == MACHINE_VCPU; i++) {
			cpus_unite(&other->vcpus, &list.threads[i].allowed);
			if (cpus_count(&list.threads[i].allowed) == 1)
				cpus_unite(&other->pinned, &list.threads[i].allowed);
		}
	free(list.threads);
}
