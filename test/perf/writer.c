// A program of a guest that writes its memory at a fixed rate, page after page, all over again.
//
// usage: writer MIB MIB-PER-S
//   MIB of memory. Delays of up to 0.1 s are made up for.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define PAGE 4096
#define PAGES_PER_MIB (1048576 / PAGE)
#define MAX_MIB 65536
#define NAP_NS 5000000
#define LATE_PER_S 10 // its inverse: what is made up for
#define NS_PER_S UINT64_C(1000000000)

static uint64_t
now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static unsigned long
number(const char *text)
{
	char *rest;
	unsigned long n = strtoul(text, &rest, 10);

	return *rest || n > MAX_MIB ? 0 : n;
}

int
main(int argc, char **argv)
{
	uint64_t n_pages, pages_per_s, done = 0, begin_ns;
	uint8_t *memory;

	if (argc != 3 || !number(argv[1]) || !number(argv[2])) {
		fprintf(stderr, "usage: writer MIB MIB-PER-S, 1 to %d each\n", MAX_MIB);
		return 2;
	}
	n_pages = number(argv[1]) * PAGES_PER_MIB;
	pages_per_s = number(argv[2]) * PAGES_PER_MIB;
	memory = mmap(NULL, n_pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		perror("writer: mmap");
		return 1;
	}
	begin_ns = now_ns();
	for (;;) {
		// The time since then is 10^11 ns in a bench, and the rate 10^7 at most.
		uint64_t due = (now_ns() - begin_ns) / 1000 * pages_per_s / 1000000;

		if (due > done + pages_per_s / LATE_PER_S) {
			begin_ns = now_ns();
			done = 0;
			continue;
		}
		for (; done < due; done++)
			memset(memory + done % n_pages * PAGE, (int)(done % 255) + 1, PAGE);
		(void)nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
	}
}
