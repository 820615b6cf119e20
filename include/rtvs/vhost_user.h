// The back end's side of one vhost-user connection for a network card: bytes and descriptors in,
// replies and effects out. Pure: the caller owns the socket, and carries out the effects.
// Source: vhost-user specification (QEMU, docs/interop/vhost-user.rst).
//
// A descriptor belongs to the caller until it is given to vhost_user_receive, then to the session,
// which hands each of them to exactly one effect: map, start, set_call or close.
//
// A front-end that breaks a rule loses its connection, with a text that names the rule. A request
// that fails, as memory that does not map, is answered with a failure where the front-end asked for
// an answer (REPLY_ACK). Otherwise it ends the connection, since the front-end would continue as if
// all were well.
#pragma once

#include "rtvs/guest_mem.h"
#include "rtvs/guest_ring.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VHOST_USER_MAX_RINGS 16 // two a queue pair
#define VHOST_USER_MAX_FDS 8 // of one message: a table of memory has so many regions
#define VHOST_USER_MAX_PAYLOAD 264 // bytes: that table, the longest message of a network card
#define VHOST_USER_HEADER 12
#define VHOST_USER_MAX_REPLIES 32 // that wait for a front-end that does not read

// Protocol features that are offered: bits of SET_PROTOCOL_FEATURES.
enum vhost_user_protocol {
	VHOST_USER_MQ = 1 << 0,
	VHOST_USER_LOG_SHMFD = 1 << 1,
	VHOST_USER_RARP = 1 << 2,
	VHOST_USER_REPLY_ACK = 1 << 3,
	VHOST_USER_MTU = 1 << 4,
	VHOST_USER_RESET_DEVICE = 1 << 13,
	VHOST_USER_CONFIGURE_MEM_SLOTS = 1 << 15,
	VHOST_USER_STATUS = 1 << 16,
	VHOST_USER_PROTOCOL_FEATURES = VHOST_USER_MQ | VHOST_USER_LOG_SHMFD | VHOST_USER_RARP | VHOST_USER_REPLY_ACK |
		VHOST_USER_MTU | VHOST_USER_RESET_DEVICE | VHOST_USER_CONFIGURE_MEM_SLOTS | VHOST_USER_STATUS
};

// A session between two messages, so that the next process goes on with its connection. Plain
// numbers, valid on this machine.
#define VHOST_USER_KEPT_REGIONS 64

struct vhost_user_kept {
	uint64_t features, protocol_features; // negotiated
	uint64_t mtu; // that was told, 0: none; the caller's
	uint32_t status, n_regions;
	struct {
		uint64_t guest, user, n_bytes;
		uint64_t offset; // in its file; the caller's
	} region[VHOST_USER_KEPT_REGIONS];
	struct {
		uint64_t desc, driver, device;
		uint16_t size;
		// Packed: where the front-end said it stood; bit 15 is the wrap counter.
		uint16_t base;
		uint8_t has_kick, has_addr, is_enabled, unused;
	} ring[VHOST_USER_MAX_RINGS];
};

// Its descriptors. -1: none.
struct vhost_user_kept_fds {
	int memory[VHOST_USER_KEPT_REGIONS], kick[VHOST_USER_MAX_RINGS], call[VHOST_USER_MAX_RINGS];
};

// Virtio features that belong to the transport.
#define VHOST_USER_F_LOG_ALL 26
#define VHOST_USER_F_PROTOCOL_FEATURES 30

// Effects. Those that return int: 0 or a negative errno, which fails the message.
struct vhost_user_ops {
	// Maps n_bytes of the file from offset on, to read and write. Takes the descriptor, also
	// where it fails.
	int (*map)(void *arg, int fd, uint64_t offset, uint64_t n_bytes, uint8_t **ret_host);
	void (*unmap)(void *arg, uint8_t *host, uint64_t n_bytes); // of map; no ring runs
	void (*close)(void *arg, int fd);
	// The ring may be used from here on; who waits for it is signalled once. kick: -1: the
	// driver does not kick, the ring must be polled. The descriptor stays the session's: it is
	// closed after stop.
	int (*start)(void *arg, unsigned ring, const struct guest_ring_cfg *cfg, int kick);
	// When it returns, nothing uses the ring, its memory or its kick any more.
	void (*stop)(void *arg, unsigned ring, struct guest_ring_pos *ret_pos);
	// A ring that is not enabled is run without its packets going anywhere: what the driver
	// sends is taken and discarded, nothing is delivered. Comes also while the ring is stopped,
	// and enabled also while it is used.
	void (*enable)(void *arg, unsigned ring, bool is_enabled);
	// How the driver is signalled from now on, -1: not at all. Takes the descriptor. Comes also
	// while the ring is used.
	void (*set_call)(void *arg, unsigned ring, int fd);
	void (*announce)(void *arg, const uint8_t mac[6]); // a guest has come: RARP for it
	int (*set_mtu)(void *arg, uint64_t mtu);
	void (*set_status)(void *arg, uint8_t status); // virtio device status
};

struct vhost_user_cfg {
	const struct vhost_user_ops *ops;
	void *arg; // of the effects
	uint64_t features; // offered, without those of the transport, which are added
	uint32_t n_pairs; // 1 to VHOST_USER_MAX_RINGS / 2
};

struct vhost_user_ring {
	uint64_t desc, driver, device; // addresses in the front-end's process
	struct guest_ring_pos pos; // while it is stopped
	uint16_t size;
	int kick; // of the front-end; -1: none
	bool has_kick, has_addr, is_enabled, is_running;
};

struct vhost_user {
	struct vhost_user_cfg cfg;
	uint64_t features, protocol_features; // negotiated
	struct guest_mem mem;
	struct vhost_user_ring ring[VHOST_USER_MAX_RINGS];
	uint8_t *log; // the dirty log; NULL: none
	uint64_t log_bytes;
	uint8_t status;
	uint8_t in[VHOST_USER_HEADER + VHOST_USER_MAX_PAYLOAD];
	uint32_t n_in;
	int fd[VHOST_USER_MAX_FDS];
	uint32_t n_fds;
	uint8_t out[VHOST_USER_MAX_REPLIES * 32];
	uint32_t n_out;
	char why[120]; // why it ended
};

// Error: -EINVAL (n_pairs).
int vhost_user_init(struct vhost_user *u, const struct vhost_user_cfg *cfg);

// How many bytes are wanted next, 1 at least: to the end of a header, or of the message. A caller
// that reads no more than that gets a message's descriptors with its own bytes.
size_t vhost_user_wants(const struct vhost_user *u);

// n: at most what vhost_user_wants said, 0 of a message that is there and was not handled. Errors:
// -EPROTO (the connection has to end, u->why says why). Takes the descriptors in any case.
int vhost_user_receive(struct vhost_user *u, const uint8_t *bytes, size_t n, const int *fds, unsigned n_fds);

enum vhost_user_next {
	VHOST_USER_PART, // the rest of the message is to be received
	// A message that stops no ring and takes no memory away: rings may be used meanwhile.
	VHOST_USER_HARMLESS,
	// One that may: nothing may use them while it is handled.
	VHOST_USER_CHANGE,
};
enum vhost_user_next vhost_user_next(const struct vhost_user *u);

// The descriptors of the message that is there must be so; the caller looks.
enum vhost_user_fds {
	VHOST_USER_NO_FDS,
	VHOST_USER_EVENT, // eventfds
	VHOST_USER_MEMORY, // files that can be mapped
};
enum vhost_user_fds vhost_user_fds(const struct vhost_user *u);

// Handles the message that is there. Errors as vhost_user_receive.
int vhost_user_handle(struct vhost_user *u);

// In place of vhost_user_handle, for a caller that passes the message on to another back end: is it
// one that this session would handle, by its shape? u->in has its u->n_in bytes, u->fd its u->n_fds
// descriptors. Errors as vhost_user_receive.
int vhost_user_check(struct vhost_user *u);
// It was passed on: closes its descriptors, and the next one may come.
void vhost_user_pass(struct vhost_user *u);

// The caller saw a rule broken: the connection ends as if the session had seen it.
void vhost_user_refuse(struct vhost_user *u, const char *why);

// Replies that wait: u->out, u->n_out bytes. The first n of them were sent.
void vhost_user_sent(struct vhost_user *u, size_t n);

// All but what is the caller's. False: it cannot be kept, as there is a part of a message or a
// reply in it, a dirty log, or more regions.
bool vhost_user_kept_save(const struct vhost_user *u, struct vhost_user_kept *ret_kept);

// u: as vhost_user_init left it. Goes on where vhost_user_kept_save was called: maps memory, starts
// the rings. A split ring tells where it stands; where a packed one does, is for `start` to know.
// Takes the descriptors in any case. Errors: -EPROTO (u->why: what is kept is none of this device's
// sessions), those of map and start. The session is then to be ended.
int vhost_user_kept_restore(struct vhost_user *u, const struct vhost_user_kept *kept, struct vhost_user_kept_fds *fds);

// Stops all rings, unmaps, closes: nothing is left of the connection.
void vhost_user_fini(struct vhost_user *u);
