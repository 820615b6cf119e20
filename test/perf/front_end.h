// A guest of guest.h that returns to its back end whenever that went away, with its rings where
// they stand, as DPDK's driver does.
#pragma once

#include "guest.h"

#include <net/ethernet.h>

#define FRONT_END_ARG "PATH,connect|listen,split|packed,QUEUES,MAC"

struct front_end {
	struct guest guest;
	char path[108];
	int listener; // -1: it connects
	struct ether_addr mac;
	uint64_t next_try_ms;
};

// arg: as FRONT_END_ARG. connect: the back end listens at PATH; listen: the guest does. n_frames:
// of each queue; n_buffers: see struct guest_cfg. Returns 0 or a negative errno.
int front_end_init(struct front_end *f, const char *arg, unsigned n_frames, unsigned n_buffers);

// Whether it is connected; if not, it tries again at times.
bool front_end_is_there(struct front_end *f, uint64_t now_ms);

// The Ethernet header of a frame to the other one.
void front_end_address(const struct front_end *f, unsigned frame, const struct front_end *to);
