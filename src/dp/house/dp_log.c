// Takes the stream that DPDK's libraries log to. A device can make them print a line for every
// packet. So lines are always counted, and printed at most LINES_PER_SECOND times a second. Lines
// of a hidden level use no part of that limit. Any thread may log: the state is atomic.
#include "dp_log.h"

#include "dp_state.h"
#include "rtvs/log.h"

#include <rte_log.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define LINES_PER_SECOND 20

static struct dp *log_dp; // set before any thread starts
static FILE *stream;
static _Atomic uint64_t second, lines, suppressed;

static bool
may_print(void)
{
	struct timespec ts;
	uint64_t was = atomic_load(&second);

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	if (was != (uint64_t)ts.tv_sec && atomic_compare_exchange_strong(&second, &was, (uint64_t)ts.tv_sec)) {
		uint64_t n = atomic_exchange(&suppressed, 0);

		atomic_store(&lines, 0);
		if (n)
			log_warning("DPDK: %lu further lines in a second not shown", (unsigned long)n);
	}
	if (atomic_fetch_add(&lines, 1) < LINES_PER_SECOND)
		return true;
	atomic_fetch_add(&suppressed, 1);
	return false;
}

static ssize_t
stream_write(void *cookie, const char *buf, size_t size)
{
	int level = rte_log_cur_msg_loglevel();
	enum log_level ours = level <= (int)RTE_LOG_ERR ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG;
	size_t len = size;

	(void)cookie;
	while (len && (buf[len - 1] == '\n' || buf[len - 1] == '\r'))
		len--;
	if (!len)
		return (ssize_t)size;
	if (level <= (int)RTE_LOG_ERR)
		atomic_fetch_add(&log_dp->log_errors, 1);
	if (log_is_shown(ours) && may_print())
		log_write(ours, "DPDK: %.*s", (int)RTE_MIN(len, (size_t)400), buf);
	return (ssize_t)size;
}

int
dp_log_start(struct dp *dp)
{
	cookie_io_functions_t io = {.write = stream_write};

	log_dp = dp;
	stream = fopencookie(NULL, "w", io);
	if (!stream)
		return -errno;
	setvbuf(stream, NULL, _IOLBF, 1024);
	if (rte_openlog_stream(stream)) {
		fclose(stream);
		return -ENOMEM;
	}
	rte_log_set_global_level(RTE_LOG_INFO);
	return 0;
}

void
dp_log_stop(void)
{
	(void)rte_openlog_stream(NULL);
	fclose(stream);
	stream = NULL;
}
