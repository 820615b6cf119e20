// The handler calls mmap, a system call, and reads tables that do not change; nothing else, since
// it may have interrupted any code. Each missing page costs one signal. DPDK's own memory is not
// repaired: a fault there is our bug and ends the process.
#include "bus_error.h"

#include "dp_state.h"
#include "rtvs/segment_file.h"

#include <rte_memory.h>

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct dp *owner; // set before any guest connects

SEGMENT_SIGNAL_SAFE static bool
put_page(uintptr_t addr)
{
	static const size_t sizes[] = {4096, 2u << 20, 1u << 30}; // a hugepage is replaced whole

	for (unsigned i = 0; i < RTE_DIM(sizes); i++)
		if (syscall(SYS_mmap, RTE_ALIGN_FLOOR(addr, sizes[i]), sizes[i], PROT_READ | PROT_WRITE,
			    MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0L) != -1)
			return true;
	return false;
}

SEGMENT_SIGNAL_SAFE static void
handle(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (info->si_code == BUS_ADRERR && !rte_mem_virt2memseg_list(info->si_addr) &&
		(segment_file_mend(info->si_addr) || put_page((uintptr_t)info->si_addr))) {
		atomic_fetch_add(&owner->bus_errors, 1);
		return;
	}
	(void)signal(sig, SIG_DFL); // the instruction runs again and ends the process as it should
}

int
bus_error_install(struct dp *dp)
{
	struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO};

	owner = dp;
	return sigaction(SIGBUS, &action, NULL) ? -errno : 0;
}
