// JSON-RPC 2.0 (https://www.jsonrpc.org/specification) over declared parameter tables. Pure: bytes
// and JSON in, JSON out, no sockets. The server, the CLI, the manual, the shell completion and the
// fuzz dictionary know a method by its struct rpc_method alone.
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// One line: a configuration file of the largest size as one call.
#define RPC_MAX_REQUEST_BYTES ((24u << 20) + (64u << 10))
#define RPC_MAX_REQUEST_TEXT "24 MiB"
#define RPC_MAX_BATCH_BYTES (8u << 20) // of answers; a call after so many is refused
#define RPC_MAX_DEPTH 16 // nested arrays and objects
#define RPC_MAX_BATCH 256 // calls in one batch
#define RPC_MAX_PARAMS 64 // of one method: `present` is a 64-bit set
#define RPC_MAX_ERROR_TEXT 512

// Error codes of the specification, and ours for a state that does not allow the call.
#define RPC_PARSE_ERROR (-32700)
#define RPC_INVALID_REQUEST (-32600)
#define RPC_METHOD_NOT_FOUND (-32601)
#define RPC_INVALID_PARAMS (-32602) // message names the parameter and the accepted range
#define RPC_INTERNAL_ERROR (-32603) // our fault
#define RPC_STATE_ERROR (-32000) // data: {"errno": "ENOENT", ...}

// How a value looks in JSON, in a file and on the command line, and in the struct it decodes to.
enum rpc_type {
	RPC_NAME, // [A-Za-z0-9][A-Za-z0-9_.:-]*, or empty where min is 0; char[size]
	RPC_STR, // any text without NUL, at most size - 1 bytes; char[size]
	RPC_BOOL, // true/false; also "on" "off" "yes" "no" "true" "false"; bool
	RPC_UINT, // integer, or decimal text; uint32_t or uint64_t by size
	RPC_OCTAL, // file mode, text of octal digits ("0660"); uint32_t
	// Integers are in the first unit; texts have one, but for "0".
	RPC_TIME, // "2ms" (ns us ms s min h d); uint64_t
	// "20Mbit" (bit kbit Mbit Gbit Tbit, powers of 1000; also "20M", "20Mbps", "20Mbit/s");
	// uint64_t.
	RPC_RATE,
	RPC_SIZE, // "15kB", "64MiB" (B kB MB GB TB powers of 1000, KiB MiB GiB TiB); uint64_t
	RPC_ENUM, // one of `names`; uint32_t: its position
	RPC_MAC, // "52:54:00:00:00:01"; struct mac
	RPC_MACS, // list, or text separated by commas; struct mac_list
	// "192.0.2.1", "2001:db8::1/64", empty: none (len 0); struct prefix, bits beyond len
	// unchanged.
	RPC_ADDR,
	// "192.0.2.1", "2001:db8::/64"; list, or text separated by commas; struct prefix_list.
	RPC_PREFIXES,
	RPC_VLANS, // "1,5,100-200"; struct vlan_set
	RPC_CPUS, // "1,3-5"; struct cpu_list
	RPC_LIST, // list of any values; json_t *, borrowed from the request
	RPC_CALLS, // list of calls {"method","params"}; json_t *, borrowed from the request
};

struct rpc_param {
	const char *name;
	const char *help; // one line; units and meaning, no range (the table has it)
	const char *const *names; // RPC_ENUM: NULL-terminated
	// Default, as people write it; NULL: none. Decoded like an input when absent.
	const char *def;
	// Numbers: inclusive. Texts: bytes; lists and sets: entries. max 0: the type's own limit.
	uint64_t min, max;
	enum rpc_type type;
	uint16_t offset, size; // of the member it decodes to
	bool is_required;
	bool is_key; // names the object: `rtvsctl port show NAME` takes it without "name="
	bool is_kind; // RPC_ENUM: its value is the object's kind
	uint32_t kinds; // that it is for, as bits 1 << value of the is_kind one; 0: all
	// for the object's life: ends a sentence "NAME: fixed ...", with what to do; NULL: it may
	// change
	const char *fixed;
};

// One initializer: P(struct port_params, mtu, RPC_UINT, .min = 68, .max = 9600, .def = "1500",
// .help = "...")
#define RPC_PARAM_AS(json_name, st, member, rpc_type_, ...) \
	{.name = (json_name),                               \
		.type = (rpc_type_),                        \
		.offset = offsetof(st, member),             \
		.size = sizeof(((st *)NULL)->member),       \
		__VA_ARGS__}
#define RPC_PARAM(st, member, rpc_type_, ...) RPC_PARAM_AS(#member, st, member, rpc_type_, __VA_ARGS__)

struct rpc_error {
	int code; // 0: none
	char message[RPC_MAX_ERROR_TEXT];
	json_t *data; // owned; NULL: none
};

// params: the decoded struct. present: bit i set when the caller gave parameter i of the table
// (defaults do not set it). Returns 0 and a new reference in *ret_result (NULL: true), or -1 with
// err filled.
typedef int rpc_handler_fn(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err);

enum rpc_flag {
	RPC_READ_ONLY = 1, // allowed on the monitors' socket
	RPC_STARTUP = 2, // only as a first call of the configuration file
	RPC_CONFIG = 4, // changes the configuration: config.dump knows it, config.apply takes it
	RPC_CHANGE = 8, // changes an existing object: absent parameters stay, see rpc_decode
};

struct rpc_method {
	const char *name; // "noun.verb"
	const char *help; // one sentence
	const char *result; // one sentence: what it returns
	rpc_handler_fn *handler;
	const struct rpc_param *params;
	uint16_t n_params; // 0: a row without a name ends the table, NULL: there is none
	uint16_t params_size; // of the struct they decode to
	uint32_t flags; // enum rpc_flag
};

// The methods of a noun, ended by one without name. A handler is given the part of the session's
// ctx that its noun is about, which begins at ctx_offset.
struct rpc_noun {
	const struct rpc_method *methods;
	size_t ctx_offset;
};

struct rpc_api {
	const struct rpc_noun *nouns; // ended by one without methods
};

const struct rpc_method *rpc_find(const struct rpc_api *api, const char *name, size_t len);

// The names of enum rpc_type as rpc_discover writes them: "name", "str", ...
extern const char *const rpc_type_names[];

// Fills err; its data are unchanged. Longer text is cut, and bytes that are not UTF-8 become '?'.
// err->message may be an argument.
void rpc_error_set(struct rpc_error *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
// RPC_STATE_ERROR with data {"errno": NAME}; neg_errno as our functions return it.
void rpc_error_errno(struct rpc_error *err, int neg_errno, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

// Checks and decodes an object of parameters (NULL: none given) into out, params_size bytes.
// use_defaults: absent parameters get their default, or zero, and required ones are demanded. False
// (a change of an existing object): absent parameters leave out unchanged, only is_key ones are
// demanded.
// Returns 0 or -1 with err: unknown parameter, wrong type, unit or range.
int rpc_decode(const struct rpc_param *params, unsigned n_params, const json_t *in, bool use_defaults, void *out,
	uint64_t *ret_present, struct rpc_error *err);
// After an error the content of out is undefined. The inverse: an object that decodes to `in`.
// Members equal to their default are omitted unless is_key or is_required. New reference, NULL when
// out of memory.
json_t *rpc_encode(const struct rpc_param *params, unsigned n_params, const void *in);
// True: both are encoded alike. False also when out of memory.
bool rpc_is_same(const struct rpc_param *params, unsigned n_params, const void *a, const void *b);
// One value as encode writes it; for results that show a configuration. in: the struct, not the
// member.
json_t *rpc_encode_value(const struct rpc_param *param, const void *in);

// Of an object, as it is or as it would be: is each parameter that the caller gave for its kind? 0,
// or -1 with err.
int rpc_check_kinds(
	const struct rpc_param *params, unsigned n_params, uint64_t present, const void *object, struct rpc_error *err);
// Could one of them become the other, with all that is fixed as it is? 0, or -1 with err.
int rpc_check_fixed(
	const struct rpc_param *params, unsigned n_params, const void *from, const void *to, struct rpc_error *err);

struct rpc_session {
	const struct rpc_api *api;
	void *ctx; // of which handlers have a part each
	// 0, or flags of which a method must have all (RPC_READ_ONLY on the monitors' socket).
	uint32_t only_flags;
	uint32_t deny_flags; // flags of which a method must have none (RPC_STARTUP at run time)
	unsigned max_batch; // calls in one batch; 0: RPC_MAX_BATCH
	const char *ended; // why no further call is executed; NULL: they are
	uint64_t n_calls, n_errors; // counted here
	// After each call that was executed, before its answer is sent; NULL: nobody asks. rc: the
	// handler's.
	void (*done)(void *ctx, const struct rpc_method *method, const json_t *params, int rc);
};

// Executes one request or batch. Returns a new reference, or NULL when nothing is to be answered
// (notifications). Never fails: bad input becomes an error response.
json_t *rpc_dispatch(struct rpc_session *session, const char *text, size_t len);
// One call, as a configuration file has it. ret_result may be NULL. Returns 0 or -1 with err.
int rpc_call(struct rpc_session *session, const char *method, const json_t *params, json_t **ret_result,
	struct rpc_error *err);
// Parses text of at most max_bytes (0: RPC_MAX_REQUEST_BYTES), nested at most RPC_MAX_DEPTH deep.
// Duplicate keys are refused. New reference, or NULL with err filled.
json_t *rpc_parse(const char *text, size_t len, size_t max_bytes, struct rpc_error *err);

// The whole table as JSON:
// [{"method","help","result","flags":[...],"params":[{"name","type","required","key",
// "min","max","names","default","only_for":["type=vhost"],"fixed","help"}]}]. min and max are those
// in force; max, names, default and only_for are absent where there is none. A method that changes
// what exists is shown without what is fixed. New reference.
json_t *rpc_discover(const struct rpc_api *api);
