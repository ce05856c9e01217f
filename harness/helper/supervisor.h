/* SPDX-License-Identifier: Apache-2.0 */
/* Inside a supervisor: the program it runs, and the parts of its work. */
#ifndef VFIO_CONFORM_SUPERVISOR_H
#define VFIO_CONFORM_SUPERVISOR_H

#include "run.h"

/* Microseconds of a clock that only goes forward. */
typedef uint64_t moment;
moment now(void);

struct supervised {
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
};

extern struct supervised run;

/* output.c: writes to whoever listens; when nobody does, the supervisor leaves, and everything it started with it. */
void write_all(const char *text, size_t size);
/* Writes out what was observed so far. */
void drain(void);
/* Makes room again; only while no actor writes. */
void empty(struct shared *shared);
/* What was observed goes out every TICK_MS. */
void tick(moment time);

/* reaper.c: how actors end. */
void reap(void);
void kill_actor(int actor);
/* Waits until a killed actor (or with -1 every actor) is gone; false: one is still there after the time it was given. */
bool wait_for_end(int actor, uint32_t ms);
/* What a dead actor died of. */
const char *death_of(int actor, char *text, size_t size);

/*
 * batch.c: has an actor take its calls from a position on; shared->next says where the program goes on. False when the
 * program's deadline has passed.
 */
bool drive(int actor, struct position from);

#endif
