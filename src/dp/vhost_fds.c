// recvmsg of the C library, seen on its way: this program's own symbol comes before the library's, so librte_vhost's calls
// pass here, and the descriptors that come with a memory table are noted. When their connection has gone and
// the library has closed what it keeps, those that are still the same open file are leaks and are closed. A number that the
// kernel gives out anew is taken off the list first, and a file is recognised by device and inode, so that nothing in use is closed.
// Everything else that calls recvmsg is passed through.
//
// The same place holds the event thread up while the control thread connects a port: librte_vhost (24.11) gives the connection to the
// event thread before it puts it into its own list, and one that hangs up at once would be taken out of the list before it is in. Whatever
// the event thread does with a connection begins here.
#include "vhost_fds.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define REQUEST_SET_MEM_TABLE 5 // vhost-user specification, "Front-end message types"
#define REQUEST_ADD_MEM_REG 37
#define MAX_NOTED 256 // regions of connections at one time; further ones are not noted
#define MAX_FDS 64 // of a message
#define CONNECT_NS 100000000 // a connection is in the list by then: the control thread does nothing else

enum note_state {
	NOTE_FREE,
	NOTE_HELD,
	NOTE_GONE,
	NOTE_DUE
};

struct note {
	enum note_state state;
	int socket, fd;
	dev_t dev;
	ino_t ino;
};

static struct note notes[MAX_NOTED];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local int last_socket = -1;
static pthread_mutex_t connecting = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local bool is_connecting;

ssize_t recvmsg(int socket, struct msghdr *msg, int flags);

static void
note(int socket, int fd)
{
	struct note *slot = NULL;
	struct stat st;

	for (unsigned i = 0; i < MAX_NOTED; i++) {
		if (notes[i].state != NOTE_FREE && notes[i].fd == fd)
			notes[i].state = NOTE_FREE; // the number was closed since
		if (notes[i].state == NOTE_FREE)
			slot = &notes[i];
	}
	if (slot && !fstat(fd, &st))
		*slot = (struct note){
			.state = NOTE_HELD, .socket = socket, .fd = fd, .dev = st.st_dev, .ino = st.st_ino};
}

static void
note_all(int socket, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		int fds[MAX_FDS];

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = n < MAX_FDS ? n : MAX_FDS;
		memcpy(fds, CMSG_DATA(c), n * sizeof(int));
		pthread_mutex_lock(&lock);
		for (size_t i = 0; i < n; i++)
			note(socket, fds[i]);
		pthread_mutex_unlock(&lock);
	}
}

void
vhost_fds_connect_begin(void)
{
	pthread_mutex_lock(&connecting);
	is_connecting = true;
}

void
vhost_fds_connect_end(void)
{
	is_connecting = false;
	pthread_mutex_unlock(&connecting);
}

// With a limit, so that a library that waited for its event thread meanwhile would be slow, and no more.
static void
wait_connected(void)
{
	struct timespec end;

	if (is_connecting)
		return;
	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_nsec += CONNECT_NS;
	end.tv_sec += end.tv_nsec / 1000000000;
	end.tv_nsec %= 1000000000;
	if (!pthread_mutex_clocklock(&connecting, CLOCK_MONOTONIC, &end))
		pthread_mutex_unlock(&connecting);
}

ssize_t
recvmsg(int socket, struct msghdr *msg, int flags)
{
	static ssize_t (*next)(int, struct msghdr *, int);
	uint32_t request = 0;
	ssize_t n;

	if (!next)
		next = (ssize_t(*)(int, struct msghdr *, int))dlsym(RTLD_NEXT, "recvmsg");
	wait_connected();
	n = next(socket, msg, flags);
	last_socket = socket;
	if (n >= (ssize_t)sizeof(request) && msg->msg_controllen && msg->msg_iovlen &&
		msg->msg_iov[0].iov_len >= sizeof(request)) {
		memcpy(&request, msg->msg_iov[0].iov_base, sizeof(request));
		if (request == REQUEST_SET_MEM_TABLE || request == REQUEST_ADD_MEM_REG)
			note_all(socket, msg);
	}
	return n;
}

void
vhost_fds_connection_gone(void)
{
	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < MAX_NOTED; i++)
		if (notes[i].state == NOTE_HELD && notes[i].socket == last_socket)
			notes[i].state = NOTE_GONE;
	pthread_mutex_unlock(&lock);
}

static bool
is_open(const struct note *it)
{
	struct stat st;

	return !fstat(it->fd, &st) && st.st_dev == it->dev && st.st_ino == it->ino;
}

void
vhost_fds_housekeeping(void)
{
	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < MAX_NOTED; i++) {
		struct note *it = &notes[i];

		if (it->state == NOTE_FREE)
			continue;
		if (!is_open(it)) {
			it->state = NOTE_FREE;
		} else if (it->state == NOTE_GONE) {
			// One round later: the library closes what it keeps after it has said that the connection is gone.
			it->state = NOTE_DUE;
		} else if (it->state == NOTE_DUE) {
			it->state = NOTE_FREE;
			close(it->fd);
		}
	}
	pthread_mutex_unlock(&lock);
}
