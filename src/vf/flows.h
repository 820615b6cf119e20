// What the agent has of filters and rules, for people: by its socket.
#pragma once

#include "session.h"

// 0 with a new reference; 1: refused, err says why; a negative errno with err. Each flow has
// cookie, in, rule, state, packets, bytes, and of a trap its reason.
int vf_flows_list(const char *agent, unsigned timeout_ms, json_t **ret_flows, char err[SESSION_ERR_SIZE]);
// Of the agent itself.
int vf_flows_agent(const char *agent, unsigned timeout_ms, json_t **ret_agent, char err[SESSION_ERR_SIZE]);
