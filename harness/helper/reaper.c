// SPDX-License-Identifier: Apache-2.0
/* How actors end: killed, reaped, and what they died of. All of them are children of the supervisor. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "supervisor.h"

void reap(void)
{
	int status;

	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
		for (int actor = 0; actor < run.program.actor_count; actor++)
			if (run.shared->seats[actor].pid == pid) {
				run.wait_status[actor] = status;
				run.shared->seats[actor].alive = false;
			}
}

void kill_actor(int actor)
{
	struct seat *seat = &run.shared->seats[actor];

	if (seat->alive && seat->pid > 0 && kill(seat->pid, SIGKILL) && errno == ESRCH)
		seat->alive = false;
}

bool wait_for_end(int actor, uint32_t ms)
{
	moment end = now() + ms * 1000ull;

	for (;;) {
		uint32_t seen = atomic_load(&run.shared->event);
		bool alive = false;

		reap();
		for (int i = 0; i < run.program.actor_count; i++)
			alive |= (i == actor || actor < 0) && run.shared->seats[i].alive && !run.stuck[i];
		if (!alive || now() >= end)
			return !alive;
		shared_wait(&run.shared->event, seen, TICK_MS);
	}
}

const char *death_of(int actor, char *text, size_t size)
{
	int status = run.wait_status[actor];
	const char *name = WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : NULL;

	if (name)
		snprintf(text, size, "SIG%s", name);
	else if (WIFSIGNALED(status))
		snprintf(text, size, "signal %d", WTERMSIG(status));
	else
		snprintf(text, size, "exit status %d", WEXITSTATUS(status));
	return text;
}
