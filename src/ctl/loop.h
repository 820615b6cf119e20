// One epoll set. Sources are embedded in their owners; one event is handled a turn, so an owner may
// be freed from any handler.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct loop {
	int epoll_fd;
};

struct loop_source {
	int fd; // -1: none
	void (*on_ready)(struct loop_source *source, uint32_t events);
};

#define LOOP_OWNER(source, type, member) ((type *)(void *)((char *)(source) - offsetof(type, member)))

int loop_init(struct loop *loop);
void loop_fini(struct loop *loop);
int loop_add(struct loop *loop, struct loop_source *source, uint32_t events);
void loop_set(struct loop *loop, struct loop_source *source, uint32_t events);
// Forgets and closes the descriptor. A source without one is accepted.
void loop_close(struct loop *loop, struct loop_source *source);
// Waits timeout_ms at most (-1: for ever) and handles one event. 0 or a negative errno.
int loop_turn(struct loop *loop, int timeout_ms);
