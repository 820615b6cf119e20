// Numbers and addresses as people write them, both ways. One parser of decimal text with a unit
// serves times, rates and sizes. It works in integers, so "1.5ms" is exactly 1,500,000, and "0.1ns"
// is refused instead of rounded.
// Invariant: parse(format(x)) == x for every valid x. The RPC library calls this for each
// parameter, the CLI for its output.

#include "rtvs/units.h"

#include "rtvs/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define MAX_FRACTION_DIGITS 18 // 10^18 and each digit count below fit 64 bits

struct unit {
	const char *name;
	uint64_t factor;
};

// Ascending. Written without regard to case, as no two differ only in it.
static const struct unit time_units[] = {
	{"ns", 1},
	{"us", 1000},
	{"ms", 1000000},
	{"s", 1000000000},
	{"min", UINT64_C(60000000000)},
	{"h", UINT64_C(3600000000000)},
	{"d", UINT64_C(86400000000000)},
	{NULL, 0},
};
static const struct unit rate_units[] = {
	{"bit", 1},
	{"kbit", 1000},
	{"Mbit", 1000000},
	{"Gbit", 1000000000},
	{"Tbit", UINT64_C(1000000000000)},
	{NULL, 0},
};
// Read as well: network people write them.
static const struct unit rate_words[] = {
	{"bps", 1},
	{"bit/s", 1},
	{"k", 1000},
	{"kbps", 1000},
	{"kbit/s", 1000},
	{"M", 1000000},
	{"Mbps", 1000000},
	{"Mbit/s", 1000000},
	{"G", 1000000000},
	{"Gbps", 1000000000},
	{"Gbit/s", 1000000000},
	{"T", UINT64_C(1000000000000)},
	{"Tbps", UINT64_C(1000000000000)},
	{"Tbit/s", UINT64_C(1000000000000)},
	{NULL, 0},
};
static const struct unit size_units[] = {
	{"B", 1},
	{"kB", 1000},
	{"KiB", 1024},
	{"MB", 1000000},
	{"MiB", UINT64_C(1) << 20},
	{"GB", 1000000000},
	{"GiB", UINT64_C(1) << 30},
	{"TB", UINT64_C(1000000000000)},
	{"TiB", UINT64_C(1) << 40},
	{NULL, 0},
};
static const struct unit no_units[] = {{"", 1}, {NULL, 0}};

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

// Reads digits from *text on. -EINVAL: there are none; -ERANGE: more than 64 bits.
static int
parse_digits(const char **text, uint64_t *ret_value)
{
	uint64_t value = 0;
	bool is_too_large = false;

	if (!is_digit(**text))
		return -EINVAL;
	for (; is_digit(**text); (*text)++)
		is_too_large |= __builtin_mul_overflow(value, 10, &value) ||
			__builtin_add_overflow(value, (uint64_t)(**text - '0'), &value);
	if (is_too_large)
		return -ERANGE;
	*ret_value = value;
	return 0;
}

// Reads ".5" as 5 of 10. No point: 0 of 1. Trailing zeros do not count.
static int
parse_fraction(const char **text, uint64_t *ret_part, uint64_t *ret_whole)
{
	size_t n_all, n;

	*ret_part = 0;
	*ret_whole = 1;
	if (**text != '.')
		return 0;
	(*text)++;
	n_all = n = strspn(*text, "0123456789");
	while (n > 0 && (*text)[n - 1] == '0')
		n--;
	if (n_all == 0 || n > MAX_FRACTION_DIGITS)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		*ret_part = *ret_part * 10 + (uint64_t)((*text)[i] - '0');
		*ret_whole *= 10;
	}
	*text += n_all;
	return 0;
}

static uint64_t
find_factor(const struct unit *units, const char *name)
{
	for (const struct unit *u = units; u->name != NULL; u++) {
		if (strcasecmp(u->name, name) == 0)
			return u->factor;
	}
	return 0;
}

static int
parse_with_unit(const struct unit *units, const char *text, uint64_t *ret_value)
{
	uint64_t value = 0, part, whole, factor;
	unsigned __int128 scaled;
	int rc = parse_digits(&text, &value);

	if (rc == -EINVAL || parse_fraction(&text, &part, &whole) != 0)
		return -EINVAL;
	factor = find_factor(units, text);
	if (factor == 0 && *text != '\0')
		return -EINVAL;
	if (factor == 0 && (rc != 0 || value != 0 || part != 0))
		return -EDOM;
	if (rc != 0)
		return rc;
	// part < whole <= 10^18 and factor < 2^47: below 2^107.
	scaled = (unsigned __int128)part * factor;
	if (scaled % whole != 0)
		return -EINVAL;
	// value < 2^64: below 2^112 with the fraction added.
	scaled = scaled / whole + (unsigned __int128)value * factor;
	if (scaled > UINT64_MAX)
		return -ERANGE;
	*ret_value = (uint64_t)scaled;
	return 0;
}

int
units_parse_uint(const char *text, uint64_t *ret_value)
{
	if (text[strspn(text, "0123456789")] != '\0')
		return -EINVAL;
	return parse_with_unit(no_units, text, ret_value);
}

int
units_parse_time(const char *text, uint64_t *ret_ns)
{
	return parse_with_unit(time_units, text, ret_ns);
}

int
units_parse_rate(const char *text, uint64_t *ret_bps)
{
	int rc = parse_with_unit(rate_units, text, ret_bps);

	return rc == -EINVAL ? parse_with_unit(rate_words, text, ret_bps) : rc;
}

int
units_parse_size(const char *text, uint64_t *ret_bytes)
{
	return parse_with_unit(size_units, text, ret_bytes);
}

// Writes value in one unit; false when that takes more decimals than parse reads. At most 20
// digits, a point, 18 decimals and 4 letters: fits UNITS_TEXT_SIZE.
static bool
format_in(const struct unit *unit, uint64_t value, char *buf)
{
	int n = snprintf(buf, UNITS_TEXT_SIZE, "%" PRIu64, value / unit->factor);
	uint64_t rest = value % unit->factor;

	if (rest != 0)
		buf[n++] = '.';
	for (unsigned digits = 0; rest != 0; digits++) {
		if (digits == MAX_FRACTION_DIGITS)
			return false;
		rest *= 10; // factor < 2^47
		buf[n++] = (char)('0' + rest / unit->factor);
		rest %= unit->factor;
	}
	buf[n] = '\0';
	return true;
}

static const char *
format_with_unit(const struct unit *units, uint64_t value, char *buf)
{
	const struct unit *best = units;
	size_t best_len = UNITS_TEXT_SIZE;
	char number[UNITS_TEXT_SIZE];

	for (const struct unit *u = units; u->name != NULL && u->factor <= value; u++) {
		if (!format_in(u, value, number) || strlen(number) > best_len)
			continue;
		best = u;
		best_len = strlen(number);
	}
	(void)format_in(best, value, buf);
	best_len = strlen(buf);
	(void)text_copy(buf + best_len, UNITS_TEXT_SIZE - best_len, best->name);
	return buf;
}

const char *
units_format_time(uint64_t ns, char *buf)
{
	return format_with_unit(time_units, ns, buf);
}

const char *
units_format_time_short(uint64_t ns, char *buf)
{
	uint64_t step = 1;

	while (ns / step >= 1000)
		step *= 10;
	// The rounding stays below 2^64: the largest time has a first digit of 1.
	return units_format_time((ns / step + (ns % step >= (step + 1) / 2 && step > 1)) * step, buf);
}

const char *
units_format_rate(uint64_t bps, char *buf)
{
	return format_with_unit(rate_units, bps, buf);
}

const char *
units_format_size(uint64_t bytes, char *buf)
{
	return format_with_unit(size_units, bytes, buf);
}

static int
hex_digit(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int
units_parse_mac(const char *text, struct mac *ret_mac)
{
	struct mac mac;

	if (strlen(text) != 17)
		return -EINVAL;
	for (unsigned i = 0; i < 6; i++, text += 3) {
		int high = hex_digit(text[0]), low = hex_digit(text[1]);

		if (high < 0 || low < 0 || text[2] != (i < 5 ? ':' : '\0'))
			return -EINVAL;
		mac.b[i] = (uint8_t)(high << 4 | low);
	}
	*ret_mac = mac;
	return 0;
}

const char *
units_format_mac(const struct mac *mac, char *buf)
{
	(void)snprintf(buf, UNITS_TEXT_SIZE, "%02x:%02x:%02x:%02x:%02x:%02x", mac->b[0], mac->b[1], mac->b[2],
		mac->b[3], mac->b[4], mac->b[5]);
	return buf;
}

static bool
has_bits_beyond(const uint8_t *addr, unsigned len, unsigned max_len)
{
	for (unsigned bit = len; bit < max_len; bit++) {
		if ((addr[bit / 8] >> (7 - bit % 8)) & 1)
			return true;
	}
	return false;
}

static int
parse_prefix(const char *text, bool may_have_bits_beyond, struct prefix *ret_prefix)
{
	struct prefix prefix = {.is_v6 = strchr(text, ':') != NULL};
	unsigned max_len = prefix.is_v6 ? 128 : 32;
	char addr[UNITS_TEXT_SIZE];
	uint64_t len = max_len;
	size_t n = strcspn(text, "/");

	if (n >= sizeof(addr) || (text[n] == '/' && units_parse_uint(text + n + 1, &len) != 0) || len > max_len)
		return -EINVAL;
	memcpy(addr, text, n);
	addr[n] = '\0';
	if (inet_pton(prefix.is_v6 ? AF_INET6 : AF_INET, addr, prefix.addr) != 1)
		return -EINVAL;
	if (!may_have_bits_beyond && has_bits_beyond(prefix.addr, (unsigned)len, max_len))
		return -EINVAL;
	prefix.len = (uint8_t)len;
	*ret_prefix = prefix;
	return 0;
}

int
units_parse_prefix(const char *text, struct prefix *ret_prefix)
{
	return parse_prefix(text, false, ret_prefix);
}

int
units_parse_addr(const char *text, struct prefix *ret_addr)
{
	struct prefix addr;
	int rc = parse_prefix(text, true, &addr);

	if (rc || !addr.len)
		return -EINVAL;
	*ret_addr = addr;
	return 0;
}

// The longest, "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128", is never written: inet_ntop
// puts dotted quads only after "::" and "::ffff:", so 39 + 4 bytes are the most.
const char *
units_format_prefix(const struct prefix *prefix, char *buf)
{
	unsigned max_len = prefix->is_v6 ? 128 : 32;

	if (inet_ntop(prefix->is_v6 ? AF_INET6 : AF_INET, prefix->addr, buf, UNITS_TEXT_SIZE) == NULL)
		*buf = '\0';
	if (prefix->len < max_len)
		(void)snprintf(buf + strlen(buf), UNITS_TEXT_SIZE - strlen(buf), "/%u", prefix->len);
	return buf;
}

// One piece of a list: "5" or "100-200", both within min and max. -EINVAL, -ERANGE
static int
parse_range(const char *text, uint64_t min, uint64_t max, uint64_t *ret_first, uint64_t *ret_last)
{
	int rc = parse_digits(&text, ret_first);

	*ret_last = *ret_first;
	if (rc == 0 && *text == '-') {
		text++;
		rc = parse_digits(&text, ret_last);
	}
	if (rc != 0)
		return rc;
	if (*text != '\0' || *ret_last < *ret_first)
		return -EINVAL;
	return *ret_first < min || *ret_last > max ? -ERANGE : 0;
}

int
units_parse_vlans(const char *text, struct vlan_set *ret_set)
{
	struct vlan_set set = {0};
	const char *cursor = *text != '\0' ? text : NULL;
	char piece[UNITS_TEXT_SIZE];

	while (text_next_piece(&cursor, piece, sizeof(piece))) {
		uint64_t first = 0, last = 0;
		int rc = parse_range(piece, 1, RTVS_VLAN_MAX, &first, &last);

		if (rc != 0)
			return rc;
		for (uint64_t vlan = first; vlan <= last; vlan++)
			vlan_set_add(&set, (uint16_t)vlan);
	}
	*ret_set = set;
	return 0;
}

static bool
has_cpu(const struct cpu_list *list, uint64_t cpu)
{
	for (unsigned i = 0; i < list->n; i++) {
		if (list->cpu[i] == cpu)
			return true;
	}
	return false;
}

int
units_parse_cpus(const char *text, struct cpu_list *ret_list)
{
	struct cpu_list list = {0};
	const char *cursor = *text != '\0' ? text : NULL;
	char piece[UNITS_TEXT_SIZE];

	while (text_next_piece(&cursor, piece, sizeof(piece))) {
		uint64_t first = 0, last = 0;
		int rc = parse_range(piece, 0, UINT16_MAX, &first, &last);

		if (rc != 0)
			return rc;
		for (uint64_t cpu = first; cpu <= last; cpu++) {
			if (has_cpu(&list, cpu))
				return -EINVAL;
			if (list.n == RTVS_MAX_CPUS)
				return -ERANGE;
			list.cpu[list.n++] = (uint16_t)cpu;
		}
	}
	*ret_list = list;
	return 0;
}

// Appends "first", or "first-last", after a comma where something precedes. *len: bytes so far.
static int
append_range(char *buf, uint32_t size, uint32_t *len, unsigned first, unsigned last)
{
	char text[32];
	int n = snprintf(text, sizeof(text), first == last ? "%s%u" : "%s%u-%u", *len > 0 ? "," : "", first, last);

	if ((uint32_t)n >= size - *len)
		return -ENOSPC;
	memcpy(buf + *len, text, (size_t)n + 1);
	*len += (uint32_t)n;
	return 0;
}

int
units_format_vlans(const struct vlan_set *set, char *buf, uint32_t size)
{
	uint32_t len = 0;
	int rc = 0;

	if (size == 0)
		return -ENOSPC;
	*buf = '\0';
	for (uint16_t vlan = 1; vlan <= RTVS_VLAN_MAX && rc == 0; vlan++) {
		uint16_t first = vlan;

		if (!vlan_set_has(set, vlan))
			continue;
		while (vlan < RTVS_VLAN_MAX && vlan_set_has(set, (uint16_t)(vlan + 1)))
			vlan++;
		rc = append_range(buf, size, &len, first, vlan);
	}
	return rc;
}

int
units_format_cpus(const struct cpu_list *list, char *buf, uint32_t size)
{
	uint32_t len = 0;
	int rc = 0;

	if (size == 0)
		return -ENOSPC;
	*buf = '\0';
	for (unsigned i = 0; i < list->n && rc == 0; i++) {
		unsigned first = list->cpu[i];

		while (i + 1 < list->n && list->cpu[i + 1] == list->cpu[i] + 1)
			i++;
		rc = append_range(buf, size, &len, first, list->cpu[i]);
	}
	return rc;
}
