// Who makes whom wait: the store's functions send to the service manager, so they are called
// without the loop's lock, and for SENT_A_TURN ports a second. Who has a file's last descriptor
// frees its memory, which takes seconds where a guest was large: that is not to be the service
// manager. So the files that it has stay open here, too, until it has closed them.
#include "link_store.h"

#include "dp_state.h"
#include "io/vhost_guard.h"
#include "rtvs/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#define SENT_A_TURN 8
#define ADOPTED_CHANGES 2 // `opened` and `changed`
// What no port has asked for until then: ports may be added after the start.
#define WAIT_NS UINT64_C(10000000000)
#define CLOSE_NS UINT64_C(5000000000) // a service manager that does not answer

struct given {
	char name[32];
	int fd; // -1: taken
};

// Files that are to be closed after the service manager has.
struct closing {
	struct closing *next;
	int barrier;
	uint64_t until_ns;
	unsigned n;
	int fd[];
};

struct link_store {
	struct closing *closing;
	struct given *given; // by a former process
	unsigned n_given;
	bool is_sorted; // by name
	bool is_handed; // by a process that went on until then
	uint64_t given_until_ns;
	unsigned n_sent; // sets, in this turn
};

static const struct dp_fd_store *
store_of(const struct dp *dp)
{
	return &dp->cfg.fd_store;
}

static void
name_of(char name[32], unsigned index, uint32_t serial, const char *role, unsigned n)
{
	(void)snprintf(name, 32, "%u.%" PRIu32 ".%s%u", index, serial, role, n);
}

static unsigned
index_of(const struct vhost *v)
{
	return ring_states_index(v->port->dp->ring_states, v->record);
}

void
link_store_give(struct dp *dp, const char *name, int fd)
{
	struct link_store *s = dp->link_store;
	struct given *more;

	more = s && strlen(name) < sizeof(more->name) ? realloc(s->given, (s->n_given + 1) * sizeof(*more)) : NULL;
	if (!more) {
		close(fd);
		return;
	}
	s->given = more;
	s->is_handed = dp->cfg.is_standby;
	s->is_sorted = false;
	s->given_until_ns = clock_now_ns(&dp->env.clock) + WAIT_NS;
	s->given[s->n_given].fd = fd;
	(void)snprintf(s->given[s->n_given++].name, sizeof(more->name), "%s", name);
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(((const struct given *)a)->name, ((const struct given *)b)->name);
}

// Without those that were taken: their names may have been given again.
static void
sort_given(struct link_store *s)
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->n_given; i++)
		if (s->given[i].fd >= 0)
			s->given[n++] = s->given[i];
	s->n_given = n;
	qsort(s->given, n, sizeof(*s->given), compare_names);
	s->is_sorted = true;
}

// One of that name that was not taken. NULL: there is none. All guests may be waiting for all ports
// to ask, so the list is sorted.
static struct given *
find_given(struct link_store *s, const char *name)
{
	struct given key, *found;

	if (!s || !s->n_given)
		return NULL;
	if (!s->is_sorted)
		sort_given(s);
	(void)snprintf(key.name, sizeof(key.name), "%s", name);
	found = bsearch(&key, s->given, s->n_given, sizeof(key), compare_names);
	return found && found->fd >= 0 ? found : NULL;
}

static int
take(struct link_store *s, const char *name)
{
	struct given *given = find_given(s, name);
	int fd = given ? given->fd : -1;

	if (given)
		given->fd = -1;
	return fd;
}

static int
take_role(const struct vhost *v, const char *role, unsigned n)
{
	char name[32];

	name_of(name, index_of(v), v->record->link.serial, role, n);
	return take(v->port->dp->link_store, name);
}

static void
forget_stored(const struct dp *dp, const char *name)
{
	if (store_of(dp)->forget)
		store_of(dp)->forget(store_of(dp)->arg, name);
}

static void
forget_name(const struct vhost *v, uint32_t serial, const char *role, unsigned n)
{
	char name[32];

	name_of(name, index_of(v), serial, role, n);
	forget_stored(v->port->dp, name);
}

static void
close_files(const int *fd, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		vhost_guard_close(fd[i], 0);
}

// Files that the store was told to forget.
static void
close_after_store(struct dp *dp, const int *fd, unsigned n)
{
	int barrier = n && store_of(dp)->barrier ? store_of(dp)->barrier(store_of(dp)->arg) : -1;
	struct closing *c = barrier < 0 ? NULL : malloc(sizeof(*c) + n * sizeof(*fd));
	struct epoll_event ev = {.events = EPOLLIN};

	if (!c || epoll_ctl(dp->ctl_epoll_fd, EPOLL_CTL_ADD, barrier, &ev)) {
		free(c);
		if (barrier >= 0)
			close(barrier);
		close_files(fd, n);
		return;
	}
	*c = (struct closing){.next = dp->link_store->closing,
		.barrier = barrier,
		.until_ns = clock_now_ns(&dp->env.clock) + CLOSE_NS,
		.n = n};
	memcpy(c->fd, fd, n * sizeof(*fd));
	dp->link_store->closing = c;
}

static void
close_forgotten(struct dp *dp, bool is_all)
{
	struct closing **at = &dp->link_store->closing, *c;

	while ((c = *at)) {
		struct pollfd p = {.fd = c->barrier, .events = POLLIN};

		if (!is_all && !poll(&p, 1, 0) && clock_now_ns(&dp->env.clock) < c->until_ns) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		close(c->barrier);
		close_files(c->fd, c->n);
		free(c);
	}
}

void
link_store_run(struct dp *dp)
{
	if (dp->link_store)
		close_forgotten(dp, false);
}

// A set that is stored.
static void
forget_set(const struct vhost *v, const struct link_record *r)
{
	forget_name(v, r->serial, "link", 0);
	for (unsigned i = 0; i < r->n_files; i++)
		forget_name(v, r->serial, "memory", i);
	for (unsigned i = 0; i < VHOST_USER_MAX_RINGS; i++) {
		if (r->kicks >> i & 1)
			forget_name(v, r->serial, "kick", i);
		if (r->calls >> i & 1)
			forget_name(v, r->serial, "call", i);
	}
}

// Of a file that several regions are in, each gets a descriptor. True: all are there.
static bool
take_set(struct vhost *v, int *ret_socket, struct vhost_user_kept_fds *fds)
{
	const struct link_record *r = &v->record->link;
	int file[VHOST_USER_KEPT_REGIONS];
	bool is_whole = true;

	memset(fds, -1, sizeof(*fds));
	*ret_socket = take_role(v, "link", 0);
	for (unsigned i = 0; i < r->n_files; i++) {
		file[i] = take_role(v, "memory", i);
		if (file[i] >= 0)
			v->stored_file[v->n_stored_files++] = file[i];
	}
	for (unsigned i = 0; i < r->session.n_regions; i++) {
		if (r->file[i] < r->n_files && file[r->file[i]] >= 0)
			fds->memory[i] = fcntl(file[r->file[i]], F_DUPFD_CLOEXEC, 0);
		is_whole &= fds->memory[i] >= 0;
	}
	for (unsigned i = 0; i < VHOST_USER_MAX_RINGS; i++) {
		if (r->kicks >> i & 1) {
			fds->kick[i] = take_role(v, "kick", i);
			is_whole &= fds->kick[i] >= 0;
		}
		if (r->calls >> i & 1) {
			fds->call[i] = take_role(v, "call", i);
			is_whole &= fds->call[i] >= 0;
		}
	}
	return is_whole && *ret_socket >= 0;
}

static bool
is_possible(const struct vhost *v)
{
	const struct link_record *r = v->record ? &v->record->link : NULL;

	return r && r->version == LINK_RECORD_VERSION && r->n_files <= VHOST_USER_KEPT_REGIONS &&
		r->session.n_regions <= VHOST_USER_KEPT_REGIONS;
}

static int
adopt(struct vhost *v)
{
	struct link_record *r = &v->record->link;
	uint32_t is_whole = atomic_load(&r->is_whole);
	struct vhost_user_kept_fds fds;
	int socket, rc;

	if (!take_set(v, &socket, &fds) || is_whole == LINK_PARTIAL) {
		vhost_link_drop(&fds);
		if (socket >= 0)
			vhost_guard_close(socket, guest_link_end_socket(socket) ? v->port->path.serial : 0);
		return socket >= 0 ? -ESTALE : -ENOENT;
	}
	rc = guest_loop_adopt(v->port->dp->guests, &v->served, socket, &r->session, &fds, &r->is_whole);
	if (rc)
		return rc;
	vhost_session_adopted(v);
	if (is_whole == LINK_STORED) {
		v->n_stored = ADOPTED_CHANGES;
		v->is_stored = true;
	}
	return 0;
}

// A set that is stored, or a part of it, with its files. The connection then ends with the process,
// also where nothing came from its front-end.
static void
forget(struct vhost *v, const struct link_record *record)
{
	atomic_store(&v->record->link.is_whole, 0);
	forget_set(v, record);
	close_after_store(v->port->dp, v->stored_file, v->n_stored_files);
	v->n_stored_files = 0;
	v->is_stored = false;
}

bool
link_store_adopt(struct vhost *v)
{
	int rc;

	if (v->is_store_asked || !v->served.is_kept || !is_possible(v))
		return false;
	v->is_store_asked = true;
	rc = adopt(v);
	if (!rc) {
		if (!atomic_load(&v->port->dp->is_taking_over))
			log_about(LOG_LEVEL_INFO, LOG_ABOUT(NULL, {"PORT", v->fixed.name}),
				"port %s: its guest's connection goes on", v->fixed.name);
		return true;
	}
	forget(v, &v->record->link);
	if (rc != -ENOENT)
		log_about(LOG_LEVEL_INFO, LOG_ABOUT(NULL, {"PORT", v->fixed.name}),
			"port %s: its guest has to connect again: %s", v->fixed.name,
			rc == -ESTALE ? "its connection was changing when the former daemon ended" : strerror(-rc));
	return false;
}

// What a link has now, in descriptors of our own. The loop's lock is held.
static bool
copy_set(const struct guest_link *link, struct link_record *record, int *ret_socket, struct vhost_user_kept_fds *fds)
{
	struct vhost_user_kept_fds has;
	bool is_whole;

	memset(fds, -1, sizeof(*fds));
	if (!vhost_link_keep(link, &record->session, &has))
		return false;
	*ret_socket = fcntl(guest_link_fd(link), F_DUPFD_CLOEXEC, 0);
	is_whole = *ret_socket >= 0;
	for (unsigned i = 0; i < record->session.n_regions; i++) {
		fds->memory[i] = fcntl(has.memory[i], F_DUPFD_CLOEXEC, 0);
		is_whole &= fds->memory[i] >= 0;
	}
	for (unsigned i = 0; i < VHOST_USER_MAX_RINGS; i++) {
		fds->kick[i] = has.kick[i] < 0 ? -1 : fcntl(has.kick[i], F_DUPFD_CLOEXEC, 0);
		fds->call[i] = has.call[i] < 0 ? -1 : fcntl(has.call[i], F_DUPFD_CLOEXEC, 0);
		is_whole &= fds->kick[i] >= 0 || has.kick[i] < 0;
		is_whole &= fds->call[i] >= 0 || has.call[i] < 0;
		record->kicks |= (uint32_t)(fds->kick[i] >= 0) << i;
		record->calls |= (uint32_t)(fds->call[i] >= 0) << i;
	}
	return is_whole;
}

static bool
send_fd(const struct vhost *v, const struct dp_fd_store *to, uint32_t serial, const char *role, unsigned n, int fd)
{
	char name[32];

	name_of(name, index_of(v), serial, role, n);
	return to->store(to->arg, name, fd);
}

// A file that the service manager has.
static bool
hold_file(struct vhost *v, const struct dp_fd_store *to, int fd)
{
	int own;

	if (to != store_of(v->port->dp))
		return true;
	own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (own >= 0)
		v->stored_file[v->n_stored_files++] = own;
	return own >= 0;
}

// A store keeps one descriptor of an open file, so of regions in the same file one is sent.
static bool
send_files(struct vhost *v, const struct dp_fd_store *to, struct link_record *record,
	const struct vhost_user_kept_fds *fds)
{
	struct stat st, other;
	bool is_stored = true;

	for (unsigned i = 0; i < record->session.n_regions; i++) {
		unsigned k = 0;

		is_stored &= !fstat(fds->memory[i], &st);
		while (k < i &&
			(fstat(fds->memory[k], &other) || other.st_ino != st.st_ino || other.st_dev != st.st_dev))
			k++;
		record->file[i] = k < i ? record->file[k] : (uint8_t)record->n_files++;
		if (k < i)
			continue;
		is_stored &= send_fd(v, to, record->serial, "memory", record->file[i], fds->memory[i]);
		is_stored &= hold_file(v, to, fds->memory[i]);
	}
	return is_stored;
}

static bool
send_set(struct vhost *v, const struct dp_fd_store *to, struct link_record *record, int socket,
	const struct vhost_user_kept_fds *fds)
{
	bool is_stored = send_fd(v, to, record->serial, "link", 0, socket) && send_files(v, to, record, fds);

	for (unsigned i = 0; i < VHOST_USER_MAX_RINGS; i++) {
		if (fds->kick[i] >= 0)
			is_stored &= send_fd(v, to, record->serial, "kick", i, fds->kick[i]);
		if (fds->call[i] >= 0)
			is_stored &= send_fd(v, to, record->serial, "call", i, fds->call[i]);
	}
	return is_stored;
}

// The only link of a port that has one; several have others' rings. The loop's lock is held.
static struct guest_link *
find_only(const struct vhost *v, unsigned *ret_n)
{
	struct guest_link *only = NULL;

	*ret_n = 0;
	for (unsigned i = 0; i < GUEST_LOOP_LINKS; i++)
		if (v->frontend[i].link) {
			only = v->frontend[i].link;
			(*ret_n)++;
		}
	return *ret_n == 1 ? only : NULL;
}

// Likewise, if nothing was heard of it since the last look.
static struct guest_link *
find_quiet(struct vhost *v)
{
	bool is_quiet = v->n_looked == v->n_changes && v->n_stored != v->n_changes;
	unsigned n;

	v->n_looked = v->n_changes;
	return is_quiet ? find_only(v, &n) : NULL;
}

// The loop's lock is held.
static void
write_record(struct vhost *v, struct guest_link *link, const struct link_record *record, enum link_whole whole)
{
	struct link_record *to = &v->record->link;

	to->version = record->version;
	to->serial = record->serial;
	to->n_files = record->n_files;
	to->kicks = record->kicks;
	to->calls = record->calls;
	memcpy(to->file, record->file, sizeof(to->file));
	to->session = record->session;
	atomic_store(&to->is_whole, whole);
	link->is_whole = &to->is_whole;
}

// False: its front-end has said something since.
static bool
write_stored(struct vhost *v, struct guest_link *link, const struct link_record *record, uint64_t n_changes)
{
	bool is_same;

	guest_loop_lock(v->port->dp->guests);
	is_same = v->n_changes == n_changes;
	if (is_same)
		write_record(v, link, record, LINK_STORED);
	guest_loop_unlock(v->port->dp->guests);
	return is_same;
}

static void
store(struct vhost *v)
{
	struct link_record record = {.version = LINK_RECORD_VERSION, .serial = v->record->link.serial + 1};
	struct vhost_user_kept_fds fds;
	struct guest_link *link;
	uint64_t n_changes;
	bool is_copied;
	int socket = -1;

	guest_loop_lock(v->port->dp->guests);
	link = find_quiet(v);
	n_changes = v->n_changes;
	is_copied = link && copy_set(link, &record, &socket, &fds);
	guest_loop_unlock(v->port->dp->guests);
	if (!link)
		return;
	v->n_stored = n_changes; // where it cannot be, the next change may help
	if (is_copied) {
		v->port->dp->link_store->n_sent++;
		v->is_stored = send_set(v, store_of(v->port->dp), &record, socket, &fds) &&
			write_stored(v, link, &record, n_changes);
		if (!v->is_stored)
			forget(v, &record);
	}
	vhost_link_drop(&fds);
	if (socket >= 0)
		vhost_guard_close(socket, 0);
}

void
link_store_end(struct vhost *v)
{
	if (v->is_stored && !v->port->dp->is_ending)
		forget(v, &v->record->link);
	if (!v->port->dp->is_ending)
		return;
	close_files(v->stored_file, v->n_stored_files);
	v->n_stored_files = 0;
	guest_loop_lock(v->port->dp->guests);
	for (unsigned i = 0; i < GUEST_LOOP_LINKS; i++)
		if (v->frontend[i].link && v->frontend[i].link->is_whole)
			v->frontend[i].link->is_left = true;
	guest_loop_unlock(v->port->dp->guests);
}

void
link_store_look(struct vhost *v)
{
	uint64_t n_changes;

	if (!v->served.is_kept)
		return;
	guest_loop_lock(v->port->dp->guests);
	n_changes = v->n_changes;
	guest_loop_unlock(v->port->dp->guests);
	if (v->n_stored == n_changes)
		return;
	if (v->is_stored)
		forget(v, &v->record->link); // a process would not go on with it any more
	if (store_of(v->port->dp)->store && v->port->dp->link_store->n_sent < SENT_A_TURN)
		store(v);
}

int
link_store_warm(struct vhost *v, char err[DP_ERR_SIZE])
{
	const struct link_record *r = is_possible(v) ? &v->record->link : NULL;
	int rc = 0;

	for (uint32_t i = 0; !rc && r && v->served.is_kept && i < r->session.n_regions; i++) {
		const struct given *given;
		char name[32];

		name_of(name, index_of(v), r->serial, "memory", r->file[i]);
		given = find_given(v->port->dp->link_store, name);
		if (given)
			rc = guest_link_warm(given->fd, r->session.region[i].offset, r->session.region[i].n_bytes);
	}
	if (rc)
		dp_error(err, "port %s: no memory to map its guest's", v->fixed.name);
	return rc;
}

int
link_store_take_listener(struct vhost *v)
{
	char name[32];

	if (!v->record)
		return -1;
	name_of(name, index_of(v), 0, "listen", 0);
	return take(v->port->dp->link_store, name);
}

// Of a connection that the service manager has as it is, the set keeps its names.
static int
hand_link(struct vhost *v, const struct dp_fd_store *to, struct guest_link *link)
{
	bool has_stored = v->is_stored && v->n_stored == v->n_changes;
	struct link_record record = {.version = LINK_RECORD_VERSION, .serial = v->record->link.serial + !has_stored};
	struct vhost_user_kept_fds fds;
	int socket = -1, rc;

	if (v->is_stored && !has_stored)
		return -EBUSY; // link_store_look tells the service manager, without the lock
	rc = copy_set(link, &record, &socket, &fds) ? 0 : -EBUSY;
	if (!rc)
		rc = send_set(v, to, &record, socket, &fds) ? 0 : -EIO;
	if (!rc && !has_stored)
		write_record(v, link, &record, LINK_HANDED);
	vhost_link_drop(&fds);
	if (socket >= 0)
		vhost_guard_close(socket, 0);
	return rc;
}

int
link_store_hand(struct vhost *v, const struct dp_fd_store *to, bool is_last, char err[DP_ERR_SIZE])
{
	struct guest_link *link;
	char name[32];
	int listener, rc = 0;
	unsigned n;

	if (v->hand != v->port->dp->n_hands)
		v->n_handed = 0;
	v->hand = v->port->dp->n_hands;
	if (!v->served.is_kept || v->n_handed == v->n_changes + 1)
		return 0;
	link = find_only(v, &n);
	if (n > 1) {
		dp_error(err, "port %s: its guest is moving to another process", v->fixed.name);
		return -EBUSY;
	}
	if (link)
		rc = hand_link(v, to, link);
	// Whoever is at its other end stalls, which is to be nobody else's harm.
	if (rc == -EBUSY && is_last && vhost_link_is_midway(link)) {
		log_about(LOG_LEVEL_WARNING, LOG_ABOUT(NULL, {"PORT", v->fixed.name}),
			"port %s: its front-end is in the middle of a message, and has to connect again",
			v->fixed.name);
		rc = 0;
	}
	listener = guest_loop_listener(v->port->dp->guests, &v->served);
	name_of(name, index_of(v), 0, "listen", 0);
	if (!rc && listener >= 0 && !v->n_handed && !to->store(to->arg, name, listener))
		rc = -EIO;
	if (rc == -EBUSY)
		dp_error(err, "port %s: its guest's connection cannot be handed over now", v->fixed.name);
	if (!rc)
		v->n_handed = v->n_changes + 1;
	return rc;
}

// What no port has asked for.
static void
end_given(struct dp *dp)
{
	struct link_store *s = dp->link_store;

	for (unsigned i = 0; i < s->n_given; i++) {
		struct stat st;
		int fd = s->given[i].fd;

		if (fd < 0)
			continue;
		forget_stored(dp, s->given[i].name);
		// Of a former process that was asked, these are copies of what ports have.
		if (!s->is_handed && !fstat(fd, &st) && S_ISSOCK(st.st_mode))
			(void)guest_link_end_socket(fd);
		close_after_store(dp, &fd, 1);
	}
	free(s->given);
	s->given = NULL;
	s->n_given = 0;
}

void
link_store_end_given(struct dp *dp)
{
	if (dp->link_store)
		end_given(dp);
}

void
link_store_turn(struct dp *dp)
{
	struct link_store *s = dp->link_store;

	if (!s)
		return;
	s->n_sent = 0;
	close_forgotten(dp, false);
	if (s->n_given && clock_now_ns(&dp->env.clock) >= s->given_until_ns)
		end_given(dp);
}

int
link_store_create(struct dp *dp)
{
	if (!dp->ring_states)
		return 0;
	dp->link_store = calloc(1, sizeof(*dp->link_store));
	return dp->link_store ? 0 : -ENOMEM;
}

void
link_store_destroy(struct dp *dp)
{
	if (!dp->link_store)
		return;
	end_given(dp);
	close_forgotten(dp, true);
	free(dp->link_store);
	dp->link_store = NULL;
}
