// /proc's facts about a guest's process and its threads.
#pragma once

#include "machine.h"

// Threads, memory, descriptors and control groups. 0, or -ESRCH when the process is gone.
int guest_proc_read(const char *root, struct machine_facts *m);
// Once before and once after the window, at each: what counts up.
void guest_proc_count(const char *root, bool is_second, struct machine_facts *m);
// Where the vCPUs of another guest may run.
void guest_proc_read_other(const char *root, struct machine_other *other);
