#include "eal.h"

#include "base/dp_error.h"
#include "base/pkt_pool.h"
#include "dp_state.h"
#include "rtvs/log.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf.h>

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BASE_BYTES (UINT64_C(24) << 20) // rings, tables, device queues
// address space that costs nothing until it is used
#define PLAIN_RESERVE_BYTES (UINT64_C(128) << 20)
#define MAX_EAL_ARGS 64
#define POOL_DRIVER "librte_mempool_ring.so" // of the packet pool
#define ANY_DRIVER "librte_"

static bool hides_drivers; // EAL is not to find them, eal_need_drivers opens them

// Free bytes in hugepages of all sizes.
static uint64_t
hugepages_free(void)
{
	DIR *dir = opendir("/sys/kernel/mm/hugepages");
	struct dirent *entry;
	uint64_t bytes = 0;

	while (dir && (entry = readdir(dir))) {
		char path[300];
		uint64_t kb, n = 0;
		FILE *f;

		if (sscanf(entry->d_name, "hugepages-%" SCNu64 "kB", &kb) != 1)
			continue;
		snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/%s/free_hugepages", entry->d_name);
		f = fopen(path, "re");
		if (f) {
			if (fscanf(f, "%" SCNu64, &n) == 1)
				bytes += n * kb * 1024;
			fclose(f);
		}
	}
	if (dir)
		closedir(dir);
	return bytes;
}

// Workers without an explicit list: the last CPU that this process may use.
int
eal_default_workers(struct cpu_list *list)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return -errno;
	for (int cpu = CPU_SETSIZE - 1; cpu >= 0; cpu--)
		if (CPU_ISSET(cpu, &set)) {
			list->n = 1;
			list->cpu[0] = (uint16_t)cpu;
			return 0;
		}
	return -EINVAL;
}

// "0@(control CPUs),1@worker,...": the control thread avoids the workers' CPUs where there are
// others.
static int
lcores_arg(const struct cpu_list *workers, char *buf, size_t size, char err[DP_ERR_SIZE])
{
	cpu_set_t set, rest;
	int n = 0;

	if (sched_getaffinity(0, sizeof(set), &set))
		return -errno;
	rest = set;
	for (unsigned i = 0; i < workers->n; i++) {
		if (!CPU_ISSET(workers->cpu[i], &set)) {
			dp_error(err, "workers: CPU %u is not one that this process may use", workers->cpu[i]);
			return -EINVAL;
		}
		if (i && !CPU_ISSET(workers->cpu[i], &rest)) {
			dp_error(err, "workers: CPU %u is named twice", workers->cpu[i]);
			return -EINVAL;
		}
		CPU_CLR(workers->cpu[i], &rest);
	}
	if (!CPU_COUNT(&rest))
		rest = set;
	n += snprintf(buf, size, "0@(");
	for (unsigned cpu = 0, first = 1; cpu < CPU_SETSIZE && (size_t)n < size; cpu++)
		if (CPU_ISSET(cpu, &rest)) {
			n += snprintf(buf + n, size - (size_t)n, "%s%u", first ? "" : ",", cpu);
			first = 0;
		}
	n += snprintf(buf + n, size - (size_t)n, ")");
	for (unsigned i = 0; i < workers->n && (size_t)n < size; i++)
		n += snprintf(buf + n, size - (size_t)n, ",%u@%u", i + 1, workers->cpu[i]);
	return (size_t)n < size ? 0 : -E2BIG;
}

// UINT64_MAX: the kernel does not say.
static uint64_t
memory_available(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	uint64_t kb = UINT64_MAX / 1024;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %" SCNu64, &kb) == 1)
			break;
	if (f)
		fclose(f);
	return kb * 1024;
}

// EAL opens all drivers as it starts, without an option not to: 200 libraries, of which a switch of
// guests needs one. It first asks by stat for their directory. In rtvswitchd this function is that
// stat (src/meson.build).
int
eal_stat(const char *path, struct stat *ret_stat)
{
	if (hides_drivers && !strcmp(path, RTE_EAL_PMD_PATH)) {
		errno = ENOENT;
		return -1;
	}
	return fstatat(AT_FDCWD, path, ret_stat, 0);
}

// Those whose file's name begins so. A driver has several such names.
static void
open_drivers(const char *prefix)
{
	DIR *dir = opendir(RTE_EAL_PMD_PATH);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char path[sizeof(RTE_EAL_PMD_PATH) + sizeof(entry->d_name)];

		snprintf(path, sizeof(path), "%s/%s", RTE_EAL_PMD_PATH, entry->d_name);
		if (!strncmp(entry->d_name, prefix, strlen(prefix)) && !dlopen(path, RTLD_NOW))
			log_warning("driver %s cannot be used: %s", entry->d_name, dlerror());
	}
	if (dir)
		closedir(dir);
}

void
eal_need_drivers(void)
{
	if (hides_drivers)
		open_drivers(ANY_DRIVER);
	hides_drivers = false;
}

int
eal_start(struct dp *dp, char err[DP_ERR_SIZE])
{
	struct dp_system_cfg *cfg = &dp->cfg;
	uint64_t need = (uint64_t)cfg->n_mbufs * PKT_POOL_BYTES + BASE_BYTES;
	bool use_huge = cfg->hugepages && hugepages_free() >= need;
	char lcores[1024], prefix[32], mem[32], extra[RTVS_DEVARGS_SIZE];
	char *argv[MAX_EAL_ARGS] = {"rtvswitchd", "--lcores", lcores, "--main-lcore", "0", "--file-prefix", prefix,
		"--no-telemetry", "--no-shconf", "--iova-mode", "va"};
	int argc = 11, rc;
	char *save = NULL;

	rc = lcores_arg(&cfg->workers, lcores, sizeof(lcores), err);
	if (rc)
		return rc;
	if (cfg->memory_bytes && cfg->memory_bytes < need) {
		dp_error(err, "memory: %" PRIu64 " bytes is less than the %" PRIu64 " that %u buffers need",
			cfg->memory_bytes, need, cfg->n_mbufs);
		return -EINVAL;
	}
	snprintf(prefix, sizeof(prefix), "rtvs-%d", (int)getpid());
	if (use_huge) {
		argv[argc++] = "--in-memory";
		argv[argc++] = "--single-file-segments";
	} else {
		uint64_t available = memory_available();

		// Buffers are written when they are made: the kernel would end some process then.
		if (need > available) {
			dp_error(err, "buffers: %u need %" PRIu64 " bytes, this machine has %" PRIu64 " to spare",
				cfg->n_mbufs, need, available);
			return -ENOMEM;
		}
		need = cfg->memory_bytes ? cfg->memory_bytes : need + PLAIN_RESERVE_BYTES;
		snprintf(mem, sizeof(mem), "%" PRIu64, (need + (1 << 20) - 1) >> 20);
		argv[argc++] = "--no-huge";
		argv[argc++] = "-m";
		argv[argc++] = mem;
		log_info("no hugepages in use: plain pages cost some throughput%s",
			cfg->hugepages ? "; reserve some, for example 64: sysctl vm.nr_hugepages=64" : "");
	}
	// devices come with port.add; only -a makes EAL probe them itself
	if (!strstr(cfg->eal, "-a ") && !strstr(cfg->eal, "--allow"))
		argv[argc++] = "--no-pci";
	snprintf(extra, sizeof(extra), "%s", cfg->eal);
	for (char *word = strtok_r(extra, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		if (argc == MAX_EAL_ARGS - 1) {
			dp_error(err, "eal: more than %d arguments", MAX_EAL_ARGS - 12);
			return -EINVAL;
		}
		argv[argc++] = word;
	}
	// What the user adds may be about drivers.
	hides_drivers = !cfg->eal[0];
	if (hides_drivers)
		open_drivers(POOL_DRIVER);
	if (rte_eal_init(argc, argv) < 0) {
		dp_error(err, "DPDK refused to start: %s (the lines above say why)", rte_strerror(rte_errno));
		return -rte_errno;
	}
	(void)rmdir(rte_eal_get_runtime_dir()); // made by EAL, empty without shared configuration
	return 0;
}
