// Shared by the subcommands: their errors, their values, and the segment's path.
#include "command.h"

#include "device.h"
#include "rtvs/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int
command_wrong(const char *format, ...)
{
	va_list args;

	fputs("rtvs-vni: ", stderr);
	va_start(args, format);
	(void)vfprintf(stderr, format, args);
	va_end(args);
	fputs("\nTry 'rtvs-vni help'.\n", stderr);
	return COMMAND_USAGE;
}

int
command_refused(const char *text)
{
	fprintf(stderr, "rtvs-vni: %s\n", text);
	return COMMAND_REFUSED;
}

// Reports an option that getopt_long refused: c is its answer.
static int
bad_option(int c, char **argv)
{
	const char *last = argv[optind - 1];

	if (c == ':')
		return command_wrong("%s: %s needs a value", argv[0], last);
	if (optopt > 0 && optopt < 256 && strncmp(last, "--", 2) != 0)
		return command_wrong("%s: there is no option -%c", argv[0], optopt);
	return command_wrong(
		"%s: %s %s", argv[0], last, strchr(last, '=') ? "is no option, or takes no value" : "is no option");
}

int
command_help(const struct command *command)
{
	fputs(command->help, stdout);
	return COMMAND_OK;
}

bool
command_number(const char *option, const char *text, uint32_t min, uint32_t max, uint32_t *ret_value)
{
	uint64_t value;

	if (units_parse_uint(text, &value) || value < min || value > max) {
		(void)command_wrong("%s: '%s' is not a number from %" PRIu32 " to %" PRIu32, option, text, min, max);
		return false;
	}
	*ret_value = (uint32_t)value;
	return true;
}

// 64M is what QEMU, truncate and dd take it for: 64 MiB.
bool
command_size(const char *option, const char *text, uint64_t *ret_bytes)
{
	char binary[32];
	size_t len = strlen(text);
	bool is_short = len > 0 && strchr("kKmMgGtT", text[len - 1]);

	if (snprintf(binary, sizeof(binary), "%s%s", text, is_short ? "iB" : "") < (int)sizeof(binary) &&
		!units_parse_size(binary, ret_bytes) && *ret_bytes)
		return true;
	(void)command_wrong("%s: '%s' is not a size with its unit, such as 64M or 2GiB", option, text);
	return false;
}

// From the one argument that is left. COMMAND_OK, or what was said.
static int
find_path(int argc, char **argv, int first, bool is_ivshmem, const char **ret_path)
{
	static char path[DEVICE_PATH_SIZE];
	const char *argument = first < argc ? argv[first] : NULL;
	int rc;

	if (argc - first > 1)
		return command_wrong(
			"there is more than one %s: %s", is_ivshmem ? "PCI address" : "file", argv[first + 1]);
	if (!is_ivshmem) {
		*ret_path = argument;
		return argument && *argument ? COMMAND_OK : command_wrong("which file? For example /dev/shm/segment");
	}
	rc = device_find_ivshmem(argument, path);
	if (rc == -E2BIG)
		return command_refused(
			"there are several ivshmem devices: name one by its PCI address (lspci -D -d 1af4:1110)");
	if (rc)
		return command_refused(argument ?
				"no ivshmem device has this PCI address; lspci -D -d 1af4:1110 lists them" :
				"there is no ivshmem device (PCI 1af4:1110)");
	*ret_path = path;
	return COMMAND_OK;
}

int
command_run(const struct command *command, int argc, char **argv)
{
	struct command_args args = {0};
	bool is_ivshmem = false;
	int c, rc;

	while ((c = getopt_long(argc, argv, command->short_options, command->options, NULL)) != -1) {
		if (c == 'h')
			return command_help(command);
		if (c == '?' || c == ':')
			return bad_option(c, argv);
		if (c == 'i')
			is_ivshmem = true;
		else if (c == 'j')
			args.is_json = true;
		else if (!command->parse(c, optarg))
			return COMMAND_USAGE;
	}
	rc = find_path(argc, argv, optind, is_ivshmem, &args.path);
	return rc ? rc : command->run(&args);
}
