// Packets that are followed, beside their methods.
#pragma once

struct ctl;

void rpc_trace_tick(struct ctl *ctl); // once a second: ends what nobody reads
