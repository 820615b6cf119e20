// Frames between a TAP and a segment: one thread each way.
#pragma once

#include "rtvs/segment_file.h"

#include <pthread.h>

struct carry {
	struct segment_file *file;
	int tap;
	bool is_polling; // the receiving thread never sleeps
	int stop_fd; // an eventfd, readable: end
	_Atomic bool is_stopping;
	// Frames that the TAP did not take, or that are too long for a segment.
	_Atomic uint64_t n_refused;
	pthread_t sender, receiver;
};

// The node has joined. 0 or a negative errno: then nothing runs.
int carry_start(struct carry *c);
// Waits for the threads, which wait for no other node. The node is still there; carry_start may
// follow.
void carry_stop(struct carry *c);
