// SPDX-License-Identifier: Apache-2.0
/* Runs one program: starts its actors, hands them their batches, and leaves nothing behind. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "supervisor.h"

struct supervised run;

moment now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000ull + time.tv_nsec / 1000;
}

/* Says of a call, and of what is left of the repeat it stands in, that its actor is gone. */
static struct position pass_over(struct position from)
{
	const struct call *call = &run.program.calls[from.call];
	const struct repeat *repeat;
	char detail[MAX_DETAIL];

	snprintf(detail, sizeof(detail), "actor %s is gone", run.program.actors[call->actor]);
	if (call->repeat < 0) {
		report_mishap(run.shared, &run.program, from, 0, MISHAP_GONE, detail);
		return position_after(&run.program, from);
	}
	repeat = &run.program.repeats[call->repeat];
	for (uint32_t i = repeat->first; i < repeat->first + repeat->calls; i++) {
		struct position at = { i, from.iteration + (i < from.call) };

		if (at.iteration < repeat->count)
			report_mishap(run.shared, &run.program, at, repeat->count - 1, MISHAP_GONE, detail);
	}
	return (struct position){ repeat->first + repeat->calls, 0 };
}

/* Takes every call of the program; false when its deadline passed before that. */
static bool take_program(void)
{
	struct position at = { 0, 0 };

	while (at.call < run.program.call_count) {
		int actor = run.program.calls[at.call].actor;

		if (now() >= run.deadline)
			return false;
		if (!run.shared->seats[actor].alive) {
			at = pass_over(at);
			continue;
		}
		if (!drive(actor, at))
			return false;
		at = run.shared->next;
	}
	return true;
}

/* Descriptors that actors keep over an exec are not closed by it. */
static bool make_sockets(void)
{
	int pair[2];

	run.shared->sockets[0] = run.shared->sockets[1] = -1;
	if (!run.program.has_send)
		return true;
	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair))
		return false;
	for (int i = 0; i < 2; i++) {
		run.shared->sockets[i] = fcntl(pair[i], F_DUPFD, OWN_FD);
		if (run.shared->sockets[i] < 0)
			return false;
		close(pair[i]);
	}
	return true;
}

static bool start_main(void)
{
	struct seat *seat = &run.shared->seats[0];
	pid_t pid;

	seat->alive = true;
	pid = fork();
	if (!pid) {
		/* Small pages, whatever this machine's default: how memory that nobody wrote is pinned and charged differs. */
		prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
		/* A group of its own: what is typed at a terminal reaches the helper only. */
		setpgid(0, 0);
		signal(SIGCHLD, SIG_DFL);
		if (run.output > 2)
			close(run.output);
		if (run.kmsg.fd >= 0)
			close(run.kmsg.fd);
		if (!run.program.has_exec)
			close(run.shared_fd);
		actor_live(run.shared, &run.program, run.shared_fd, 0);
	}
	if (pid > 0)
		seat->pid = pid;
	return pid > 0;
}

/* Ends every actor; false when one is still there that was not reported as stuck. */
static bool end_all(void)
{
	for (int actor = 0; actor < run.program.actor_count; actor++)
		kill_actor(actor);
	return wait_for_end(-1, GRACE_MS);
}

static enum run_result refuse_run(uint64_t id, uint32_t line, const char *text)
{
	char out[MAX_HEADER_LINE], *end = put_text(out, "error ");

	end = put_number(end, id);
	*end++ = ' ';
	end = put_number(end, line);
	*end++ = ' ';
	end = put_text(end, text);
	*end++ = '\n';
	write_all(out, end - out);
	return RUN_REFUSED;
}

static void say_begin(uint64_t id)
{
	line_end(run.shared, put_number(put_text(line_begin(run.shared), "begin "), id));
	drain();
}

static void say_end(uint64_t id, moment start, const char *status)
{
	char *to = put_number(put_text(line_begin(run.shared), "end "), id);

	*to++ = ' ';
	to = put_number(to, now() - start);
	*to++ = ' ';
	line_end(run.shared, put_text(to, status));
	drain();
}

static void on_child(int signal)
{
	(void)signal;
	atomic_fetch_add(&run.shared->event, 1);
}

enum run_result supervise(uint64_t id, const char *text, size_t size, uint32_t step_ms, uint32_t program_ms, int output)
{
	struct sigaction action = { .sa_handler = on_child };
	moment start = now();
	struct refusal refusal;
	const char *status;

	run.output = output;
	if (!program_parse(&run.program, text, size, &refusal))
		return refuse_run(id, refusal.line, refusal.text);
	run.step_ms = step_ms;
	run.program_ms = program_ms;
	run.deadline = start + program_ms * 1000ull;
	run.last_tick = start;
	run.shared_fd = shared_make(&run.shared, &run.program, text, size);
	if (run.shared_fd < 0 || !make_sockets())
		return refuse_run(id, 0, "the helper has no memory or descriptors left for this program");
	run.shared->supervisor = getpid();
	on_full = empty;
	sigaction(SIGCHLD, &action, NULL);
	kmsg_open(&run.kmsg);
	if (!start_main())
		return refuse_run(id, 0, "the helper cannot fork");
	say_begin(id);
	status = take_program() ? "done" : "unfinished";
	if (!end_all())
		status = "unfinished";
	kmsg_report(&run.kmsg, run.shared);
	say_end(id, start, status);
	return RUN_ENDED;
}
