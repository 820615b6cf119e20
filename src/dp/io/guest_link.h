// One front-end's connection: its socket, its messages (rtvs/vhost_user.h), its memory and its
// rings. Nothing here waits: workers have the rings between guest_link_show and guest_link_hide,
// and messages that stop rings or take memory away are handled only while none of them may be using
// one.
// One thread at a time uses a link.
#pragma once

#include "guest_io.h"
#include "rtvs/vhost_user.h"

#include <stdbool.h>
#include <stdint.h>

struct guest_link;

struct guest_link_cfg {
	int socket; // connected; the link closes it
	uint64_t features; // offered (struct vhost_user_cfg)
	uint32_t n_pairs;
	unsigned owner; // of its eventfds, as vhost_guard.h has it
	void *arg; // of the functions
	// The guest has moved here: others are to learn of it, as if it had sent a frame.
	void (*announce)(void *arg, const uint8_t mac[6]);
	// A ring is about to be started; is_first: by this front-end. May change where it stands,
	// and where that is kept.
	void (*prepare)(void *arg, unsigned ring, struct guest_ring_cfg *cfg, bool is_first);
	// Closes a descriptor that the front-end sent, and unmaps its memory: both may wait, for
	// whoever has its other end, or for as long as there is memory to free. is_foreign: it is
	// neither an eventfd nor memory, or is the socket with messages that were not read, and
	// whatever these have.
	void (*close)(void *arg, int fd, bool is_foreign);
	void (*unmap)(void *arg, void *at, size_t n_bytes);
};

// NULL: no memory, or n_pairs is out of range; the socket is closed.
struct guest_link *guest_link_create(const struct guest_link_cfg *cfg);

// The socket can be read, or might: takes what messages there are, a few at a time. Returns 0 or an
// error. -EBUSY: the next one stops rings that workers have: hide them, let the workers' turns
// pass, and call again. -EPROTO: a rule was broken, guest_link_why says which. -ECONNRESET: the
// front-end is gone. After the last two the link is to be destroyed.
int guest_link_read(struct guest_link *link);

// Sends replies that wait; the socket can be written, or might. Errors: -ECONNRESET.
int guest_link_write(struct guest_link *link);
bool guest_link_has_replies(const struct guest_link *link); // that the front-end has not read
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
uint64_t guest_link_mtu(const struct guest_link *link); // that the front-end told, 0: none
const char *guest_link_why(const struct guest_link *link); // "": no rule was broken

// Hidden, and the workers' turns have passed. Rings end, memory is unmapped, descriptors are
// closed. NULL is accepted.
void guest_link_destroy(struct guest_link *link);
