// One row for each option says which subcommands have it; getopt_long's tables and the help are
// made of the rows. An option whose value is another thing elsewhere has a second row there.
#include "options.h"

#include "rtvs/text.h"
#include "rtvs/units.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#define QEMU (1u << OPTIONS_QEMU)
#define HOST (1u << OPTIONS_HOST)
#define LIBVIRT (1u << OPTIONS_LIBVIRT)
#define ALL (QEMU | HOST | LIBVIRT)

static const struct row {
	const char *name;
	char letter;
	unsigned of; // subcommands
	const char *value; // NULL: it has none
	const char *help;
} rows[] = {
	{"from", 'f', HOST, "PROGRAM", "the QEMU whose guests are moved; also the file that was at its path before"},
	{"from", 'f', LIBVIRT, "URI", "the libvirt daemon that runs the domain; default " OPTIONS_DEFAULT_URI},
	{"to", 't', QEMU | HOST, "PROGRAM", "the QEMU that is moved to"},
	{"to", 't', LIBVIRT, "URI", "the libvirt daemon that is moved to, another one of this host"},
	{"memory", 'm', LIBVIRT, "DIR", "memory_backing_dir of the destination's qemu.conf"},
	{"parallel", 'n', HOST, "N", "move so many guests at a time, 1 to 64; default 1"},
	{"plain", 'p', ALL, NULL, "copy the memory, as an ordinary migration"},
	{"check", 'c', ALL, NULL, "only say whether and how it can be done, with all reasons against it"},
	{"json", 'j', ALL, NULL, "print JSON: see below"},
	{"socket", 's', ALL, "SOCKET", "of rtvswitchd, which permits second connections to its ports"},
	{"help", 'h', ALL, NULL, "print this"},
	{"version", 'V', ALL, NULL, "print the version"},
};
#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

static const struct command {
	const char *name;
	enum options_action action;
	const char *synopsis, *summary, *about, *more;
} commands[] = {
	{"qemu", OPTIONS_QEMU, "PID|QMP-SOCKET --to PROGRAM [--plain] [--check] [--json] [-s SOCKET]",
		"one guest, by its process or QMP socket",
		"Replaces the QEMU process under a running guest by one of another program, on this host. The\n"
		"guest's memory is not copied: the new process opens the same memory. The guest, its connections\n"
		"and its ports of the switch go on. If anything fails, the guest goes on in the old process.\n",
		"With --json: way, total_ms, downtime_ms, copied_mib, ram_mib, wall_ms, copied, pid.\n"
		"With --check, or refused: way, reasons.\n"
		"\n"
		"Memory that is not copied is memory-backend-file with share=on and the path of a file\n"
		"(x-ignore-shared), or memory-backend-memfd with share=on and -machine aux-ram-share=on\n"
		"(cpr-transfer, QEMU 10.0).\n"},
	{"host", OPTIONS_HOST, "--from PROGRAM --to PROGRAM [--parallel N] [OPTION...]",
		"all guests of one program on this host",
		"Moves all guests that run in one program to another, each as 'rtvs-move qemu' does. A guest that\n"
		"is refused does not stop the others. After an upgrade both programs have one path: guests that\n"
		"run in the file that was there before are moved.\n",
		"With --json: lists moved, refused, lost, ended and left_out, and wall_ms. With --check the list\n"
		"movable is in place of moved.\n"
		"\n"
		"Ctrl-C: no further guest is begun, and those that move are ended or finished.\n"},
	{"libvirt", OPTIONS_LIBVIRT, "DOMAIN [--from URI] --to URI --memory DIR [--check] [--json] [-s SOCKET]",
		"one domain, to another libvirt daemon on this host",
		"Moves a running domain, by its name or UUID, between two libvirt daemons of this host. libvirt\n"
		"migrates it; its memory is not copied: the new QEMU opens the same file. The guest, its\n"
		"connections and its ports of the switch go on. If anything fails, the guest goes on in the\n"
		"source. libvirt calls the domain tainted: custom-monitor, and in the destination custom-argv.\n",
		"With --json: way, total_ms, downtime_ms, copied_mib, ram_mib, wall_ms, copied, pid, messages.\n"
		"With --check, or refused: way, reasons.\n"
		"\n"
		"Memory that is not copied is <memoryBacking> with <source type='file'/> and <access\n"
		"mode='shared'/>. With --plain it is copied, and --memory is not needed.\n"},
};
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct command *
find(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

// ---- help

static void
print_options(FILE *f, unsigned action)
{
	for (size_t i = 0; i < N_ROWS; i++) {
		const struct row *row = &rows[i];
		char text[64];

		if (!(row->of & 1u << action))
			continue;
		snprintf(text, sizeof(text), "%s%s%s", row->name, row->value ? " " : "", row->value ? row->value : "");
		fprintf(f, "  -%c, --%-14s  %s\n", row->letter, text, row->help);
	}
	fputs("\nWithout --socket it is $RTVS_SOCKET or /run/rtvswitch/control.sock.\n", f);
}

void
options_print_help(FILE *f, const char *name)
{
	const struct command *command = name ? find(name) : NULL;

	if (command) {
		fprintf(f, "usage: rtvs-move %s %s\n\n%s\n", command->name, command->synopsis, command->about);
		print_options(f, command->action);
		fprintf(f, "%s\n", command->more);
	} else {
		fputs("usage: rtvs-move COMMAND [OPTION...]\n"
		      "\n"
		      "Replaces QEMU processes under running guests by those of another program, on this host.\n\n",
			f);
		for (size_t i = 0; i < N_COMMANDS; i++)
			fprintf(f, "  %-7s %s\n", commands[i].name, commands[i].summary);
		fputs("  help    prints this, or with a command's name more about it\n"
		      "\n"
		      "rtvs-move --version prints the version.\n",
			f);
	}
	fputs("Exit status: 0 moved, or can be; 1 refused or failed, and the guest goes on where it was; 2 wrong\n"
	      "usage; 3 there is no such QEMU, or none that answers; 4 the guest is stopped or lost. Of several\n"
	      "guests it is the worst; host without a guest to move is 0.\n",
		f);
}

// ---- words

__attribute__((format(printf, 2, 3))) static int
wrong(char *err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(err, OPTIONS_ERROR_SIZE, format, args);
	va_end(args);
	return -EINVAL;
}

// What getopt_long refused: c is its answer.
static int
bad_option(int c, char **argv, char *err)
{
	const char *word = argv[optind - 1];

	if (c == ':')
		return wrong(err, "%.60s needs a value", word);
	if (optopt > 0 && optopt < 128 && strncmp(word, "--", 2) != 0)
		return wrong(err, "there is no option -%c", optopt);
	for (size_t i = 0; i < N_ROWS && !strncmp(word, "--", 2); i++)
		if (text_is_near(word + 2, rows[i].name))
			return wrong(err, "there is no option %.60s; did you mean --%s?", word, rows[i].name);
	return wrong(err, "%.60s %s", word, strchr(word, '=') ? "is no option, or takes no value" : "is no option");
}

static int
unknown_command(const char *word, char *err)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (text_is_near(word, commands[i].name))
			return wrong(err, "there is no command '%.60s'; did you mean '%s'?", word, commands[i].name);
	return wrong(err, "only 'qemu', 'host' and 'libvirt' can be moved, not '%.60s'", word);
}

static int
take(struct options *o, int letter, const char *value, char *err)
{
	uint64_t number;

	switch (letter) {
	case 'c':
		o->is_check = true;
		break;
	case 'j':
		o->is_json = true;
		break;
	case 'p':
		o->is_plain = true;
		break;
	case 'f':
		o->from = value;
		break;
	case 't':
		o->target = value;
		break;
	case 's':
		o->socket = value;
		break;
	case 'm':
		o->memory = value;
		break;
	case 'n':
		if (units_parse_uint(value, &number) || !number || number > OPTIONS_MAX_PARALLEL)
			return wrong(
				err, "--parallel: '%.60s' is not a number from 1 to %u", value, OPTIONS_MAX_PARALLEL);
		o->parallel = (unsigned)number;
		break;
	}
	return 0;
}

// The first row with the letter.
static unsigned
row_of(int letter)
{
	unsigned i = 0;

	while (i < N_ROWS - 1 && rows[i].letter != letter)
		i++;
	return i;
}

// All subcommands that have it.
static unsigned
owners_of(int letter)
{
	unsigned of = 0;

	for (size_t i = 0; i < N_ROWS; i++)
		of |= rows[i].letter == letter ? rows[i].of : 0;
	return of;
}

// All options, whatever the subcommand. *ret_seen: a bit for the first row of each that was there.
static int
read_options(int argc, char **argv, struct options *o, unsigned *ret_seen, char *err)
{
	struct option list[N_ROWS + 1] = {0};
	char letters[2 * N_ROWS + 2] = ":", *at = letters + 1;
	unsigned n = 0;
	int c, rc = 0;

	for (size_t i = 0; i < N_ROWS; i++) {
		if (row_of(rows[i].letter) != i)
			continue;
		list[n++] = (struct option){
			rows[i].name, rows[i].value ? required_argument : no_argument, NULL, rows[i].letter};
		*at++ = rows[i].letter;
		if (rows[i].value)
			*at++ = ':';
	}
	*at = '\0';
	optind = 0;
	while (!rc && (c = getopt_long(argc, argv, letters, list, NULL)) != -1) {
		if (c == '?' || c == ':')
			return bad_option(c, argv, err);
		*ret_seen |= 1u << row_of(c);
		rc = take(o, c, optarg, err);
	}
	return rc;
}

static bool
is_seen(unsigned seen, char letter)
{
	return seen & 1u << row_of(letter);
}

static int
check(const struct command *command, struct options *o, unsigned seen, int n_words, char **words, char *err)
{
	int n_wanted = command->action != OPTIONS_HOST;
	bool is_libvirt = command->action == OPTIONS_LIBVIRT;

	for (size_t i = 0; i < N_ROWS; i++)
		if (seen & 1u << i && !(owners_of(rows[i].letter) & 1u << command->action))
			return wrong(err, "'%s' has no option --%s", command->name, rows[i].name);
	if (n_words < n_wanted)
		return wrong(err,
			is_libvirt ? "which domain? Its name is missing" :
				     "which QEMU? Its process number or QMP socket is missing");
	if (n_words > n_wanted)
		return wrong(err,
			!n_wanted	   ? "'host' takes no word: %.100s" :
				is_libvirt ? "there is more than one domain: %.100s" :
					     "there is more than one QEMU: %.100s",
			words[n_wanted]);
	if (command->action == OPTIONS_HOST && !o->from)
		return wrong(err, "--from is missing: the program whose guests are moved");
	if (!o->target)
		return wrong(err, "--to is missing: the %s that the guest moves to",
			is_libvirt ? "URI of the libvirt daemon" : "program");
	if (is_libvirt && !o->from)
		o->from = OPTIONS_DEFAULT_URI;
	o->source = n_wanted ? words[0] : NULL;
	o->action = command->action;
	return 0;
}

int
options_parse(int argc, char **argv, struct options *ret_options, char err[OPTIONS_ERROR_SIZE])
{
	struct options o = {.parallel = 1};
	const struct command *command = NULL;
	unsigned seen = 0;
	bool is_help;
	int rc;

	opterr = 0;
	rc = read_options(argc, argv, &o, &seen, err);
	if (rc)
		return rc;
	is_help = optind < argc && !strcmp(argv[optind], "help");
	if (is_help)
		optind++;
	if (optind < argc) {
		command = find(argv[optind]);
		if (!command)
			return unknown_command(argv[optind], err);
	}
	if (is_help || is_seen(seen, 'h')) {
		o.action = OPTIONS_HELP;
		o.help_of = command ? command->name : NULL;
	} else if (is_seen(seen, 'V')) {
		o.action = OPTIONS_VERSION;
	} else if (!command) {
		return wrong(
			err, "what is to be moved? For example rtvs-move qemu 1234 --to /usr/bin/qemu-system-x86_64");
	} else {
		rc = check(command, &o, seen, argc - optind - 1, argv + optind + 1, err);
	}
	if (!rc)
		*ret_options = o;
	return rc;
}
