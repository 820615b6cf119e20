// Searches in the embedded table.
#include "api.h"

#include "rtvs/text.h"

#include <string.h>

json_t *
api_load(void)
{
	return json_loads(api_json, 0, NULL);
}

static json_t *
find_by(const json_t *list, const char *key, const char *text)
{
	json_t *element;
	size_t i;

	json_array_foreach (list, i, element) {
		const char *value = json_string_value(json_object_get(element, key));

		if (value && !strcmp(value, text))
			return element;
	}
	return NULL;
}

json_t *
api_find(const json_t *api, const char *method)
{
	return find_by(api, "method", method);
}

json_t *
api_param(const json_t *method, const char *name)
{
	return find_by(json_object_get(method, "params"), "name", name);
}

// The nearest of those that are near; of equals the first.
static const char *
find_near(const json_t *list, const char *key, const char *text)
{
	const char *nearest = NULL;
	json_t *element;
	size_t i;

	json_array_foreach (list, i, element) {
		const char *value = json_string_value(json_object_get(element, key));

		if (value && text_is_near(text, value) &&
			(!nearest || text_distance(text, value) < text_distance(text, nearest)))
			nearest = value;
	}
	return nearest;
}

const char *
api_near_method(const json_t *api, const char *method)
{
	return find_near(api, "method", method);
}

const char *
api_near_param(const json_t *method, const char *name)
{
	return find_near(json_object_get(method, "params"), "name", name);
}

json_t *
api_key(const json_t *method)
{
	json_t *param;
	size_t i;

	json_array_foreach (json_object_get(method, "params"), i, param) {
		if (json_is_true(json_object_get(param, "key")))
			return param;
	}
	return NULL;
}
