// Texts to scenarios.
#include "sim_fixture.h"

#include "../unit.h"

#include <errno.h>
#include <string.h>

json_t *
sim_fixture_json(const char *text)
{
	char *copy = strdup(text);
	json_error_t error;
	json_t *root;

	assert_non_null(copy);
	for (char *c = copy; *c; c++)
		if (*c == '\'')
			*c = '"';
	root = json_loads(copy, 0, &error);
	if (!root)
		fail_msg("%s: %s", error.text, copy);
	free(copy);
	return root;
}

struct scenario *
sim_fixture_scenario(const char *text)
{
	struct scenario *sc = NULL;
	char err[FIELDS_ERROR_SIZE];
	json_t *root = sim_fixture_json(text);

	if (scenario_create(root, &sc, err))
		fail_msg("%s", err);
	json_decref(root);
	return sc;
}

void
sim_fixture_refused(const char *text, const char *part)
{
	struct scenario *sc = NULL;
	char err[FIELDS_ERROR_SIZE] = "";
	json_t *root = sim_fixture_json(text);

	assert_int_equal(scenario_create(root, &sc, err), -EINVAL);
	assert_null(sc);
	if (!strstr(err, part))
		fail_msg("'%s' is not in '%s'", part, err);
	json_decref(root);
}
