// Writes the log into systemd's journal, with fields that journalctl can select by: RTVS_PORT=vm1.
// The programs' names tell them apart. Any thread.
#pragma once

#include "rtvs/log.h"

// A log_sink_fn. Where there is no journal, nothing happens.
void journal_send(enum log_level level, const char *text, const struct log_about *about);
