// A libvirt domain's XML, as the hook gets it.
#include "domain.h"
#include "promise.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char err[DOMAIN_ERR_SIZE];
	struct domain *d = NULL;

	if (domain_parse((const char *)data, size, &d, err)) {
		PROMISE(err[0] && !d);
		return 0;
	}
	PROMISE(d->name[0] && d->n_ports <= DOMAIN_MAX_PORTS);
	(void)domain_refusal(d);
	for (unsigned i = 0; i < d->n_ports; i++) {
		const struct domain_port *p = &d->ports[i];

		// An accepted domain has all that a port needs.
		PROMISE(p->err[0] || (domain_port_name(p)[0] && json_object_get(p->params, "socket") && p->mac[0]));
		json_decref(domain_port_fallback(p));
	}
	domain_free(d);
	return 0;
}
