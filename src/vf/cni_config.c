#include "cni_config.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define MAX_VFS 256
#define CHANNEL "/dev/virtio-ports/org.rtvswitch.nic.0"
#define DATA_DIR "/var/lib/cni/rtvs-vf"

enum kind {
	NUMBER,
	TEXT,
	ON_OFF, // "on", "off"
	PROTO
};

static const struct {
	const char *key, *param;
	enum kind kind;
} keys[] = {
	{"mac", "mac", TEXT},
	{"vlan", "vlan", NUMBER},
	{"vlanQoS", "qos", NUMBER},
	{"vlanProto", "proto", PROTO},
	{"spoofchk", "spoofchk", ON_OFF},
	{"trust", "trust", ON_OFF},
	{"link_state", "link_state", TEXT},
	{"min_tx_rate", "min_tx_rate", NUMBER},
	{"max_tx_rate", "max_tx_rate", NUMBER},
};
#define N_KEYS (sizeof(keys) / sizeof(keys[0]))

static int __attribute__((format(printf, 2, 3)))
fail(char err[CNI_ERR_SIZE], const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(err, CNI_ERR_SIZE, fmt, args);
	va_end(args);
	return -1;
}

// A new reference; NULL: it is no such value.
static json_t *
convert(enum kind kind, const json_t *value)
{
	const char *text = json_string_value(value);

	switch (kind) {
	case NUMBER:
		return json_is_integer(value) ? json_incref((json_t *)value) : NULL;
	case TEXT:
		return text ? json_string(text) : NULL;
	case ON_OFF:
		return !text ? NULL : !strcmp(text, "on") ? json_true() : !strcmp(text, "off") ? json_false() : NULL;
	case PROTO:
		return !text			     ? NULL :
			!strcasecmp(text, "802.1q")  ? json_string("802.1Q") :
			!strcasecmp(text, "802.1ad") ? json_string("802.1ad") :
						       NULL;
	}
	return NULL;
}

static int
read_text(const json_t *config, const char *key, const char *otherwise, char out[CNI_TEXT_SIZE], char err[CNI_ERR_SIZE])
{
	const json_t *value = json_object_get(config, key);
	const char *text = value ? json_string_value(value) : otherwise;

	if (!text || strlen(text) >= CNI_TEXT_SIZE)
		return fail(err, "%s: a text of at most %d bytes", key, CNI_TEXT_SIZE - 1);
	(void)snprintf(out, CNI_TEXT_SIZE, "%s", text);
	return 0;
}

int
vf_cni_config_number(const char *sys, const char *pci, char err[CNI_ERR_SIZE])
{
	char path[PATH_MAX], target[PATH_MAX];

	if (!*pci || pci[strspn(pci, "0123456789abcdefABCDEF:.")])
		return fail(err, "deviceID: '%.60s' is no PCI address like 0000:01:00.1", pci);
	for (int i = 0; i < MAX_VFS; i++) {
		ssize_t n;
		const char *name;

		(void)snprintf(path, sizeof(path), "%s/bus/pci/devices/%s/physfn/virtfn%d", sys, pci, i);
		n = readlink(path, target, sizeof(target) - 1);
		if (n < 0)
			break;
		target[n] = '\0';
		name = strrchr(target, '/');
		if (!strcmp(name ? name + 1 : target, pci))
			return i;
	}
	return fail(err, "deviceID: %s is no virtual function of a device in %s/bus/pci/devices", pci, sys);
}

static int
read_number(const json_t *config, const char *sys, json_t *params, char err[CNI_ERR_SIZE])
{
	const json_t *runtime = json_object_get(config, "runtimeConfig"), *number = json_object_get(config, "vf");
	const char *pci = json_string_value(json_object_get(runtime, "deviceID"));
	int vf = -1;

	pci = pci ? pci : json_string_value(json_object_get(config, "deviceID"));
	if (json_is_integer(number))
		vf = (int)json_integer_value(number);
	else if (pci)
		vf = vf_cni_config_number(sys, pci, err);
	else
		return fail(err,
			"deviceID: no runtimeConfig has it: the network needs \"capabilities\": {\"deviceID\": true}; "
			"or vf: "
			"the number of a virtual function");
	return vf < 0 ? -1 : json_object_set_new(params, "vf", json_integer(vf));
}

int
vf_cni_config_read(const json_t *config, const char *sys, struct cni_config *ret, char err[CNI_ERR_SIZE])
{
	const char *mac = json_string_value(json_object_get(json_object_get(config, "runtimeConfig"), "mac"));

	*ret = (struct cni_config){.params = json_object(), .previous = json_object_get(config, "prevResult")};
	if (read_text(config, "cniVersion", "0.3.1", ret->version, err) ||
		read_text(config, "channel", CHANNEL, ret->channel, err) ||
		read_text(config, "dataDir", DATA_DIR, ret->data_dir, err))
		return -1;
	for (unsigned i = 0; i < N_KEYS; i++) {
		const json_t *value = json_object_get(config, keys[i].key);
		json_t *converted;

		if (!value)
			continue;
		converted = convert(keys[i].kind, value);
		if (!converted)
			return fail(err, "%s: %s", keys[i].key,
				keys[i].kind == NUMBER	       ? "a number" :
					keys[i].kind == ON_OFF ? "\"on\" or \"off\"" :
					keys[i].kind == PROTO  ? "\"802.1q\" or \"802.1ad\"" :
								 "a text");
		(void)json_object_set_new(ret->params, keys[i].param, converted);
	}
	if (mac) // the container's own comes first
		(void)json_object_set_new(ret->params, "mac", json_string(mac));
	return read_number(config, sys, ret->params, err);
}

void
vf_cni_config_free(struct cni_config *config)
{
	json_decref(config->params);
	config->params = NULL;
}

json_t *
vf_cni_config_result(const struct cni_config *config, const char *interface, const char *mac)
{
	json_t *result = json_deep_copy(config->previous), *entry;
	size_t i;

	if (!result)
		return NULL;
	(void)json_object_set_new(result, "cniVersion", json_string(config->version));
	json_array_foreach (json_object_get(result, "interfaces"), i, entry) {
		const char *name = json_string_value(json_object_get(entry, "name"));

		if (mac && name && !strcmp(name, interface) && json_object_get(entry, "sandbox"))
			(void)json_object_set_new(entry, "mac", json_string(mac));
	}
	return result;
}

const char *
vf_cni_config_difference(const json_t *params, const json_t *row)
{
	for (unsigned i = 0; i < N_KEYS; i++) {
		const json_t *wanted = json_object_get(params, keys[i].param),
			     *has = json_object_get(row, keys[i].param);
		const char *a = json_string_value(wanted), *b = json_string_value(has);

		if (wanted && (a ? !b || strcasecmp(a, b) != 0 : !json_equal(wanted, has)))
			return keys[i].key;
	}
	return NULL;
}

json_t *
vf_cni_config_restore(const json_t *params, const json_t *row)
{
	json_t *restore = json_object();

	(void)json_object_set(restore, "vf", json_object_get(params, "vf"));
	for (unsigned i = 0; i < N_KEYS; i++) {
		json_t *had = json_object_get(row, keys[i].param);

		if (json_object_get(params, keys[i].param) && had && !json_is_null(had))
			(void)json_object_set(restore, keys[i].param, had);
	}
	return restore;
}
