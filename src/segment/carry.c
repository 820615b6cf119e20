// The sending thread reads a burst out of the TAP and sends it at once. The receiving thread writes
// a burst out of the slots and releases them.
//
// The length of a frame is known when it has been read. A frame that is expected to be long is read
// directly into its slots, which are reserved for the longest one, and shortened. Other frames are
// read aside and copied: taking and returning slots would cost more than the copy. Most long frames
// follow another long frame: that is the expectation. No slots are held while the thread sleeps.
//
// Nothing here waits for the TAP's reader or for another node. A frame that a TAP or an inbox does
// not take is counted and dropped, by this node alone.
#include "carry.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#define IDLE_NS UINT64_C(100000000) // the receiving thread looks whether it shall end
#define SHORT_BYTES SEGMENT_MIN_SLOT_BYTES // is copied; in one piece in any slot

static_assert(sizeof(struct segment_offload) == 10, "virtio's header");

// The sending thread's state.
struct sending {
	struct carry *c;
	struct segment *seg;
	bool is_pool, expects_long;
	bool has_room; // slots for a long frame are in hand
	struct segment_frame room;
	uint8_t aside[SEGMENT_MAX_FRAME + 1]; // one more: the frame was longer
};

static void
give_room_back(struct sending *s)
{
	if (s->has_room)
		segment_unreserve(s->seg, &s->room);
	s->has_room = false;
}

static unsigned
describe(const struct segment *seg, const struct segment_frame *frame, struct iovec *iov)
{
	for (unsigned i = 0; i < frame->n_slots; i++) {
		uint32_t len;

		iov[i].iov_base = segment_piece(seg, frame, i, &len);
		iov[i].iov_len = len;
	}
	return frame->n_slots;
}

// Bytes of the frame, or a negative errno. *ret_data: where it begins.
static int
read_frame(struct sending *s, struct segment_offload *ret_offload, const uint8_t **ret_data)
{
	struct iovec iov[1 + SEGMENT_MAX_CHAIN] = {{.iov_base = ret_offload, .iov_len = sizeof(*ret_offload)}};
	int n_iov = 2;
	ssize_t n;

	if (s->is_pool && s->expects_long && !s->has_room)
		s->has_room = !segment_reserve(s->seg, 0, SEGMENT_MAX_FRAME, &s->room);
	if (s->has_room)
		n_iov = 1 + (int)describe(s->seg, &s->room, iov + 1);
	else
		iov[1] = (struct iovec){.iov_base = s->aside, .iov_len = sizeof(s->aside)};
	*ret_data = iov[1].iov_base;
	n = readv(s->c->tap, iov, n_iov);
	if (n < 0)
		return -errno;
	return n < (ssize_t)sizeof(*ret_offload) ? 0 : (int)(n - (ssize_t)sizeof(*ret_offload));
}

// The frame that was read, of len bytes, into slots. False: it was dropped.
static bool
take_frame(struct sending *s, const uint8_t *data, uint32_t len, struct segment_frame *ret_frame)
{
	if (len > SEGMENT_MAX_FRAME) {
		atomic_fetch_add_explicit(&s->c->n_refused, 1, memory_order_relaxed);
		return false;
	}
	s->expects_long = len > SHORT_BYTES;
	if (s->has_room && s->expects_long) {
		*ret_frame = s->room;
		s->has_room = false;
		segment_shorten(s->seg, ret_frame, len);
		ret_frame->to = segment_route(s->seg, data);
		return true;
	}
	if (segment_reserve(s->seg, segment_route(s->seg, data), len, ret_frame))
		return false;
	segment_fill(s->seg, ret_frame, data);
	return true;
}

static int
send_burst(struct sending *s)
{
	struct segment_frame frames[SEGMENT_BURST];
	struct segment_offload offload;
	const uint8_t *data;
	uint64_t wake = 0;
	unsigned n = 0;
	int len = 0;

	for (unsigned i = 0; i < SEGMENT_BURST; i++) {
		len = read_frame(s, &offload, &data);
		if (len < 0)
			break;
		if (take_frame(s, data, (uint32_t)len, &frames[n]))
			frames[n++].offload = offload;
	}
	if (n)
		(void)segment_send(s->seg, frames, n, &wake);
	if (wake)
		segment_file_wake(s->c->file, wake);
	return len < 0 ? len : 0;
}

static void *
send_loop(void *arg)
{
	struct sending *s = arg;
	struct pollfd fds[] = {{.fd = s->c->tap, .events = POLLIN}, {.fd = s->c->stop_fd, .events = POLLIN}};

	while (!atomic_load(&s->c->is_stopping)) {
		if (!send_burst(s))
			continue;
		give_room_back(s);
		(void)poll(fds, 2, -1);
		// The interface is gone, which the tending thread notices, too.
		if (fds[0].revents & (POLLERR | POLLNVAL))
			fds[0].fd = -1;
	}
	give_room_back(s);
	free(s);
	return NULL;
}

static void
write_frame(struct carry *c, struct segment *seg, const struct segment_frame *frame)
{
	struct segment_offload offload = frame->offload;
	struct iovec iov[1 + SEGMENT_MAX_CHAIN] = {{.iov_base = &offload, .iov_len = sizeof(offload)}};

	if (writev(c->tap, iov, 1 + (int)describe(seg, frame, iov + 1)) >= 0)
		return;
	segment_count_refused(seg);
	atomic_fetch_add_explicit(&c->n_refused, 1, memory_order_relaxed);
}

static void *
receive_loop(void *arg)
{
	struct carry *c = arg;
	struct segment *seg = segment_file_segment(c->file);
	struct segment_frame frames[SEGMENT_BURST];

	while (!atomic_load(&c->is_stopping)) {
		unsigned n = segment_receive(seg, frames, SEGMENT_BURST);

		for (unsigned i = 0; i < n; i++)
			write_frame(c, seg, &frames[i]);
		if (n)
			segment_release(seg, frames, n);
		else if (!c->is_polling)
			(void)segment_file_wait(c->file, IDLE_NS);
	}
	return NULL;
}

static void
signal_stop(struct carry *c)
{
	atomic_store(&c->is_stopping, true);
	(void)eventfd_write(c->stop_fd, 1);
	segment_file_wake(c->file, UINT64_C(1) << segment_self(segment_file_segment(c->file)));
}

int
carry_start(struct carry *c)
{
	struct sending *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return -ENOMEM;
	s->c = c;
	s->seg = segment_file_segment(c->file);
	s->is_pool = segment_geometry_of(s->seg)->buffers == SEGMENT_POOL;
	atomic_store(&c->is_stopping, false);
	c->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->stop_fd < 0) {
		free(s);
		return -errno;
	}
	rc = pthread_create(&c->receiver, NULL, receive_loop, c);
	if (rc) {
		free(s);
		goto err_stop_fd;
	}
	rc = pthread_create(&c->sender, NULL, send_loop, s);
	if (rc) {
		free(s);
		signal_stop(c);
		(void)pthread_join(c->receiver, NULL);
		goto err_stop_fd;
	}
	return 0;

err_stop_fd:
	close(c->stop_fd);
	return -rc;
}

void
carry_stop(struct carry *c)
{
	signal_stop(c);
	(void)pthread_join(c->sender, NULL);
	(void)pthread_join(c->receiver, NULL);
	close(c->stop_fd);
}
