// SPDX-License-Identifier: Apache-2.0
/* One batch: an actor takes its calls, while the supervisor keeps the deadlines and does what the actor asks for. */
#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>

#include "supervisor.h"

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
	/* The wish for which somebody was told to receive a descriptor; 0: none. */
	uint32_t receiving;
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
	bool self_kill = in_call() && asked_kind(shared->asked) == ASKED_KILL && shared->asked_actor == watch->actor;

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
static void serve_receive(struct watch *watch, uint32_t wish)
{
	int receiver = run.shared->asked_actor;

	if (watch->receiving != wish) {
		watch->receiving = wish;
		give_order(receiver, ORDER_RECEIVE);
	} else if (!run.shared->seats[receiver].alive) {
		answer(-ESRCH);
	}
}

static void serve(struct watch *watch, moment time)
{
	uint32_t wish = atomic_load(&run.shared->asked);

	switch (asked_kind(wish)) {
	case ASKED_NOTHING:
		break;
	case ASKED_KILL:
		serve_kill(watch, time);
		break;
	case ASKED_RECEIVE:
		serve_receive(watch, wish);
		break;
	}
}

/* The program's deadline passed: lets the actor stop between two calls, and kills it if it does not. */
static void stop(struct watch *watch)
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
		return;
	snprintf(detail, sizeof(detail), "program deadline of %u ms", run.program_ms);
	put_down(watch, false, detail);
}

static int time_left(const struct watch *watch, moment time)
{
	moment step_end = watch->since + run.step_ms * 1000ull;
	moment end = step_end < run.deadline ? step_end : run.deadline;
	moment left = end > time ? (end - time) / 1000 + 1 : 1;

	return left < TICK_MS ? (int)left : TICK_MS;
}

/* What a look at the acting actor shows. */
enum sight { AT_WORK, OVER, OUT_OF_TIME };

static enum sight look(struct watch *watch, moment time)
{
	struct shared *shared = run.shared;
	char detail[MAX_DETAIL];

	if (atomic_load(&shared->full)) {
		empty(shared);
		watch->since = now();
		shared_clear(&shared->full);
	}
	reap();
	if (atomic_load(&shared->idle))
		return OVER;
	if (!shared->seats[watch->actor].alive) {
		bury(watch, MISHAP_DIED, death_of(watch->actor, detail, sizeof(detail)));
		return OVER;
	}
	serve(watch, time);
	if (watch->progress != atomic_load(&shared->progress)) {
		watch->progress = atomic_load(&shared->progress);
		watch->since = time;
	}
	if (time >= run.deadline) {
		stop(watch);
		return OUT_OF_TIME;
	}
	if (time >= watch->since + run.step_ms * 1000ull) {
		snprintf(detail, sizeof(detail), "step deadline of %u ms", run.step_ms);
		put_down(watch, true, detail);
		return OVER;
	}
	return AT_WORK;
}

bool drive(int actor, struct position from)
{
	struct shared *shared = run.shared;
	struct watch watch = { .actor = actor, .from = from, .since = now() };
	enum sight sight;

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

		sight = look(&watch, time);
		if (sight != AT_WORK)
			return sight == OVER;
		tick(time);
		shared_wait(&shared->event, seen, time_left(&watch, time));
	}
}
