// ADD sets the VF that the runtime's device plugin has chosen, by the keys of sriov-cni, and gives
// the container's interface its MAC. What the VF had before is kept in a file for DEL, which may
// come more than once, and after a start of the machine.
#include "cni.h"

#include "cni_config.h"
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONFIG_BYTES_MAX (1u << 20)
#define SYS "/sys"

enum { // of the specification; from 100 on a plugin's own
	CNI_BAD_ENVIRONMENT = 4,
	CNI_IO = 5,
	CNI_BAD_JSON = 6,
	CNI_BAD_CONFIG = 7,
	CNI_TRY_LATER = 11,
	CNI_REFUSED = 100
};

struct call {
	const char *command, *container, *netns, *interface;
	unsigned timeout_ms;
	struct cni_config config;
	char file[3 * CNI_TEXT_SIZE]; // what the VF had before
};

// The answer of a call that failed.
static int __attribute__((format(printf, 3, 4)))
fail(const struct call *c, int code, const char *fmt, ...)
{
	const char *version = c->config.version[0] ? c->config.version : "1.0.0";
	char text[CNI_ERR_SIZE + SESSION_ERR_SIZE];
	va_list args;
	json_t *error;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	error = json_pack("{s:s, s:i, s:s}", "cniVersion", version, "code", code, "msg", text);
	(void)json_dumpf(error, stdout, JSON_INDENT(2));
	(void)putchar('\n');
	json_decref(error);
	return 1;
}

bool
vf_cni_is_called(void)
{
	return getenv("CNI_COMMAND");
}

static int
print_versions(void)
{
	puts("{\"cniVersion\": \"1.0.0\", \"supportedVersions\": [\"0.3.0\", \"0.3.1\", \"0.4.0\", \"1.0.0\"]}");
	return 0;
}

static json_t *
read_config(void)
{
	char *text = malloc(CONFIG_BYTES_MAX + 1);
	size_t n = text ? fread(text, 1, CONFIG_BYTES_MAX + 1, stdin) : 0;
	json_t *config = n && n <= CONFIG_BYTES_MAX ? json_loadb(text, n, 0, NULL) : NULL;

	free(text);
	if (json_is_object(config))
		return config;
	json_decref(config);
	return NULL;
}

// Names of a runtime become a file's.
static bool
is_name(const char *text)
{
	return text && *text && strlen(text) < CNI_TEXT_SIZE && text[0] != '.' && !strchr(text, '/');
}

// One call on a channel of its own. params is stolen.
static int
ask(const struct call *c, const char *method, json_t *params, json_t **ret_result, char err[SESSION_ERR_SIZE])
{
	struct session session;
	const char *named = strcmp(c->config.channel, SESSION_CHANNEL) != 0 ? c->config.channel : NULL;
	int rc = vf_session_open(&session, vf_session_channel(named, SESSION_AGENT), c->timeout_ms, false, err);

	if (rc) {
		json_decref(params);
		return rc;
	}
	rc = vf_session_call(&session, method, params, ret_result, err);
	vf_session_close(&session);
	return rc;
}

// The VF's row of nic.get, new reference. 0, or the answer's exit status.
static int
read_row(const struct call *c, json_t **ret_row)
{
	json_int_t vf = json_integer_value(json_object_get(c->config.params, "vf"));
	char err[SESSION_ERR_SIZE];
	json_t *nic = NULL;
	int rc = ask(c, "nic.get", NULL, &nic, err);

	if (rc)
		return fail(c, CNI_TRY_LATER, "%s", err);
	*ret_row = json_incref(json_array_get(json_object_get(nic, "vfs"), (size_t)vf));
	json_decref(nic);
	return *ret_row ? 0 : fail(c, CNI_BAD_CONFIG, "vf: there is no virtual function %lld", (long long)vf);
}

// Written beside its name, so that it is whole or not there.
static int
save(const struct call *c, const json_t *row)
{
	json_t *restore = vf_cni_config_restore(c->config.params, row);
	char temp[sizeof(c->file) + 8];
	int rc;

	(void)mkdir(c->config.data_dir, 0700);
	(void)snprintf(temp, sizeof(temp), "%s.new", c->file);
	rc = json_dump_file(restore, temp, JSON_COMPACT) || rename(temp, c->file) ? errno : 0;
	json_decref(restore);
	if (!rc)
		return 0;
	(void)unlink(temp);
	return fail(c, CNI_IO, "%s: %s", c->file, strerror(rc));
}

// The interface's own address: the switch takes packets with the VF's alone.
static int
set_mac(const struct call *c, const char *mac)
{
	struct ifreq request = {.ifr_hwaddr = {.sa_family = ARPHRD_ETHER}};
	unsigned char *b = (unsigned char *)request.ifr_hwaddr.sa_data;
	int netns = open(c->netns, O_RDONLY | O_CLOEXEC), own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC),
	    fd = -1, rc = 0;

	(void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", c->interface);
	if (sscanf(mac, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]) != 6)
		rc = EINVAL;
	else if (netns < 0 || own < 0 || setns(netns, CLONE_NEWNET))
		rc = errno;
	if (!rc) {
		fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (fd < 0 || ioctl(fd, SIOCSIFHWADDR, &request))
			rc = errno;
		(void)setns(own, CLONE_NEWNET);
	}
	if (fd >= 0)
		close(fd);
	if (netns >= 0)
		close(netns);
	if (own >= 0)
		close(own);
	return rc ? fail(c, CNI_IO, "mac: interface %s in %s: %s", c->interface, c->netns, strerror(rc)) : 0;
}

static int
print_result(const struct call *c, const char *mac)
{
	json_t *result = vf_cni_config_result(&c->config, c->interface, mac);

	(void)json_dumpf(result, stdout, JSON_INDENT(2));
	(void)putchar('\n');
	json_decref(result);
	return 0;
}

static int
add(const struct call *c)
{
	const char *mac = json_string_value(json_object_get(c->config.params, "mac"));
	json_t *row = NULL, *result = NULL;
	char err[SESSION_ERR_SIZE];
	int rc;

	if (!json_is_object(c->config.previous))
		return fail(c, CNI_BAD_CONFIG,
			"prevResult: missing; rtvs-vf stands behind another plugin, such as host-device");
	rc = read_row(c, &row);
	if (rc)
		return rc;
	if (json_object_size(c->config.params) > 1) {
		// What an ADD that failed has written is still true.
		rc = access(c->file, F_OK) ? save(c, row) : 0;
		if (!rc && (rc = ask(c, "vf.set", json_incref(c->config.params), &result, err)))
			rc = rc > 0 ? fail(c, CNI_REFUSED, "%s", err) : fail(c, CNI_TRY_LATER, "%s", err);
	}
	json_decref(result);
	json_decref(row);
	if (!rc && mac)
		rc = set_mac(c, mac);
	return rc ? rc : print_result(c, mac);
}

static int
check(const struct call *c)
{
	const char *differs;
	json_t *row = NULL;
	int rc = read_row(c, &row);

	if (rc)
		return rc;
	differs = vf_cni_config_difference(c->config.params, row);
	rc = differs ? fail(c, CNI_REFUSED, "%s: the virtual function has another value", differs) : 0;
	json_decref(row);
	return rc;
}

// Each setting for itself: what the host refuses by now stays, and keeps nothing else from going
// back.
static int
del(const struct call *c)
{
	json_t *saved = json_load_file(c->file, 0, NULL), *value;
	char err[SESSION_ERR_SIZE];
	const char *key;
	int rc = 0;

	json_object_foreach (saved, key, value) {
		json_t *result = NULL;

		if (!strcmp(key, "vf"))
			continue;
		rc = ask(c, "vf.set", json_pack("{s:O, s:O}", "vf", json_object_get(saved, "vf"), key, value), &result,
			err);
		json_decref(result);
		if (rc > 0)
			(void)fprintf(stderr, "rtvs-vf: %s stays as it is: %s\n", key, err);
		if (rc < 0)
			break;
	}
	json_decref(saved);
	if (rc < 0)
		return fail(c, CNI_TRY_LATER, "%s", err);
	(void)unlink(c->file);
	return 0;
}

static int
run(struct call *c, const json_t *config)
{
	char err[CNI_ERR_SIZE] = "";
	int rc = vf_cni_config_read(config, SYS, &c->config, err);

	(void)snprintf(c->file, sizeof(c->file), "%s/%s-%s.json", c->config.data_dir, c->container ? c->container : "",
		c->interface ? c->interface : "");
	if (!is_name(c->container) || !is_name(c->interface))
		return fail(c, CNI_BAD_ENVIRONMENT, "CNI_CONTAINERID and CNI_IFNAME must be names");
	if (!strcmp(c->command, "DEL"))
		return del(c); // the device may be gone
	if (rc)
		return fail(c, CNI_BAD_CONFIG, "%s", err);
	if (!strcmp(c->command, "ADD"))
		return c->netns ? add(c) : fail(c, CNI_BAD_ENVIRONMENT, "CNI_NETNS is missing");
	if (!strcmp(c->command, "CHECK"))
		return check(c);
	return fail(c, CNI_BAD_ENVIRONMENT, "CNI_COMMAND: '%.60s' is none of ADD, DEL, CHECK and VERSION", c->command);
}

int
vf_cni_run(unsigned timeout_ms)
{
	struct call c = {.command = getenv("CNI_COMMAND"),
		.container = getenv("CNI_CONTAINERID"),
		.netns = getenv("CNI_NETNS"),
		.interface = getenv("CNI_IFNAME"),
		.timeout_ms = timeout_ms};
	json_t *config;
	int rc;

	// Before VERSION, too: who writes it must not find a closed pipe.
	config = read_config();
	if (!strcmp(c.command, "VERSION"))
		rc = print_versions();
	else if (config)
		rc = run(&c, config);
	else
		rc = fail(&c, CNI_BAD_JSON, "standard input: no JSON object of at most %u bytes", CONFIG_BYTES_MAX);
	vf_cni_config_free(&c.config);
	json_decref(config);
	return rc;
}
