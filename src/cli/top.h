// rtvsctl top: rates of ports and workers, live.
#pragma once

#include "rtvs/client.h"

#include <stdint.h>

// interval_ns between two looks; count of them, 0: until Ctrl-C or the connection's end.
enum cli_exit top_run(struct client *c, uint64_t interval_ns, uint64_t count, bool is_json);
