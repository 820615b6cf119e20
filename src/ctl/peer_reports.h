// Reports to senders.
#pragma once

struct ctl;

// What the datapath has to tell senders.
void peer_reports_send(struct ctl *ctl);
