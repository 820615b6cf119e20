// Another clock for a process that is started with this in LD_PRELOAD. Two daemons on one machine
// can then have clocks that differ, drift and are set, and the machine's own clock is left alone.
// CLOCK_REALTIME and CLOCK_TAI become
//   true time + CLOCK_SHIM_OFFSET_NS + CLOCK_SHIM_DRIFT_PPB of the time since
//   CLOCK_SHIM_EPOCH_NS (CLOCK_REALTIME) + step.
// The step is the 64-bit number of ns in the file CLOCK_SHIM_STEP, which may change at any time.
// With CLOCK_SHIM_ERROR_US the kernel's clock says that it is synchronised with that error bound.
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000

static bool begun;
static int64_t offset_ns, drift_ppb, epoch_ns;
static const _Atomic int64_t *step_ns;

// The kernel is asked: a sanitizer reads the clock before the linker can find the C library's own
// function.
static int
true_gettime(clockid_t clock, struct timespec *ts)
{
	return (int)syscall(SYS_clock_gettime, clock, ts);
}

static int64_t
number(const char *name)
{
	const char *text = getenv(name);

	return text ? strtoll(text, NULL, 10) : 0;
}

static void
begin(void)
{
	const char *path = getenv("CLOCK_SHIM_STEP");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*step_ns), PROT_READ, MAP_SHARED, fd, 0);

	begun = true;
	offset_ns = number("CLOCK_SHIM_OFFSET_NS");
	drift_ppb = number("CLOCK_SHIM_DRIFT_PPB");
	epoch_ns = number("CLOCK_SHIM_EPOCH_NS");
	step_ns = at == MAP_FAILED ? NULL : at;
	if (path && !step_ns)
		abort();
	if (fd >= 0)
		(void)close(fd);
}

int
clock_gettime(clockid_t clock, struct timespec *ts)
{
	struct timespec real;
	int64_t ns;
	int rc;

	if (!begun) // other libraries begin first
		begin();
	rc = true_gettime(clock, ts);

	if (rc || (clock != CLOCK_REALTIME && clock != CLOCK_TAI))
		return rc;
	(void)true_gettime(CLOCK_REALTIME, &real);
	ns = (int64_t)real.tv_sec * NS_PER_S + real.tv_nsec - epoch_ns;
	ns = offset_ns + (int64_t)((__int128)ns * drift_ppb / NS_PER_S) + (step_ns ? *step_ns : 0);
	ns += (int64_t)ts->tv_sec * NS_PER_S + ts->tv_nsec;
	*ts = (struct timespec){.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
	return 0;
}

int
adjtimex(struct timex *tx)
{
	*tx = (struct timex){.maxerror = (long)number("CLOCK_SHIM_ERROR_US")};
	return tx->maxerror ? TIME_OK : TIME_ERROR;
}
