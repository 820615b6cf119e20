#include "rules.h"

#include "base/pkt.h"
#include "rtvs/flow_key.h"
#include "rtvs/frame.h"
#include "shape.h"
#include "worker.h"

#include <rte_prefetch.h>

// The rule for the last digest. key: that it stands for, NULL: to be read.
static struct rule *
find(struct worker *w, const struct rules *rules, uint32_t place, const struct flow_key *key, const uint8_t *head,
	size_t n_head, size_t len)
{
	struct flow_key own;
	uint32_t slot;

	if (!flow_cache_get(&w->flows, rules->gen, &w->last_digest, &place, &slot)) {
		if (!key)
			flow_key_read(head, n_head, len, 0, &own);
		slot = flow_table_find(rules->table, key ? key : &own);
		flow_cache_put(&w->flows, place, rules->gen, &w->last_digest, slot);
	}
	w->last_gen = rules->gen;
	w->last_rule = slot == FLOW_TABLE_NONE ? NULL : rules->rule[slot];
	return w->last_rule;
}

static struct rule *
find_by_key(struct worker *w, const struct rules *rules, const uint8_t *head, size_t n_head, size_t len)
{
	struct flow_key key;

	flow_key_read(head, n_head, len, 0, &key);
	flow_digest_of_key(&w->last_digest, &key);
	return find(w, rules, flow_cache_place(&w->flows, &w->last_digest), &key, head, n_head, len);
}

static struct rule *
find_by_digest(struct worker *w, const struct rules *rules, const uint8_t *head, size_t n_head, size_t len)
{
	if (w->last_gen == rules->gen && flow_digest_is(&w->last_digest, head, n_head, len))
		return w->last_rule;
	if (!flow_digest_read(head, n_head, len, &w->last_digest))
		return find_by_key(w, rules, head, n_head, len);
	return find(w, rules, flow_cache_place(&w->flows, &w->last_digest), NULL, head, n_head, len);
}

void
rules_count(const struct worker *w, struct rule *rule, uint64_t packets, uint64_t bytes)
{
	struct rule_count *count;

	if (!rule)
		return;
	count = &rule->count[w->index];
	__atomic_store_n(&count->packets, count->packets + packets, __ATOMIC_RELAXED);
	__atomic_store_n(&count->bytes, count->bytes + bytes, __ATOMIC_RELAXED);
}

void
rules_look_ahead(struct worker *w, const struct rules *rules, const struct guest_frame *f, uint16_t n,
	struct rules_ahead *ret_ahead)
{
	const struct flow_digest *last = w->last_gen == rules->gen ? &w->last_digest : NULL;

	for (uint16_t k = 0; k < n; k++) {
		struct rules_ahead *a = &ret_ahead[k];

		a->kind = RULES_KEY;
		if (last && flow_digest_is(last, f[k].head, f[k].n_head, f[k].n_bytes)) {
			a->kind = RULES_SAME;
		} else if (flow_digest_read(f[k].head, f[k].n_head, f[k].n_bytes, &a->digest)) {
			a->kind = RULES_DIGEST;
			a->place = flow_cache_place(&w->flows, &a->digest);
			rte_prefetch0(&w->flows.line[a->place]);
			rte_prefetch0(&w->flows.line[a->place + 1]);
			last = &a->digest;
		} else {
			last = NULL;
		}
	}
}

bool
rules_pass(struct worker *w, const struct rules *rules, const struct guest_frame *f, const struct rules_ahead *ahead,
	struct rule **ret_rule)
{
	switch (ahead->kind) {
	case RULES_KEY:
		if (f->n_pieces && !frame_has_all_headers(f->head, f->n_head))
			return false;
		*ret_rule = find_by_key(w, rules, f->head, f->n_head, f->n_bytes);
		break;
	case RULES_DIGEST:
		w->last_digest = ahead->digest;
		*ret_rule = find(w, rules, ahead->place, NULL, f->head, f->n_head, f->n_bytes);
		break;
	case RULES_SAME:
		*ret_rule = w->last_rule;
		break;
	}
	return !*ret_rule || (*ret_rule)->is_plain;
}

static enum drop
write_headers(struct worker *w, const struct flow_set *set, struct rte_mbuf **inout_m)
{
	struct rte_mbuf *m = *inout_m = pkt_room(w->pool, *inout_m, 0);

	if (!m)
		return DROP_NO_BUFFER;
	return flow_set_apply(set, rte_pktmbuf_mtod(m, uint8_t *), m->data_len, m->pkt_len, pkt_asks(m)) ? DROP_NONE :
													   DROP_REWRITE;
}

// What a rule matches on is in the first buffer, unless headers are longer than is usual: then the
// packet is copied as a whole, since a sender must not choose what is read.
static bool
have_headers(struct worker *w, struct rte_mbuf **inout_m)
{
	struct rte_mbuf *m = *inout_m;

	if (likely(m->nb_segs == 1 || frame_has_all_headers(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len)))
		return true;
	*inout_m = pkt_replace(w->pool, m, 0);
	return *inout_m;
}

enum drop
rules_find(struct worker *w, const struct rules *rules, struct rte_mbuf **inout_m, struct rule **ret_rule)
{
	*ret_rule = NULL;
	if (unlikely(!have_headers(w, inout_m)))
		return DROP_NO_BUFFER;
	*ret_rule = find_by_digest(
		w, rules, rte_pktmbuf_mtod(*inout_m, const uint8_t *), (*inout_m)->data_len, (*inout_m)->pkt_len);
	rules_count(w, *ret_rule, 1, (*inout_m)->pkt_len);
	return DROP_NONE;
}

static bool
has_tag(const struct rte_mbuf *m)
{
	struct frame_l2 l2;

	return frame_parse_l2(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, &l2) && l2.is_tagged;
}

static enum drop
change(struct worker *w, const struct rule *rule, struct rte_mbuf **inout_m)
{
	const struct flow_action *action = &rule->entry.action;
	enum drop drop = rule->writes ? write_headers(w, &action->set, inout_m) : DROP_NONE;

	if (drop != DROP_NONE)
		return drop;
	if (action->pops_tag && has_tag(*inout_m))
		*inout_m = shape_pop_tag(w, *inout_m);
	if (*inout_m && action->push_tci)
		*inout_m = shape_push_tag(w, *inout_m, (uint16_t)(action->push_tci & ~FLOW_KEY_VLAN_PRESENT));
	return *inout_m ? DROP_NONE : DROP_NO_BUFFER;
}

enum drop
rules_act(struct worker *w, struct rule *rule, struct rte_mbuf **inout_m)
{
	if (rule->entry.action.verdict == FLOW_DROP)
		return DROP_RULE;
	if (rule->limit.rate && !rate_limit_take(&rule->limit, &rule->paid, (*inout_m)->pkt_len, w->now_ns))
		return DROP_RULE_RATE;
	return rule->changes ? change(w, rule, inout_m) : DROP_NONE;
}
