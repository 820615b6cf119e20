// Throughput and round trips over a segment, between two processes that poll. The caller's process
// has the sending nodes, its child the receiving ones. They talk through one page that they share.
// test/perf/ends.c measures other networks in the same way. Each frame is written whole into the
// slot, and one word of each of its cache lines is read there. A burst of 32 goes to one node.
#include "measure.h"

#include <endian.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS UINT64_C(1000000)
#define LINE 64
#define STALL_NS 50000
#define QUIET_NS (50 * NS_PER_MS) // without a frame: no more are on their way
#define LOST_NS (20 * NS_PER_MS) // an answer that takes longer
#define READY_NS (5000 * NS_PER_MS)
#define MAX_PINGS (1u << 20)
#define HEADER 14
#define ETHER_TYPE 0x88b5 // for experiments

enum phase {
	PHASE_START,
	PHASE_COUNT, // the child counts frames
	PHASE_ECHO, // the child sends each frame back
	PHASE_END,
};

// Between the two processes. The parent writes phase, the child the rest.
struct desk {
	_Alignas(LINE) _Atomic uint32_t phase;
	_Alignas(LINE) _Atomic uint32_t is_ready;
	_Atomic int32_t rc;
	char err[SEGMENT_ERR_SIZE];
	_Alignas(LINE) _Atomic uint32_t served; // the phase that the child is in
	_Atomic uint64_t frames;
	_Atomic uint64_t stalls_ns;
	_Atomic uint64_t sum; // of what was read, so that the reading is not optimized away
};

struct side {
	unsigned n;
	struct segment_file *file[SEGMENT_MAX_NODES / 2];
	struct segment *seg[SEGMENT_MAX_NODES / 2];
	uint64_t tended_ns;
};

static uint64_t
now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

// Locally administered; no other bench on this host has the same.
static struct mac
address(unsigned number, bool is_sender)
{
	uint32_t run = (uint32_t)(is_sender ? getpid() : getppid());

	return (struct mac){
		{0x06, (uint8_t)(run >> 16), (uint8_t)(run >> 8), (uint8_t)run, is_sender, (uint8_t)number}};
}

static int
failed(int error, const char *what, char err[SEGMENT_ERR_SIZE])
{
	(void)snprintf(err, SEGMENT_ERR_SIZE, "%s: %s", what, strerror(error));
	return -error;
}

static void
close_side(struct side *side)
{
	for (unsigned i = 0; i < side->n; i++)
		segment_file_close(side->file[i]);
}

static int
open_side(const struct measure_spec *spec, bool is_sender, struct side *side, char err[SEGMENT_ERR_SIZE])
{
	cpu_set_t cpus;
	int rc = 0;

	*side = (struct side){0};
	CPU_ZERO(&cpus);
	CPU_SET(spec->cpu[!is_sender], &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		return failed(errno, is_sender ? "the sender's CPU" : "the receiver's CPU", err);
	for (unsigned i = 0; !rc && i < spec->n_nodes / 2; i++) {
		struct segment_identity who = {.mtu = 65535, .n_macs = 1, .mac = {address(i, is_sender)}};

		(void)snprintf(who.name, sizeof(who.name), "bench-%s%u", is_sender ? "tx" : "rx", i);
		rc = segment_file_open(spec->path, false, &side->file[i], err);
		if (rc)
			break;
		(void)segment_file_populate(side->file[i], SIZE_MAX);
		side->n++;
		side->seg[i] = segment_file_segment(side->file[i]);
		rc = segment_file_join(side->file[i], -1, &who, err);
	}
	if (rc)
		close_side(side);
	return rc;
}

static void
tend(struct side *side, uint64_t t)
{
	if (t - side->tended_ns < SEGMENT_TEND_NS)
		return;
	side->tended_ns = t;
	for (unsigned i = 0; i < side->n; i++)
		(void)segment_file_tend(side->file[i]);
}

static uint64_t
read_frame(const struct segment *seg, const struct segment_frame *frame)
{
	uint64_t sum = 0, word;

	for (unsigned k = 0; k < frame->n_slots; k++) {
		uint32_t len;
		const uint8_t *piece = segment_piece(seg, frame, k, &len);

		for (uint32_t at = 0; at + sizeof(word) <= len; at += LINE) {
			memcpy(&word, piece + at, sizeof(word));
			sum += word;
		}
	}
	return sum;
}

static unsigned
receive_some(struct segment *seg, uint64_t *sum)
{
	struct segment_frame frames[SEGMENT_BURST];
	unsigned n = segment_receive(seg, frames, SEGMENT_BURST);

	for (unsigned i = 0; i < n; i++)
		*sum += read_frame(seg, &frames[i]);
	if (n)
		segment_release(seg, frames, n);
	return n;
}

// From the template, whose first bytes are the two addresses. Takes slots for all, writes all,
// sends all: stores and compare-and-swaps that alternate wait for each other. A frame without a
// slot or room in the inbox is lost, as on a wire. Returns n.
static unsigned
send_some(struct segment *seg, uint8_t *content, const struct mac *to, uint32_t len, unsigned n)
{
	struct segment_frame frames[SEGMENT_BURST];
	uint64_t wake = 0, set;
	unsigned made = 0;

	memcpy(content, to->b, sizeof(to->b));
	set = segment_route(seg, content);
	while (made < n && !segment_reserve(seg, set, len, &frames[made]))
		made++;
	for (unsigned i = 0; i < made; i++)
		segment_fill(seg, &frames[i], content);
	(void)segment_send(seg, frames, made, &wake);
	return n;
}

// The content is copied once, from slot to slot, and the addresses are exchanged.
static void
send_back(struct segment *seg, const struct segment_frame *frame)
{
	struct segment_frame back;
	uint64_t wake = 0;
	struct mac to;
	uint8_t *piece = NULL;

	if (segment_reserve(seg, UINT64_C(1) << frame->from, frame->len, &back))
		return;
	for (unsigned k = back.n_slots; k--;) {
		uint32_t len;
		const uint8_t *source = segment_piece(seg, frame, k, &len);

		piece = segment_piece(seg, &back, k, &len);
		memcpy(piece, source, len);
	}
	memcpy(to.b, piece + sizeof(to.b), sizeof(to.b));
	memcpy(piece + sizeof(to.b), piece, sizeof(to.b));
	memcpy(piece, to.b, sizeof(to.b));
	(void)segment_send(seg, &back, 1, &wake);
}

static unsigned
answer(struct segment *seg)
{
	struct segment_frame frames[SEGMENT_BURST];
	unsigned n = segment_receive(seg, frames, SEGMENT_BURST);

	for (unsigned i = 0; i < n; i++)
		send_back(seg, &frames[i]);
	if (n)
		segment_release(seg, frames, n);
	return n;
}

static void
serve(struct side *side, struct desk *desk)
{
	uint64_t frames = 0, stalls = 0, sum = 0, seen = now(), last = seen;
	uint32_t phase;

	// Frames on their way at the end still count.
	while ((phase = atomic_load_explicit(&desk->phase, memory_order_relaxed)) != PHASE_END ||
		seen - last < QUIET_NS) {
		uint64_t t = now();

		if (t - seen > STALL_NS)
			stalls += t - seen;
		seen = t;
		for (unsigned i = 0; i < side->n; i++) {
			unsigned n = phase == PHASE_ECHO ? answer(side->seg[i]) : receive_some(side->seg[i], &sum);

			frames += n;
			if (n)
				last = t;
		}
		atomic_store_explicit(&desk->served, phase, memory_order_relaxed);
		atomic_store_explicit(&desk->frames, frames, memory_order_relaxed);
		atomic_store_explicit(&desk->stalls_ns, stalls, memory_order_relaxed);
		tend(side, t);
	}
	atomic_store_explicit(&desk->sum, sum, memory_order_relaxed);
}

// The child's whole life.
static _Noreturn void
receive_all(const struct measure_spec *spec, struct desk *desk)
{
	struct side side;
	int rc;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	rc = open_side(spec, false, &side, desk->err);
	atomic_store(&desk->rc, rc);
	atomic_store(&desk->is_ready, 1);
	if (!rc) {
		serve(&side, desk);
		close_side(&side);
	}
	_exit(0);
}

static uint64_t
send_until(struct side *side, struct mac to[], uint8_t *content, uint32_t len, uint64_t end, uint64_t *ret_end)
{
	unsigned n_peers = side->n < MEASURE_MAX_PEERS ? side->n : MEASURE_MAX_PEERS;
	uint64_t sent = 0, t;

	while ((t = now()) < end) {
		for (unsigned k = 0; k < n_peers; k++)
			for (unsigned i = 0; i < side->n; i++)
				sent += send_some(side->seg[i], content, &to[(i + k) % side->n], len, SEGMENT_BURST);
		tend(side, t);
	}
	*ret_end = t;
	return sent;
}

static void
wait_quiet(struct side *side, const struct desk *desk)
{
	uint64_t last = now(), seen = UINT64_MAX, t;

	while ((t = now()) - last < QUIET_NS) {
		uint64_t frames = atomic_load_explicit(&desk->frames, memory_order_relaxed);

		if (frames != seen)
			last = t;
		seen = frames;
		tend(side, t);
	}
}

static void
measure_throughput(const struct measure_spec *spec, struct side *side, struct desk *desk, struct mac to[],
	uint8_t *content, struct measure_result *result)
{
	uint32_t len = spec->frame - MEASURE_FCS;
	uint64_t begin, end, frames, received, stalls;

	atomic_store(&desk->phase, PHASE_COUNT);
	result->sent = send_until(side, to, content, len, now() + spec->warmup_ms * NS_PER_MS, &begin);
	frames = atomic_load_explicit(&desk->frames, memory_order_relaxed);
	stalls = atomic_load_explicit(&desk->stalls_ns, memory_order_relaxed);
	result->sent += send_until(side, to, content, len, begin + spec->ms * NS_PER_MS, &end);
	frames = atomic_load_explicit(&desk->frames, memory_order_relaxed) - frames;
	stalls = atomic_load_explicit(&desk->stalls_ns, memory_order_relaxed) - stalls;
	wait_quiet(side, desk);
	// including frames of other nodes to all
	received = atomic_load_explicit(&desk->frames, memory_order_relaxed);
	result->lost = result->sent > received ? result->sent - received : 0;
	result->mpps = (double)frames * 1e3 / (double)(end - begin);
	result->gbps = (double)frames * spec->frame * 8 / (double)(end - begin);
	result->stalls_us = stalls / 1000;
}

static int
compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void
measure_round_trip(const struct measure_spec *spec, struct side *side, struct desk *desk, const struct mac *to,
	uint8_t *content, uint32_t *samples, struct measure_result *result)
{
	uint64_t begin = now(), end, sum = 0, lost = 0;
	size_t n = 0;

	atomic_store(&desk->phase, PHASE_ECHO);
	while (atomic_load_explicit(&desk->served, memory_order_relaxed) != PHASE_ECHO && now() - begin < READY_NS)
		;
	end = now() + spec->ms * NS_PER_MS;
	while (n < MAX_PINGS && (begin = now()) < end) {
		uint64_t t = begin;
		bool is_back = false;

		(void)send_some(side->seg[0], content, to, spec->frame - MEASURE_FCS, 1);
		while (!is_back && t - begin < LOST_NS) {
			is_back = receive_some(side->seg[0], &sum);
			t = now();
		}
		if (is_back)
			samples[n++] = (uint32_t)(t - begin);
		else
			lost++;
		tend(side, t);
	}
	atomic_store_explicit(&desk->sum, sum, memory_order_relaxed);
	qsort(samples, n, sizeof(*samples), compare);
	result->rtt_p50_us = n ? samples[n / 2] / 1e3 : 0;
	result->rtt_p99_us = n ? samples[n * 99 / 100] / 1e3 : 0;
	result->pings = n;
	result->pings_lost = lost;
}

static void
measure(const struct measure_spec *spec, struct side *side, struct desk *desk, uint8_t *content, uint32_t *samples,
	struct measure_result *result)
{
	struct mac to[SEGMENT_MAX_NODES / 2];
	const uint16_t ether_type = htobe16(ETHER_TYPE);

	for (unsigned i = 0; i < side->n; i++) {
		to[i] = address(i, true);
		to[i].b[4] = 0; // the child's
	}
	memcpy(content + 12, &ether_type, sizeof(ether_type));
	measure_throughput(spec, side, desk, to, content, result);
	measure_round_trip(spec, side, desk, &to[0], content, samples, result);
}

static int
wait_child(struct desk *desk, char err[SEGMENT_ERR_SIZE])
{
	uint64_t end = now() + READY_NS;

	while (!atomic_load(&desk->is_ready)) {
		if (now() > end) {
			(void)snprintf(err, SEGMENT_ERR_SIZE, "the receiving process did not start");
			return -ETIMEDOUT;
		}
		(void)sched_yield();
	}
	if (atomic_load(&desk->rc))
		memcpy(err, desk->err, SEGMENT_ERR_SIZE);
	return atomic_load(&desk->rc);
}

static int
stop_child(pid_t child, struct desk *desk, char err[SEGMENT_ERR_SIZE])
{
	int status;

	atomic_store(&desk->phase, PHASE_END);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return failed(errno, "the receiving process", err);
	return WIFEXITED(status) ? 0 : failed(ECHILD, "the receiving process was killed", err);
}

static int
run_parent(const struct measure_spec *spec, struct desk *desk, struct measure_result *ret_result,
	char err[SEGMENT_ERR_SIZE])
{
	uint32_t *samples = malloc(MAX_PINGS * sizeof(*samples));
	uint8_t *content = calloc(1, spec->frame);
	struct measure_result result = {0};
	struct side side = {0};
	int rc = samples && content ? wait_child(desk, err) : failed(ENOMEM, "memory", err);

	if (!rc)
		rc = open_side(spec, true, &side, err);
	if (!rc) {
		measure(spec, &side, desk, content, samples, &result);
		close_side(&side);
		*ret_result = result;
	}
	free(content);
	free(samples);
	return rc;
}

int
measure_run(const struct measure_spec *spec, struct measure_result *ret_result, char err[SEGMENT_ERR_SIZE])
{
	struct desk *desk = mmap(NULL, sizeof(*desk), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t child;
	int rc, rc_child;

	if (desk == MAP_FAILED)
		return failed(errno, "memory", err);
	child = fork();
	if (!child)
		receive_all(spec, desk);
	if (child < 0) {
		rc = failed(errno, "a second process", err);
	} else {
		rc = run_parent(spec, desk, ret_result, err);
		rc_child = stop_child(child, desk, err);
		rc = rc ? rc : rc_child;
	}
	(void)munmap(desk, sizeof(*desk));
	return rc;
}
