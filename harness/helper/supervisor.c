// SPDX-License-Identifier: Apache-2.0
/* Runs one program: starts its actors, hands them their batches, keeps the deadlines, and leaves nothing behind. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "run.h"

/* Microseconds of a clock that only goes forward. */
typedef uint64_t moment;

static struct {
	struct program program;
	struct shared *shared;
	int shared_fd;
	int output;
	/* How much of the shared text was written out. */
	size_t written;
	moment last_tick;
	moment deadline;
	uint32_t step_ms;
	uint32_t program_ms;
	struct kmsg kmsg;
	/* How each actor that is gone died (waitpid), and whether it could not be ended and that was reported. */
	int wait_status[MAX_ACTORS];
	bool stuck[MAX_ACTORS];
} run;

/* How one batch ended. */
enum batch { BATCH_DONE, BATCH_DIED, BATCH_OUT_OF_TIME };

static moment now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000ull + time.tv_nsec / 1000;
}

static void write_all(const char *text, size_t size)
{
	while (size) {
		ssize_t wrote = write(run.output, text, size);

		if (wrote < 0 && errno == EINTR)
			continue;
		/* Whoever gave us this descriptor may have made it one that does not wait. */
		if (wrote < 0 && errno == EAGAIN && poll(&(struct pollfd){ run.output, POLLOUT, 0 }, 1, -1) > 0)
			continue;
		/* Nobody listens: with this process everything it started goes. */
		if (wrote <= 0)
			_exit(RUN_BROKEN);
		text += wrote;
		size -= wrote;
	}
}

/* Writes out what was observed so far. */
static void drain(void)
{
	size_t head = atomic_load(&run.shared->head);

	write_all(shared_text(run.shared) + run.written, head - run.written);
	run.written = head;
}

/* Makes room again; only while no actor writes. */
static void empty(struct shared *shared)
{
	size_t used = atomic_load(&shared->head);

	drain();
	run.written = 0;
	atomic_store(&shared->head, 0);
	/* What one huge line took is given back to the system. */
	if (used > 4 * TEXT_SOFT)
		(void)!fallocate(run.shared_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, shared->text_at, used);
}

static void on_child(int signal)
{
	(void)signal;
	atomic_fetch_add(&run.shared->event, 1);
}

static void reap(void)
{
	int status;

	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
		for (int actor = 0; actor < run.program.actor_count; actor++)
			if (run.shared->seats[actor].pid == pid) {
				run.wait_status[actor] = status;
				run.shared->seats[actor].alive = false;
			}
}

static void kill_actor(int actor)
{
	struct seat *seat = &run.shared->seats[actor];

	if (seat->alive && seat->pid > 0 && kill(seat->pid, SIGKILL) && errno == ESRCH)
		seat->alive = false;
}

/* Waits until a killed actor (or with -1 every actor) is gone; false: one is still there after the time it was given. */
static bool wait_for_end(int actor, uint32_t ms)
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

static const char *death_of(int actor, char *text, size_t size)
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

/* What an actor's batch is measured by. */
struct watch {
	int actor;
	struct position from;
	uint32_t first_progress;
	uint32_t progress;
	/* When it was last seen to come forward. */
	moment since;
	/* Since when a victim is awaited that the actor asked to kill; 0: none. */
	moment killing;
	bool receiving;
};

static bool in_call(void)
{
	return atomic_load(&run.shared->progress) & 1;
}

/* The call that a dead actor was taking, or the one that it would have taken next. */
static struct position where_died(const struct watch *watch)
{
	struct shared *shared = run.shared;

	if (in_call())
		return shared->at;
	return atomic_load(&shared->progress) == watch->first_progress ? watch->from :
									 position_after(&run.program, shared->at);
}

static void flush_pending(struct position at)
{
	int32_t repeat = at.call < run.program.call_count ? run.program.calls[at.call].repeat : -1;

	if (repeat >= 0)
		report_pending(run.shared, &run.program, &run.program.repeats[repeat]);
}

/* Says how a batch ended that its actor did not bring to an end, and where the program goes on. */
static void bury(const struct watch *watch, enum mishap mishap, const char *detail)
{
	struct shared *shared = run.shared;
	struct position at = where_died(watch);
	struct outcome wished = { 0 };
	bool self_kill = in_call() && shared->asked == ASKED_KILL && shared->asked_actor == watch->actor;

	flush_pending(shared->at);
	if (mishap == MISHAP_DIED && shared->seats[watch->actor].leaving) {
		report(shared, &run.program, at, &wished);
	} else if (mishap == MISHAP_DIED && self_kill) {
		wished.ret = WTERMSIG(run.wait_status[watch->actor]);
		report(shared, &run.program, at, &wished);
	} else if (mishap != MISHAP_NONE) {
		report_mishap(shared, &run.program, at, at.iteration, mishap, detail);
	}
	flush_pending(at);
	shared->asked = ASKED_NOTHING;
	/* Whoever comes next begins between two calls. */
	if (in_call())
		atomic_fetch_add(&shared->progress, 1);
	shared->next = mishap == MISHAP_NONE ? at : position_after(&run.program, at);
}

static void put_down(const struct watch *watch, bool report_it, const char *detail)
{
	char stuck[MAX_DETAIL];

	kill_actor(watch->actor);
	if (wait_for_end(watch->actor, GRACE_MS)) {
		bury(watch, report_it || in_call() ? MISHAP_TIMEOUT : MISHAP_NONE, detail);
		return;
	}
	run.stuck[watch->actor] = true;
	run.shared->seats[watch->actor].alive = false;
	snprintf(stuck, sizeof(stuck), "%s; it could not be killed", detail);
	bury(watch, MISHAP_STUCK, stuck);
}

static void answer(int32_t value)
{
	run.shared->answer = value;
	run.shared->asked = ASKED_NOTHING;
	shared_wake(&run.shared->answered);
}

static void give_order(int actor, enum order order)
{
	run.shared->seats[actor].order = order;
	shared_wake(&run.shared->seats[actor].orders);
}

/* Kills whom the acting actor wants killed. Whoever kills itself is not answered: its death is. */
static void serve_kill(struct watch *watch, moment time)
{
	int victim = run.shared->asked_actor;

	if (!watch->killing) {
		watch->killing = time;
		kill_actor(victim);
		reap();
	}
	if (victim == watch->actor)
		return;
	if (!run.shared->seats[victim].alive) {
		watch->killing = 0;
		answer(WIFSIGNALED(run.wait_status[victim]) ? WTERMSIG(run.wait_status[victim]) : 0);
	} else if (time - watch->killing >= run.step_ms * 1000ull) {
		watch->killing = 0;
		run.stuck[victim] = true;
		run.shared->seats[victim].alive = false;
		answer(-1);
	}
}

/* Lets the receiver take what was sent; it answers the sender itself. */
static void serve_receive(struct watch *watch)
{
	int receiver = run.shared->asked_actor;

	if (!watch->receiving) {
		watch->receiving = true;
		give_order(receiver, ORDER_RECEIVE);
	} else if (!run.shared->seats[receiver].alive) {
		answer(-ESRCH);
	}
}

static void serve(struct watch *watch, moment time)
{
	switch (atomic_load(&run.shared->asked)) {
	case ASKED_NOTHING:
		watch->receiving = false;
		break;
	case ASKED_KILL:
		serve_kill(watch, time);
		break;
	case ASKED_RECEIVE:
		serve_receive(watch);
		break;
	}
}

/* Lets out what was observed; runs of equal outcomes are cut, so that a crash of the machine loses little of them. */
static void tick(moment time)
{
	if (time - run.last_tick < TICK_MS * 1000)
		return;
	run.last_tick = time;
	drain();
	atomic_fetch_or(&run.shared->attend, ATTEND_FLUSH);
}

/* The program's deadline passed: lets the actor stop between two calls, and kills it if it does not. */
static enum batch stop(struct watch *watch)
{
	moment end = now() + STOP_MS * 1000;
	char detail[MAX_DETAIL];

	atomic_fetch_or(&run.shared->attend, ATTEND_STOP);
	while (!run.shared->idle && now() < end) {
		uint32_t seen = atomic_load(&run.shared->event);

		if (run.shared->full) {
			empty(run.shared);
			shared_clear(&run.shared->full);
		}
		serve(watch, now());
		reap();
		if (!run.shared->idle)
			shared_wait(&run.shared->event, seen, 5);
	}
	if (run.shared->idle)
		return BATCH_OUT_OF_TIME;
	snprintf(detail, sizeof(detail), "program deadline of %u ms", run.program_ms);
	put_down(watch, false, detail);
	return BATCH_OUT_OF_TIME;
}

static int time_left(const struct watch *watch, moment time)
{
	moment step_end = watch->since + run.step_ms * 1000ull;
	moment end = step_end < run.deadline ? step_end : run.deadline;
	moment left = end > time ? (end - time) / 1000 + 1 : 1;

	return left < TICK_MS ? (int)left : TICK_MS;
}

/* One look at the acting actor; false while its batch goes on. */
static bool look(struct watch *watch, moment time, enum batch *batch)
{
	struct shared *shared = run.shared;
	char detail[MAX_DETAIL];

	if (atomic_load(&shared->full)) {
		empty(shared);
		watch->since = now();
		shared_clear(&shared->full);
	}
	reap();
	*batch = BATCH_DONE;
	if (atomic_load(&shared->idle))
		return true;
	*batch = BATCH_DIED;
	if (!shared->seats[watch->actor].alive) {
		bury(watch, MISHAP_DIED, death_of(watch->actor, detail, sizeof(detail)));
		return true;
	}
	serve(watch, time);
	if (watch->progress != atomic_load(&shared->progress)) {
		watch->progress = atomic_load(&shared->progress);
		watch->since = time;
	}
	if (time >= run.deadline) {
		*batch = stop(watch);
		return true;
	}
	if (time >= watch->since + run.step_ms * 1000ull) {
		snprintf(detail, sizeof(detail), "step deadline of %u ms", run.step_ms);
		put_down(watch, true, detail);
		return true;
	}
	return false;
}

/* Has an actor take its calls from a position on; shared->next says where the program goes on. */
static enum batch drive(int actor, struct position from)
{
	struct shared *shared = run.shared;
	struct watch watch = { .actor = actor, .from = from, .since = now() };
	enum batch batch;

	if (atomic_load(&shared->head) > TEXT_SOFT / 2)
		empty(shared);
	watch.first_progress = watch.progress = atomic_load(&shared->progress);
	atomic_store(&shared->idle, false);
	atomic_store(&shared->attend, 0);
	shared->seats[actor].from = from;
	give_order(actor, ORDER_RUN);
	for (;;) {
		uint32_t seen = atomic_load(&shared->event);
		moment time = now();

		if (look(&watch, time, &batch))
			return batch;
		tick(time);
		shared_wait(&shared->event, seen, time_left(&watch, time));
	}
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
		if (drive(actor, at) == BATCH_OUT_OF_TIME)
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
