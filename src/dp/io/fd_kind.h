// The kind of a descriptor from a stranger. A front-end may send any file: one whose file system it
// serves itself (FUSE), a full pipe, a terminal. Its owner can let calls on such a file wait for
// ever, including a page fault in its memory. So a descriptor is examined before any other use, and
// only with calls that no file system answers.
#pragma once

enum fd_kind {
	// Any other kind: even close may wait, a unix socket's for messages in its queue.
	FD_FOREIGN,
	FD_EVENT, // an eventfd
	FD_MEMORY, // a file of tmpfs (memfd), hugetlbfs, ext2 to ext4 or XFS
};
extern const char *const fd_kind_names[]; // as a message says what it must be

enum fd_kind fd_kind(int fd);
