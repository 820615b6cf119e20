// One record a socket. A record is free when no port has it; its socket's next port finds it again
// until another socket needs the place.
// The file is the daemon's own, and still not trusted: each word of a state is checked before use.
// Workers write to it: a file system on a disk would make them wait.
#include "ring_states.h"

#include "rtvs/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct ring_states {
	int fd; // of the file
	struct ring_record *record; // DP_MAX_PORTS, the file
	bool is_taken[DP_MAX_PORTS];
};

#define FILE_BYTES (DP_MAX_PORTS * sizeof(struct ring_record))

// The file, which is nobody else's, or a negative errno. A new one stays though it cannot be used.
static int
open_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600), rc = 0;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		rc = -errno;
	else if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_mode & 077)
		rc = -EPERM;
	else if (fcntl(fd, F_GET_SEALS) < 0) // tmpfs and hugetlbfs have them
		rc = -EMEDIUMTYPE;
	else if (st.st_size != (off_t)FILE_BYTES && (ftruncate(fd, 0) || ftruncate(fd, (off_t)FILE_BYTES)))
		rc = -errno;
	if (!rc)
		return fd;
	close(fd);
	return rc;
}

// Takes the descriptor. 0 or a negative errno.
static int
map_file(int fd, struct ring_states **ret_states)
{
	struct ring_states *states = calloc(1, sizeof(*states));
	void *map = states ? mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
	int rc = map == MAP_FAILED ? -errno : 0;

	if (rc) {
		free(states);
		close(fd);
		return rc;
	}
	states->fd = fd;
	states->record = map;
	*ret_states = states;
	return 0;
}

struct ring_states *
ring_states_open(const char *path)
{
	struct ring_states *states = NULL;
	int fd = open_file(path), rc = fd < 0 ? fd : map_file(fd, &states);

	if (rc)
		log_info("%s: %s: after a crash the positions of packed rings are found by their flags alone", path,
			rc == -EMEDIUMTYPE ? "not on a tmpfs" : strerror(-rc));
	return states;
}

struct ring_states *
ring_states_create(void)
{
	struct ring_states *states = NULL;
	int fd = memfd_create("rtvs-rings", MFD_CLOEXEC);

	if (fd >= 0 && ftruncate(fd, (off_t)FILE_BYTES)) {
		close(fd);
		return NULL;
	}
	if (fd >= 0)
		(void)map_file(fd, &states);
	return states;
}

struct ring_states *
ring_states_join(int fd)
{
	struct ring_states *states = NULL;
	struct stat st;

	if (fstat(fd, &st) || st.st_size != (off_t)FILE_BYTES)
		close(fd);
	else
		(void)map_file(fd, &states);
	return states;
}

int
ring_states_fd(const struct ring_states *states)
{
	return states->fd;
}

void
ring_states_close(struct ring_states *states)
{
	if (!states)
		return;
	(void)munmap(states->record, FILE_BYTES);
	close(states->fd);
	free(states);
}

struct ring_record *
ring_states_take(struct ring_states *states, const char *socket)
{
	unsigned found = DP_MAX_PORTS, unused = DP_MAX_PORTS, other = DP_MAX_PORTS;
	uint32_t serial;

	for (unsigned i = 0; states && i < DP_MAX_PORTS && found == DP_MAX_PORTS && unused == DP_MAX_PORTS; i++) {
		const char *has = states->record[i].socket;

		if (states->is_taken[i])
			continue;
		if (!strncmp(has, socket, RTVS_PATH_SIZE))
			found = i;
		else if (!has[0])
			unused = i; // and all behind it are
		else
			other = i;
	}
	if (found == DP_MAX_PORTS) {
		found = unused < DP_MAX_PORTS ? unused : other;
		if (found == DP_MAX_PORTS)
			return NULL;
		// Names of stored descriptors are never used again: a former set may not be
		// forgotten yet.
		serial = states->record[found].link.serial;
		memset(&states->record[found], 0, sizeof(struct ring_record));
		states->record[found].link.serial = serial;
		memcpy(states->record[found].socket, socket, strnlen(socket, RTVS_PATH_SIZE - 1));
	}
	states->is_taken[found] = true;
	return &states->record[found];
}

void
ring_states_release(struct ring_states *states, const struct ring_record *record)
{
	if (record)
		states->is_taken[ring_states_index(states, record)] = false;
}

unsigned
ring_states_index(const struct ring_states *states, const struct ring_record *record)
{
	return (unsigned)(record - states->record);
}
