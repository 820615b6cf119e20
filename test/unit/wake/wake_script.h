// Events of threads as a test writes them down, one line each.
#pragma once

#include "threads.h"

#define SCRIPT_QEMU 100u // process and main loop
#define SCRIPT_CPU0 101u
#define SCRIPT_CPU1 102u
#define SCRIPT_SWITCH 7u // the daemon's process

// "AT TYPE WHO [by WHO]", lines separated by ";": TYPE as in a record; WHO: loop, cpu0, cpu1,
// switch, kernel, or "gN.WHO" of the process N * 1000. Times are added to base_ns.
void wake_script_each(const char *text, uint64_t base_ns, void (*fn)(void *arg, const struct event *e), void *arg);
// A guest's threads with these events. Main loop and cpu0 are known before, asleep.
struct threads *wake_script_threads(const char *text, uint64_t base_ns);
