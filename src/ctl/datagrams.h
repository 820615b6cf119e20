// Datagrams to the daemon itself.
#pragma once

struct ctl;

// Whatever the datapath has, up to a limit. Called when dp_event_fd is readable, and once a second.
void datagrams_drain(struct ctl *ctl);
