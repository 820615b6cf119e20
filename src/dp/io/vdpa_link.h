// A vhost-user front-end whose rings a device moves (vdpa_device.h): a link (guest_link.h) that
// passes the messages on to librte_vhost. The library waits in the middle of a message, and has one
// thread for all devices. So it gets whole messages only, of the shape and with the kinds of
// descriptors that the daemon's own back end takes, and its replies never wait for a front-end.
#pragma once

#include "guest_link.h"

// cfg->fd: the front-end's connected socket; cfg->device: for its messages. The first pair of rings
// runs while the device has the guest's rings; workers are shown none. NULL: no memory, no
// descriptors, or n_pairs is out of range; the socket is closed.
struct guest_link *vdpa_link_create(const struct guest_link_cfg *cfg);
