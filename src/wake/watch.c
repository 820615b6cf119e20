// Ports stay once they are known, guests live as long as a port is theirs. Events of a guest that
// is gone are ignored.
#include "watch.h"

#include "rtvs/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct watch_guest {
	struct watch_guest *next;
	uint32_t pid;
	unsigned n_ports;
	uint64_t since_ns;
	struct event_counts counts;
	struct threads *threads;
};

struct watch *
watch_create(uint64_t begin_ns, uint32_t switch_pid, bool has_sched)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->begin_ns = begin_ns;
	w->switch_pid = switch_pid;
	w->has_sched = has_sched;
	return w;
}

static void
guest_put(struct watch *w, struct watch_guest *guest)
{
	struct watch_guest **at = &w->guests;

	if (--guest->n_ports)
		return;
	while (*at != guest)
		at = &(*at)->next;
	*at = guest->next;
	threads_destroy(guest->threads);
	free(guest);
}

void
watch_destroy(struct watch *w)
{
	for (unsigned i = 0; w && i < w->n_ports; i++) {
		if (w->ports[i]->guest)
			guest_put(w, w->ports[i]->guest);
		free(w->ports[i]);
	}
	free(w);
}

void
watch_miss(struct watch *w, const char *name, const char *why, const char *hides)
{
	struct watch_missing *m;

	if (w->n_missing == WATCH_MAX_MISSING)
		return;
	m = &w->missing[w->n_missing++];
	(void)snprintf(m->name, sizeof(m->name), "%s", name);
	(void)snprintf(m->why, sizeof(m->why), "%s", why);
	(void)snprintf(m->hides, sizeof(m->hides), "%s", hides);
}

struct watch_port *
watch_find(const struct watch *w, const char *port)
{
	for (unsigned i = 0; i < w->n_ports; i++)
		if (!strcmp(w->ports[i]->name, port))
			return w->ports[i];
	return NULL;
}

static struct watch_guest *
find_guest(const struct watch *w, uint32_t pid)
{
	struct watch_guest *guest = w->guests;

	while (guest && guest->pid != pid)
		guest = guest->next;
	return guest;
}

bool
watch_has_guest(const struct watch *w, uint32_t pid)
{
	return find_guest(w, pid);
}

static int
find_or_add_port(struct watch *w, const char *name, struct watch_port **ret_port)
{
	struct watch_port *port = watch_find(w, name);

	if (!port) {
		if (w->n_ports == WATCH_MAX_PORTS)
			return -ENOSPC;
		port = calloc(1, sizeof(*port));
		if (!port)
			return -ENOMEM;
		if (!text_copy(port->name, sizeof(port->name), name)) {
			free(port);
			return -EINVAL;
		}
		tally_init(&port->tally);
		w->ports[w->n_ports++] = port;
	}
	*ret_port = port;
	return 0;
}

static struct watch_guest *
guest_get(struct watch *w, uint32_t pid, uint64_t since_ns, bool *ret_is_new)
{
	struct watch_guest *guest = find_guest(w, pid);

	if (!guest) {
		guest = calloc(1, sizeof(*guest));
		if (!guest)
			return NULL;
		guest->threads = threads_create(pid);
		if (!guest->threads) {
			free(guest);
			return NULL;
		}
		guest->pid = pid;
		guest->since_ns = since_ns;
		guest->next = w->guests;
		w->guests = guest;
		*ret_is_new = true;
	}
	guest->n_ports++;
	return guest;
}

static void
add_counts(struct event_counts *sum, const struct event_counts *counts)
{
	sum->hlt_exits += counts->hlt_exits;
	sum->halts += counts->halts;
	sum->waited += counts->waited;
	sum->halted_ns += counts->halted_ns;
}

int
watch_guest(struct watch *w, const char *name, uint32_t pid, uint64_t since_ns, bool *ret_is_new)
{
	struct watch_port *port;
	int rc = find_or_add_port(w, name, &port);

	*ret_is_new = false;
	if (rc || port->pid == pid)
		return rc;
	if (port->guest) {
		add_counts(&port->counts, &port->guest->counts);
		guest_put(w, port->guest);
	}
	port->guest = NULL;
	port->pid = 0;
	if (!pid)
		return 0;
	port->guest = guest_get(w, pid, since_ns, ret_is_new);
	if (!port->guest)
		return -ENOMEM;
	port->pid = pid;
	port->n_guests++;
	return 0;
}

int
watch_thread(struct watch *w, uint32_t pid, uint32_t tid, const char *comm, enum threads_state state)
{
	struct watch_guest *guest = find_guest(w, pid);

	return guest ? threads_add(guest->threads, tid, comm, state) : -ENOENT;
}

void
watch_event(struct watch *w, const struct event *e)
{
	struct watch_guest *guest = find_guest(w, e->tgid);

	w->events++;
	if (guest && threads_event(guest->threads, e))
		w->events_wrong++;
}

void
watch_event_loss(struct watch *w, uint64_t n, uint64_t from_ns, uint64_t to_ns)
{
	w->events_lost += n;
	for (struct watch_guest *guest = w->guests; guest; guest = guest->next)
		threads_lost(guest->threads, from_ns, to_ns);
}

int
watch_chain(struct watch *w, const char *name, const struct stages_chain *chain)
{
	struct watch_port *port = watch_find(w, name);
	const struct threads *threads = NULL;
	enum stages_result result;
	struct stages stages;

	if (!port)
		return -ENOENT;
	if (chain->put_ns && threads_is_before(chain->put_ns, port->guest ? port->guest->since_ns : w->begin_ns))
		return 0;
	if (w->has_sched && port->guest)
		threads = port->guest->threads;
	result = stages_of(chain, threads, w->switch_pid, &stages);
	// Its guest is gone, and with it what its processors did.
	if (w->has_sched && !threads && (result == STAGES_ANSWERED || result == STAGES_UNANSWERED))
		result = STAGES_BLIND;
	tally_add(&port->tally, result, &stages, chain, chain->put_ns - w->begin_ns);
	return 0;
}

void
watch_chains_lost(struct watch_port *port, uint64_t n_so_far)
{
	port->lost += n_so_far >= port->lost_so_far ? n_so_far - port->lost_so_far : n_so_far;
	port->lost_so_far = n_so_far;
}

void
watch_counts(struct watch *w, uint32_t pid, const struct event_counts *counts)
{
	struct watch_guest *guest = find_guest(w, pid);

	if (guest)
		guest->counts = *counts;
}

struct event_counts
watch_halts(const struct watch_port *port)
{
	struct event_counts sum = port->counts;

	if (port->guest)
		add_counts(&sum, &port->guest->counts);
	return sum;
}
