// A driver of one virtqueue, written from the specification alone and as plainly as possible: the
// other side of src/vhost in its tests. Its guest has three regions: two are adjacent in the guest,
// apart in the host, and meet in the middle of a buffer; the third has the ring itself.
#pragma once

#include "rtvs/guest_ring.h"

#include <stdbool.h>
#include <stdint.h>

#define DRIVER_MAX 256 // descriptors
#define DRIVER_AREA 16384 // bytes of the largest buffer
#define DRIVER_PARTS 12 // of a buffer

struct driver_cfg {
	uint16_t size;
	bool is_packed, has_event_idx, has_indirect, has_mergeable;
	uint8_t hdr_bytes;
	bool is_plain; // each buffer is one descriptor, as most drivers'
	uint32_t room; // bytes behind the ring that it may move to
};

struct driver_buffer {
	bool is_out, is_writable;
	uint16_t n_slots, slot[DRIVER_PARTS];
	uint32_t n_bytes; // of all its parts
	unsigned n_parts;
	struct {
		uint64_t guest;
		uint32_t n_bytes;
	} part[DRIVER_PARTS];
};

struct driver {
	struct driver_cfg cfg;
	uint64_t random;
	struct guest_mem mem;
	uint8_t *host[3];
	int fd[3]; // files of the regions, where it has any
	uint64_t n_host[3], base;
	uint8_t *desc, *driver, *device; // the ring's parts
	uint16_t free_slot[DRIVER_MAX], n_free; // split: descriptors; packed: ids
	uint16_t n_free_slots; // packed
	uint16_t next, used; // indexes of the next to offer and the next to be used
	bool wrap, used_wrap;
	uint64_t n_used; // positions, from the beginning
	struct driver_buffer buffer[DRIVER_MAX]; // by id
	_Atomic uint8_t *dirty; // the log, DRIVER_LOG_BYTES
};

#define DRIVER_LOG_BYTES (3 * DRIVER_MAX * DRIVER_AREA / GUEST_LOG_PAGE / 8)

void driver_init(struct driver *d, const struct driver_cfg *cfg, uint64_t seed);
// With memory in files, which another process, or mapping, may share.
// base: of its guest addresses, so that two rings may be one guest's.
void driver_init_files(struct driver *d, const struct driver_cfg *cfg, uint64_t seed, uint64_t base);
#define DRIVER_USER (UINT64_C(1) << 40) // guest address 0 in the front-end's process
void driver_fini(struct driver *d);
// The device has lost the ring. It begins anew, empty, `at` bytes into its region. What was offered
// and not used is the driver's own again.
void driver_move(struct driver *d, uint16_t size, uint32_t at);
struct guest_ring_cfg driver_ring_cfg(struct driver *d);

uint8_t *driver_at(struct driver *d, uint64_t guest); // one byte of the guest; guest is beyond base
uint64_t driver_area(uint16_t id); // guest address of a buffer's bytes

// Offers a buffer of n_bytes in random parts: *from, or for the device to write (NULL). Returns its
// id, or -1: there is no room.
int driver_offer(struct driver *d, uint32_t n_bytes, const uint8_t *from);

// The next used buffer. Returns its id, -1: none is. A contradiction of the specification fails the
// test.
int driver_reap(struct driver *d, uint32_t *ret_bytes);
// of a buffer that was just reaped
void driver_read(struct driver *d, int id, uint8_t *to, uint32_t n_bytes);

// Asks for a signal when the position n_used + ahead is used; ahead < 0: for none.
void driver_want(struct driver *d, int ahead);
