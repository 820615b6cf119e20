// Datagrams to the daemon itself.
#pragma once

struct ctl;

// Takes all datagrams of the datapath, up to a limit. Called when dp_event_fd is readable, and once
// a second.
void datagrams_drain(struct ctl *ctl);
