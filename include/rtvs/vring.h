// Where a device stands in a packed virtqueue whose former backend died without saying so. Pure: reads a copy of
// the descriptors' flags and ids. Source: virtio 1.2, section 2.8 (packed virtqueues).
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
	uint16_t n_unfinished; // descriptors before it, from first_unfinished on, that the dead backend had
	uint16_t first_unfinished; // taken but not marked used, while later ones are
	bool first_wrap; // wrap counter at first_unfinished
};

// ring: n descriptors, copied from guest memory. has_indirect: chains of several descriptors lie behind one (virtio F_INDIRECT_DESC
// was negotiated), so each entry is a buffer of its own. The descriptors behind the last used one
// tell where the driver stands, the last one marked used where the device stood; both follow from the flags
// alone, as AVAIL changes exactly once around the ring. Returns 0, or -EINVAL when the flags contradict that.
int vring_packed_recover(
	const struct vring_packed_entry *ring, uint16_t n, bool has_indirect, struct vring_position *ret_pos);
