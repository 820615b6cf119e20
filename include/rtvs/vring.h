// The position of a device in a packed virtqueue whose former backend died without a message. Pure:
// reads a copy of the descriptors' flags and ids. Source: virtio 1.2, section 2.8 (packed
// virtqueues).
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define VRING_PACKED_MAX 32768
#define VRING_DESC_F_NEXT 1
#define VRING_DESC_F_WRITE 2
#define VRING_DESC_F_AVAIL (1 << 7)
#define VRING_DESC_F_USED (1 << 15)

struct vring_packed_entry { // struct pvirtq_desc of the specification
	uint64_t addr;
	uint32_t len;
	uint16_t id, flags;
};

struct vring_position {
	uint16_t index; // of the next descriptor to use
	bool wrap; // the device's wrap counter there
	// Descriptors before it, from first_unfinished on, that the dead backend had.
	uint16_t n_unfinished;
	uint16_t first_unfinished; // taken but not marked used, while later ones are
	bool first_wrap; // wrap counter at first_unfinished
};

// ring: n descriptors, copied from guest memory, of a driver that uses one descriptor a buffer:
// F_INDIRECT_DESC was negotiated and the driver follows that, as Linux does. Then AVAIL changes
// exactly once around the ring, at the driver's position. The last descriptor marked used before
// that is the device's position. Errors: -EINVAL (flags contradict that), -ENOTSUP (chains of
// descriptors: a used chain's tails look like unused buffers, so no position can be known).
int vring_packed_recover(const struct vring_packed_entry *ring, uint16_t n, struct vring_position *ret_pos);
