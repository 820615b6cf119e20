// The rule of claim.h. Invariant: is_refusing is the last answer, other than a ban.
#include "rtvs/claim.h"

void
claim_ban(struct claim *c, uint64_t now_ns)
{
	c->banned_until_ns = now_ns + CLAIM_BAN_NS;
}

bool
claim_is_banned(const struct claim *c, uint64_t now_ns)
{
	return now_ns < c->banned_until_ns;
}

void
claim_move(struct claim *c, uint64_t for_ns, uint64_t now_ns)
{
	c->move_until_ns = now_ns + for_ns;
}

enum claim_answer
claim_ask(struct claim *c, int32_t pid, bool is_held, int32_t holder_pid, uint64_t now_ns)
{
	bool is_same = c->is_refusing && c->refused_pid == pid && c->holder_pid == holder_pid;

	if (claim_is_banned(c, now_ns))
		return CLAIM_BANNED;
	if (!is_held || now_ns < c->move_until_ns) {
		if (is_held)
			c->move_until_ns = 0;
		c->is_refusing = false;
		return CLAIM_GRANTED;
	}
	c->is_refusing = true;
	c->refused_pid = pid;
	c->holder_pid = holder_pid;
	if (c->told_ns && now_ns - c->told_ns < (is_same ? CLAIM_TELL_NS : CLAIM_TELL_OTHER_NS))
		return CLAIM_REFUSED;
	c->told_ns = now_ns;
	return CLAIM_REFUSED_TELL;
}
