// SPDX-License-Identifier: Apache-2.0
/* vfio-conform-helper: an interpreter of system calls (docs/program-format.md). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "frame.h"
#include "run.h"
#include "serve.h"

#define PROTOCOL 1
#define DEFAULT_STEP_MS 5000
#define DEFAULT_PROGRAM_MS 60000

enum { EXIT_USAGE = 64, EXIT_UNSAFE = 77 };

/* What is run with a user's rights must be nobody else's to change. */
static const char *what_is_unsafe(void)
{
	struct stat status;

	if (stat("/proc/self/exe", &status))
		return "cannot look at its own binary: is /proc mounted?";
	if (status.st_mode & (S_IWGRP | S_IWOTH))
		return "refuses to run: its binary can be written by others than its owner";
	if (status.st_uid != 0 && status.st_uid != geteuid())
		return "refuses to run: its binary belongs to another user";
	return NULL;
}

static void print_handshake(void)
{
	struct utsname name;

	uname(&name);
	printf("vfio-conform-helper %d %016llx %s %ld %d\n", PROTOCOL, (unsigned long long)ops_hash(), name.release,
	       sysconf(_SC_PAGESIZE), getpid());
	fflush(stdout);
}

static int usage(void)
{
	fputs("usage: vfio-conform-helper                          answer frames on standard input\n"
	      "       vfio-conform-helper run [STEP_MS PROGRAM_MS] < program.txt\n"
	      "       vfio-conform-helper --version\n",
	      stderr);
	return EXIT_USAGE;
}

static bool read_ms(const char *text, uint32_t max, uint32_t *ms)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	*ms = number;
	return *text >= '0' && *text <= '9' && !*end && number >= 1 && number <= max;
}

static int run_once(int argc, char **argv)
{
	uint32_t step_ms = DEFAULT_STEP_MS, program_ms = DEFAULT_PROGRAM_MS;

	if (argc != 2 && argc != 4)
		return usage();
	if (argc == 4 && (!read_ms(argv[2], MAX_STEP_MS, &step_ms) || !read_ms(argv[3], MAX_PROGRAM_MS, &program_ms)))
		return usage();
	return run_input(step_ms, program_ms);
}

int main(int argc, char **argv)
{
	const char *unsafe;

	if (argc > 1 && !strcmp(argv[1], "actor"))
		return actor_resume(argc, argv);
	unsafe = what_is_unsafe();
	if (unsafe) {
		fprintf(stderr, "vfio-conform-helper: %s\n", unsafe);
		return EXIT_UNSAFE;
	}
	ops_init();
	if (argc > 1 && !strcmp(argv[1], "run"))
		return run_once(argc, argv);
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		print_handshake();
		return 0;
	}
	if (argc > 1)
		return usage();
	print_handshake();
	return serve();
}
