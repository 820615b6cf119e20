// A TAP interface that carries super-frames: the last receiver does the checksums and TCP
// segmentation (virtio's header).
#pragma once

#include "rtvs/segment_file.h"

#include <net/if.h>

#define TAP_MIN_MTU 68
#define TAP_MAX_MTU 65521 // the kernel's

struct tap_options {
	const char *name; // shorter than IFNAMSIZ
	uint32_t mtu; // 0: as it is
	bool has_mac;
	struct mac mac;
};

struct tap {
	int fd;
	char name[IFNAMSIZ];
	uint32_t mtu;
	bool has_uso; // the kernel (6.2) knows UDP super-frames
};

// Takes the interface, or creates it, and sets it up. Reads and writes do not block; each begins
// with a struct segment_offload. 0, or a negative errno, and err has the reason. Closing fd ends
// it.
int tap_open(const struct tap_options *options, struct tap *ret_tap, char err[SEGMENT_ERR_SIZE]);
// The packets that the interface's programs may hand over unsegmented. The kernel segments the
// rest.
void tap_offload(const struct tap *tap, bool has_uso);
// Where it is by now, which may be another network namespace.
bool tap_mac(int fd, struct mac *ret_mac);
