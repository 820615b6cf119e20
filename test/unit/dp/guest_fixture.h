// Guests whose rings one worker uses, with a model of each one's driver at the other end. Even
// guests have split rings, odd ones packed rings.
#pragma once

#include "../vhost/driver.h"
#include "eal_fixture.h"
#include "io/device.h"
#include "io/guest_io.h"

#include <linux/virtio_net.h>

#define GUESTS_MAX 9
#define GUEST_HDR 12 // bytes of the header before a frame

struct guest {
	struct guest_io io;
	struct device device;
	struct guest_queue queue[2];
	struct driver to, from;
	unsigned n_signals[2]; // by ring
};

extern struct guest guest[GUESTS_MAX];

// Of a group: start_eal, and the turns of this thread.
int guests_start(void **state);
int guests_stop(void **state);
// Of a case. The turn ends, and no packet is left.
int guests_begin(void **state);
int guests_end(void **state);

void guest_send(unsigned i, const struct virtio_net_hdr *hdr, const uint8_t *frame, uint32_t n);
// Takes back what was sent, and writes over it.
void guest_reuse(unsigned i);
// One buffer for packets of n bytes. A device may find the frame in several.
void guest_offer(unsigned i, uint32_t n);
// The next frame that came, -1: none did.
int guest_receive(unsigned i, uint8_t *to, uint32_t max);
