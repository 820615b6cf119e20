// Names and traits of the types of ports, for the datapath, the control plane and programs that
// read its answers. The list itself is rtvs/port_traits.h: a type added there appears here without
// another line. Both tables are indexed by enum dp_port_type.
#include "rtvs/port_traits.h"

#define X(arg, id, name, traits, about) [DP_PORT_##id] = #name,
const char *const port_traits_names[PORT_N_TYPES + 1] = {PORT_TYPES(X, )};
#undef X

uint32_t
port_traits_of(uint32_t type)
{
#define X(arg, id, name, traits, about) [DP_PORT_##id] = traits,
	static const uint16_t table[PORT_N_TYPES] = {PORT_TYPES(X, )};
#undef X

	return type < PORT_N_TYPES ? table[type] : 0;
}

static bool
is_same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

uint32_t
port_traits_of_name(const char *type)
{
	for (uint32_t i = 0; type && i < PORT_N_TYPES; i++)
		if (is_same(type, port_traits_names[i]))
			return port_traits_of(i);
	return 0;
}
