// Which front-end may have a guest port's socket: one at a time. A second virtual machine that
// names the same socket by mistake thus takes nothing from the first. A successor may connect when
// the first has gone, or once after the operator asked for a move. After a fault that made other
// ports wait, no front-end may connect for a while. The ban is the port's, since a banned process
// can have another one at once. Times are ns on one monotonic clock. Not thread-safe.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CLAIM_BAN_NS UINT64_C(1000000000)
// Time between two reports of one process that is refused again and again.
#define CLAIM_TELL_NS UINT64_C(10000000000)
// Between reports of different processes, of any number.
#define CLAIM_TELL_OTHER_NS UINT64_C(1000000000)

struct claim {
	uint64_t banned_until_ns, move_until_ns, told_ns; // 0: never
	bool is_refusing; // a front-end tried in vain
	int32_t refused_pid, holder_pid; // then
};

enum claim_answer {
	CLAIM_GRANTED,
	CLAIM_BANNED,
	CLAIM_REFUSED, // another front-end has the port
	CLAIM_REFUSED_TELL, // likewise, and the operator is to be told
};

void claim_ban(struct claim *c, uint64_t now_ns);
bool claim_is_banned(const struct claim *c, uint64_t now_ns);
// One successor may connect within that time.
void claim_move(struct claim *c, uint64_t for_ns, uint64_t now_ns);
// A front-end of process pid connects. is_held: that of process holder_pid is connected.
enum claim_answer claim_ask(struct claim *c, int32_t pid, bool is_held, int32_t holder_pid, uint64_t now_ns);
