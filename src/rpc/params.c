// Parameters of RPC calls: JSON to struct and back, driven by the method's table. Every type has
// one row in `types` below; a value given as text and a default pass through the same code.
// Invariant: decode(encode(x)) == x for every struct that decode can make. The message of each
// refusal names the parameter, quotes the value and says what would be accepted. Called by
// dispatch.c and by ctl for files and dumps.

#include "params.h"

#include "rtvs/text.h"
#include "rtvs/units.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUOTE_SIZE 64
#define VLANS_TEXT_SIZE 20480 // see units.h
#define MAX_FILE_MODE 07777

typedef int parse_number_fn(const char *text, uint64_t *ret_value);
typedef const char *format_number_fn(uint64_t value, char *buf);
// Both work on the member, whose size the parameter knows. decode returns 0, -EINVAL (not a value
// of the type: the caller reports it), or -1 with err filled.
typedef int decode_fn(const struct rpc_param *param, const json_t *in, void *out, struct rpc_error *err);
typedef json_t *encode_fn(const struct rpc_param *param, const void *in);

struct type {
	decode_fn *decode;
	encode_fn *encode;
	parse_number_fn *parse; // numbers with units
	format_number_fn *format;
	const char *what; // "is not ..."
	const char *units[4]; // examples
};

static const struct type types[];

const char *const rpc_type_names[] = {"name", "str", "bool", "uint", "octal", "time", "rate", "size", "enum", "mac",
	"macs", "addr", "prefixes", "vlans", "cpus", "list", "calls", NULL};

// The value as the caller wrote it, for messages.
static const char *
quote(const json_t *in, char buf[QUOTE_SIZE])
{
	static const char *const words[] = {[JSON_OBJECT] = "an object",
		[JSON_ARRAY] = "a list",
		[JSON_TRUE] = "true",
		[JSON_FALSE] = "false",
		[JSON_NULL] = "null"};

	if (json_is_string(in))
		(void)snprintf(
			buf, QUOTE_SIZE, "'%.40s%s'", json_string_value(in), json_string_length(in) > 40 ? "..." : "");
	else if (json_is_integer(in))
		(void)snprintf(buf, QUOTE_SIZE, "%" JSON_INTEGER_FORMAT, json_integer_value(in));
	else if (json_is_real(in))
		(void)snprintf(buf, QUOTE_SIZE, "%g", json_real_value(in));
	else
		(void)snprintf(buf, QUOTE_SIZE, "%s", words[json_typeof(in)]);
	return buf;
}

static int
fail_type(const struct rpc_param *param, const json_t *in, struct rpc_error *err)
{
	char buf[QUOTE_SIZE];

	rpc_error_set(
		err, RPC_INVALID_PARAMS, "%s: %s is not %s", param->name, quote(in, buf), types[param->type].what);
	return -1;
}

// The units are for users who think that there is only one.
static int
fail_unit(const struct rpc_param *param, const json_t *in, struct rpc_error *err)
{
	const char *const *units = types[param->type].units, *number = json_string_value(in);

	rpc_error_set(err, RPC_INVALID_PARAMS, "%s: %.20s needs a unit: %.20s%s, %.20s%s, %.20s%s or %.20s%s",
		param->name, number, number, units[0], number, units[1], number, units[2], number, units[3]);
	return -1;
}

static uint64_t
own_limit(const struct rpc_param *param)
{
	switch (param->type) {
	case RPC_NAME:
	case RPC_STR:
		return param->size - 1u;
	case RPC_UINT:
		return param->size == 4 ? UINT32_MAX : UINT64_MAX;
	case RPC_OCTAL:
		return MAX_FILE_MODE;
	case RPC_MACS:
		return RTVS_MAX_MACS;
	case RPC_PREFIXES:
		return RTVS_MAX_PREFIXES;
	case RPC_VLANS:
		return RTVS_VLAN_MAX;
	case RPC_CPUS:
		return RTVS_MAX_CPUS;
	default:
		return UINT64_MAX;
	}
}

void
params_limits(const struct rpc_param *param, uint64_t *ret_min, uint64_t *ret_max)
{
	uint64_t own = own_limit(param);

	*ret_min = param->min;
	*ret_max = param->max != 0 && param->max < own ? param->max : own;
}

static const char *
format_uint(uint64_t value, char *buf)
{
	(void)snprintf(buf, UNITS_TEXT_SIZE, "%" PRIu64, value);
	return buf;
}

static const char *
format_octal(uint64_t value, char *buf)
{
	(void)snprintf(buf, UNITS_TEXT_SIZE, "0%03" PRIo64, value);
	return buf;
}

// what: the subject, "70000" or "length 300".
static int
fail_range(const struct rpc_param *param, const char *what, struct rpc_error *err)
{
	format_number_fn *format = types[param->type].format;
	char low[UNITS_TEXT_SIZE], high[UNITS_TEXT_SIZE];
	uint64_t min, max;

	params_limits(param, &min, &max);
	if (format == NULL)
		format = format_uint;
	rpc_error_set(err, RPC_INVALID_PARAMS, "%s: %s is out of range %s to %s", param->name, what, format(min, low),
		format(max, high));
	return -1;
}

static bool
is_in_range(const struct rpc_param *param, uint64_t value)
{
	uint64_t min, max;

	params_limits(param, &min, &max);
	return value >= min && value <= max;
}

static int
check_count(const struct rpc_param *param, uint64_t n, const char *noun, struct rpc_error *err)
{
	char what[UNITS_TEXT_SIZE];

	if (is_in_range(param, n))
		return 0;
	(void)snprintf(what, sizeof(what), "%s %" PRIu64, noun, n);
	return fail_range(param, what, err);
}

static bool
is_name(const char *text)
{
	static const char alnum[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

	// The first of the two calls refuses the empty text, too.
	return strspn(text, alnum) > 0 &&
		text[strspn(text,
			"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			"0123456789_.:-")] == '\0';
}

static int
decode_text(const struct rpc_param *param, const json_t *in, void *out, struct rpc_error *err)
{
	const char *text = json_string_value(in);
	bool may_be_empty = param->type == RPC_STR || param->min == 0;

	if (text == NULL || (*text != '\0' ? param->type == RPC_NAME && !is_name(text) : !may_be_empty))
		return -EINVAL;
	if (check_count(param, json_string_length(in), "length", err) != 0)
		return -1;
	(void)text_copy(out, param->size, text);
	return 0;
}

static json_t *
encode_text(const struct rpc_param *param, const void *in)
{
	(void)param;
	return json_string(in);
}

static int
decode_bool(const struct rpc_param *param, const json_t *in, void *out, struct rpc_error *err)
{
	static const char *const words[] = {"off", "on", "no", "yes", "false", "true"};
	bool *value = out;

	(void)param;
	(void)err;
	if (json_is_boolean(in)) {
		*value = json_is_true(in);
		return 0;
	}
	for (unsigned i = 0; json_is_string(in) && i < sizeof(words) / sizeof(*words); i++) {
		if (strcmp(words[i], json_string_value(in)) == 0) {
			*value = i % 2 == 1;
			return 0;
		}
	}
	return -EINVAL;
}

static json_t *
encode_bool(const struct rpc_param *param, const void *in)
{
	const bool *value = in;

	(void)param;
	return json_boolean(*value);
}

static int
parse_octal(const char *text, uint64_t *ret_value)
{
	uint64_t value = 0;
	size_t len = strlen(text);

	if (len == 0 || len > 20 || strspn(text, "01234567") != len)
		return -EINVAL;
	for (; *text != '\0'; text++)
		value = value << 3 | (uint64_t)(*text - '0'); // 20 digits are 60 bits
	*ret_value = value;
	return 0;
}

static void
store_number(const struct rpc_param *param, uint64_t value, void *out)
{
	uint32_t narrow = (uint32_t)value; // own_limit kept it below 2^32

	assert(param->size == sizeof(uint32_t) || param->size == sizeof(uint64_t));
	if (param->size == sizeof(narrow))
		memcpy(out, &narrow, sizeof(narrow));
	else
		memcpy(out, &value, sizeof(value));
}

static uint64_t
load_number(const struct rpc_param *param, const void *in)
{
	uint32_t narrow = 0;
	uint64_t value = 0;

	assert(param->size == sizeof(uint32_t) || param->size == sizeof(uint64_t));
	if (param->size == sizeof(value)) {
		memcpy(&value, in, sizeof(value));
		return value;
	}
	memcpy(&narrow, in, sizeof(narrow));
	return narrow;
}

static int
decode_number(const struct rpc_param *param, const json_t *in, void *out, struct rpc_error *err)
{
	char buf[QUOTE_SIZE];
	uint64_t value = 0;
	int rc = -EINVAL;

	if (json_is_string(in))
		rc = types[param->type].parse(json_string_value(in), &value);
	// JSON's 660 would mean another mode than it seems to.
	else if (json_is_integer(in) && param->type != RPC_OCTAL)
		rc = json_integer_value(in) < 0 ? -ERANGE : 0;
	if (rc == -EINVAL)
		return rc;
	if (rc == -EDOM)
		return fail_unit(param, in, err);
	if (json_is_integer(in))
		value = (uint64_t)json_integer_value(in);
	if (rc != 0 || !is_in_range(param, value))
		return fail_range(param, quote(in, buf), err);
	store_number(param, value, out);
	return 0;
}

// JSON's integers have 63 bits here; what is larger is written as text, which decode takes as well.
static json_t *
encode_uint(const struct rpc_param *param, const void *in)
{
	uint64_t value = load_number(param, in);
	char buf[UNITS_TEXT_SIZE];

	if (value <= INT64_MAX)
		return json_integer((json_int_t)value);
	return json_string(format_uint(value, buf));
}

static json_t *
encode_number(const struct rpc_param *param, const void *in)
{
	char buf[UNITS_TEXT_SIZE];

	return json_string(types[param->type].format(load_number(param, in), buf));
}

static int
fail_enum(const struct rpc_param *param, const json_t *in, struct rpc_error *err)
{
	char list[RPC_MAX_ERROR_TEXT / 2] = "", buf[QUOTE_SIZE];
	size_t len = 0;

	for (unsigned i = 0; param->names[i] != NULL && len < sizeof(list); i++)
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s", i > 0 ? ", " : "", param->names[i]);
	rpc_error_set(err, RPC_INVALID_PARAMS, "%s: %s is none of %s", param->name, quote(in, buf), list);
	return -1;
}

static int
decode_enum(const struct rpc_param *param, const json_t *in, void *out, struct rpc_error *err)
{
	for (uint32_t i = 0; json_is_string(in) && param->names[i] != NULL; i++) {
		if (strcmp(param->names[i], json_string_value(in)) == 0) {
			memcpy(out, &i, sizeof(i));
			return 0;
		}
	}
	return fail_enum(param, in, err);
}

static json_t *
encode_enum(const struct rpc_param *param, const void *in)
{
	uint32_t value, n = 0;

	memcpy(&value, in, sizeof(value));
	while (param->names[n] != NULL)
		n++;
	assert(value < n);
	return json_string(param->names[value]);
}

static int
decode_mac(const struct rpc_param *param, const json_t *in, void *out, struct rpc_error *err)
{
	(void)param;
	(void)err;
	return json_is_string(in) ? units_parse_mac(json_string_value(in), out) : -EINVAL;
}

static json_t *
encode_mac(const struct rpc_param *param, const void *in)
{
	char buf[UNITS_TEXT_SIZE];

	(void)param;
	return json_string(units_format_mac(in, buf));
}

static int
decode_addr(const struct rpc_param *param, const json_t *in, void *out, struct rpc_error *err)
{
	const char *text = json_string_value(in);

	(void)param;
	(void)err;
	if (!text)
		return -EINVAL;
	if (*text)
		return units_parse_addr(text, out);
	memset(out, 0, sizeof(struct prefix));
	return 0;
}

static json_t *
encode_addr(const struct rpc_param *param, const void *in)
{
	char buf[UNITS_TEXT_SIZE];

	(void)param;
	return json_string(((const struct prefix *)in)->len ? units_format_prefix(in, buf) : "");
}

// A list given as text, as a list of its pieces. New reference; NULL: neither.
static json_t *
split_list(const json_t *in)
{
	const char *cursor = json_string_value(in);
	char piece[UNITS_TEXT_SIZE];
	json_t *list;

	if (json_is_array(in))
		return json_deep_copy(in);
	if (cursor == NULL || (list = json_array()) == NULL)
		return NULL;
	if (*cursor == '\0')
		return list;
	while (text_next_piece(&cursor, piece, sizeof(piece)))
		(void)json_array_append_new(list, json_string(piece));
	return list;
}

static int
add_to_macs(const char *text, void *out)
{
	struct mac_list *list = out;

	return units_parse_mac(text, &list->mac[list->n++]);
}

static int
add_to_prefixes(const char *text, void *out)
{
	struct prefix_list *list = out;

	return units_parse_prefix(text, &list->prefix[list->n++]);
}

// The count is checked first: add never sees more than the list holds.
static int
decode_list(const struct rpc_param *param, const json_t *in, void *out, struct rpc_error *err)
{
	int (*add)(const char *text, void *out) = param->type == RPC_MACS ? add_to_macs : add_to_prefixes;
	json_t *list = split_list(in), *item;
	int rc = list != NULL ? 0 : -EINVAL;
	size_t i;

	if (rc == 0)
		rc = check_count(param, json_array_size(list), "number of entries", err);
	if (rc != 0)
		goto out;
	memset(out, 0, param->size);
	json_array_foreach (list, i, item) {
		if (!json_is_string(item) || add(json_string_value(item), out) != 0) {
			rc = fail_type(param, item, err);
			break;
		}
	}
out:
	json_decref(list);
	return rc;
}

static json_t *
encode_macs(const struct rpc_param *param, const void *in)
{
	const struct mac_list *list = in;
	json_t *out = json_array();
	char buf[UNITS_TEXT_SIZE];

	(void)param;
	for (unsigned i = 0; i < list->n; i++)
		(void)json_array_append_new(out, json_string(units_format_mac(&list->mac[i], buf)));
	return out;
}

static json_t *
encode_prefixes(const struct rpc_param *param, const void *in)
{
	const struct prefix_list *list = in;
	json_t *out = json_array();
	char buf[UNITS_TEXT_SIZE];

	(void)param;
	for (unsigned i = 0; i < list->n; i++)
		(void)json_array_append_new(out, json_string(units_format_prefix(&list->prefix[i], buf)));
	return out;
}

static int
decode_vlans(const struct rpc_param *param, const json_t *in, void *out, struct rpc_error *err)
{
	const struct vlan_set *set = out;
	unsigned n = 0;
	int rc = json_is_string(in) ? units_parse_vlans(json_string_value(in), out) : -EINVAL;

	if (rc != 0)
		return -EINVAL;
	for (unsigned i = 0; i < sizeof(set->bits) / sizeof(*set->bits); i++)
		n += (unsigned)__builtin_popcountll(set->bits[i]);
	return check_count(param, n, "number of VLANs", err);
}

static json_t *
encode_vlans(const struct rpc_param *param, const void *in)
{
	char buf[VLANS_TEXT_SIZE];

	(void)param;
	return units_format_vlans(in, buf, sizeof(buf)) == 0 ? json_string(buf) : NULL;
}

static int
decode_cpus(const struct rpc_param *param, const json_t *in, void *out, struct rpc_error *err)
{
	const struct cpu_list *list = out;
	int rc = json_is_string(in) ? units_parse_cpus(json_string_value(in), out) : -EINVAL;

	if (rc != 0)
		return -EINVAL;
	return check_count(param, list->n, "number of CPUs", err);
}

static json_t *
encode_cpus(const struct rpc_param *param, const void *in)
{
	char buf[UNITS_TEXT_SIZE * 2];

	(void)param;
	return units_format_cpus(in, buf, sizeof(buf)) == 0 ? json_string(buf) : NULL;
}

static int
decode_values(const struct rpc_param *param, const json_t *in, void *out, struct rpc_error *err)
{
	if (!json_is_array(in))
		return -EINVAL;
	memcpy(out, &in, sizeof(in));
	return check_count(param, json_array_size(in), "number of values", err);
}

// The list stays the request's: dispatch keeps the request until the handler has returned.
static int
decode_calls(const struct rpc_param *param, const json_t *in, void *out, struct rpc_error *err)
{
	json_t *item;
	size_t i;

	if (!json_is_array(in))
		return -EINVAL;
	json_array_foreach (in, i, item) {
		if (!json_is_string(json_object_get(item, "method")))
			return fail_type(param, item, err);
	}
	memcpy(out, &in, sizeof(in));
	return check_count(param, json_array_size(in), "number of calls", err);
}

static json_t *
encode_calls(const struct rpc_param *param, const void *in)
{
	json_t *list;

	(void)param;
	memcpy(&list, in, sizeof(list));
	return list != NULL ? json_incref(list) : json_array();
}

// clang-format off
static const struct type types[] = {
	[RPC_NAME] = {decode_text, encode_text, NULL, NULL, "a name (letters, digits, '_.:-'; a letter or digit first)"},
	[RPC_STR] = {decode_text, encode_text, NULL, NULL, "a text"},
	[RPC_BOOL] = {decode_bool, encode_bool, NULL, NULL, "on or off"},
	[RPC_UINT] = {decode_number, encode_uint, units_parse_uint, format_uint, "a whole number"},
	[RPC_OCTAL] = {decode_number, encode_number, parse_octal, format_octal, "a file mode in octal digits (\"0660\")"},
	[RPC_TIME] = {decode_number, encode_number, units_parse_time, units_format_time,
		"a time (ns us ms s min h d)", {"ns", "us", "ms", "s"}},
	[RPC_RATE] = {decode_number, encode_number, units_parse_rate, units_format_rate,
		"a rate (bit kbit Mbit Gbit Tbit)", {"bit", "kbit", "Mbit", "Gbit"}},
	[RPC_SIZE] = {decode_number, encode_number, units_parse_size, units_format_size,
		"a size (B kB MB GB TB KiB MiB GiB TiB)", {"B", "kB", "MB", "KiB"}},
	[RPC_ENUM] = {decode_enum, encode_enum, NULL, NULL, "one of its names"},
	[RPC_MAC] = {decode_mac, encode_mac, NULL, NULL, "a MAC address (52:54:00:00:00:01)"},
	[RPC_MACS] = {decode_list, encode_macs, NULL, NULL, "a MAC address (52:54:00:00:00:01) or a list of them"},
	[RPC_ADDR] = {decode_addr, encode_addr, NULL, NULL,
		"an IP address, with or without the length of its network's prefix (192.0.2.1, 2001:db8::1/64)"},
	[RPC_PREFIXES] = {decode_list, encode_prefixes, NULL, NULL,
		"an IP address or prefix (192.0.2.1, 2001:db8::/64; bits beyond its length zero) or a list of them"},
	[RPC_VLANS] = {decode_vlans, encode_vlans, NULL, NULL, "a text of VLANs 1 to 4094 (\"1,5,100-200\")"},
	[RPC_CPUS] = {decode_cpus, encode_cpus, NULL, NULL, "a text of at most 16 CPUs, each once (\"1,3-5\")"},
	[RPC_LIST] = {decode_values, encode_calls, NULL, NULL, "a list"},
	[RPC_CALLS] = {decode_calls, encode_calls, NULL, NULL, "a list of calls {\"method\", \"params\"}"},
};
// clang-format on

static int
decode_value(const struct rpc_param *param, const json_t *in, void *out, struct rpc_error *err)
{
	int rc = types[param->type].decode(param, in, (char *)out + param->offset, err);

	return rc == -EINVAL ? fail_type(param, in, err) : rc;
}

// The default, or zero. A default that does not decode is a mistake in the table.
static int
decode_default(const struct rpc_param *param, void *out, struct rpc_error *err)
{
	json_t *text;
	int rc;

	memset((char *)out + param->offset, 0, param->size);
	if (param->def == NULL)
		return 0;
	text = json_string(param->def);
	rc = decode_value(param, text, out, err);
	json_decref(text);
	if (rc != 0)
		err->code = RPC_INTERNAL_ERROR;
	return rc;
}

unsigned
params_count(const struct rpc_method *method)
{
	unsigned n = method->n_params;

	if (n == 0 && method->params != NULL) {
		while (method->params[n].name != NULL)
			n++;
	}
	return n;
}

static const struct rpc_param *
find_param(const struct rpc_param *params, unsigned n_params, const char *name)
{
	for (unsigned i = 0; i < n_params; i++) {
		if (strcmp(params[i].name, name) == 0)
			return &params[i];
	}
	return NULL;
}

static const char *
find_near(const struct rpc_param *params, unsigned n_params, const char *name)
{
	for (unsigned i = 0; i < n_params; i++) {
		if (text_is_near(name, params[i].name))
			return params[i].name;
	}
	return NULL;
}

int
params_check_names(
	const struct rpc_param *params, unsigned n_params, const char *method, const json_t *in, struct rpc_error *err)
{
	const char *name, *near;
	json_t *value;

	json_object_foreach ((json_t *)(uintptr_t)in, name, value) {
		if (find_param(params, n_params, name) != NULL)
			continue;
		near = find_near(params, n_params, name);
		rpc_error_set(err, RPC_INVALID_PARAMS, "unknown parameter '%.40s'%s%s%s%s%s", name,
			method != NULL ? " of " : "", method != NULL ? method : "",
			near != NULL ? "; did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?" : "");
		return -1;
	}
	return 0;
}

int
rpc_decode(const struct rpc_param *params, unsigned n_params, const json_t *in, bool use_defaults, void *out,
	uint64_t *ret_present, struct rpc_error *err)
{
	uint64_t present = 0;

	assert(n_params <= RPC_MAX_PARAMS);
	if (in != NULL && !json_is_object(in)) {
		rpc_error_set(err, RPC_INVALID_PARAMS, "params: not an object of named parameters");
		return -1;
	}
	if (params_check_names(params, n_params, NULL, in, err) != 0)
		return -1;
	for (unsigned i = 0; i < n_params; i++) {
		const json_t *value = json_object_get(in, params[i].name);

		if (value != NULL) {
			present |= UINT64_C(1) << i;
			if (decode_value(&params[i], value, out, err) != 0)
				return -1;
		} else if (params[i].is_key || (use_defaults && params[i].is_required)) {
			rpc_error_set(err, RPC_INVALID_PARAMS, "%s: required (%s)", params[i].name, params[i].help);
			return -1;
		} else if (use_defaults && decode_default(&params[i], out, err) != 0) {
			return -1;
		}
	}
	if (ret_present != NULL)
		*ret_present = present;
	return 0;
}

json_t *
rpc_encode_value(const struct rpc_param *param, const void *in)
{
	return types[param->type].encode(param, (const char *)in + param->offset);
}

const struct rpc_param *
params_kind(const struct rpc_param *params, unsigned n_params)
{
	for (unsigned i = 0; i < n_params; i++) {
		if (params[i].is_kind)
			return &params[i];
	}
	return NULL;
}

static int
fail_kind(const struct rpc_param *param, const struct rpc_param *kind, struct rpc_error *err)
{
	char list[RPC_MAX_ERROR_TEXT / 2] = "";
	size_t len = 0;

	for (unsigned i = 0; kind->names[i] != NULL && len < sizeof(list); i++) {
		if (param->kinds >> i & 1)
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s=%s", len > 0 ? " and " : "",
				kind->name, kind->names[i]);
	}
	rpc_error_set(err, RPC_INVALID_PARAMS, "%s: only for %s", param->name, list);
	return -1;
}

int
rpc_check_kinds(
	const struct rpc_param *params, unsigned n_params, uint64_t present, const void *object, struct rpc_error *err)
{
	const struct rpc_param *kind = params_kind(params, n_params);
	uint32_t value;

	assert(kind != NULL);
	memcpy(&value, (const char *)object + kind->offset, sizeof(value));
	for (unsigned i = 0; i < n_params; i++) {
		if ((present >> i & 1) && params[i].kinds && !(params[i].kinds >> value & 1))
			return fail_kind(&params[i], kind, err);
	}
	return 0;
}

int
rpc_check_fixed(
	const struct rpc_param *params, unsigned n_params, const void *from, const void *to, struct rpc_error *err)
{
	for (unsigned i = 0; i < n_params; i++) {
		if (params[i].fixed && !rpc_is_same(&params[i], 1, from, to)) {
			rpc_error_set(err, RPC_INVALID_PARAMS, "%s: fixed %s", params[i].name, params[i].fixed);
			return -1;
		}
	}
	return 0;
}

// Equal bytes are equal values, which is usual. Others are compared as JSON: bytes behind a text's
// end or a list's last entry do not count.
static bool
is_default(const struct rpc_param *param, const void *in)
{
	struct rpc_param alone = *param;
	struct rpc_error err = {0};
	json_t *value = NULL, *own = NULL;
	bool is_same = false;
	void *member = calloc(1, param->size);

	alone.offset = 0;
	if (member != NULL && decode_default(&alone, member, &err) == 0) {
		is_same = memcmp(member, (const char *)in + param->offset, param->size) == 0;
		if (!is_same) {
			own = rpc_encode_value(&alone, member);
			value = rpc_encode_value(param, in);
			is_same = own != NULL && json_equal(value, own);
		}
	}
	json_decref(value);
	json_decref(own);
	free(member);
	return is_same;
}

json_t *
rpc_encode(const struct rpc_param *params, unsigned n_params, const void *in)
{
	json_t *out = json_object();

	for (unsigned i = 0; i < n_params; i++) {
		if (!params[i].is_key && !params[i].is_required && is_default(&params[i], in))
			continue;
		if (json_object_set_new(out, params[i].name, rpc_encode_value(&params[i], in)) != 0) {
			json_decref(out);
			return NULL;
		}
	}
	return out;
}

bool
rpc_is_same(const struct rpc_param *params, unsigned n_params, const void *a, const void *b)
{
	json_t *x, *y;
	bool is_same = true;

	for (unsigned i = 0; i < n_params; i++)
		is_same = is_same &&
			!memcmp((const char *)a + params[i].offset, (const char *)b + params[i].offset, params[i].size);
	if (is_same)
		return true;
	x = rpc_encode(params, n_params, a);
	y = rpc_encode(params, n_params, b);
	is_same = x && json_equal(x, y);

	json_decref(x);
	json_decref(y);
	return is_same;
}
