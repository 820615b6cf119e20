// A thin layer: libvirt's errors are returned as texts, and libvirt itself prints none.
#include "host.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>

#define KEEPALIVE_SECONDS 5
#define KEEPALIVE_COUNT 3

static void
be_quiet(void *ctx, virErrorPtr error)
{
	(void)ctx;
	(void)error;
}

int
host_init(void)
{
	virSetErrorFunc(NULL, be_quiet);
	return virEventRegisterDefaultImpl();
}

virConnectPtr
host_connect(const char *uri)
{
	virConnectPtr conn = virConnectOpen(uri);

	// Local drivers have none.
	if (conn)
		(void)virConnectSetKeepAlive(conn, KEEPALIVE_SECONDS, KEEPALIVE_COUNT);
	return conn;
}

const char *
host_error(void)
{
	const char *text = virGetLastErrorMessage();

	return text ? text : "unknown error";
}

virDomainPtr
host_domain(virConnectPtr conn, const char *which)
{
	virDomainPtr dom = virDomainLookupByName(conn, which);
	char *end;
	long id;

	if (!dom)
		dom = virDomainLookupByUUIDString(conn, which);
	errno = 0;
	id = strtol(which, &end, 10);
	if (!dom && *which && !*end && !errno && id > 0 && id <= 0x7fffffff)
		dom = virDomainLookupByID(conn, (int)id);
	if (!dom)
		fprintf(stderr, "rtvs-virt: libvirt has no domain '%s'\n", which);
	return dom;
}
