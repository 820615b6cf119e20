// Each piece names its place in a comment, so that all of them together are still readable.
#include "snippets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ANY_BRIDGE "br0" // an element needs one, and most hosts' first is called so

static void
print_memory(FILE *out)
{
	fputs("<!-- in <domain>: memory that the switch can map; <hugepages/> in place of <source> takes hugepages "
	      "-->\n"
	      "<memoryBacking>\n"
	      "  <source type='memfd'/>\n"
	      "  <access mode='shared'/>\n"
	      "</memoryBacking>\n",
		out);
}

static int
print_and_free(char *text, FILE *out)
{
	if (!text)
		return -ENOMEM;
	fputs(text, out);
	free(text);
	return 0;
}

// Of an interface that is there: its socket names the port.
static int
print_port_of(const struct edit_port *port, const struct words *words, FILE *out)
{
	struct words w = *words;

	memcpy(w.mac, port->mac, sizeof(w.mac));
	words_add(&w, "bridge", ANY_BRIDGE);
	return print_and_free(words_port(&w, 2), out);
}

static bool
is_meant(const struct edit_port *port, const struct words *words)
{
	return port->has_interface && !port->has_element && (!words->mac[0] || !strcmp(words->mac, port->mac));
}

// Elements of interfaces that have none. *ret_n: how many.
static int
print_elements(const struct edit *e, const struct words *words, unsigned *ret_n, FILE *out)
{
	struct edit_port port;
	unsigned n = 0;
	int rc = 0;

	for (unsigned i = 0; e && !rc && edit_port_at(e, i, &port); i++) {
		if (!is_meant(&port, words))
			continue;
		if (!n++)
			fputs("<!-- in <metadata>; the ports go into the <rtvs:ports> that there is already -->\n"
			      "<rtvs:ports xmlns:rtvs='" DOMAIN_NAMESPACE "'>\n",
				out);
		rc = print_port_of(&port, words, out);
	}
	if (n)
		fputs("</rtvs:ports>\n", out);
	*ret_n = n;
	return rc;
}

static int
print_new(const struct words *words, const char *domain, uint64_t random, FILE *out)
{
	struct words w = *words;
	int rc;

	words_complete(&w, domain, random);
	words_add(&w, "bridge", ANY_BRIDGE);
	fputs("<!-- in <devices> -->\n", out);
	rc = print_and_free(words_interface(&w, 0), out);
	fputs("<!-- in <metadata>; the port goes into the <rtvs:ports> that there is already -->\n"
	      "<rtvs:ports xmlns:rtvs='" DOMAIN_NAMESPACE "'>\n",
		out);
	if (!rc)
		rc = print_and_free(words_port(&w, 2), out);
	fputs("</rtvs:ports>\n", out);
	return rc;
}

int
snippets_print(const struct edit *e, const struct words *words, const char *domain, uint64_t random, FILE *out)
{
	bool is_asked = words->n_pairs || words->mac[0] || words->socket[0];
	bool is_lacking = !e || !edit_is_memory_shared(e);
	struct edit_port first;
	unsigned n;
	int rc;

	if (is_lacking)
		print_memory(out);
	rc = print_elements(e, words, &n, out);
	if (rc || n)
		return rc;
	if (!e || is_asked || !edit_port_at(e, 0, &first))
		return print_new(words, domain, random, out);
	if (!is_lacking)
		fputs("<!-- the domain has all that it needs -->\n", out);
	return 0;
}
