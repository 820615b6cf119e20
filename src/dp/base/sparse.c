// Ids are given from the lowest on, so an array by id is as large as what exists, without anybody
// who grows it. A first touch takes a thread about a microsecond, once for a page. Huge pages are
// declined: one touch would take 2 MiB.
#include "sparse.h"

#include <sys/mman.h>

void *
sparse_alloc(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	(void)madvise(memory, bytes, MADV_NOHUGEPAGE); // EINVAL: the kernel has none
	return memory;
}

void
sparse_free(void *memory, size_t bytes)
{
	if (memory)
		(void)munmap(memory, bytes);
}
