// SPDX-License-Identifier: Apache-2.0
/* The life of an actor: it waits for orders, and takes calls one after the other until somebody else's turn comes. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actor.h"

static operation_fn *const carry_out[] = {
#define OP(name, parameters, observes) [OP_##name] = op_##name,
#include "ops.def"
#undef OP
};

/* In an actor: waits until the supervisor has emptied the text. */
static void wait_for_room(struct shared *shared)
{
	atomic_store(&shared->full, 1);
	shared_wake(&shared->event);
	while (atomic_load(&shared->full))
		shared_wait(&shared->full, 1, -1);
}

static void clear(struct outcome *outcome)
{
	outcome->ret = 0;
	outcome->error = 0;
	outcome->mishap = MISHAP_NONE;
	outcome->out = NULL;
	outcome->trampled_count = 0;
}

/* Between `begin` and `end` a call is being taken: who dies then died of it. */
static void begin_call(struct shared *shared, struct position at)
{
	shared->at = at;
	atomic_store_explicit(&shared->progress, shared->progress + 1, memory_order_release);
}

static void end_call(struct shared *shared)
{
	atomic_store_explicit(&shared->progress, shared->progress + 1, memory_order_release);
}

static bool at_end_of_repeat(const struct program *program, struct position at)
{
	const struct call *call = &program->calls[at.call];
	const struct repeat *repeat;

	if (call->repeat < 0)
		return false;
	repeat = &program->repeats[call->repeat];
	return at.iteration + 1 == repeat->count && at.call + 1 == repeat->first + repeat->calls;
}

static struct position finish_call(struct actor *actor, struct position at, const struct outcome *outcome)
{
	const struct program *program = actor->program;

	report(actor->shared, program, at, outcome);
	guarded_give_back();
	if (at_end_of_repeat(program, at))
		report_pending(actor->shared, program, &program->repeats[program->calls[at.call].repeat]);
	end_call(actor->shared);
	return position_after(program, at);
}

/* What the supervisor wants done between two calls; false: stop. */
static bool attend(struct actor *actor, struct position next)
{
	const struct call *call = &actor->program->calls[next.call];
	uint32_t wishes = atomic_exchange(&actor->shared->attend, 0);

	if (call->repeat >= 0)
		report_pending(actor->shared, actor->program, &actor->program->repeats[call->repeat]);
	return !(wishes & ATTEND_STOP);
}

/* Takes every call from `at` on that is this actor's; returns where it stopped. */
static struct position take_calls(struct actor *actor, struct position at)
{
	const struct program *program = actor->program;
	struct shared *shared = actor->shared;
	struct outcome outcome;

	while (at.call < program->call_count && program->calls[at.call].actor == actor->number) {
		const struct call *call = &program->calls[at.call];

		if (atomic_load_explicit(&shared->attend, memory_order_relaxed) && !attend(actor, at))
			break;
		clear(&outcome);
		begin_call(shared, at);
		carry_out[call->op](actor, call, at.iteration, &outcome);
		at = finish_call(actor, at, &outcome);
	}
	return at;
}

static void take_batch(struct actor *actor, struct position from)
{
	struct shared *shared = actor->shared;

	shared->next = take_calls(actor, from);
	atomic_store(&shared->idle, true);
	shared_wake(&shared->event);
}

static _Noreturn void follow_orders(struct actor *actor, uint32_t seen)
{
	struct shared *shared = actor->shared;
	struct seat *seat = &shared->seats[actor->number];

	for (;; seen++) {
		while (atomic_load(&seat->orders) == seen)
			shared_wait(&seat->orders, seen, -1);
		switch (seat->order) {
		case ORDER_RUN:
			take_batch(actor, seat->from);
			break;
		case ORDER_RECEIVE:
			shared->answer = receive_fd(actor, shared->asked_fd);
			shared->asked = ASKED_NOTHING;
			shared_wake(&shared->answered);
			break;
		}
	}
}

/* The state of this process as an actor. A forked one has inherited what its parent had. */
static struct actor self;

static void init(struct shared *shared, const struct program *program, int shared_fd, int number)
{
	self.shared = shared;
	self.program = program;
	self.shared_fd = shared_fd;
	self.number = number;
	self.page = sysconf(_SC_PAGESIZE);
	self.memories = calloc(program->mem_count + 1, sizeof(*self.memories));
	self.fds = calloc(program->fd_count + 1, sizeof(*self.fds));
	if (!self.memories || !self.fds || !guarded_init(&self))
		_exit(70);
	for (int name = 0; name < program->fd_count; name++)
		self.fds[name].fd = -1;
	on_full = wait_for_room;
	touch_init();
}

void actor_live(struct shared *shared, const struct program *program, int shared_fd, int number)
{
	struct seat *seat = &shared->seats[number];

	if (!die_with_supervisor(shared->supervisor))
		_exit(1);
	if (!self.shared)
		init(shared, program, shared_fd, number);
	self.number = number;
	seat->pid = getpid();
	follow_orders(&self, 0);
}

static bool take_up(struct shared *shared, int shared_fd, int number)
{
	static struct program program;
	struct refusal refusal;

	if (!program_parse(&program, (char *)shared + shared->source_at, shared->source_size, &refusal))
		return false;
	if (number >= program.actor_count)
		return false;
	init(shared, &program, shared_fd, number);
	memcpy(self.fds, shared->fds, program.fd_count * sizeof(*self.fds));
	self.fd_order = shared->fd_order;
	return true;
}

int actor_resume(int argc, char **argv)
{
	int shared_fd = argc == 4 ? atoi(argv[2]) : -1, number = argc == 4 ? atoi(argv[3]) : -1;
	struct shared *shared = shared_map(shared_fd);
	struct outcome outcome;
	uint32_t seen;

	if (!shared || number < 0 || number >= MAX_ACTORS || !die_with_supervisor(shared->supervisor))
		return 64;
	fcntl(shared_fd, F_SETFD, FD_CLOEXEC);
	ops_init();
	if (!take_up(shared, shared_fd, number))
		return 70;
	/* Reports the exec that brought it here, and goes on with the batch it stood in. */
	clear(&outcome);
	/* The next order may come as soon as this batch is done. */
	seen = shared->seats[number].orders;
	take_batch(&self, finish_call(&self, shared->at, &outcome));
	follow_orders(&self, seen);
}
