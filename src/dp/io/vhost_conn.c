// The connections of all ports in one table, and for each descriptor number the connection that it
// belongs to.
//
// Invariant: conn_of names a descriptor's connection from vhost_conn_add or vhost_conn_add_fd until
// just before it is closed. So a number that the kernel reuses is never taken for the old one.
#include "vhost_conn.h"

#include <pthread.h>
#include <stdint.h>
#include <sys/socket.h>

#define SOCKET_FREE (-1)
#define SOCKET_CLOSING (-2) // by the event thread, which closes what is left
#define SOCKET_LEFT (-3) // by the control thread, whose vhost_fds_unregister_end does

static _Atomic uint16_t conn_of[VHOST_CONN_FDS]; // index of a descriptor's connection + 1, 0: none
static struct vhost_conn conns[VHOST_CONN_MAX] = {[0 ... VHOST_CONN_MAX - 1] = {.socket = SOCKET_FREE}};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // of socket and client in conns

bool
vhost_conn_add(int socket, struct vhost_client *client)
{
	unsigned i = 0;

	if ((unsigned)socket >= VHOST_CONN_FDS)
		return false;
	pthread_mutex_lock(&lock);
	while (i < VHOST_CONN_MAX && conns[i].socket != SOCKET_FREE)
		i++;
	if (i < VHOST_CONN_MAX) {
		conns[i].client = client;
		atomic_store(&conns[i].n_fds, 0);
		atomic_store(&conns[i].is_broken, false);
		atomic_store(&conns[i].socket, socket);
		atomic_store(&conn_of[socket], (uint16_t)(i + 1));
	}
	pthread_mutex_unlock(&lock);
	return i < VHOST_CONN_MAX;
}

unsigned
vhost_conn_owner(int fd)
{
	return (unsigned)fd < VHOST_CONN_FDS ? atomic_load_explicit(&conn_of[fd], memory_order_acquire) : 0;
}

struct vhost_conn *
vhost_conn_at(int socket)
{
	unsigned owner = vhost_conn_owner(socket);

	return owner && conns[owner - 1].socket == socket ? &conns[owner - 1] : NULL;
}

void
vhost_conn_add_fd(struct vhost_conn *c, int fd)
{
	atomic_store(&conn_of[fd], (uint16_t)(c - conns + 1));
	atomic_fetch_add(&c->n_fds, 1);
}

void
vhost_conn_del_fd(int fd)
{
	unsigned owner = atomic_exchange(&conn_of[fd], 0);

	if (owner)
		atomic_fetch_sub(&conns[owner - 1].n_fds, 1);
}

static void
set_socket(struct vhost_conn *c, int socket)
{
	pthread_mutex_lock(&lock);
	c->socket = socket;
	pthread_mutex_unlock(&lock);
}

void
vhost_conn_close(struct vhost_conn *c, bool is_left)
{
	atomic_store(&conn_of[c->socket], 0);
	set_socket(c, is_left ? SOCKET_LEFT : SOCKET_CLOSING);
}

struct vhost_conn *
vhost_conn_left(void)
{
	// this thread wrote it, or another wrote another value
	for (unsigned i = 0; i < VHOST_CONN_MAX; i++)
		if (conns[i].socket == SOCKET_LEFT)
			return &conns[i];
	return NULL;
}

int
vhost_conn_next_fd(struct vhost_conn *c, int after)
{
	uint16_t owner = (uint16_t)(c - conns + 1);

	for (int fd = after + 1; fd < VHOST_CONN_FDS && atomic_load(&c->n_fds); fd++)
		if (atomic_load_explicit(&conn_of[fd], memory_order_relaxed) == owner) {
			vhost_conn_del_fd(fd);
			return fd;
		}
	return -1;
}

void
vhost_conn_free(struct vhost_conn *c)
{
	set_socket(c, SOCKET_FREE);
}

void
vhost_conn_break(unsigned owner)
{
	atomic_store(&conns[owner - 1].is_broken, true);
}

bool
vhost_conn_is_broken(unsigned owner)
{
	return atomic_load_explicit(&conns[owner - 1].is_broken, memory_order_relaxed);
}

void
vhost_conn_hang_up_broken(unsigned owner, const char *why)
{
	struct vhost_conn *c = &conns[owner - 1];

	pthread_mutex_lock(&lock);
	if (c->socket >= 0 && atomic_load(&c->is_broken))
		vhost_conn_hang_up(c, why, true);
	pthread_mutex_unlock(&lock);
}

void
vhost_conn_hang_up(struct vhost_conn *c, const char *why, bool is_costly)
{
	c->client->fault(c->client, why, is_costly);
	(void)shutdown(c->socket, SHUT_RDWR);
}
