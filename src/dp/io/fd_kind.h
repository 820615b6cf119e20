// What a descriptor is that a stranger sent. A front-end may send any file: one whose file system it serves itself (FUSE), a full pipe, a
// terminal. Its owner can let calls on such a file wait for ever, a page fault in its memory included, so a descriptor is looked at
// before anything is done with it, and only with calls that no file system answers.
#pragma once

enum fd_kind {
	FD_FOREIGN, // anything else: even close may wait, a unix socket's for what lies in its queue
	FD_EVENT, // an eventfd
	FD_MEMORY, // a file of tmpfs (memfd), hugetlbfs, ext2 to ext4 or XFS
};
extern const char *const fd_kind_names[]; // as a message says what it must be

enum fd_kind fd_kind(int fd);
