// One front-end's connection: its socket, its messages (rtvs/vhost_user.h), its memory and its
// rings, which workers have by a struct guest_io. One thread uses a link, and nothing here makes
// that thread wait but for workers, which the caller bounds.
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
	struct guest_io *io; // outlives the link. One link at a time uses it
	void *arg; // of the functions
	// Waits until each worker has passed the end of a turn, so that none uses what was taken
	// away before.
	void (*quiesce)(void *arg);
	// rings came, went, were enabled or disabled; features were negotiated
	void (*changed)(void *arg);
	void (*announce)(void *arg, const uint8_t mac[6]);
	// Closes a descriptor that the front-end sent, which may wait for whoever has its other
	// end.
	void (*close)(void *arg, int fd);
};

// NULL: no memory, or n_pairs is out of range; the socket is closed.
struct guest_link *guest_link_create(const struct guest_link_cfg *cfg);

// The socket can be read: takes what messages there are, a few at a time. Errors: -EPROTO (a rule
// was broken, guest_link_why says which), -ECONNRESET (the front-end is gone). The link is then to
// be destroyed.
int guest_link_read(struct guest_link *link);

// Sends replies that wait; the socket can be written, or might. Errors as guest_link_read.
int guest_link_write(struct guest_link *link);
bool guest_link_has_replies(const struct guest_link *link); // that the front-end has not read

uint64_t guest_link_features(const struct guest_link *link); // negotiated
uint64_t guest_link_mtu(const struct guest_link *link); // that the front-end told, 0: none
const char *guest_link_why(const struct guest_link *link); // "": no rule was broken

// Rings end, memory is unmapped, descriptors are closed. NULL is accepted.
void guest_link_destroy(struct guest_link *link);
