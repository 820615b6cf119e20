// The frames of an AF_XDP socket's memory (UMEM), by their place in it. The first ones are for
// reception: each is in a ring or with the kernel, since whoever takes one out of a ring puts it
// back in the same turn. The others are for transmission: with the kernel, or free. Which are free
// is written down here, in memory that the next process has, too. Pure.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define XDP_FRAME_SIZE 4096u // the most that a kernel of 4 KiB pages takes
#define XDP_RX_FRAMES 2048u // a power of two, as the rings
#define XDP_TX_FRAMES 512u
#define XDP_FRAMES_SIZE ((XDP_RX_FRAMES + XDP_TX_FRAMES) * (uint64_t)XDP_FRAME_SIZE)

// The worker that owns the port.
struct xdp_frames {
	uint32_t n_free;
	uint32_t free[XDP_TX_FRAMES]; // a stack of indexes
	uint8_t is_free[XDP_TX_FRAMES]; // 0: the kernel has it
};

void xdp_frames_init(struct xdp_frames *f);
// A frame for transmission. False: the kernel has all.
bool xdp_frames_take(struct xdp_frames *f, uint64_t *ret_addr);
// The kernel has sent it. False: it is none of them, or is free, so that nothing changes.
bool xdp_frames_give(struct xdp_frames *f, uint64_t addr);
// Is each frame of the stack one of them, once, and marked so, and no other?
bool xdp_frames_is_consistent(const struct xdp_frames *f);

// Does the kernel's descriptor of a received packet lie in one frame for reception?
bool xdp_frames_is_received(uint64_t addr, uint32_t len);
// The frame that addr is in.
static inline uint64_t
xdp_frames_base(uint64_t addr)
{
	return addr & ~(uint64_t)(XDP_FRAME_SIZE - 1);
}
