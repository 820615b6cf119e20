#include "vhost_owner.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

struct owner {
	struct vhost_client *client; // NULL: free
	int socket;
	_Atomic bool is_broken;
};

static struct owner owners[VHOST_OWNERS + 1]; // the first is none
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // of client and socket

unsigned
vhost_owner_add(int socket, struct vhost_client *client)
{
	unsigned i = 1;

	pthread_mutex_lock(&lock);
	while (i <= VHOST_OWNERS && owners[i].client)
		i++;
	if (i <= VHOST_OWNERS) {
		owners[i].client = client;
		owners[i].socket = socket;
		atomic_store(&owners[i].is_broken, false);
	}
	pthread_mutex_unlock(&lock);
	return i <= VHOST_OWNERS ? i : 0;
}

void
vhost_owner_del(unsigned owner)
{
	pthread_mutex_lock(&lock);
	owners[owner].client = NULL;
	pthread_mutex_unlock(&lock);
}

void
vhost_owner_break(unsigned owner)
{
	atomic_store(&owners[owner].is_broken, true);
}

bool
vhost_owner_is_broken(unsigned owner)
{
	return atomic_load_explicit(&owners[owner].is_broken, memory_order_relaxed);
}

void
vhost_owner_hang_up(unsigned owner, const char *why)
{
	struct owner *o = &owners[owner];

	pthread_mutex_lock(&lock);
	if (o->client && atomic_load(&o->is_broken)) {
		o->client->fault(o->client, why, true);
		(void)shutdown(o->socket, SHUT_RDWR);
	}
	pthread_mutex_unlock(&lock);
}
