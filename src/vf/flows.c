// The agent has the rules, and the host behind it has their counters. Both answer in pages, in the
// order of cookies.
#include "flows.h"

#include <stdio.h>
#include <string.h>

static int
open_agent(struct session *session, const char *agent, unsigned timeout_ms, char err[SESSION_ERR_SIZE])
{
	int rc = vf_session_open(session, agent, timeout_ms, false, err);
	size_t n = strnlen(err, SESSION_ERR_SIZE);

	if (rc)
		(void)snprintf(err + n, SESSION_ERR_SIZE - n, "; is rtvs-vf agent running?");
	return rc;
}

static int
read_pages(struct session *session, const char *method, json_t *rows, char err[SESSION_ERR_SIZE])
{
	json_int_t from = -1, last = 0;
	int rc = 0;

	while (!rc && last > from) {
		json_t *page = NULL, *found;

		from = last;
		rc = vf_session_call(session, method, json_pack("{s:I}", "from", from), &page, err);
		found = json_object_get(page, "flows");
		if (json_array_size(found)) {
			(void)json_array_extend(rows, found);
			last = json_integer_value(
				json_object_get(json_array_get(found, json_array_size(found) - 1), "cookie"));
		}
		json_decref(page);
	}
	return rc;
}

static json_int_t
number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void
add_counters(const json_t *flows, const json_t *counters)
{
	size_t k = 0;

	for (size_t i = 0; i < json_array_size(flows); i++) {
		json_t *flow = json_array_get(flows, i);
		const json_t *found;

		while (k < json_array_size(counters) &&
			number(json_array_get(counters, k), "cookie") < number(flow, "cookie"))
			k++;
		found = json_array_get(counters, k);
		if (number(found, "cookie") != number(flow, "cookie"))
			found = NULL;
		(void)json_object_set_new(flow, "packets", json_integer(number(found, "packets")));
		(void)json_object_set_new(flow, "bytes", json_integer(number(found, "bytes")));
	}
}

int
vf_flows_list(const char *agent, unsigned timeout_ms, json_t **ret_flows, char err[SESSION_ERR_SIZE])
{
	json_t *flows = json_array(), *counters = json_array();
	struct session session;
	int rc = open_agent(&session, agent, timeout_ms, err);

	if (!rc) {
		rc = read_pages(&session, "flow.list", flows, err);
		if (!rc)
			rc = read_pages(&session, "flow.stats", counters, err);
		vf_session_close(&session);
	}
	if (!rc) {
		add_counters(flows, counters);
		*ret_flows = json_incref(flows);
	}
	json_decref(flows);
	json_decref(counters);
	return rc;
}

int
vf_flows_agent(const char *agent, unsigned timeout_ms, json_t **ret_agent, char err[SESSION_ERR_SIZE])
{
	struct session session;
	int rc = open_agent(&session, agent, timeout_ms, err);

	if (rc)
		return rc;
	rc = vf_session_call(&session, "agent.get", NULL, ret_agent, err);
	vf_session_close(&session);
	return rc;
}
