// QEMU's emulation of SR-IOV (docs/system/sriov.rst): virtio-net devices of one PCIe port, of which
// those with sriov-pf= are the functions behind that of their PF.
#include "eswitch_qemu.h"

#include "rtvs/units.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINE_SIZE 1024
#define FUNCTIONS 8 // of a PCI device

struct out {
	json_t *lines;
	bool is_xml;
	const char *id; // of the eswitch, in QEMU's names
};

static void
write_word(const struct out *out, const char *word)
{
	char line[2 * LINE_SIZE];
	size_t n = (size_t)snprintf(line, sizeof(line), "  <qemu:arg value='");

	for (; *word && n < sizeof(line) - 16; word++) // paths of sockets
		n += (size_t)snprintf(line + n, sizeof(line) - n,
			*word == '\'' || *word == '&' || *word == '<' ? "&#%d;" : "%c", *word);
	(void)snprintf(line + n, sizeof(line) - n, "'/>");
	(void)json_array_append_new(out->lines, json_string(line));
}

static void __attribute__((format(printf, 3, 4)))
write_option(const struct out *out, const char *option, const char *format, ...)
{
	char value[LINE_SIZE], line[LINE_SIZE + 32];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(value, sizeof(value), format, args);
	va_end(args);
	if (out->is_xml) {
		write_word(out, option);
		write_word(out, value);
		return;
	}
	(void)snprintf(line, sizeof(line), "%s %s", option, value);
	(void)json_array_append_new(out->lines, json_string(line));
}

// That of the port's guard; else one of its own, or all would have QEMU's default.
static const char *
mac_of(const struct dp_port_cfg *cfg, char text[UNITS_TEXT_SIZE])
{
	struct mac mac = {{0x52, 0x54, 0}};
	uint32_t hash = UINT32_C(0x811c9dc5); // FNV-1a

	for (const char *at = cfg->name; *at; at++)
		hash = (hash ^ (uint8_t)*at) * UINT32_C(0x01000193);
	for (unsigned i = 0; i < 3; i++)
		mac.b[3 + i] = (uint8_t)(hash >> 8 * i);
	return units_format_mac(cfg->allowed_macs.n ? &cfg->allowed_macs.mac[0] : &mac, text);
}

static void
write_netdev(const struct out *out, const struct dp_port_cfg *cfg, unsigned function)
{
	char queues[32] = "";

	if (cfg->n_queues > 1)
		(void)snprintf(queues, sizeof(queues), ",queues=%u", cfg->n_queues);
	write_option(out, "-chardev", "socket,id=%s-c%u,path=%s%s", out->id, function, cfg->socket,
		cfg->vhost_mode == DP_VHOST_CONNECT ? ",server=on,wait=off" : ",reconnect-ms=500");
	write_option(
		out, "-netdev", "vhost-user,id=%s-n%u,chardev=%s-c%u%s", out->id, function, out->id, function, queues);
}

static void
write_device(const struct out *out, const struct dp_port_cfg *cfg, unsigned function)
{
	char mac[UNITS_TEXT_SIZE], mq[48] = "", role[RTVS_NAME_SIZE + 32];

	if (cfg->n_queues > 1)
		(void)snprintf(mq, sizeof(mq), ",mq=on,vectors=%u", 2 * cfg->n_queues + 2);
	(void)snprintf(role, sizeof(role), function ? "sriov-pf=%s-pf" : "id=%s-pf", out->id);
	write_option(out, "-device", "virtio-net-pci,bus=%s-port,addr=0x%x.0x%x,netdev=%s-n%u,mac=%s%s,%s", out->id,
		function / FUNCTIONS, function % FUNCTIONS, out->id, function, mac_of(cfg, mac), mq, role);
}

static bool
has_sockets(const struct model *model, const struct model_eswitch *eswitch)
{
	const struct model_port *port = model_port_find(model, eswitch->pf);
	bool has = port->cfg.socket[0];

	for (unsigned vf = 0; has && (port = model_eswitch_vf(model, eswitch, vf)); vf++)
		has = port->cfg.socket[0];
	return has;
}

json_t *
eswitch_qemu(const struct model *model, const struct model_eswitch *eswitch, bool is_xml)
{
	const struct model_port *pf = model_port_find(model, eswitch->pf), *port;
	struct out out = {.is_xml = is_xml, .id = eswitch->name};

	if (!has_sockets(model, eswitch))
		return NULL;
	out.lines = json_array();
	if (is_xml)
		(void)json_array_append_new(out.lines,
			json_string("<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>"));
	write_option(&out, "-chardev", "socket,id=%s-ctl,path=%s,reconnect-ms=500", out.id, eswitch->control);
	write_option(&out, "-device", "virtio-serial-pci,id=%s-serial", out.id);
	write_option(&out, "-device", "virtserialport,bus=%s-serial.0,chardev=%s-ctl,name=org.rtvswitch.nic.0", out.id,
		out.id);
	write_option(&out, "-device", "pcie-root-port,id=%s-port,chassis=100", out.id);
	for (unsigned vf = 0; (port = model_eswitch_vf(model, eswitch, vf)); vf++)
		write_netdev(&out, &port->cfg, vf + 1);
	write_netdev(&out, &pf->cfg, 0);
	for (unsigned vf = 0; (port = model_eswitch_vf(model, eswitch, vf)); vf++)
		write_device(&out, &port->cfg, vf + 1);
	write_device(&out, &pf->cfg, 0);
	if (is_xml)
		(void)json_array_append_new(out.lines, json_string("</qemu:commandline>"));
	return out.lines;
}
