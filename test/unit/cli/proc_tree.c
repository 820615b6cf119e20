// Files are made with their directories. A kernel would make some anew on each read; here they are
// unchanged.
#define _XOPEN_SOURCE 700
#include "proc_tree.h"

#include "../unit.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char proc_tree_root[64];

void
proc_tree_begin(void)
{
	(void)snprintf(proc_tree_root, sizeof(proc_tree_root), "/tmp/rtvs-proc-XXXXXX");
	assert_non_null(mkdtemp(proc_tree_root));
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void
proc_tree_remove(const char *path)
{
	char full[512];

	(void)snprintf(full, sizeof(full), "%s%s", proc_tree_root, path);
	assert_int_equal(nftw(full, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

void
proc_tree_end(void)
{
	proc_tree_remove("");
}

// The whole path, with all directories to it.
static const char *
make_path(const char *path)
{
	static char full[512];

	(void)snprintf(full, sizeof(full), "%s%s", proc_tree_root, path);
	for (char *slash = full + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		assert_true(!mkdir(full, 0755) || errno == EEXIST);
		*slash = '/';
	}
	return full;
}

void
proc_tree_put_bytes(const char *path, const char *bytes, size_t len)
{
	FILE *out = fopen(make_path(path), "we");

	assert_non_null(out);
	assert_int_equal(fwrite(bytes, 1, len, out), len);
	assert_int_equal(fclose(out), 0);
}

void
proc_tree_put(const char *path, const char *format, ...)
{
	char text[8192];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	assert_true(n >= 0 && (size_t)n < sizeof(text));
	proc_tree_put_bytes(path, text, (size_t)n);
}

void
proc_tree_link(const char *path, const char *target)
{
	assert_int_equal(symlink(target, make_path(path)), 0);
}

void
proc_tree_put_qemu(int pid, const char *cmdline)
{
	char path[64], bytes[1024];
	size_t len = strlen(cmdline);

	assert_true(len < sizeof(bytes));
	for (size_t i = 0; i < len; i++)
		bytes[i] = cmdline[i] == '|' ? '\0' : cmdline[i];
	(void)snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	proc_tree_put_bytes(path, bytes, len);
	(void)snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	proc_tree_link(path, "/usr/bin/qemu-system-x86_64");
	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	proc_tree_put(path, "Name:\tqemu\nVmLck:\t0 kB\nVmRSS:\t  40960 kB\nVmSwap:\t 0 kB\nHugetlbPages:\t 0 kB\n");
	(void)snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	proc_tree_put(path, "qemu-system-x86\n");
	(void)snprintf(path, sizeof(path), "/proc/%d/fd/0", pid);
	proc_tree_link(path, "/dev/null");
}

void
proc_tree_put_thread(int pid, int tid, const char *comm, const char *cpus)
{
	char path[96];
	int n = snprintf(path, sizeof(path), "/proc/%d/task/%d/", pid, tid);

	(void)snprintf(path + n, sizeof(path) - (size_t)n, "comm");
	proc_tree_put(path, "%s\n", comm);
	(void)snprintf(path + n, sizeof(path) - (size_t)n, "status");
	proc_tree_put(path, "Name:\t%s\nCpus_allowed_list:\t%s\nnonvoluntary_ctxt_switches:\t10\n", comm, cpus);
	(void)snprintf(path + n, sizeof(path) - (size_t)n, "stat");
	proc_tree_put(path,
		"%d (%s) S 20 0 0 0 -1 138412416 5035 0 29 0 2 3 0 0 20 0 5 0 4694427 1541976064 10182 1 2 3 4 0 0 0 "
		"268444224 4100 16451 1 0 0 17 0 "
		"0 0 0 0 0 1 2 3\n",
		tid, comm);
	(void)snprintf(path + n, sizeof(path) - (size_t)n, "schedstat");
	proc_tree_put(path, "1000 2000 3\n");
	(void)snprintf(path + n, sizeof(path) - (size_t)n, "cgroup");
	proc_tree_put(path, "0::/machine/g1\n");
}

void
proc_tree_put_host(void)
{
	proc_tree_put("/proc/cmdline", "BOOT_IMAGE=/vmlinuz quiet\n");
	proc_tree_put("/proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n");
	proc_tree_put("/proc/stat", "cpu  100 0 0 900 0 0 0 0 0 0\ncpu0 1 2 3\n");
	proc_tree_put("/proc/interrupts",
		"           CPU0       CPU1\n 24:  5  7  PCI-MSI  0-edge   eth0-rx\nLOC:  10  20   Local timer "
		"interrupts\n");
	proc_tree_put("/sys/devices/system/cpu/online", "0-1\n");
	proc_tree_put("/sys/devices/system/cpu/isolated", "\n");
	proc_tree_put("/sys/devices/system/cpu/nohz_full", "(null)\n");
	proc_tree_put("/sys/devices/system/node/node0/cpulist", "0-1\n");
	for (int cpu = 0; cpu < 2; cpu++) {
		char path[128];

		(void)snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
		proc_tree_put(path, "%d\n", cpu);
	}
	proc_tree_put("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
	proc_tree_put("/sys/kernel/mm/transparent_hugepage/defrag", "always defer defer+madvise [madvise] never\n");
	proc_tree_put("/sys/kernel/mm/ksm/run", "0\n");
	proc_tree_put("/sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n");
}
