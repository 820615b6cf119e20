// The supervisor reads each thread's mark once a period while there are marks that move, and sleeps
// otherwise; a thread that finds it asleep wakes it. A mark that stays at one call for a whole
// period is overdue. Its thread gets a signal, each period until the mark moves, since a signal may
// come before the call that it is meant for. An interrupt write that the signal interrupted was
// waiting, unlike one whose worker had no core. Its front-end filled the eventfd, and is
// disconnected. So is one whose interrupts take their worker's CPU time instead, as an eventfd with
// very many waiters does: no signal ends that. Other calls drop objects that a front-end left (a
// TCP socket that lingers, in a queue of messages). The signal ends the lingering, and no front-end
// is disconnected, since any may be the cause.
// Invariants: a mark is set before the supervisor's is_asleep is read, and is_asleep before the
// marks are read once more. A thread that has left a call of the second kind gets no signal for it
// any more: its next call may not expect one.
#include "vhost_guard.h"

#include "rtvs/log.h"
#include "vhost_owner.h"

#include <rte_branch_prediction.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define GUARD_SIGNAL SIGURG // ignored by default, and nothing here has out-of-band data
#define QUIET_PERIODS 100 // without a call, then the supervisor sleeps
// a port has those of one message of each connection
#define MAX_CLOSING (DP_MAX_PORTS * 32 + MAX_HARMLESS)
#define MAX_HARMLESS 4096 // of all ports
#define OWNER_BITS 16
#define NOBODY ((1u << OWNER_BITS) - 1) // a call that is not one connection's interrupt
// Of the workers, the thread of connections, the control thread, the closer of what is harmless.
#define OF_CONTROL (VHOST_GUARD_LOOP + 1)
#define OF_CLOSER (OF_CONTROL + 1)
#define N_MARKS (OF_CLOSER + 1)
// Periods in which an owner's interrupts took most of a worker's time, until it is disconnected.
#define BURNT_PERIODS 3
#define FORGIVEN_PERIODS 20 // for one of them

// Of one thread: the number of the call << OWNER_BITS | the owner of the call's descriptor, 0:
// outside of a call.
struct mark {
	_Atomic uint64_t at;
	// Owner of the last descriptor that made it wait, until the supervisor has seen it.
	_Atomic unsigned stuck;
	_Atomic uint64_t costly; // the call that is its owner's last
	pthread_t thread;
} __attribute__((aligned(64)));

static struct mark marks[N_MARKS];
static _Thread_local struct mark *mine;
static _Atomic bool has_control, is_asleep, is_ending;
static pthread_mutex_t signalling = PTHREAD_MUTEX_INITIALIZER; // also of the marks' threads
static int wake_fd = -1;
static pthread_t supervisor;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // of closing and n_closing
static struct closing {
	int fd;
	void *at; // NULL: the descriptor is to be closed, else this memory to be unmapped
	size_t n_bytes;
	uint64_t serial;
} closing[MAX_CLOSING]; // the first of each serial is being closed, by the serial's own thread
static unsigned n_closing;

static void
on_signal(int sig)
{
	(void)sig; // the call that it interrupts returns, which is all
}

// The supervisor's knowledge of a mark.
struct seen {
	uint64_t at, cpu_ns;
	unsigned burnt_by, burnt; // burnt periods * FORGIVEN_PERIODS, less those that have passed
};

static uint64_t
cpu_ns_of(pthread_t thread)
{
	struct timespec used;
	clockid_t clock;

	if (pthread_getcpuclockid(thread, &clock) || clock_gettime(clock, &used))
		return 0;
	return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
}

// A worker was in the same interrupt at the last look. Without its core it used no time.
static void
judge_cost(struct mark *m, struct seen *last, unsigned owner, uint64_t cpu_ns)
{
	if (!last->cpu_ns || cpu_ns - last->cpu_ns < VHOST_GUARD_PERIOD_MS * 1000000 / 2)
		return;
	if (last->burnt_by != owner)
		last->burnt = 0;
	last->burnt_by = owner;
	last->burnt += FORGIVEN_PERIODS;
	if (last->burnt > (BURNT_PERIODS - 1) * FORGIVEN_PERIODS)
		atomic_store(&m->costly, last->at);
}

// True: some thread made a call since the last look.
static bool
look(struct seen last[N_MARKS])
{
	bool is_moving = false;

	for (unsigned i = 0; i < N_MARKS; i++) {
		struct mark *m = &marks[i];
		uint64_t at = atomic_load(&m->at), cpu_ns = 0;
		unsigned owner = at & NOBODY, stuck = atomic_exchange(&m->stuck, 0);

		if (owner && at == last[i].at) {
			pthread_mutex_lock(&signalling);
			if (atomic_load(&m->at) == at)
				(void)pthread_kill(m->thread, GUARD_SIGNAL);
			pthread_mutex_unlock(&signalling);
		}
		if (owner && owner != NOBODY) {
			pthread_mutex_lock(&signalling);
			cpu_ns = cpu_ns_of(m->thread);
			pthread_mutex_unlock(&signalling);
		}
		is_moving |= at != last[i].at || owner;
		last[i].burnt -= !!last[i].burnt;
		if (cpu_ns && at == last[i].at)
			judge_cost(m, &last[i], owner, cpu_ns);
		last[i].at = at;
		last[i].cpu_ns = cpu_ns;
		if (stuck)
			vhost_owner_hang_up(stuck, "a call descriptor that took no interrupt");
	}
	return is_moving;
}

static void *
supervise(void *arg)
{
	static const struct timespec period = {.tv_nsec = VHOST_GUARD_PERIOD_MS * 1000000};
	struct seen last[N_MARKS] = {0};
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

int
vhost_guard_start(void)
{
	struct sigaction action = {.sa_handler = on_signal}; // without SA_RESTART
	int rc;

	wake_fd = eventfd(0, EFD_CLOEXEC);
	if (wake_fd < 0 || sigaction(GUARD_SIGNAL, &action, NULL))
		return -errno;
	rc = pthread_create(&supervisor, NULL, supervise, NULL);
	if (!rc)
		(void)pthread_setname_np(supervisor, "rtvs-guard");
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
}

void
vhost_guard_join(unsigned worker)
{
	mine = &marks[worker];
	pthread_mutex_lock(&signalling);
	mine->thread = pthread_self();
	pthread_mutex_unlock(&signalling);
}

static void
enter(unsigned owner)
{
	uint64_t at = atomic_load_explicit(&mine->at, memory_order_relaxed) + (1u << OWNER_BITS);

	atomic_store(&mine->at, (at & ~(uint64_t)NOBODY) | owner);
	if (atomic_load(&is_asleep))
		wake();
}

void
vhost_guard_enter(void)
{
	if (!mine && !atomic_exchange(&has_control, true))
		vhost_guard_join(OF_CONTROL);
	if (mine)
		enter(NOBODY);
}

void
vhost_guard_leave(void)
{
	if (!mine)
		return;
	pthread_mutex_lock(&signalling); // the supervisor sends no more signals
	atomic_store(&mine->at, atomic_load(&mine->at) & ~(uint64_t)NOBODY);
	pthread_mutex_unlock(&signalling);
	(void)syscall(SYS_gettid); // a signal that was sent is taken here at the latest
}

bool
vhost_guard_notify(int fd, unsigned owner)
{
	static const uint64_t one = 1;
	uint64_t at;
	bool is_written, is_stuck;

	if (!mine || vhost_owner_is_broken(owner))
		return false;
	enter(owner);
	at = atomic_load_explicit(&mine->at, memory_order_relaxed);
	is_written = write(fd, &one, sizeof(one)) == sizeof(one);
	is_stuck = !is_written && errno == EINTR;
	if (unlikely(is_stuck || atomic_load_explicit(&mine->costly, memory_order_relaxed) == at)) {
		vhost_owner_break(owner);
		atomic_store(&mine->stuck, owner);
	}
	atomic_store_explicit(&mine->at, at & ~(uint64_t)NOBODY, memory_order_release);
	return is_written;
}

static int
close_now(int fd)
{
	int rc;

	vhost_guard_enter();
	rc = close(fd);
	vhost_guard_leave();
	return rc;
}

static void
let_go(const struct closing *c)
{
	if (c->at)
		(void)munmap(c->at, c->n_bytes);
	else if (c->serial)
		(void)close(c->fd);
	else
		(void)close_now(c->fd);
}

// The first of that serial, n_closing: none.
static unsigned
find_closing(uint64_t serial)
{
	unsigned i = 0;

	while (i < n_closing && closing[i].serial != serial)
		i++;
	return i;
}

// A foreign one takes for as long as its owner likes.
static void *
close_all(void *arg)
{
	uint64_t serial = (uintptr_t)arg;
	unsigned i;

	(void)pthread_setname_np(pthread_self(), "rtvs-closer");
	if (!serial)
		vhost_guard_join(OF_CLOSER);
	pthread_mutex_lock(&lock);
	while ((i = find_closing(serial)) < n_closing) {
		struct closing c = closing[i];

		pthread_mutex_unlock(&lock);
		let_go(&c);
		pthread_mutex_lock(&lock);
		i = find_closing(serial);
		for (n_closing--; i < n_closing; i++)
			closing[i] = closing[i + 1];
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

static void
let_go_later(struct closing c)
{
	unsigned n_harmless = 0;
	bool is_taken;
	pthread_t thread;

	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < n_closing; i++)
		n_harmless += !closing[i].serial;
	is_taken = n_closing < MAX_CLOSING && (c.serial || n_harmless < MAX_HARMLESS) &&
		(find_closing(c.serial) < n_closing ||
			!pthread_create(&thread, NULL, close_all, (void *)(uintptr_t)c.serial));
	if (is_taken) {
		if (find_closing(c.serial) == n_closing)
			(void)pthread_detach(thread);
		closing[n_closing++] = c;
	}
	pthread_mutex_unlock(&lock);
	// A foreign one stays open, which is less harm than a wait.
	if (!is_taken && !c.serial)
		let_go(&c);
}

void
vhost_guard_close(int fd, uint64_t serial)
{
	let_go_later((struct closing){.fd = fd, .serial = serial});
}

void
vhost_guard_unmap(void *at, size_t n_bytes)
{
	let_go_later((struct closing){.at = at, .n_bytes = n_bytes});
}

bool
vhost_guard_is_closing(uint64_t serial)
{
	bool is;

	pthread_mutex_lock(&lock);
	is = find_closing(serial) < n_closing;
	pthread_mutex_unlock(&lock);
	return is;
}
