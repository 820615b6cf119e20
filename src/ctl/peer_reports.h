// Reports to senders.
#pragma once

struct ctl;

// Sends the datapath's reports to senders.
void peer_reports_send(struct ctl *ctl);
