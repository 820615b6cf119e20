// The valid names come from the daemon's table (domain_attributes). Texts go into XML escaped.
#include "words.h"

#include "rtvs/text.h"
#include "rtvs/types.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAC_END_SIZE 7 // -bcdef0

// Beside domain_attributes.
static const char *const new_words[] = {"mac", "name", "mode", "socket", "type", "onerror", NULL};
static const char *const change_words[] = {"onerror", NULL};

static const char *const *
own_words(enum words_kind kind)
{
	return kind == WORDS_NEW ? new_words : change_words;
}

static bool
is_own(enum words_kind kind, const char *name)
{
	for (const char *const *w = own_words(kind); *w; w++)
		if (!strcmp(*w, name))
			return true;
	return false;
}

static bool
is_attribute(const char *name)
{
	for (const struct domain_attribute *a = domain_attributes; a->name; a++)
		if (!strcmp(a->name, name))
			return true;
	return !strcmp(name, "onerror") || !strcmp(name, "name") || !strcmp(name, "type");
}

static int
refuse_unknown(const char *name, enum words_kind kind, char err[DOMAIN_ERR_SIZE])
{
	const char *near = NULL;

	for (const char *const *w = own_words(kind); *w; w++)
		if (text_is_near(name, *w))
			near = *w;
	for (const struct domain_attribute *a = domain_attributes; a->name && !near; a++)
		if (text_is_near(name, a->name))
			near = a->name;
	if (near)
		(void)snprintf(err, DOMAIN_ERR_SIZE, "there is no '%s'; did you mean '%s'?", name, near);
	else
		(void)snprintf(err, DOMAIN_ERR_SIZE, "there is no '%s'; rtvs-virt(1) has what there is", name);
	return -EINVAL;
}

static bool
is_name(const char *text)
{
	char name[RTVS_NAME_SIZE];

	return domain_fit_name(text, name, sizeof(name));
}

// Checks our own words; the rest is kept.
static int
take(struct words *w, const char *name, const char *value, char err[DOMAIN_ERR_SIZE])
{
	const char *why = NULL;

	if (!strcmp(name, "mac") && !domain_mac(value, w->mac))
		why = "must be like 52:54:00:00:00:01";
	else if (!strcmp(name, "name") && !is_name(value))
		why = "must be 1 to 79 of A-Z a-z 0-9 _ . : -, a letter or digit first";
	else if (!strcmp(name, "mode") && strcmp(value, "client") && strcmp(value, "server"))
		why = "must be client (QEMU connects) or server";
	else if (!strcmp(name, "socket") && value[0] != '/')
		why = "must be an absolute path";
	else if (!strcmp(name, "type") && strcmp(value, "vhost") && strcmp(value, "vduse"))
		why = "must be vhost or vduse";
	else if (!strcmp(name, "onerror") && *value && strcmp(value, "fail") && strcmp(value, "ignore"))
		why = "must be fail or ignore";
	if (why) {
		(void)snprintf(err, DOMAIN_ERR_SIZE, "%s: %s, not '%s'", name, why, value);
		return -EINVAL;
	}
	if (!strcmp(name, "name"))
		memcpy(w->name, value, strlen(value) + 1);
	else if (!strcmp(name, "socket"))
		memcpy(w->socket, value, strlen(value) + 1);
	else if (!strcmp(name, "mode"))
		w->is_server = !strcmp(value, "server");
	else if (!strcmp(name, "type"))
		w->is_vdpa = !strcmp(value, "vduse");
	if (is_attribute(name)) {
		memcpy(w->pairs[w->n_pairs].name, name, strlen(name) + 1);
		memcpy(w->pairs[w->n_pairs++].value, value, strlen(value) + 1);
	}
	return 0;
}

int
words_parse(char *const *argv, int argc, enum words_kind kind, struct words *ret_words, char err[DOMAIN_ERR_SIZE])
{
	struct words w = {0};

	for (int i = 0; i < argc; i++) {
		const char *value = strchr(argv[i], '=');
		size_t len = value ? (size_t)(value - argv[i]) : 0;
		char name[sizeof(w.pairs[0].name)];
		int rc;

		if (!len || len >= sizeof(name) || strlen(value + 1) >= EDIT_TEXT_SIZE) {
			(void)snprintf(err, DOMAIN_ERR_SIZE, "'%.64s' is not KEY=VALUE, of at most %d bytes", argv[i],
				EDIT_TEXT_SIZE - 1);
			return -EINVAL;
		}
		memcpy(name, argv[i], len);
		name[len] = '\0';
		if (!is_own(kind, name) && (!is_attribute(name) || !strcmp(name, "name") || !strcmp(name, "type")))
			return refuse_unknown(name, kind, err);
		for (int k = 0; k < i; k++) {
			if (strncmp(argv[k], argv[i], len + 1))
				continue;
			(void)snprintf(err, DOMAIN_ERR_SIZE, "%s: is given twice", name);
			return -EINVAL;
		}
		rc = take(&w, name, value + 1, err);
		if (rc)
			return rc;
	}
	if (w.is_vdpa && (w.socket[0] || w.is_server)) {
		(void)snprintf(err, DOMAIN_ERR_SIZE, "socket, mode: only for type=vhost");
		return -EINVAL;
	}
	*ret_words = w;
	return 0;
}

const char *
words_value(const struct words *w, const char *name)
{
	for (unsigned i = 0; i < w->n_pairs; i++)
		if (!strcmp(w->pairs[i].name, name))
			return w->pairs[i].value;
	return NULL;
}

// Names of domains have other characters, too, and may be longer.
static void
name_of_domain(struct words *w, const char *domain)
{
	char name[RTVS_NAME_SIZE - MAC_END_SIZE];

	(void)domain_fit_name(domain, name, sizeof(name));
	(void)snprintf(w->name, sizeof(w->name), "%s-%.2s%.2s%.2s", name[0] ? name : "p", w->mac + 9, w->mac + 12,
		w->mac + 15);
}

void
words_add(struct words *w, const char *name, const char *value)
{
	if (words_value(w, name) || w->n_pairs == WORDS_MAX)
		return;
	(void)snprintf(w->pairs[w->n_pairs].name, sizeof(w->pairs->name), "%s", name);
	(void)snprintf(w->pairs[w->n_pairs++].value, sizeof(w->pairs->value), "%s", value);
}

void
words_complete(struct words *w, const char *domain, uint64_t random)
{
	bool has_socket = w->socket[0] || w->is_server;

	if (!w->mac[0])
		(void)snprintf(w->mac, sizeof(w->mac), "52:54:00:%02" PRIx64 ":%02" PRIx64 ":%02" PRIx64,
			random >> 16 & 0xff, random >> 8 & 0xff, random & 0xff);
	if (!w->name[0] && w->socket[0])
		domain_name_of_socket(w->socket, w->name);
	if (!w->name[0])
		name_of_domain(w, domain);
	if (!w->socket[0])
		(void)snprintf(w->socket, sizeof(w->socket), "%s/%.79s.%s",
			w->is_server ? WORDS_SERVER_DIR : WORDS_SOCKET_DIR, w->name, w->is_vdpa ? "vdpa" : "sock");
	// In the element, too: what the port is while there is no interface.
	words_add(w, "name", w->name);
	if (has_socket)
		words_add(w, "socket", w->socket);
	if (w->is_server)
		words_add(w, "mode", "connect");
}

// An attribute's text between apostrophes.
static void
print_value(FILE *out, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '&':
			fputs("&amp;", out);
			break;
		case '<':
			fputs("&lt;", out);
			break;
		case '\'':
			fputs("&apos;", out);
			break;
		default:
			fputc(*text, out);
		}
	}
}

static char *
finish(FILE *out, char **text)
{
	if (!out)
		return NULL;
	if (fclose(out)) {
		free(*text);
		return NULL;
	}
	return *text;
}

char *
words_interface(const struct words *w, unsigned indent)
{
	const char *queues = words_value(w, "queues");
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	int in = (int)indent;

	if (!out)
		return NULL;
	fprintf(out, "%*s<interface type='%s'>\n%*s  <mac address='%s'/>\n%*s  <source %s='", in, "",
		w->is_vdpa ? "vdpa" : "vhostuser", in, "", w->mac, in, "", w->is_vdpa ? "dev" : "type='unix' path");
	print_value(out, w->socket);
	if (w->is_vdpa)
		fputs("'/>\n", out);
	else if (w->is_server)
		fputs("' mode='server'/>\n", out);
	else
		fprintf(out, "' mode='client'>\n%*s    <reconnect enabled='yes' timeout='1'/>\n%*s  </source>\n", in,
			"", in, "");
	fprintf(out, "%*s  <model type='virtio'/>\n", in, "");
	if (queues && *queues) {
		fprintf(out, "%*s  <driver queues='", in, "");
		print_value(out, queues);
		fputs("'/>\n", out);
	}
	fprintf(out, "%*s</interface>\n", in, "");
	return finish(out, &text);
}

char *
words_port(const struct words *w, unsigned indent)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	fprintf(out, "%*s<rtvs:port mac='%s'", (int)indent, "", w->mac);
	for (unsigned i = 0; i < w->n_pairs; i++) {
		if (!w->pairs[i].value[0] && strcmp(w->pairs[i].name, "bridge"))
			continue;
		fprintf(out, " %s='", w->pairs[i].name);
		print_value(out, w->pairs[i].value);
		fputc('\'', out);
	}
	fputs("/>\n", out);
	return finish(out, &text);
}
