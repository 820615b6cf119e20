// One guest's device: its rings, its memory, and the workers that have them, or do not. Whoever
// speaks for the guest's driver is behind a kind of links: a vhost-user front-end (vhost_link.h),
// or the kernel (vduse_link.h). Nothing here waits: workers have the rings between guest_link_show
// and guest_link_hide, and what stops rings or takes memory away is done only while none of them
// may be using one. One thread at a time uses a link.
#pragma once

#include "guest_io.h"

#include <stdbool.h>
#include <stdint.h>

#define GUEST_LINK_MAX_LATE 32

struct guest_link;

struct guest_link_cfg {
	int fd; // who speaks for the driver; the link closes it
	uint64_t features; // offered
	uint32_t n_pairs;
	struct vdpa_device *device; // that moves the packets (vdpa_device.h), NULL: workers do
	bool is_kept; // files of mapped memory stay open: another process may go on with it
	unsigned owner; // of its eventfds, as vhost_guard.h has it
	void *arg; // of the functions
	// The guest has moved here: others are to learn of it, as if it had sent a frame.
	void (*announce)(void *arg, const uint8_t mac[6]);
	// A ring of the link is about to be started; is_first: for the first time. May change where
	// it stands, and where that is kept.
	void (*prepare)(
		void *arg, const struct guest_link *link, unsigned ring, struct guest_ring_cfg *cfg, bool is_first);
	// Closes a descriptor that came from outside, and unmaps its memory: both may wait, for
	// whoever has its other end, or for as long as there is memory to free. is_foreign: it is
	// of no known kind, or is the socket with messages that were not read, and whatever these
	// have.
	void (*close)(void *arg, int fd, bool is_foreign);
	void (*unmap)(void *arg, void *at, size_t n_bytes);
};

// How a kind of links talks. As the functions of the same name below; write may be NULL.
struct guest_link_kind {
	int (*read)(struct guest_link *link);
	int (*write)(struct guest_link *link);
	void (*destroy)(struct guest_link *link);
};

struct guest_link_map {
	uint8_t *host; // of what was asked for
	void *base; // of the pages, NULL: free
	size_t n_bytes;
	uint64_t offset; // in the file fd, if has_fd
	bool has_fd;
	int fd;
};

// For the kinds of links, which begin with it. Others use the functions.
struct guest_link {
	const struct guest_link_kind *kind;
	struct guest_link_cfg cfg;
	int fd; // readable when read has something to do
	// The kind's own: features that the driver agreed to; the rule that was broken, "": none;
	// bytes of replies that wait, NULL: there never are.
	const uint64_t *features;
	const char *why;
	const uint32_t *n_replies;
	uint64_t mtu; // that was told, 0: none
	struct guest_io *io; // that it is shown in, NULL: it is hidden
	struct guest_queue queue[VHOST_USER_MAX_RINGS];
	uint64_t n_hidden;
	// Bit per ring. fresh: started since it was shown last; known: it ran before. used: was
	// enabled since it was started.
	uint32_t running, fresh, known, used;
	int late[GUEST_LINK_MAX_LATE]; // to be closed when workers have lost the rings
	unsigned n_late;
	struct guest_link_map map[GUEST_MEM_MAX_REGIONS + 2]; // and a dirty log, and its successor
	uint64_t n_mapped; // bytes of them
	unsigned n_files; // of maps that have one
	// What is kept of the link for another process is true. Cleared before more of a message is
	// read. NULL: nothing is kept.
	_Atomic uint32_t *is_whole;
	bool is_left; // then the connection is not ended with the link, as another process has it
};

// The fd can be read, or might: takes what messages there are, a few at a time. Returns 0 or an
// error. -EBUSY: the next one stops rings that workers have: hide them, let the workers' turns
// pass, and call again. -EPROTO: a rule was broken, guest_link_why says which. -ECONNRESET: who
// spoke for the driver is gone. After the last two the link is to be destroyed.
int guest_link_read(struct guest_link *link);

// Sends replies that wait; the fd can be written, or might. Errors: -ECONNRESET.
int guest_link_write(struct guest_link *link);
bool guest_link_has_replies(const struct guest_link *link); // that the other end has not read
int guest_link_fd(const struct guest_link *link);
// Ends the connection of a socket for its other end. True: what it sent and nobody read is left in
// it, which may hold any descriptor.
bool guest_link_end_socket(int socket);
bool guest_link_is_hung_up(const struct guest_link *link); // though it may not have been read yet

// Gives rings that run, and were enabled, to the workers, by *io, which no other link is shown in.
// Again: those that came since. Drivers whose ring was started since are signalled once: whatever a
// former device owed them is told by that.
void guest_link_show(struct guest_link *link, struct guest_io *io);
// Takes them away. Workers may use them to the end of their turn. Does nothing when they are away.
void guest_link_hide(struct guest_link *link);
bool guest_link_is_shown(const struct guest_link *link);
uint64_t guest_link_n_hidden(const struct guest_link *link); // how often workers lost its rings

// Rings that run, and those of them that are enabled, as bits.
uint32_t guest_link_running(const struct guest_link *link);
uint32_t guest_link_enabled(const struct guest_link *link);
uint64_t guest_link_features(const struct guest_link *link); // negotiated
uint64_t guest_link_mtu(const struct guest_link *link); // that was told, 0: none
const char *guest_link_why(const struct guest_link *link); // "": no rule was broken

// Hidden, and the workers' turns have passed. Rings end, memory is unmapped, descriptors are
// closed. NULL is accepted.
void guest_link_destroy(struct guest_link *link);

// For the kinds of links. create: zeroes, n_bytes of them, that begin with a link; NULL: no memory.
struct guest_link *guest_link_create(
	size_t n_bytes, const struct guest_link_kind *kind, const struct guest_link_cfg *cfg);
void guest_link_free(struct guest_link *link); // its rings have stopped, and nothing is mapped
// Maps n_bytes of a file, from offset on and in its pages, to read and write. Errors: -ENOMEM.
int guest_link_map(
	struct guest_link *link, int fd, uint64_t offset, uint64_t n_bytes, uint64_t page, uint8_t **ret_host);
// Maps it before a link asks for the same part of the file, so that this cannot fail then. Of one
// thread at a time, as guest_link_map. 0 or -ENOMEM. cool: what no link has asked for.
int guest_link_warm(int fd, uint64_t offset, uint64_t n_bytes);
void guest_link_cool(void);
// All of these bytes are in the file, in whose own pages it is mapped. Errors also: -EINVAL.
int guest_link_map_file(struct guest_link *link, int fd, uint64_t offset, uint64_t n_bytes, uint8_t **ret_host);
// The file of what was mapped at host is the link's, until it is unmapped.
void guest_link_keep_file(struct guest_link *link, const uint8_t *host, int fd, uint64_t offset);
// NULL: there is none.
const struct guest_link_map *guest_link_find_map(const struct guest_link *link, const uint8_t *host);
void guest_link_close_late(struct guest_link *link); // if it is hidden

// Effects (rtvs/vhost_user.h) that all kinds have; arg is the link.
void guest_link_unmap(void *arg, uint8_t *host, uint64_t n_bytes);
int guest_link_start(void *arg, unsigned ring, const struct guest_ring_cfg *cfg, int kick);
void guest_link_stop(void *arg, unsigned ring, struct guest_ring_pos *ret_pos);
void guest_link_enable(void *arg, unsigned ring, bool is_enabled);
