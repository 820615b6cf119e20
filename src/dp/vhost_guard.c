// The supervisor looks at each worker's mark once a period while there are marks that move, and sleeps otherwise: a worker that finds it
// asleep wakes it. A mark that stands at one call for a whole period is overdue: the worker gets a signal, each period until the mark moves,
// since a signal may come before the call that it is meant for. A call that the signal interrupted was waiting, unlike one whose worker
// had no core: its front-end filled the eventfd, and is hung up on.
// Invariant: a mark is set before the supervisor's is_asleep is read, and is_asleep before the marks are read once more.
#include "vhost_guard.h"

#include "rtvs/dp.h"
#include "rtvs/log.h"
#include "vhost_fds.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define GUARD_SIGNAL SIGURG // ignored by default, and nothing here has out-of-band data
#define QUIET_PERIODS 100 // without a call, then the supervisor sleeps
#define MAX_CLOSING (DP_MAX_PORTS * 32) // a port has those of one message of each connection
#define OWNER_BITS 16

// Of one worker: the number of the call << OWNER_BITS | the owner of the call's descriptor, 0: outside of a call.
struct mark {
	_Atomic uint64_t at;
	_Atomic unsigned stuck; // owner of the last descriptor that made it wait, until the supervisor has seen it
	pthread_t thread;
} __attribute__((aligned(64)));

static struct mark marks[DP_MAX_WORKERS];
static _Thread_local struct mark *mine;
static _Atomic bool is_asleep, is_ending;
static int wake_fd = -1;
static pthread_t supervisor, closer;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // of closing and n_closing
static pthread_cond_t has_closing = PTHREAD_COND_INITIALIZER;
static struct {
	int fd;
	uint64_t serial;
} closing[MAX_CLOSING];
static unsigned n_closing; // the first is being closed

static void
on_signal(int sig)
{
	(void)sig; // the call that it interrupts returns, which is all
}

// True: some worker made a call since the last look.
static bool
look(uint64_t last[DP_MAX_WORKERS])
{
	bool is_moving = false;

	for (unsigned i = 0; i < DP_MAX_WORKERS; i++) {
		uint64_t at = atomic_load(&marks[i].at);
		unsigned owner = at & ((1u << OWNER_BITS) - 1), stuck = atomic_exchange(&marks[i].stuck, 0);

		is_moving |= at != last[i] || owner;
		if (owner && at == last[i])
			(void)pthread_kill(marks[i].thread, GUARD_SIGNAL);
		if (stuck)
			vhost_fds_hang_up(stuck, "a call descriptor that took no interrupt");
		last[i] = at;
	}
	return is_moving;
}

static void *
supervise(void *arg)
{
	static const struct timespec period = {.tv_nsec = VHOST_GUARD_PERIOD_MS * 1000000};
	uint64_t last[DP_MAX_WORKERS] = {0};
	unsigned n_quiet = 0;
	uint64_t ignored;

	(void)arg;
	while (!atomic_load(&is_ending)) {
		n_quiet = look(last) ? 0 : n_quiet + 1;
		if (n_quiet < QUIET_PERIODS) {
			(void)nanosleep(&period, NULL);
			continue;
		}
		atomic_store(&is_asleep, true);
		if (!look(last) && !atomic_load(&is_ending))
			(void)!read(wake_fd, &ignored, sizeof(ignored));
		atomic_store(&is_asleep, false);
		n_quiet = 0;
	}
	return NULL;
}

static void *
close_all(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&lock);
	for (;;) {
		int fd;

		while (!n_closing && !atomic_load(&is_ending))
			pthread_cond_wait(&has_closing, &lock);
		if (!n_closing)
			break;
		fd = closing[0].fd;
		pthread_mutex_unlock(&lock);
		close(fd); // for as long as its owner likes
		pthread_mutex_lock(&lock);
		n_closing--;
		for (unsigned i = 0; i < n_closing; i++)
			closing[i] = closing[i + 1];
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

int
vhost_guard_start(void)
{
	struct sigaction action = {.sa_handler = on_signal}; // without SA_RESTART
	int rc;

	wake_fd = eventfd(0, EFD_CLOEXEC);
	if (wake_fd < 0 || sigaction(GUARD_SIGNAL, &action, NULL))
		return -errno;
	rc = pthread_create(&supervisor, NULL, supervise, NULL);
	if (rc)
		return -rc;
	(void)pthread_setname_np(supervisor, "rtvs-guard");
	rc = pthread_create(&closer, NULL, close_all, NULL);
	if (!rc) {
		(void)pthread_setname_np(closer, "rtvs-closer");
		(void)pthread_detach(closer); // it may be in a call that never returns
	}
	return -rc;
}

static void
wake(void)
{
	static const uint64_t one = 1;

	(void)!write(wake_fd, &one, sizeof(one));
}

void
vhost_guard_stop(void)
{
	if (!supervisor)
		return;
	atomic_store(&is_ending, true);
	wake();
	pthread_join(supervisor, NULL);
	supervisor = 0;
	pthread_mutex_lock(&lock);
	pthread_cond_signal(&has_closing);
	pthread_mutex_unlock(&lock);
}

void
vhost_guard_join(unsigned worker)
{
	mine = &marks[worker];
	mine->thread = pthread_self();
}

bool
vhost_guard_notify(int fd, unsigned owner)
{
	static const uint64_t one = 1;
	uint64_t at;
	bool is_written;

	if (!mine || vhost_fds_is_broken(owner))
		return false;
	at = atomic_load_explicit(&mine->at, memory_order_relaxed) + (1u << OWNER_BITS);
	atomic_store(&mine->at, at | owner);
	if (atomic_load(&is_asleep))
		wake();
	is_written = write(fd, &one, sizeof(one)) == sizeof(one);
	if (!is_written && errno == EINTR) {
		vhost_fds_break(owner);
		atomic_store(&mine->stuck, owner);
	}
	atomic_store_explicit(&mine->at, at, memory_order_release);
	return is_written;
}

void
vhost_guard_close(int fd, uint64_t serial)
{
	pthread_mutex_lock(&lock);
	if (n_closing < MAX_CLOSING) { // else it stays open, which is less harm than a wait
		closing[n_closing].fd = fd;
		closing[n_closing++].serial = serial;
		pthread_cond_signal(&has_closing);
	}
	pthread_mutex_unlock(&lock);
}

bool
vhost_guard_is_closing(uint64_t serial)
{
	bool is = false;

	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < n_closing; i++)
		is |= closing[i].serial == serial;
	pthread_mutex_unlock(&lock);
	return is;
}
