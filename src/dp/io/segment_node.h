// The switch as a node of one segment, from joining it until it has left: the mapping, and a thread
// of its own that populates and tends it. The segment must be tended each 50 ms, or nodes of other
// kernels take the switch for dead. The control thread may be away for longer (a device is added, a
// disk is slow). The same thread wakes a sleeping worker, whose descriptors have no place for a
// futex.
#pragma once

#include "base/clock.h"
#include "base/waker.h"
#include "rtvs/segment_file.h"

struct segment_node;

// The joining user, and its callbacks. All that it points to outlives the node.
struct segment_node_user {
	const char *path, *name;
	uint32_t mtu; // bytes
	const struct clock *clock;
	struct waker *waker; // of the worker that receives
	_Atomic uint64_t *wakeup_gen; // moves when segment_node_rx_wakeup will return another value
	// The node's thread, once: the segment is lost (its file was truncated, others took the
	// node for dead), and the node is of no use any more.
	void (*lost_cb)(void *arg);
	void *arg;
};

// Control thread. Errors: those of segment_file_open and segment_file_join, -ENOMEM, -EAGAIN: no
// thread.
int segment_node_join(const struct segment_node_user *user, struct segment_node **ret_node, char err[SEGMENT_ERR_SIZE]);
void segment_node_leave(struct segment_node *node); // no worker uses it; NULL is accepted

// Any thread.
struct segment *segment_node_segment(const struct segment_node *node);
// Control thread. Its path leads to another file by now.
bool segment_node_is_replaced(const struct segment_node *node);
// The worker that receives, before and after it sleeps. Returns the value for port_io.arm.
int segment_node_rx_wakeup(struct segment_node *node, bool is_on);
// The worker that sends: nodes that segment_send named.
void segment_node_wake(struct segment_node *node, uint64_t nodes);
