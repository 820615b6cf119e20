// The service manager's view: ready, stopping, alive. Alive means that this loop turns and that
// every worker does. A worker that sleeps must wake (and so count a turn or a sleep) within half
// the watchdog's time.
#include "notify.h"

#include "rtvs/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

void
notify_init(struct notify *n)
{
	uint64_t usec = 0;

	*n = (struct notify){0};
	if (sd_watchdog_enabled(0, &usec) > 0)
		n->interval_ns = usec * 1000 / 2;
}

void
notify_ready(const char *status)
{
	(void)sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

void
notify_stopping(void)
{
	(void)sd_notify(0, "STOPPING=1\nSTATUS=Stopping");
}

void
notify_alive(void)
{
	(void)sd_notify(0, "WATCHDOG=1");
}

void
notify_main_pid(pid_t pid)
{
	(void)sd_notifyf(0, "MAINPID=%d", (int)pid);
}

bool
notify_has_store(void)
{
	const char *max = getenv("FDSTORE");

	return max && strcmp(max, "0") != 0;
}

bool
notify_store(void *arg, const char *name, int fd)
{
	char text[64];

	(void)arg;
	(void)snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s", name);
	return sd_pid_notify_with_fds(0, 0, text, &fd, 1) > 0;
}

void
notify_forget(void *arg, const char *name)
{
	(void)arg;
	(void)sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}

// As sd_notify_barrier, which waits.
int
notify_barrier(void *arg)
{
	int pipes[2], rc;

	(void)arg;
	if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK))
		return -1;
	rc = sd_pid_notify_with_fds(0, 0, "BARRIER=1", &pipes[1], 1);
	close(pipes[1]);
	if (rc > 0)
		return pipes[0];
	close(pipes[0]);
	return -1;
}

void
notify_give_stored(struct dp *dp)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names);

	for (int i = 0; i < n; i++) {
		dp_give_fd(dp, names[i], SD_LISTEN_FDS_START + i);
		free(names[i]);
	}
	free(names);
}

// Index of a worker without progress, or -1.
static int
find_stuck(struct notify *n, const struct dp *dp)
{
	struct dp_worker_stats stats;
	int stuck = -1;

	for (unsigned i = 0; i < dp_n_workers(dp) && i < DP_MAX_WORKERS; i++) {
		uint64_t progress;
		if (dp_worker_stats(dp, i, &stats) < 0)
			continue;
		progress = stats.turns + stats.sleeps;
		if (progress == n->progress[i])
			stuck = (int)i;
		n->progress[i] = progress;
	}
	return stuck;
}

void
notify_tick(struct notify *n, const struct dp *dp, uint64_t now_ns)
{
	char name[16];
	int stuck;

	if (n->interval_ns == 0 || now_ns - n->last_ns < n->interval_ns / 2)
		return;
	n->last_ns = now_ns;
	stuck = find_stuck(n, dp);
	(void)snprintf(name, sizeof(name), "%d", stuck);
	if (stuck < 0)
		(void)sd_notify(0, "WATCHDOG=1");
	else if (!n->is_stuck)
		log_about(LOG_LEVEL_ERROR, LOG_ABOUT(LOG_ID_WATCHDOG, {"WORKER", name}),
			"worker %s makes no turn: the watchdog gets no sign of life", name);
	n->is_stuck = stuck >= 0;
}
