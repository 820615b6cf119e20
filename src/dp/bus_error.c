// The table of guest memory and the signal handler that reads it. The handler calls mmap only, which is a system call and
// nothing else. Slots are published by their size, last, and taken back by it, first. Bounded: MAX_REGIONS regions;
// guests beyond that are not protected, which is logged.
#include "bus_error.h"

#include "dp_state.h"
#include "rtvs/log.h"

#include <rte_vhost.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#define MAX_REGIONS (DP_MAX_PORTS * 8)

struct region {
	_Atomic uint64_t size; // 0: free
	_Atomic uint64_t begin;
	_Atomic int vid;
};

static struct region regions[MAX_REGIONS]; // event thread: wo (under lock), handler: ro
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct dp *owner;

static void
handle(int sig, siginfo_t *info, void *context)
{
	uint64_t addr = (uint64_t)(uintptr_t)info->si_addr;

	(void)context;
	for (unsigned i = 0; i < MAX_REGIONS; i++) {
		uint64_t size = atomic_load(&regions[i].size);
		uint64_t begin = atomic_load(&regions[i].begin);

		if (!size || addr < begin || addr >= begin + size)
			continue;
		if (mmap((void *)(uintptr_t)begin, size, PROT_READ | PROT_WRITE,
			    MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED)
			break;
		atomic_fetch_add(&owner->bus_errors, 1);
		return;
	}
	signal(sig, SIG_DFL); // not a guest's: the instruction runs again and ends the process as it should
}

int
bus_error_install(struct dp *dp)
{
	struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO};

	owner = dp;
	return sigaction(SIGBUS, &action, NULL) ? -errno : 0;
}

void
bus_error_guard(int vid)
{
	struct rte_vhost_memory *mem = NULL;
	unsigned slot = 0;

	bus_error_unguard(vid);
	if (rte_vhost_get_mem_table(vid, &mem))
		return;
	pthread_mutex_lock(&lock);
	for (uint32_t i = 0; i < mem->nregions; i++) {
		while (slot < MAX_REGIONS && atomic_load(&regions[slot].size))
			slot++;
		if (slot == MAX_REGIONS) {
			log_warning("guest memory of device %d is not protected against truncation: table full", vid);
			break;
		}
		atomic_store(&regions[slot].vid, vid);
		atomic_store(&regions[slot].begin, (uint64_t)(uintptr_t)mem->regions[i].mmap_addr);
		atomic_store(&regions[slot].size, mem->regions[i].mmap_size);
	}
	pthread_mutex_unlock(&lock);
	free(mem);
}

void
bus_error_unguard(int vid)
{
	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < MAX_REGIONS; i++)
		if (atomic_load(&regions[i].size) && atomic_load(&regions[i].vid) == vid)
			atomic_store(&regions[i].size, 0);
	pthread_mutex_unlock(&lock);
}
