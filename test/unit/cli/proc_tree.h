// A machine's /proc and /sys as a directory tree below /tmp, for tests.
#pragma once

#include <stddef.h>

extern char proc_tree_root[64];

void proc_tree_begin(void); // an empty one
void proc_tree_end(void); // removes it
// A file with this text; directories are made.
void proc_tree_put(const char *path, const char *format, ...) __attribute__((format(printf, 2, 3)));
void proc_tree_put_bytes(const char *path, const char *bytes, size_t len);
void proc_tree_link(const char *path, const char *target);
void proc_tree_remove(const char *path); // also a directory with all that it has
// A QEMU process: cmdline's '|' are its NULs. Threads are added each by itself.
void proc_tree_put_qemu(int pid, const char *cmdline);
void proc_tree_put_thread(int pid, int tid, const char *comm, const char *cpus);
// Two CPUs and no more than what each Linux has.
void proc_tree_put_host(void);
