// Parameters: every type both ways, refusals and their messages.
#include "../unit.h"
#include "every_type.h"
#include "rtvs/random.h"

#include <string.h>

#define N_RANDOM 20000

static struct every_type decoded;
static struct rpc_error err;
static uint64_t present;

static int
decode(const char *json, bool use_defaults)
{
	json_t *in = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
	int rc;

	assert_non_null(in);
	memset(&err, 0, sizeof(err));
	rc = rpc_decode(every_type_params, EVERY_TYPE_N_PARAMS, in, use_defaults, &decoded, &present, &err);
	decoded.calls = decoded.list = NULL; // borrowed from what goes now
	json_decref(in);
	return rc;
}

static void
absent_ones_get_their_default_or_zero(void **state)
{
	static const struct mac no_mac;

	(void)state;
	memset(&decoded, 0xff, sizeof(decoded));
	assert_int_equal(decode("{\"name\":\"vm1\"}", true), 0);
	assert_int_equal(present, 1);
	assert_string_equal(decoded.name, "vm1");
	assert_string_equal(decoded.label, "");
	assert_string_equal(decoded.str, "text");
	assert_true(decoded.flag);
	assert_int_equal(decoded.mtu, 1500);
	assert_int_equal(decoded.mode, 0660);
	assert_int_equal(decoded.kind, 1);
	assert_int_equal(decoded.count, 0);
	assert_int_equal(decoded.deadline, 2000000);
	assert_int_equal(decoded.size, 64 << 20);
	assert_int_equal(decoded.macs.n, 0);
	assert_int_equal(decoded.cpus.n, 2);
	assert_memory_equal(&decoded.mac, &no_mac, sizeof(no_mac));
}

static void
a_change_leaves_the_rest_as_it_is(void **state)
{
	(void)state;
	memset(&decoded, 0xff, sizeof(decoded));
	assert_int_equal(decode("{\"name\":\"vm1\",\"mtu\":9000}", false), 0);
	assert_int_equal(present, 1 | 1 << 4);
	assert_int_equal(decoded.mtu, 9000);
	assert_int_equal(decoded.kind, UINT32_MAX);
	assert_true(decoded.deadline == UINT64_MAX);
	assert_int_equal(decode("{\"mtu\":9000}", false), -1);
	assert_string_equal(err.message, "name: required (name)");
}

static void
text_and_json_mean_the_same(void **state)
{
	static const char *const same[][2] = {
		{"{\"name\":\"a\",\"flag\":false,\"mtu\":68,\"count\":7}",
			"{\"name\":\"a\",\"flag\":\"off\",\"mtu\":\"68\",\"count\":\"7\"}"},
		{"{\"name\":\"a\",\"flag\":true}", "{\"name\":\"a\",\"flag\":\"yes\"}"},
		{"{\"name\":\"a\",\"deadline\":1500000,\"rate\":20000000,\"size\":15000}",
			"{\"name\":\"a\",\"deadline\":\"1.5ms\",\"rate\":\"20Mbit\",\"size\":\"15kB\"}"},
		{"{\"name\":\"a\",\"macs\":[\"52:54:00:00:00:01\",\"52:54:00:00:00:02\"]}",
			"{\"name\":\"a\",\"macs\":\"52:54:00:00:00:01,52:54:00:00:00:02\"}"},
		{"{\"name\":\"a\",\"ips\":[\"192.0.2.1\",\"2001:db8::/64\"]}",
			"{\"name\":\"a\",\"ips\":\"192.0.2.1,2001:db8::/64\"}"},
		{"{\"name\":\"a\",\"macs\":[]}", "{\"name\":\"a\",\"macs\":\"\"}"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		static struct every_type first;

		memset(&decoded, 0, sizeof(decoded));
		assert_int_equal(decode(same[i][0], true), 0);
		first = decoded;
		memset(&decoded, 0, sizeof(decoded));
		assert_int_equal(decode(same[i][1], true), 0);
		assert_memory_equal(&first, &decoded, sizeof(first));
	}
}

static const struct {
	const char *params, *message;
} refused[] = {
	{"{}", "name: required (name)"},
	{"{\"name\":\"\"}", "name: '' is not a name (letters, digits, '_.:-'; a letter or digit first)"},
	{"{\"name\":\"-a\"}", "name: '-a' is not a name (letters, digits, '_.:-'; a letter or digit first)"},
	{"{\"name\":\"a/b\"}", "name: 'a/b' is not a name (letters, digits, '_.:-'; a letter or digit first)"},
	{"{\"name\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
		"name: length 80 is out of range 1 to 79"},
	{"{\"name\":7}", "name: 7 is not a name (letters, digits, '_.:-'; a letter or digit first)"},
	{"{\"name\":\"a\",\"str\":\"123456789012345678901234\"}", "str: length 24 is out of range 0 to 23"},
	{"{\"name\":\"a\",\"flag\":1}", "flag: 1 is not on or off"},
	{"{\"name\":\"a\",\"flag\":\"maybe\"}", "flag: 'maybe' is not on or off"},
	{"{\"name\":\"a\",\"mtu\":70000}", "mtu: 70000 is out of range 68 to 9600"},
	{"{\"name\":\"a\",\"mtu\":67}", "mtu: 67 is out of range 68 to 9600"},
	{"{\"name\":\"a\",\"mtu\":9601}", "mtu: 9601 is out of range 68 to 9600"},
	{"{\"name\":\"a\",\"mtu\":-1}", "mtu: -1 is out of range 68 to 9600"},
	{"{\"name\":\"a\",\"mtu\":\"4294968796\"}", "mtu: '4294968796' is out of range 68 to 9600"},
	{"{\"name\":\"a\",\"mtu\":1500.5}", "mtu: 1500.5 is not a whole number"},
	{"{\"name\":\"a\",\"mtu\":true}", "mtu: true is not a whole number"},
	{"{\"name\":\"a\",\"mtu\":null}", "mtu: null is not a whole number"},
	{"{\"name\":\"a\",\"mtu\":[1500]}", "mtu: a list is not a whole number"},
	{"{\"name\":\"a\",\"mtu\":{}}", "mtu: an object is not a whole number"},
	{"{\"name\":\"a\",\"mode\":660}", "mode: 660 is not a file mode in octal digits (\"0660\")"},
	{"{\"name\":\"a\",\"mode\":\"0680\"}", "mode: '0680' is not a file mode in octal digits (\"0660\")"},
	{"{\"name\":\"a\",\"mode\":\"1000\"}", "mode: '1000' is out of range 0000 to 0777"},
	{"{\"name\":\"a\",\"kind\":\"tap\"}", "kind: 'tap' is none of vhost, ethdev, vdpa"},
	{"{\"name\":\"a\",\"kind\":0}", "kind: 0 is none of vhost, ethdev, vdpa"},
	{"{\"name\":\"a\",\"deadline\":\"2parsecs\"}", "deadline: '2parsecs' is not a time (ns us ms s min h d)"},
	{"{\"name\":\"a\",\"deadline\":\"2h\"}", "deadline: '2h' is out of range 1us to 1s"},
	{"{\"name\":\"a\",\"deadline\":\"2\"}", "deadline: 2 needs a unit: 2ns, 2us, 2ms or 2s"},
	{"{\"name\":\"a\",\"rate\":\"1.5\"}", "rate: 1.5 needs a unit: 1.5bit, 1.5kbit, 1.5Mbit or 1.5Gbit"},
	{"{\"name\":\"a\",\"size\":\"15\"}", "size: 15 needs a unit: 15B, 15kB, 15MB or 15KiB"},
	{"{\"name\":\"a\",\"deadline\":999}", "deadline: 999 is out of range 1us to 1s"},
	{"{\"name\":\"a\",\"rate\":\"20MB\"}", "rate: '20MB' is not a rate (bit kbit Mbit Gbit Tbit)"},
	{"{\"name\":\"a\",\"size\":\"1ms\"}", "size: '1ms' is not a size (B kB MB GB TB KiB MiB GiB TiB)"},
	{"{\"name\":\"a\",\"mac\":\"52:54\"}", "mac: '52:54' is not a MAC address (52:54:00:00:00:01)"},
	{"{\"name\":\"a\",\"macs\":\"52:54:00:00:00:01,\"}",
		"macs: '' is not a MAC address (52:54:00:00:00:01) or a list of them"},
	{"{\"name\":\"a\",\"macs\":[1]}", "macs: 1 is not a MAC address (52:54:00:00:00:01) or a list of them"},
	{"{\"name\":\"a\",\"addr\":\"192.0.2.1/33\"}",
		"addr: '192.0.2.1/33' is not an IP address, with or without the length of its network's prefix "
		"(192.0.2.1, 2001:db8::1/64)"},
	{"{\"name\":\"a\",\"vlans\":\"0\"}", "vlans: '0' is not a text of VLANs 1 to 4094 (\"1,5,100-200\")"},
	{"{\"name\":\"a\",\"cpus\":\"0-16\"}", "cpus: '0-16' is not a text of at most 16 CPUs, each once (\"1,3-5\")"},
	{"{\"name\":\"a\",\"calls\":\"x\"}", "calls: 'x' is not a list of calls {\"method\", \"params\"}"},
	{"{\"name\":\"a\",\"calls\":[{}]}", "calls: an object is not a list of calls {\"method\", \"params\"}"},
	{"{\"name\":\"a\",\"list\":\"x\"}", "list: 'x' is not a list"},
	{"{\"name\":\"a\",\"list\":[1,2,3,4,5]}", "list: number of values 5 is out of range 0 to 4"},
	{"{\"name\":\"a\",\"dedline\":1}", "unknown parameter 'dedline'; did you mean 'deadline'?"},
	{"{\"name\":\"a\",\"zzz\":1}", "unknown parameter 'zzz'"},
	{"[]", "params: not an object of named parameters"},
};

static void
refusals_name_the_parameter_and_what_is_accepted(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		assert_int_equal(decode(refused[i].params, true), -1);
		assert_int_equal(err.code, RPC_INVALID_PARAMS);
		assert_string_equal(err.message, refused[i].message);
	}
}

// {"name":"a", KEY: [item, item, ...]}
static int
decode_list_of(const char *key, const char *item, unsigned n)
{
	json_t *in = json_pack("{s:s}", "name", "a"), *list = json_array();
	int rc;

	for (unsigned i = 0; i < n; i++)
		(void)json_array_append_new(list, json_string(item));
	(void)json_object_set_new(in, key, list);
	memset(&err, 0, sizeof(err));
	rc = rpc_decode(every_type_params, EVERY_TYPE_N_PARAMS, in, true, &decoded, NULL, &err);
	json_decref(in);
	return rc;
}

static void
lists_end_at_their_limit(void **state)
{
	(void)state;
	assert_int_equal(decode_list_of("macs", "52:54:00:00:00:01", RTVS_MAX_MACS), 0);
	assert_int_equal(decoded.macs.n, RTVS_MAX_MACS);
	assert_int_equal(decode_list_of("macs", "52:54:00:00:00:01", RTVS_MAX_MACS + 1), -1);
	assert_string_equal(err.message, "macs: number of entries 17 is out of range 0 to 16");
	assert_int_equal(decode_list_of("ips", "192.0.2.1", RTVS_MAX_PREFIXES), 0);
	assert_int_equal(decode_list_of("ips", "192.0.2.1", RTVS_MAX_PREFIXES + 1), -1);
	assert_string_equal(err.message, "ips: number of entries 33 is out of range 0 to 32");
}

static void
long_values_are_quoted_in_part_and_stay_utf8(void **state)
{
	json_t *text;

	(void)state;
	// The cut after 40 bytes is in the middle of a letter.
	assert_int_equal(
		decode("{\"name\":\"a\",\"kind\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\xc3\xa4\xc3\xa4\"}", true),
		-1);
	assert_true(strlen(err.message) < RPC_MAX_ERROR_TEXT);
	text = json_string(err.message);
	assert_non_null(text);
	json_decref(text);
}

static void
a_wrong_default_is_our_fault(void **state)
{
	static const struct rpc_param wrong[] = {
		RPC_PARAM(struct every_type, mtu, RPC_UINT, .max = 10, .def = "11", .help = "wrong"),
	};

	(void)state;
	memset(&err, 0, sizeof(err));
	assert_int_equal(rpc_decode(wrong, 1, NULL, true, &decoded, NULL, &err), -1);
	assert_int_equal(err.code, RPC_INTERNAL_ERROR);
}

static void
random_text(uint64_t *seed, char *out, size_t size, const char *first, const char *rest)
{
	size_t len = random_below(seed, size);

	for (size_t i = 0; i < len; i++) {
		const char *set = i == 0 ? first : rest;

		out[i] = set[random_below(seed, strlen(set))];
	}
	memset(out + len, 0, size - len);
}

static void
random_prefix(uint64_t *seed, struct prefix *p)
{
	unsigned max_len;

	memset(p, 0, sizeof(*p));
	p->is_v6 = random_below(seed, 2);
	max_len = p->is_v6 ? 128 : 32;
	p->len = (uint8_t)random_below(seed, max_len + 1);
	for (unsigned bit = 0; bit < p->len; bit++)
		p->addr[bit / 8] |= (uint8_t)(random_below(seed, 2) << (7 - bit % 8));
}

// With bits beyond its length; none at all at times.
static void
random_addr(uint64_t *seed, struct prefix *p)
{
	random_prefix(seed, p);
	if (!p->len) {
		memset(p, 0, sizeof(*p));
		return;
	}
	for (unsigned i = 0; i < (p->is_v6 ? 16 : 4); i++)
		p->addr[i] = (uint8_t)random_next(seed);
}

static void
random_lists(uint64_t *seed, struct every_type *x)
{
	uint16_t cpu = 0;

	x->macs.n = (uint8_t)random_below(seed, RTVS_MAX_MACS + 1);
	for (unsigned i = 0; i < x->macs.n; i++)
		for (unsigned k = 0; k < 6; k++)
			x->macs.mac[i].b[k] = (uint8_t)random_next(seed);
	x->ips.n = (uint8_t)random_below(seed, RTVS_MAX_PREFIXES + 1);
	for (unsigned i = 0; i < x->ips.n; i++)
		random_prefix(seed, &x->ips.prefix[i]);
	for (uint64_t n = random_below(seed, 2) ? random_wide(seed, 11) : 0; n > 0; n--)
		vlan_set_add(&x->vlans, (uint16_t)(1 + random_below(seed, RTVS_VLAN_MAX)));
	x->cpus.n = (uint8_t)random_below(seed, RTVS_MAX_CPUS + 1);
	for (unsigned i = 0; i < x->cpus.n; i++)
		x->cpus.cpu[i] = cpu = (uint16_t)(cpu + 1 + random_below(seed, 2));
}

// A possible result of decode: padding and unused entries are zero, as memset leaves them.
static void
random_struct(uint64_t *seed, struct every_type *x)
{
	static const char alnum[] = "abcXYZ019";

	memset(x, 0, sizeof(*x));
	random_text(seed, x->name, sizeof(x->name), alnum, "az09_.:-");
	if (x->name[0] == '\0')
		x->name[0] = 'n';
	random_text(seed, x->label, sizeof(x->label), alnum, "az09_.:-");
	random_text(seed, x->str, sizeof(x->str), "a \"\\\t,=", "a \"\\\t\x01/,=");
	x->flag = random_below(seed, 2);
	x->mtu = 68 + (uint32_t)random_below(seed, 9600 - 68 + 1);
	x->mode = (uint32_t)random_below(seed, 01000);
	x->kind = (uint32_t)random_below(seed, 3);
	x->count = random_wide(seed, 64);
	x->deadline = 1000 + random_below(seed, 1000000000 - 1000 + 1);
	x->rate = random_wide(seed, 64);
	x->size = random_wide(seed, 64);
	for (unsigned i = 0; i < 6; i++)
		x->mac.b[i] = (uint8_t)random_next(seed);
	random_addr(seed, &x->addr);
	random_lists(seed, x);
}

static void
what_is_encoded_decodes_to_the_same(void **state)
{
	uint64_t seed = unit_seed();

	(void)state;
	for (unsigned i = 0; i < N_RANDOM; i++) {
		static struct every_type in, out;
		json_t *json;

		random_struct(&seed, &in);
		memset(&out, 0, sizeof(out));
		memset(&err, 0, sizeof(err));
		json = rpc_encode(every_type_params, EVERY_TYPE_N_PARAMS, &in);
		assert_non_null(json);
		if (rpc_decode(every_type_params, EVERY_TYPE_N_PARAMS, json, true, &out, NULL, &err) != 0)
			fail_msg("%u: %s", i, err.message);
		assert_memory_equal(&in, &out, sizeof(in));
		json_decref(json);
	}
}

static void
defaults_are_not_written(void **state)
{
	json_t *json;

	(void)state;
	assert_int_equal(decode("{\"name\":\"vm1\"}", true), 0);
	// behind the end of a text nothing counts
	memset(decoded.str + strlen(decoded.str) + 1, 'x', 3);
	json = rpc_encode(every_type_params, EVERY_TYPE_N_PARAMS, &decoded);
	assert_int_equal(json_object_size(json), 1);
	json_decref(json);
	decoded.mtu = 1501;
	json = rpc_encode(every_type_params, EVERY_TYPE_N_PARAMS, &decoded);
	assert_int_equal(json_integer_value(json_object_get(json, "mtu")), 1501);
	assert_int_equal(json_object_size(json), 2);
	json_decref(json);
}

struct object {
	char name[RTVS_NAME_SIZE];
	uint32_t kind, count;
	char path[16];
};

#define P(member, type, ...) RPC_PARAM(struct object, member, type, __VA_ARGS__)
static const struct rpc_param object_params[] = {
	P(name, RPC_NAME, .is_key = true, .help = "name"),
	P(kind, RPC_ENUM, .names = every_type_kinds, .def = "vhost", .is_kind = true, .fixed = "at birth",
		.help = "kind"),
	P(count, RPC_UINT, .kinds = 1 << 1, .help = "of ethdev"),
	P(path, RPC_STR, .kinds = 1 << 0 | 1 << 2, .fixed = "for ever", .help = "of vhost and vdpa"),
	{0},
};
#undef P
#define N_OBJECT_PARAMS (sizeof(object_params) / sizeof(object_params[0]) - 1)

static const char *
wrong_kind(uint64_t given, uint32_t kind)
{
	const struct object object = {.kind = kind};

	memset(&err, 0, sizeof(err));
	if (!rpc_check_kinds(object_params, N_OBJECT_PARAMS, given, &object, &err))
		return "";
	assert_int_equal(err.code, RPC_INVALID_PARAMS);
	return err.message;
}

static void
a_parameter_is_for_the_kinds_of_its_row(void **state)
{
	(void)state;
	for (uint32_t kind = 0; kind < 3; kind++) {
		assert_string_equal(wrong_kind(0, kind), "");
		assert_string_equal(wrong_kind(1 | 1 << 1, kind), "");
		assert_string_equal(wrong_kind(1 << 2, kind), kind == 1 ? "" : "count: only for kind=ethdev");
		assert_string_equal(
			wrong_kind(1 << 3, kind), kind == 1 ? "path: only for kind=vhost and kind=vdpa" : "");
	}
	assert_string_equal(wrong_kind(UINT64_MAX, 0), "count: only for kind=ethdev");
}

static void
what_is_fixed_stays_as_it_is(void **state)
{
	const struct object from = {.name = "a", .kind = 2, .count = 7, .path = "/a"};
	struct object to = from;

	(void)state;
	to.name[0] = 'b';
	to.count = 8;
	memset(to.path + 3, 'x', sizeof(to.path) - 3); // behind the end of the text
	assert_int_equal(rpc_check_fixed(object_params, N_OBJECT_PARAMS, &from, &to, &err), 0);
	to.path[1] = 'b';
	assert_int_equal(rpc_check_fixed(object_params, N_OBJECT_PARAMS, &from, &to, &err), -1);
	assert_int_equal(err.code, RPC_INVALID_PARAMS);
	assert_string_equal(err.message, "path: fixed for ever");
	to.kind = 0;
	assert_int_equal(rpc_check_fixed(object_params, N_OBJECT_PARAMS, &from, &to, &err), -1);
	assert_string_equal(err.message, "kind: fixed at birth");
}

// A change is shown without what is fixed. The table ends where no count says so.
static void
discover_says_for_which_kinds_and_what_is_fixed(void **state)
{
	const struct rpc_method methods[] = {
		{"object.add", "", "", NULL, object_params, 0, sizeof(struct object), 0},
		{"object.set", "", "", NULL, object_params, 0, sizeof(struct object), RPC_CHANGE},
		{"object.list", "", "", NULL, NULL, 0, 0, 0},
		{0},
	};
	const struct rpc_noun nouns[] = {{methods, 0}, {0}};
	json_t *found = rpc_discover(&(struct rpc_api){nouns});
	const json_t *add = json_object_get(json_array_get(found, 0), "params");
	const json_t *set = json_object_get(json_array_get(found, 1), "params"), *path = json_array_get(add, 3);

	(void)state;
	assert_int_equal(json_array_size(add), 4);
	assert_int_equal(json_array_size(set), 2);
	assert_int_equal(json_array_size(json_object_get(json_array_get(found, 2), "params")), 0);
	assert_string_equal(json_string_value(json_object_get(json_array_get(set, 1), "name")), "count");
	assert_true(json_is_true(json_object_get(path, "fixed")));
	assert_true(json_is_false(json_object_get(json_array_get(set, 1), "fixed")));
	assert_null(json_object_get(json_array_get(add, 1), "only_for"));
	assert_int_equal(json_array_size(json_object_get(path, "only_for")), 2);
	assert_string_equal(json_string_value(json_array_get(json_object_get(path, "only_for"), 1)), "kind=vdpa");
	json_decref(found);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(absent_ones_get_their_default_or_zero),
		cmocka_unit_test(a_change_leaves_the_rest_as_it_is),
		cmocka_unit_test(text_and_json_mean_the_same),
		cmocka_unit_test(refusals_name_the_parameter_and_what_is_accepted),
		cmocka_unit_test(lists_end_at_their_limit),
		cmocka_unit_test(long_values_are_quoted_in_part_and_stay_utf8),
		cmocka_unit_test(a_wrong_default_is_our_fault),
		cmocka_unit_test(what_is_encoded_decodes_to_the_same),
		cmocka_unit_test(defaults_are_not_written),
		cmocka_unit_test(a_parameter_is_for_the_kinds_of_its_row),
		cmocka_unit_test(what_is_fixed_stays_as_it_is),
		cmocka_unit_test(discover_says_for_which_kinds_and_what_is_fixed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
