// Numbers as people write them. Pure. parse: the whole text must be the value. Errors: -EINVAL (not
// a value of that kind), -ERANGE (does not fit 64 bits), -EDOM (a number without its unit: 2 may be
// ns or s; 0 needs none). Fractions are accepted where the result is whole ("1.5ms"). The case of
// units is ignored. format: exact, in the unit that makes the number shortest and not below 1, the
// larger of two; parse reads it back; buf of UNITS_TEXT_SIZE; returns buf.
#pragma once

#include "rtvs/types.h"

#include <stdint.h>

#define UNITS_TEXT_SIZE 48

int units_parse_uint(const char *text, uint64_t *ret_value);
int units_parse_time(const char *text, uint64_t *ret_ns); // ns us ms s min h d
// bit kbit Mbit Gbit Tbit; also k M, bps Mbps, bit/s Mbit/s
int units_parse_rate(const char *text, uint64_t *ret_bps);
int units_parse_size(const char *text, uint64_t *ret_bytes); // B kB MB GB TB KiB MiB GiB TiB
int units_parse_mac(const char *text, struct mac *ret_mac);
// An address, with the length (not 0) of its network's prefix or without. -EINVAL
int units_parse_addr(const char *text, struct prefix *ret_addr);
// address or address/len; -EINVAL: bits beyond len
int units_parse_prefix(const char *text, struct prefix *ret_prefix);
// "1,5,100-200"; "" is the empty set
int units_parse_vlans(const char *text, struct vlan_set *ret_set);
// -ERANGE: more than RTVS_MAX_CPUS
int units_parse_cpus(const char *text, struct cpu_list *ret_list);

const char *units_format_time(uint64_t ns, char *buf);
const char *units_format_time_short(uint64_t ns, char *buf); // for people: three digits, rounded
const char *units_format_rate(uint64_t bps, char *buf);
const char *units_format_size(uint64_t bytes, char *buf);
const char *units_format_mac(const struct mac *mac, char *buf);
const char *units_format_prefix(const struct prefix *prefix, char *buf);
// buf of size bytes; -ENOSPC when it does not fit (size 20480 always does for VLANs,
// UNITS_TEXT_SIZE * 2 for CPUs).
int units_format_vlans(const struct vlan_set *set, char *buf, uint32_t size);
int units_format_cpus(const struct cpu_list *list, char *buf, uint32_t size);
