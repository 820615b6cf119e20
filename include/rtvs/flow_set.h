// What a rule writes into the headers of a frame. Pure. Lengths stay: a tag is put or taken by who
// has the buffer. Checksums are brought up to date by the difference (RFC 1624), so a wrong one
// stays wrong.
#pragma once

#include "rtvs/flow_key.h"

#include <stdbool.h>

struct flow_set {
	struct flow_key value, mask; // no bit of the value is outside the mask
};

// -EINVAL: a value outside the mask, or a field that cannot be set: only addresses, TOS, TTL, ports
// and a tag's priority and VID can.
int flow_set_check(const struct flow_set *set);
// Fields that the frame does not have are left out. is_partial: the L4 checksum has only the pseudo
// header's sum, as a guest leaves it to the device (virtio 1.2, 5.1.6.2). False, and nothing is
// written: the frame's headers lie; its L4 checksum cannot be brought up to date (ports of SCTP; an
// address behind a routing header); or all of these headers are not among the len bytes.
bool flow_set_apply(const struct flow_set *set, uint8_t *data, size_t len, bool is_partial);
