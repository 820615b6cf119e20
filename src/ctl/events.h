// Events go once to the log where an operator wants them, and to every client that subscribed.
#pragma once

#include "rtvs/dp.h"
#include "rtvs/log.h"
#include "server.h"

#include <jansson.h>
#include <stdint.h>

struct ctl;

#define EVENTS_LOG_BURST 10 // lines that one port's guest may cause in a window
#define EVENTS_LOG_WINDOW_NS UINT64_C(10000000000)

struct events_limit {
	uint64_t window_ns; // its start
	uint32_t n_lines, n_suppressed;
};

struct events {
	struct events_limit limits[DP_MAX_PORTS + 1]; // last: what no port caused
	uint64_t n_sent;
};

uint64_t events_now_ns(void); // CLOCK_REALTIME
// Adds "time", as RFC 3339 has it.
void events_add_time(json_t *object, uint64_t time_ns);
// Sends to subscribers. name: of event_list.h. params is stolen (NULL: nothing is sent); "time" is
// added.
void events_emit(struct ctl *ctl, const char *name, json_t *params);
// One line about a port that a guest may cause (DP_MAX_PORTS: about the switch), unless there were
// too many.
void events_log(struct ctl *ctl, unsigned port, enum log_level level, const struct log_about *about, const char *fmt,
	...) __attribute__((format(printf, 5, 6)));
// model_changed_fn with a struct ctl as arg.
void events_changed(void *ctl, const char *what, const char *name);
// Everything that the datapath has to tell.
void events_drain(struct ctl *ctl);
// Is the name in the patterns ("port.*,worker.stall")? Empty: every name is.
bool events_match(const char *patterns, const char *name);
// The first of the patterns that no event's name matches, into buf: false; true: there is none.
bool events_check(const char *patterns, char buf[SERVER_MAX_PATTERNS]);
// All names, separated by commas and spaces.
extern const char *const events_names;
// May one more line be logged? Tells with the first of a window how many were suppressed before.
bool events_limit_pass(struct events_limit *limit, uint32_t *ret_suppressed, uint64_t now_ns);
