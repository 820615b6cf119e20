// Log front-end: one line per event to stderr. Where that is the journal, a message with fields
// goes through the configured sink. Not for core, wire, rpc, util, nor for the per-packet path of
// dp. Any thread.
#pragma once

#include <stdbool.h>

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
};
extern const char *const log_level_names[]; // "error", "warning", "info", "debug", NULL

// Messages that operators alert on: the journal's MESSAGE_ID, which stays when the text changes.
// docs/monitoring.md lists them.
#define LOG_ID_GUEST_CONNECTED "763c479602fc42ddb3b55358f8f1f64c"
#define LOG_ID_GUEST_LEFT "79116c371fa948b5a56c935aedacb5fb"
#define LOG_ID_GUEST_ERROR "aa021432475a492ba893218482cf71b8"
#define LOG_ID_ADMISSION_REFUSED "2b715c88b5034944a752196f980a918f"
#define LOG_ID_UNGUARANTEED "a85b3110b8c74c119c13175911c8677f"
#define LOG_ID_FLOW_ESCALATED "0502b7549aa04141a79f1abdb7ee90c5"
#define LOG_ID_FLOW_RECOVERED "74ab7302644348a2a018a8a60a4a64a4"
#define LOG_ID_CONFIG_REFUSED "5973c7e3e17c44d8a7d5f98d41cc3b32"
#define LOG_ID_WORKER_STALL "e65f83b4af5a4436822126123d344f3f"
#define LOG_ID_GUEST_REFUSED "93c7131e1c1d4193a77bce8da4f6b1c7"
#define LOG_ID_FRONT_END_REFUSED "d759a7e7e81b4ca7a9e3079f10d34c15"
#define LOG_ID_NOT_KEPT "3fbc733961a64052b8b5c9e3b8aa51d0"
#define LOG_ID_WATCHDOG "00d17c20ffa247e895f7c451513008ab"

#define LOG_MAX_FIELDS 4
// "PORT", "vm1": RTVS_PORT=vm1 in the journal. The value: NULL and "" mean that there is none.
struct log_field {
	const char *name, *value;
};
struct log_about {
	const char *id; // LOG_ID_*, NULL: none
	struct log_field fields[LOG_MAX_FIELDS]; // until one without a name
};
#define LOG_ABOUT(id, ...) (&(const struct log_about){(id), {__VA_ARGS__}})

// Gets messages in place of stderr, where that is the journal. text has no control characters.
// about may be NULL. Any thread.
typedef void log_sink_fn(enum log_level level, const char *text, const struct log_about *about);

void log_set_level(enum log_level level);
bool log_is_shown(enum log_level level); // any thread
void log_set_sink(log_sink_fn *sink); // NULL: none. Before there are other threads
void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// The text names what it is about as well: not every reader sees fields.
void log_about(enum log_level level, const struct log_about *about, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)
