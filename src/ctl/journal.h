// The log's way into systemd's journal, with fields that journalctl can select by: RTVS_PORT=vm1. Any thread.
#pragma once

#include "rtvs/log.h"

// A log_sink_fn.
void journal_send(enum log_level level, const char *text, const struct log_about *about);
