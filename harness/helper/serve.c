// SPDX-License-Identifier: Apache-2.0
/* The frame loop: reads ahead what comes in, and starts a supervisor for one program after the other. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "frame.h"
#include "run.h"
#include "serve.h"

/* Read ahead up to the largest frame; the rest waits in the pipe. */
#define MAX_INPUT (MAX_TEXT + MAX_HEADER)
#define FIRST_INPUT (64u << 10)

enum { EXIT_BROKEN = 70, EXIT_MALFORMED = 65 };

/* What came in and was not taken yet: [start, end) of the bytes. */
static struct {
	char *bytes;
	size_t room;
	size_t start;
	size_t end;
	bool ended;
} input;

/* Makes room for more, as much again as really came. False: there is no room left within the bound. */
static bool make_room(void)
{
	size_t room = input.room ? 2 * input.room : FIRST_INPUT;
	char *bytes;

	if (input.end < input.room)
		return true;
	if (input.start) {
		memmove(input.bytes, input.bytes + input.start, input.end - input.start);
		input.end -= input.start;
		input.start = 0;
		return true;
	}
	if (input.room == MAX_INPUT)
		return false;
	if (room > MAX_INPUT)
		room = MAX_INPUT;
	bytes = realloc(input.bytes, room);
	if (!bytes)
		return false;
	input.bytes = bytes;
	input.room = room;
	return true;
}

/* Reads what there is. */
static void read_more(void)
{
	ssize_t got;

	if (!make_room())
		return;
	got = read(STDIN_FILENO, input.bytes + input.end, input.room - input.end);
	if (got > 0)
		input.end += got;
	else if (got < 0 && errno == EAGAIN)
		poll(&(struct pollfd){ STDIN_FILENO, POLLIN, 0 }, 1, -1);
	else if (!got || errno != EINTR)
		input.ended = true;
}

static bool is_full(void)
{
	return input.end == input.room && !input.start && input.room == MAX_INPUT;
}

/* Whether what came in before its end has an end of its own: a bye, or what will be answered with an error. */
static bool was_finished(size_t from)
{
	struct frame frame;

	do {
		frame_read(&frame, input.bytes + from, input.end - from);
		from += frame.size;
	} while (frame.kind == FRAME_RUN);
	return frame.kind != FRAME_PARTIAL;
}

static void ignore(int signal)
{
	(void)signal;
}

static int say_error(const char *wrong)
{
	char text[200];
	int size = snprintf(text, sizeof(text), "error - 0 %s\n", wrong);

	if (write(STDOUT_FILENO, text, size) != size)
		return EXIT_BROKEN;
	return EXIT_MALFORMED;
}

/* In the supervisor: keeps the results and nothing of the input. */
static _Noreturn void become_supervisor(const struct frame *frame, pid_t parent)
{
	int output;

	signal(SIGCHLD, SIG_DFL);
	sigprocmask(SIG_SETMASK, &(sigset_t){ 0 }, NULL);
	if (!die_with_supervisor(parent))
		_exit(RUN_BROKEN);
	output = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, OWN_FD);
	if (output < 0)
		output = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	if (output < 0)
		_exit(RUN_BROKEN);
	silence();
	_exit(supervise(frame->id, frame->text, frame->text_size, frame->step_ms, frame->program_ms, output));
}

/* Whether input that breaks off ends the program that runs. */
enum watch_input { WATCH_INPUT, LEAVE_INPUT };

/* Waits for the supervisor and reads ahead meanwhile; false when the input broke off. */
static bool wait_for(pid_t supervisor, size_t next, enum watch_input watch, int *status)
{
	sigset_t none = { 0 };

	while (waitpid(supervisor, status, WNOHANG) != supervisor) {
		bool reading = watch == WATCH_INPUT && !input.ended && !is_full();
		struct pollfd fd = { reading ? STDIN_FILENO : -1, POLLIN, 0 };

		/* SIGCHLD is blocked but here: a supervisor that ended before is not missed. */
		if (ppoll(&fd, 1, NULL, &none) <= 0)
			continue;
		next -= input.start;
		read_more();
		next += input.start;
		if (input.ended && !was_finished(next))
			return false;
	}
	return true;
}

/* Ends a supervisor whose client is gone; its actors die with it, and are reaped here. */
static void break_off(pid_t supervisor)
{
	kill(supervisor, SIGKILL);
	alarm(GRACE_MS / 1000);
	while (waitpid(-1, NULL, 0) > 0)
		;
}

static int run_frame(const struct frame *frame, enum watch_input watch)
{
	pid_t self = getpid(), pid = fork();
	int status;

	if (pid < 0)
		return say_error("the helper cannot fork");
	if (!pid)
		become_supervisor(frame, self);
	if (!wait_for(pid, input.start + frame->size, watch, &status)) {
		break_off(pid);
		return EXIT_BROKEN;
	}
	/* Orphans that were stuck and are gone meanwhile. */
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) <= RUN_REFUSED)
		return WEXITSTATUS(status);
	return WIFEXITED(status) ? EXIT_BROKEN : say_error("the supervisor of the program died");
}

static void prepare(void)
{
	sigset_t child;

	signal(SIGPIPE, SIG_IGN);
	/* A handler, so that ppoll returns for it. */
	signal(SIGCHLD, ignore);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	/* What a supervisor leaves behind when it is killed is reaped here. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

int serve(void)
{
	struct frame frame;
	int status;

	prepare();
	for (;;) {
		frame_read(&frame, input.bytes + input.start, input.end - input.start);
		switch (frame.kind) {
		case FRAME_PARTIAL:
			if (input.ended)
				return input.start == input.end ? 0 : say_error("the input ended within a frame");
			read_more();
			break;
		case FRAME_RUN:
			status = run_frame(&frame, WATCH_INPUT);
			if (status > RUN_REFUSED)
				return status;
			input.start += frame.size;
			break;
		case FRAME_BYE:
			return 0;
		case FRAME_MALFORMED:
			return say_error(frame.wrong);
		}
	}
}

int run_input(uint32_t step_ms, uint32_t program_ms)
{
	struct frame frame = { .kind = FRAME_RUN, .step_ms = step_ms, .program_ms = program_ms };

	prepare();
	while (!input.ended && !is_full())
		read_more();
	/* One byte too many is enough to be refused. */
	frame.text = input.bytes;
	frame.text_size = input.end;
	return run_frame(&frame, LEAVE_INPUT);
}
