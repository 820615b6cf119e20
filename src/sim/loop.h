// Runs a scenario of feedback under virtual time: the switch's scheduler at each host, its account
// of delays at each receiver and its controller at each sender, around a shared link with strict
// priority. Pure and in integers: the same result on any machine for the same scenario, mode and
// seed. All modes see the same packets.
#pragma once

#include "loop_result.h"

#define LOOP_MAX_PACKETS (1u << 20) // queued and under way at one time
#define LOOP_MAX_REPORTS (1u << 20)

// 0, -ENOMEM, or -ENOSPC (more than LOOP_MAX_PACKETS or LOOP_MAX_REPORTS). The caller finishes the
// result by loop_result_fini.
int loop_run(const struct loop_scenario *sc, enum feedback_mode mode, uint64_t seed, struct loop_result *ret_result);
