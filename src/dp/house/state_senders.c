// Senders of scheduled ports in a state: what became of their packets, their buckets, and when the
// link is free. Their parameters are configuration. A port that had a schedule has one again.
#include "state_senders.h"

#include "path/schedule.h"
#include "path/senders.h"
#include "state_hist.h"
#include "views.h"

struct saved_link {
	uint32_t port, zero;
	uint64_t free_ns;
};

struct saved_sender {
	uint32_t port, from; // from: SHARED: all without a place of their own
	uint64_t guaranteed_pkts, guaranteed_bytes, surplus_pkts, surplus_bytes, missed_pkts, broken_pkts, late_pkts,
		worst_late_ns;
	uint64_t tokens, tokens_ns; // billionths of a byte
	uint64_t held_ns;
	uint64_t first_above_ns, drop_next_ns; // codel's
	uint32_t count, last_count, is_dropping, zero;
}; // then the histogram of delays
#define SHARED UINT32_MAX

static void
save_sender(struct state_save *s, uint32_t out, uint32_t from, const struct senders *t, uint32_t place)
{
	struct sched_past past;
	struct saved_sender saved;

	sched_past(&t->s, place, &past);
	saved = (struct saved_sender){.port = out,
		.from = from,
		.guaranteed_pkts = past.stats.guaranteed_pkts,
		.guaranteed_bytes = past.stats.guaranteed_bytes,
		.surplus_pkts = past.stats.surplus_pkts,
		.surplus_bytes = past.stats.surplus_bytes,
		.missed_pkts = past.stats.missed_pkts,
		.broken_pkts = past.stats.broken_pkts,
		.late_pkts = past.stats.late_pkts,
		.worst_late_ns = past.stats.worst_late_ns,
		.tokens = past.tokens,
		.tokens_ns = state_saved_ns(s, past.tokens_ns),
		.held_ns = atomic_load(&t->at[place].held.held_ns),
		.first_above_ns = state_saved_ns(s, past.codel.first_above_ns),
		.drop_next_ns = state_saved_ns(s, past.codel.drop_next_ns),
		.count = past.codel.count,
		.last_count = past.codel.last_count,
		.is_dropping = past.codel.is_dropping};
	state_record_begin(&s->out, STATE_SENDER, 1);
	state_record_put(&s->out, &saved, sizeof(saved));
	state_hist_put(&s->out, &t->delay[place]);
	state_record_end(&s->out);
}

static void
save_port(struct state_save *s, uint32_t out, const struct senders *t)
{
	struct saved_link link = {.port = out, .free_ns = state_saved_ns(s, t->s.link.free_ns)};

	state_record_begin(&s->out, STATE_LINK, 1);
	state_record_put(&s->out, &link, sizeof(link));
	state_record_end(&s->out);
	for (uint32_t i = 0; (i = senders_next(t, i)) != SENDERS_PLACES; i++) {
		uint16_t from = i == SENDER_SHARED ? 0 : sender_table_port(&t->table, i);

		if (i == SENDER_SHARED)
			save_sender(s, out, SHARED, t, i);
		else if (s->dp->port[from] && s->dp->port[from]->path.serial == t->at[i].serial)
			save_sender(s, out, from, t, i);
	}
}

void
state_senders_save(struct state_save *s)
{
	for (uint32_t i = 0; i < DP_MAX_PORTS; i++)
		if (s->dp->port[i] && s->dp->port[i]->schedule)
			save_port(s, i, schedule_senders(s->dp->port[i]->schedule));
}

bool
state_senders_load_link(struct state_load *l, struct state_record *record)
{
	struct saved_link saved;
	const struct view *view;
	struct senders *t;
	struct port *port;

	if (!state_take_all(record, &saved, sizeof(saved)) || saved.zero)
		return false;
	port = state_port(l, saved.port);
	if (!port || !port->path.device.io || port_make_schedule(port) || views_publish(l->dp))
		return false;
	view = atomic_load(&l->dp->env.view);
	t = schedule_senders(port->schedule);
	senders_set_link(state_owner(l, port), view, port->path.id, t);
	if (t->s.n_queued)
		return false;
	sched_restore_link(&t->s, state_loaded_ns(l, saved.free_ns), l->now_ns);
	return true;
}

// Its place has the view's parameters then.
static uint32_t
place_of(struct state_load *l, struct port *out, const struct port *from)
{
	const struct view *view = atomic_load(&l->dp->env.view);
	struct senders *t = schedule_senders(out->schedule);

	if (from)
		return senders_place(state_owner(l, out), view, out->path.id, t, from->path.id);
	senders_share(state_owner(l, out), view, out->path.id, t);
	return SENDER_SHARED;
}

bool
state_senders_load(struct state_load *l, struct state_record *record)
{
	struct saved_sender saved;
	struct sched_past past;
	struct port *out, *from;
	struct senders *t;
	struct hist delay;
	uint32_t place;

	if (!state_record_take(record, &saved, sizeof(saved)) || !state_hist_take(record, &delay) || record->left ||
		saved.zero || saved.is_dropping > 1)
		return false;
	out = state_port(l, saved.port);
	from = saved.from == SHARED ? NULL : state_port(l, saved.from);
	if (!out || !out->schedule || (saved.from != SHARED && !from))
		return false;
	t = schedule_senders(out->schedule);
	place = place_of(l, out, from);
	if (t->s.sender[place].n_queued)
		return false;
	past = (struct sched_past){
		.stats = {.guaranteed_pkts = saved.guaranteed_pkts,
			.guaranteed_bytes = saved.guaranteed_bytes,
			.surplus_pkts = saved.surplus_pkts,
			.surplus_bytes = saved.surplus_bytes,
			.missed_pkts = saved.missed_pkts,
			.broken_pkts = saved.broken_pkts,
			.late_pkts = saved.late_pkts,
			.worst_late_ns = saved.worst_late_ns},
		.tokens = saved.tokens,
		.tokens_ns = state_loaded_ns(l, saved.tokens_ns),
		.codel = {.first_above_ns = state_loaded_ns(l, saved.first_above_ns),
			.drop_next_ns = state_loaded_ns(l, saved.drop_next_ns),
			.count = saved.count,
			.last_count = saved.last_count,
			.is_dropping = saved.is_dropping},
	};
	sched_restore(&t->s, place, &past, l->now_ns);
	if (delay.count) {
		t->s.sender[place].delay = &t->delay[place];
		hist_merge(&t->delay[place], &delay);
	}
	atomic_fetch_add(&t->at[place].held.held_ns, saved.held_ns);
	l->told->n_senders++;
	return true;
}
