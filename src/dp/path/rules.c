#include "rules.h"

#include "base/pkt.h"
#include "rtvs/flow_key.h"
#include "rtvs/frame.h"
#include "worker.h"

static struct rule *
find(struct worker *w, const struct rules *rules, const uint8_t *head, size_t n_head, size_t len)
{
	struct flow_digest *digest = &w->last_digest;
	struct flow_key key;
	uint32_t place, slot;

	if (w->last_gen == rules->gen && flow_digest_is(digest, head, n_head, len))
		return w->last_rule;
	if (!flow_digest_read(head, n_head, len, digest)) {
		flow_key_read(head, n_head, len, 0, &key);
		flow_digest_of_key(digest, &key);
	}
	if (!flow_cache_get(&w->flows, rules->gen, digest, &place, &slot)) {
		if (!digest->is_key)
			flow_key_read(head, n_head, len, 0, &key);
		slot = flow_table_find(rules->table, &key);
		flow_cache_put(&w->flows, place, rules->gen, digest, slot);
	}
	w->last_gen = rules->gen;
	w->last_rule = slot == FLOW_TABLE_NONE ? NULL : rules->rule[slot];
	return w->last_rule;
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

bool
rules_pass(struct worker *w, const struct rules *rules, const struct guest_frame *f, struct rule **ret_rule)
{
	if (f->n_pieces && !frame_has_all_headers(f->head, f->n_head))
		return false;
	*ret_rule = find(w, rules, f->head, f->n_head, f->n_bytes);
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
rules_apply(struct worker *w, const struct rules *rules, struct rte_mbuf **inout_m, bool *ret_is_written)
{
	struct rule *rule;

	*ret_is_written = false;
	if (unlikely(!have_headers(w, inout_m)))
		return DROP_NO_BUFFER;
	rule = find(w, rules, rte_pktmbuf_mtod(*inout_m, const uint8_t *), (*inout_m)->data_len, (*inout_m)->pkt_len);
	rules_count(w, rule, 1, (*inout_m)->pkt_len);
	if (!rule || rule->is_plain)
		return DROP_NONE;
	if (rule->entry.action.verdict == FLOW_DROP)
		return DROP_RULE;
	if (rule->limit.rate && !rate_limit_take(&rule->limit, &rule->paid, (*inout_m)->pkt_len, w->now_ns))
		return DROP_RULE_RATE;
	*ret_is_written = rule->writes;
	return *ret_is_written ? write_headers(w, &rule->entry.action.set, inout_m) : DROP_NONE;
}
