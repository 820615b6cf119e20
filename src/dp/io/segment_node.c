// The worker says in the segment that it sleeps (segment_sleep: the word is 1). A sender clears the
// word and wakes the waiting thread, which is the one here; that thread then wakes the worker.
// While the word is not 1 the thread waits for the worker to sleep. A worker that sleeps and wakes
// by other ports' packets makes no system call: the thread continues to wait for the word
// meanwhile.
// Invariants: the worker first sets the word and then reads is_watching, the thread first clears
// is_watching and then reads the word. So at least one of them sees the other. The thread waits for
// SEGMENT_TEND_NS at most, so it ends whatever other nodes write.
#include "segment_node.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SLEEPS 1 // the word of a node that does
#define POPULATE_BYTES (2u << 20) // at once: about 1 ms, in which no thread watches the word

struct segment_node {
	struct segment_node_user user;
	struct segment_file *file;
	struct segment *seg;
	_Atomic uint32_t *word; // in the segment: any node may write it
	pthread_t thread;
	_Atomic uint32_t n_sleeps; // moves when the thread is to look at the word
	_Atomic bool is_watching; // the thread waits for the word to change
	_Atomic bool is_ending; // ctl: wo
	// Nodes of other kernels are there, which cannot wake a worker; the thread: wo, dp: ro.
	_Atomic bool is_polled;
	bool is_lost; // the thread
};

// Until the word is not `seen`, a sender wakes it, or ns are over.
static void
futex_wait(_Atomic uint32_t *word, uint32_t seen, uint64_t ns)
{
	struct timespec ts = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};

	// Where the page is gone there is nothing to wait for.
	if (syscall(SYS_futex, word, FUTEX_WAIT, seen, &ts, NULL, 0) && errno == EFAULT)
		(void)nanosleep(&ts, NULL);
}

// One waiter, which exists: a node that makes many wait for a word of the segment does not cost the
// time to wake them all.
static void
futex_wake(_Atomic uint32_t *word)
{
	(void)syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void
tend(struct segment_node *node)
{
	bool is_polled;

	if (node->is_lost)
		return;
	if (segment_file_is_broken(node->file) || segment_is_expelled(node->seg)) {
		node->is_lost = true;
		node->user.lost_cb(node->user.arg);
		return;
	}
	(void)segment_file_tend(node->file);
	is_polled = segment_file_has_strangers(node->file);
	if (atomic_exchange(&node->is_polled, is_polled) == is_polled)
		return;
	atomic_fetch_add(node->user.wakeup_gen, 1);
	waker_wake(node->user.waker);
}

static void
wait_for_frames(struct segment_node *node, uint64_t ns)
{
	uint32_t n_sleeps = atomic_load(&node->n_sleeps);

	if (atomic_load(node->word) != SLEEPS) {
		// A sender may have cleared it while no thread watched: then the worker sleeps.
		waker_wake(node->user.waker);
		futex_wait(&node->n_sleeps, n_sleeps, ns);
		return;
	}
	atomic_store(&node->is_watching, true);
	if (!atomic_load(&node->is_ending))
		futex_wait(node->word, SLEEPS, ns);
	atomic_store(&node->is_watching, false);
	if (atomic_load(node->word) != SLEEPS)
		waker_wake(node->user.waker);
}

static void *
run(void *arg)
{
	struct segment_node *node = arg;
	uint64_t due_ns = 0, at_ns;
	bool has_more = true;

	(void)pthread_setname_np(pthread_self(), "rtvs-segment");
	while (!atomic_load(&node->is_ending)) {
		at_ns = clock_now_ns(node->user.clock);
		if (at_ns >= due_ns) {
			tend(node);
			due_ns = at_ns + SEGMENT_TEND_NS;
		}
		has_more = has_more && segment_file_populate(node->file, POPULATE_BYTES);
		wait_for_frames(node, has_more ? 0 : due_ns - at_ns);
	}
	return NULL;
}

int
segment_node_join(const struct segment_node_user *user, struct segment_node **ret_node, char err[SEGMENT_ERR_SIZE])
{
	struct segment_identity identity = {.flags = SEGMENT_BRIDGE, .mtu = user->mtu};
	struct segment_node *node = calloc(1, sizeof(*node));
	int rc;

	if (!node) {
		snprintf(err, SEGMENT_ERR_SIZE, "no memory");
		return -ENOMEM;
	}
	node->user = *user;
	snprintf(identity.name, sizeof(identity.name), "%s", user->name);
	rc = segment_file_open(user->path, false, &node->file, err);
	if (rc)
		goto err_free;
	node->seg = segment_file_segment(node->file);
	rc = segment_file_join(node->file, -1, &identity, err);
	if (rc)
		goto err_close;
	node->word = segment_sleep_word(node->seg, (unsigned)segment_self(node->seg));
	rc = -pthread_create(&node->thread, NULL, run, node);
	if (rc) {
		snprintf(err, SEGMENT_ERR_SIZE, "no thread: %s", strerror(-rc));
		goto err_close;
	}
	*ret_node = node;
	return 0;
err_close:
	segment_file_close(node->file);
err_free:
	free(node);
	return rc;
}

void
segment_node_leave(struct segment_node *node)
{
	if (!node)
		return;
	atomic_store(&node->is_ending, true);
	atomic_fetch_add(&node->n_sleeps, 1);
	futex_wake(&node->n_sleeps);
	futex_wake(node->word);
	pthread_join(node->thread, NULL);
	segment_file_close(node->file);
	free(node);
}

struct segment *
segment_node_segment(const struct segment_node *node)
{
	return node->seg;
}

bool
segment_node_is_replaced(const struct segment_node *node)
{
	return segment_file_is_replaced(node->file, node->user.path);
}

int
segment_node_rx_wakeup(struct segment_node *node, bool is_on)
{
	if (!is_on) {
		segment_awake(node->seg);
	} else if (segment_sleep(node->seg) && !atomic_load(&node->is_watching)) {
		atomic_fetch_add(&node->n_sleeps, 1);
		futex_wake(&node->n_sleeps);
	}
	return atomic_load_explicit(&node->is_polled, memory_order_relaxed) ? -1 : -2;
}

void
segment_node_wake(struct segment_node *node, uint64_t nodes)
{
	segment_file_wake(node->file, nodes);
}
