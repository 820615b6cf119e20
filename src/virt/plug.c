// Order matters. The daemon may refuse before libvirt is asked for anything. The element exists
// before the interface, so that the listener keeps the port. The stored domain is changed before
// the running one, since only the latter depends on the guest. A failure undoes all steps, the last
// first.
#include "plug.h"

#include "host.h"
#include "ports.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define PREFIX "rtvs"
#define TICK_MS 200

// A domain as it runs, or as it is stored.
struct side {
	unsigned flag; // VIR_DOMAIN_AFFECT_*
	bool is_used;
	char *xml; // as libvirt gave it
	struct edit *edit; // as it is to be
	char *metadata; // as it was; NULL: none
	struct domain *wanted; // of edit
	bool is_metadata_set, is_device_done;
};

struct plug {
	const struct plug_options *o;
	virConnectPtr conn;
	virDomainPtr dom;
	char uuid[VIR_UUID_STRING_BUFLEN];
	const char *name; // the domain's
	struct side live, config;
	struct ports ports; // client NULL: not connected
};

__attribute__((format(printf, 1, 2))) static enum cli_exit
refuse(const char *fmt, ...)
{
	va_list args;

	fputs("rtvs-virt: ", stderr);
	va_start(args, fmt);
	(void)vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	return CLI_REFUSED;
}

static enum cli_exit
libvirt_refused(const char *what)
{
	return refuse("%s: libvirt: %s", what, host_error());
}

// "line 7: <port>: text": lines of a text that the user has not seen.
static const char *
without_line(const char *err)
{
	const char *rest = !strncmp(err, "line ", 5) ? strstr(err, ">: ") : NULL;

	return rest ? rest + 3 : err;
}

static void
log_cb(void *ctx, bool is_problem, const char *text)
{
	(void)ctx;
	if (is_problem)
		fprintf(stderr, "rtvs-virt: %s\n", text);
}

static enum cli_exit
open_side(struct plug *p, struct side *side, bool is_wanted, unsigned flag, unsigned xml_flags)
{
	char err[DOMAIN_ERR_SIZE];

	side->flag = flag;
	side->is_used = is_wanted;
	if (!is_wanted)
		return CLI_OK;
	side->xml = virDomainGetXMLDesc(p->dom, xml_flags);
	if (!side->xml)
		return libvirt_refused("domain's XML");
	if (edit_open(side->xml, &side->edit, err))
		return refuse("%s", err);
	side->metadata = edit_metadata(side->edit);
	return CLI_OK;
}

static enum cli_exit
choose_sides(struct plug *p)
{
	const struct plug_options *o = p->o;
	int is_active = virDomainIsActive(p->dom), is_persistent = virDomainIsPersistent(p->dom);
	bool is_any = o->is_live || o->is_config || o->is_current;
	bool is_live = o->is_live || (o->is_current && is_active) || (!is_any && is_active);
	bool is_config = o->is_config || (o->is_current && !is_active) || (!is_any && is_persistent);
	enum cli_exit rc;

	if (is_active < 0 || is_persistent < 0)
		return libvirt_refused("domain's state");
	if (is_live && !is_active)
		return refuse("domain %s does not run: --live is not possible", p->name);
	if (is_config && !is_persistent)
		return refuse("domain %s is transient: --config is not possible", p->name);
	rc = open_side(p, &p->live, is_live, VIR_DOMAIN_AFFECT_LIVE, 0);
	if (rc == CLI_OK)
		rc = open_side(p, &p->config, is_config, VIR_DOMAIN_AFFECT_CONFIG,
			VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
	return rc;
}

static enum cli_exit
plug_open(struct plug *p, const struct plug_options *o, const char *domain)
{
	*p = (struct plug){.o = o, .ports = {.log = log_cb}};
	if (host_init() || !(p->conn = host_connect(o->uri))) {
		(void)libvirt_refused(o->uri);
		return CLI_UNREACHABLE;
	}
	p->dom = host_domain(p->conn, domain);
	if (!p->dom)
		return CLI_REFUSED;
	p->name = virDomainGetName(p->dom);
	if (virDomainGetUUIDString(p->dom, p->uuid))
		return libvirt_refused("domain's UUID");
	p->ports.client = client_open(o->socket);
	return p->ports.client ? choose_sides(p) : CLI_UNREACHABLE;
}

static void
close_side(struct side *side)
{
	domain_free(side->wanted);
	edit_close(side->edit);
	free(side->metadata);
	free(side->xml);
}

static void
plug_close(struct plug *p)
{
	close_side(&p->live);
	close_side(&p->config);
	client_close(p->ports.client);
	if (p->dom)
		(void)virDomainFree(p->dom);
	if (p->conn)
		(void)virConnectClose(p->conn);
}

// The side's domain, as it is to be, read as the hook would.
static struct domain_port *
read_wanted(struct side *side, const char *mac)
{
	char err[DOMAIN_ERR_SIZE] = "out of memory", *text = edit_text(side->edit);

	if (!text || domain_parse(text, strlen(text), &side->wanted, err))
		(void)refuse("%s", without_line(err));
	free(text);
	for (unsigned i = 0; side->wanted && i < side->wanted->n_ports; i++) {
		struct domain_port *port = &side->wanted->ports[i];

		if (strcmp(port->mac, mac))
			continue;
		if (!port->err[0])
			return port;
		(void)refuse("%s", without_line(port->err));
		return NULL;
	}
	return NULL;
}

// NULL: what is in edit.
static enum cli_exit
store_metadata(struct plug *p, struct side *side, const char *text)
{
	if (virDomainSetMetadata(
		    p->dom, VIR_DOMAIN_METADATA_ELEMENT, text, text ? PREFIX : NULL, DOMAIN_NAMESPACE, side->flag))
		return libvirt_refused("metadata");
	return CLI_OK;
}

static enum cli_exit
set_metadata(struct plug *p, struct side *side)
{
	enum cli_exit rc = CLI_OK;
	char *text;

	if (!side->is_used)
		return CLI_OK;
	text = edit_metadata(side->edit);
	// libvirt calls it an error to remove what is not there.
	if (text || side->metadata)
		rc = store_metadata(p, side, text);
	side->is_metadata_set = rc == CLI_OK;
	free(text);
	return rc;
}

static void
undo_metadata(struct plug *p, struct side *side)
{
	if (side->is_metadata_set && store_metadata(p, side, side->metadata))
		fprintf(stderr, "rtvs-virt: the metadata of domain %s could not be put back\n", p->name);
	side->is_metadata_set = false;
}

static enum cli_exit
port_refused(enum cli_exit rc, const char *name, const char *err)
{
	if (rc == CLI_REFUSED)
		(void)refuse("port %s: %s", name, err);
	return rc;
}

// Whether it could be, when the domain starts.
static enum cli_exit
check_port(struct plug *p, const struct domain_port *port)
{
	struct domain *one = calloc(1, sizeof(*one));
	char err[DOMAIN_ERR_SIZE] = "";
	enum cli_exit rc;

	if (!one)
		return refuse("out of memory");
	one->n_ports = 1;
	one->ports[0] = *port;
	rc = ports_check(&p->ports, one, err);
	free(one);
	return port_refused(rc, domain_port_name(port), without_line(err));
}

static enum cli_exit
apply_port(struct plug *p, const struct domain_port *port)
{
	char err[DOMAIN_ERR_SIZE] = "";
	enum cli_exit rc = ports_apply_one(&p->ports, port, err);

	return port_refused(rc, domain_port_name(port), err);
}

// attach

static enum cli_exit
plan_attach(struct side *side, const struct words *w, const char *xml)
{
	struct edit_port other;

	if (!side->is_used)
		return CLI_OK;
	if (edit_has_mac(side->edit, w->mac))
		return refuse("mac: the domain has %s already", w->mac);
	if (edit_find(side->edit, w->name, &other))
		return refuse("name: the domain has a port %s already, of %s", w->name, other.mac);
	if (edit_set_port(side->edit, w->mac, w->pairs, w->n_pairs) || edit_add_interface(side->edit, xml))
		return refuse("out of memory");
	return read_wanted(side, w->mac) ? CLI_OK : CLI_REFUSED;
}

static const struct domain_port *
wanted_port(const struct side *side, const char *mac)
{
	for (unsigned i = 0; side->wanted && i < side->wanted->n_ports; i++)
		if (!strcmp(side->wanted->ports[i].mac, mac))
			return &side->wanted->ports[i];
	return NULL;
}

static enum cli_exit
attach_device(struct plug *p, struct side *side, const char *xml)
{
	if (!side->is_used)
		return CLI_OK;
	if (virDomainAttachDeviceFlags(p->dom, xml, side->flag))
		return libvirt_refused(side->flag == VIR_DOMAIN_AFFECT_LIVE ? "interface" : "stored interface");
	side->is_device_done = true;
	return CLI_OK;
}

static enum cli_exit
attach_all(struct plug *p, const struct words *w, const char *xml)
{
	const struct domain_port *port = wanted_port(p->live.is_used ? &p->live : &p->config, w->mac);
	enum cli_exit rc = p->live.is_used ? apply_port(p, port) : check_port(p, port);

	if (rc)
		return rc;
	rc = set_metadata(p, &p->live);
	// Before there was the element, the listener may have taken the port away.
	if (rc == CLI_OK && p->live.is_used)
		rc = apply_port(p, port);
	if (rc == CLI_OK)
		rc = set_metadata(p, &p->config);
	if (rc == CLI_OK)
		rc = attach_device(p, &p->config, xml);
	if (rc == CLI_OK)
		rc = attach_device(p, &p->live, xml);
	if (rc == CLI_OK)
		return rc;
	if (p->config.is_device_done && virDomainDetachDeviceFlags(p->dom, xml, p->config.flag))
		(void)libvirt_refused("undo of the stored interface");
	undo_metadata(p, &p->config);
	undo_metadata(p, &p->live);
	if (p->live.is_used)
		(void)ports_remove_one(&p->ports, p->uuid, w->name);
	return rc;
}

static uint64_t
random_bits(void)
{
	uint64_t bits;

	if (getrandom(&bits, sizeof(bits), 0) != sizeof(bits))
		bits = (uint64_t)time(NULL) * 2654435761u;
	return bits;
}

enum cli_exit
plug_attach(const struct plug_options *o, const char *domain, const struct words *words)
{
	struct words w = *words;
	struct plug p;
	enum cli_exit rc = plug_open(&p, o, domain);
	char *xml = NULL;

	if (rc == CLI_OK) {
		words_complete(&w, p.name, random_bits());
		xml = words_interface(&w, 0);
		rc = xml ? plan_attach(&p.live, &w, xml) : CLI_REFUSED;
	}
	if (rc == CLI_OK)
		rc = plan_attach(&p.config, &w, xml);
	if (rc == CLI_OK)
		rc = attach_all(&p, &w, xml);
	if (rc == CLI_OK)
		printf(o->is_json ? "{\"name\":\"%s\",\"mac\":\"%s\"}\n" : "%s  %s\n", w.name, w.mac);
	free(xml);
	plug_close(&p);
	return rc;
}

// detach

struct removal {
	const char *alias;
	bool is_done, is_refused, is_late;
};

static void
removed_cb(virConnectPtr conn, virDomainPtr dom, const char *alias, void *ctx)
{
	struct removal *r = ctx;

	(void)conn;
	(void)dom;
	r->is_done |= !strcmp(alias, r->alias);
}

static void
failed_cb(virConnectPtr conn, virDomainPtr dom, const char *alias, void *ctx)
{
	struct removal *r = ctx;

	(void)conn;
	(void)dom;
	r->is_refused |= !strcmp(alias, r->alias);
}

static void
late_cb(int timer, void *ctx)
{
	(void)timer;
	((struct removal *)ctx)->is_late = true;
}

static bool
is_interface_there(struct plug *p, const char *mac)
{
	char *xml = virDomainGetXMLDesc(p->dom, 0), err[DOMAIN_ERR_SIZE];
	struct edit *e = NULL;
	struct edit_port port;
	bool is_there = true;

	if (!xml) // it has ended
		is_there = virDomainIsActive(p->dom) == 1;
	else if (!edit_open(xml, &e, err))
		is_there = edit_find(e, mac, &port) && port.has_interface;
	edit_close(e);
	free(xml);
	return is_there;
}

// The guest's driver has to agree. An event that came before the wait shows in the domain's XML.
static enum cli_exit
wait_removal(struct plug *p, struct removal *r, const char *mac)
{
	int timer = virEventAddTimeout((int)p->o->timeout_ms, late_cb, r, NULL);

	while (!r->is_done && !r->is_refused && !r->is_late && virEventRunDefaultImpl() >= 0)
		;
	if (timer >= 0)
		(void)virEventRemoveTimeout(timer);
	if (r->is_done || !is_interface_there(p, mac))
		return CLI_OK;
	return refuse(r->is_refused ?
			"the guest refused to let go of interface %s; nothing else was changed" :
			"the guest did not let go of interface %s in time; nothing else was changed, try again",
		r->alias);
}

static enum cli_exit
detach_live(struct plug *p, const struct edit_port *port)
{
	struct removal removal = {.alias = port->alias};
	char *xml = edit_interface(p->live.edit, port->mac);
	int removed = virConnectDomainEventRegisterAny(p->conn, p->dom, VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
		VIR_DOMAIN_EVENT_CALLBACK(removed_cb), &removal, NULL);
	int failed = virConnectDomainEventRegisterAny(p->conn, p->dom, VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED,
		VIR_DOMAIN_EVENT_CALLBACK(failed_cb), &removal, NULL);
	enum cli_exit rc = CLI_REFUSED;

	if (!xml || removed < 0 || failed < 0)
		(void)libvirt_refused("events");
	else if (virDomainDetachDeviceFlags(p->dom, xml, VIR_DOMAIN_AFFECT_LIVE))
		(void)libvirt_refused("interface");
	else
		rc = wait_removal(p, &removal, port->mac);
	if (removed >= 0)
		(void)virConnectDomainEventDeregisterAny(p->conn, removed);
	if (failed >= 0)
		(void)virConnectDomainEventDeregisterAny(p->conn, failed);
	free(xml);
	return rc;
}

static enum cli_exit
detach_config(struct plug *p, const struct edit_port *port)
{
	char *xml = edit_interface(p->config.edit, port->mac);
	enum cli_exit rc = CLI_OK;

	if (!xml || virDomainDetachDeviceFlags(p->dom, xml, VIR_DOMAIN_AFFECT_CONFIG))
		rc = libvirt_refused("stored interface");
	free(xml);
	return rc;
}

static enum cli_exit
detach_side(struct plug *p, struct side *side, const struct edit_port *port)
{
	bool is_live = side == &p->live;
	enum cli_exit rc = CLI_OK;

	if (port->has_interface)
		rc = is_live ? detach_live(p, port) : detach_config(p, port);
	edit_remove_port(side->edit, port->mac);
	if (rc == CLI_OK)
		rc = set_metadata(p, side);
	if (rc == CLI_OK && is_live && port->name[0])
		rc = ports_remove_one(&p->ports, p->uuid, port->name);
	return rc;
}

// The stored domain has no aliases: an interface found in the running one is meant by its MAC
// there.
static bool
find_sides(struct plug *p, const char *iface, struct edit_port *live, struct edit_port *config)
{
	bool is_live = p->live.is_used && edit_find(p->live.edit, iface, live);
	bool is_config = p->config.is_used && edit_find(p->config.edit, is_live ? live->mac : iface, config);

	p->live.is_used = is_live;
	p->config.is_used = is_config;
	if (!is_live && !is_config)
		(void)refuse("domain %s has no vhost-user or vdpa interface or port '%s' (a MAC, a port's name, or "
			     "libvirt's alias)",
			p->name, iface);
	return is_live || is_config;
}

enum cli_exit
plug_detach(const struct plug_options *o, const char *domain, const char *iface)
{
	struct edit_port live = {0}, config = {0};
	struct plug p;
	enum cli_exit rc = plug_open(&p, o, domain);

	if (rc == CLI_OK && !find_sides(&p, iface, &live, &config))
		rc = CLI_REFUSED;
	if (rc == CLI_OK && p.live.is_used)
		rc = detach_side(&p, &p.live, &live);
	if (rc == CLI_OK && p.config.is_used)
		rc = detach_side(&p, &p.config, &config);
	plug_close(&p);
	return rc;
}

// set

static enum cli_exit
plan_set(struct side *side, const char *mac, const struct words *w)
{
	if (!side->is_used)
		return CLI_OK;
	if (edit_set_port(side->edit, mac, w->pairs, w->n_pairs))
		return refuse("out of memory");
	return read_wanted(side, mac) ? CLI_OK : CLI_REFUSED;
}

// As the element had it, or without one.
static void
undo_port(struct plug *p, const char *mac, const char *name)
{
	char err[DOMAIN_ERR_SIZE] = "";
	struct domain *before = NULL;
	enum cli_exit rc = CLI_OK;

	if (domain_parse(p->live.xml, strlen(p->live.xml), &before, err))
		return;
	for (unsigned i = 0; i < before->n_ports; i++) {
		if (strcmp(before->ports[i].mac, mac))
			continue;
		name = NULL;
		if (!before->ports[i].err[0])
			rc = ports_apply_one(&p->ports, &before->ports[i], err);
	}
	if (name)
		rc = ports_remove_one(&p->ports, p->uuid, name);
	if (rc)
		fprintf(stderr, "rtvs-virt: the port could not be put back: %s\n", err);
	domain_free(before);
}

static enum cli_exit
set_all(struct plug *p, const char *mac)
{
	const struct domain_port *port = wanted_port(p->live.is_used ? &p->live : &p->config, mac);
	enum cli_exit rc = p->live.is_used ? apply_port(p, port) : check_port(p, port);

	if (rc)
		return rc;
	rc = set_metadata(p, &p->live);
	if (rc == CLI_OK)
		rc = set_metadata(p, &p->config);
	if (rc == CLI_OK)
		return rc;
	undo_metadata(p, &p->live);
	if (p->live.is_used)
		undo_port(p, mac, domain_port_name(port));
	return rc;
}

enum cli_exit
plug_set(const struct plug_options *o, const char *domain, const char *iface, const struct words *words)
{
	struct edit_port live = {0}, config = {0};
	struct plug p;
	enum cli_exit rc = plug_open(&p, o, domain);
	const char *mac;

	if (rc == CLI_OK && !find_sides(&p, iface, &live, &config))
		rc = CLI_REFUSED;
	mac = live.mac[0] ? live.mac : config.mac;
	// The socket would be made anew, and the guest lose its carrier.
	if (rc == CLI_OK && p.live.is_used && live.has_interface && words_value(words, "queues"))
		rc = refuse("queues: cannot change while the guest runs; use --config");
	if (rc == CLI_OK)
		rc = plan_set(&p.live, mac, words);
	if (rc == CLI_OK)
		rc = plan_set(&p.config, mac, words);
	if (rc == CLI_OK)
		rc = set_all(&p, mac);
	plug_close(&p);
	return rc;
}
