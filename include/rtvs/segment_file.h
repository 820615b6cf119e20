// A segment in a file that processes map: tmpfs, hugetlbfs, a DAX device, the memory of an ivshmem
// device. Adds the parts that need a kernel to rtvs/segment.h: the mapping, wake-ups, and a lock of
// each node's number, by which nodes of one host know who lives.
// Functions return 0 or a negative errno, and then err has the error and the remedy.
#pragma once

#include "rtvs/segment.h"

#define SEGMENT_ERR_SIZE 256

struct segment_file;

// Creates the file, whole, so that no later write can fail for lack of space; -EEXIST when there is
// one, -ENOSPC. A device (DAX, the memory of an ivshmem device) exists already: it is formatted,
// unless a node lives there: -EBUSY.
struct segment_create {
	const char *path;
	struct segment_geometry geometry; // n_slots 0: as many as size has room for
	uint64_t size; // of the file in bytes, 0: what the geometry needs. A device has its own.
	uint32_t mode; // of the file
	const char *group; // of the file, a name of /etc/group or a number; NULL: the caller's
	bool is_forced; // over a segment that is there already: its nodes are cut off
};
int segment_file_create(const struct segment_create *create, char err[SEGMENT_ERR_SIZE]);
// -EINVAL: the geometry is out of range, or size is too small for it, whatever the path is.
// segment_file_create checks it, too.
int segment_file_create_check(const struct segment_create *create, char err[SEGMENT_ERR_SIZE]);
bool segment_file_is_device(const char *path); // it exists, and has a size of its own

// Maps the file. is_readonly: to look only. A file that is shorter than its header says, or has
// holes there, is refused: -EFBIG.
int segment_file_open(const char *path, bool is_readonly, struct segment_file **ret_file, char err[SEGMENT_ERR_SIZE]);
// Maps the pages of the next max_bytes of the segment (a multiple of the page size), so that no
// access waits for them later. False: all pages are mapped. A file that has got holes since it was
// opened stays as it is.
bool segment_file_populate(struct segment_file *file, size_t max_bytes);
void segment_file_close(struct segment_file *file); // leaves first; NULL is accepted
struct segment *segment_file_segment(const struct segment_file *file);

// Takes a number, -1: any free one; the lock of the number comes first. identity->host, pid and the
// flags SEGMENT_LOCKED and SEGMENT_SLEEPS are filled in. The name of a living node is refused with
// -EEXIST; that of a dead one is taken over at once.
// -EFBIG: the file was truncated meanwhile.
int segment_file_join(
	struct segment_file *file, int node, const struct segment_identity *identity, char err[SEGMENT_ERR_SIZE]);
void segment_file_leave(struct segment_file *file);
// segment_tend with the locks of this host, at CLOCK_MONOTONIC. Returns the number of nodes that
// were found dead.
unsigned segment_file_tend(struct segment_file *file);
// Joins again with the same identity, after others took this node for dead while it did not run
// (segment_is_expelled). For the tending thread, while the others keep off the segment. As
// segment_file_join; the node has then left.
int segment_file_rejoin(struct segment_file *file, char err[SEGMENT_ERR_SIZE]);
// The node is of this host: locks and wake-ups reach it. Any thread.
bool segment_file_is_neighbour(const struct segment_file *file, const struct segment_node_info *info);
// Nodes live, as of the last tending, that cannot wake this one: those of other hosts; in
// non-coherent memory there is no wake-up. Any thread.
bool segment_file_has_strangers(const struct segment_file *file);
// Every node that lives has these flags. Any thread.
bool segment_file_all_have(const struct segment_file *file, uint32_t flags);
// 1: a process of this kernel holds the lock of that number, 0: none does, -1: unknown, as for
// other hosts' nodes, or a free number. Any thread; a segment_lock_fn.
int segment_file_has_lock(void *file, unsigned node);
// Wakes nodes that segment_send or segment_put named: of each the one thread that waits. Others
// that wait for the same word wait longer, and cost this node no time.
void segment_file_wake(struct segment_file *file, uint64_t nodes);
// The receiving thread waits until a frame comes, for max_ns at most. True: there may be one. Nodes
// of other hosts cannot wake this one: while such a node lives the wait is short.
bool segment_file_wait(struct segment_file *file, uint64_t max_ns);
// Another file has the path by now: nodes of this one are out of reach for new nodes. Any thread.
bool segment_file_is_replaced(const struct segment_file *file, const char *path);
// Compares the file's length, too. True: the file was truncated under the mapping. Its pages were
// replaced by empty ones, and the node receives nothing. See segment_file_catch_truncation.
bool segment_file_is_broken(const struct segment_file *file);
// Installs a SIGBUS handler for the process that keeps it alive when a segment's file is truncated.
// For programs without one.
int segment_file_catch_truncation(void);
// For a SIGBUS handler and its callees. ThreadSanitizer makes atomic accesses in its own code with
// its locks taken, so the handler must not enter that code again: no instrumentation, and system
// calls by syscall().
#if defined(__has_attribute)
#if __has_attribute(disable_sanitizer_instrumentation)
#define SEGMENT_SIGNAL_SAFE __attribute__((disable_sanitizer_instrumentation))
#endif
#endif
#ifndef SEGMENT_SIGNAL_SAFE
#define SEGMENT_SIGNAL_SAFE
#endif
// True: the address is in a segment's mapping, which is now empty pages. For the SIGBUS handler of
// a program that has its own.
bool segment_file_mend(const void *address);
