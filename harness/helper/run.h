/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that runs: one supervisor, and the actors, its children. They share a memory that survives any of them.
 *
 * The supervisor gives an actor a batch: every call from one position on that this actor takes without a call of another
 * one between. While the batch runs nobody else works, and nothing is said but through the shared memory: the actor
 * counts its calls and writes its observations there, the supervisor looks in from time to time.
 */
#ifndef VFIO_CONFORM_RUN_H
#define VFIO_CONFORM_RUN_H

#include <stdatomic.h>
#include <sys/types.h>

#include "program.h"

/* Lines may begin up to here; whoever is beyond waits until the supervisor has written them out. */
#define TEXT_SOFT (1u << 20)
/* The longest line: 64 MiB without any regularity. */
#define TEXT_ROOM (TEXT_SOFT + BYTES_TEXT((size_t)MAX_DATA) + 4096)

/* How often what has been observed goes out while a program runs, and runs of equal outcomes are cut for it. */
#define TICK_MS 50
/* How long a killed actor may take to be gone before it is called stuck: closing what it holds takes its time. */
#define GRACE_MS 10000
/* How long an actor may take to stop between two calls when the program's deadline passed, before it is killed. */
#define STOP_MS 500

/* Descriptors of the helper's own lie above those of programs, which get the lowest free numbers. */
#define OWN_FD 1000

#define MAX_TRAMPLED 16
#define MAX_DETAIL 96
#define MAX_HEADER_LINE 512

enum mishap { MISHAP_NONE, MISHAP_TIMEOUT, MISHAP_STUCK, MISHAP_DIED, MISHAP_GONE, MISHAP_BAD };

/* What one call did. */
struct outcome {
	int64_t ret;
	int32_t error;
	enum mishap mishap;
	/* Bytes to report; NULL: none. Valid until the next call. */
	const uint8_t *out;
	uint32_t out_size;
	uint32_t trampled_count;
	int32_t trampled[MAX_TRAMPLED];
	char detail[MAX_DETAIL];
};

/* Which call, and in a repeat which iteration (0 outside). */
struct position {
	uint32_t call;
	uint32_t iteration;
};

/* A run of iterations with the same outcome that was not reported yet; one for each call of a repeat. */
struct pending {
	_Atomic bool valid;
	bool has_out;
	uint8_t mishap;
	uint8_t trampled_count;
	int32_t error;
	_Atomic uint32_t last;
	uint32_t first;
	int64_t ret;
	uint32_t out_size;
	int32_t trampled[MAX_TRAMPLED];
	char detail[MAX_DETAIL];
};

enum order { ORDER_RUN, ORDER_RECEIVE };

/* What the supervisor and one actor say to each other. */
struct seat {
	/* Counts orders; the actor sleeps on it. */
	_Atomic uint32_t orders;
	enum order order;
	struct position from;
	/* 0 before it is made; it stays when it is gone. */
	_Atomic pid_t pid;
	_Atomic bool alive;
	/* It leaves by its own wish: exit. */
	bool leaving;
};

/* What an actor asks for: one of these in the low bits, above them a number that tells two such wishes apart. */
enum asked { ASKED_NOTHING, ASKED_KILL, ASKED_RECEIVE };
#define ASKED_BITS 2u

static inline enum asked asked_kind(uint32_t wish)
{
	return wish & ((1u << ASKED_BITS) - 1);
}

struct named_fd {
	int fd;
	/* Counts up as descriptors are made. */
	uint32_t order;
};

/* ATTEND_*: what an actor shall do before its next call. */
#define ATTEND_FLUSH 1u
#define ATTEND_STOP 2u

struct shared {
	uint64_t magic;
	size_t size;
	pid_t supervisor;
	uint32_t step_ms;
	/* Counts up to wake the supervisor. */
	_Atomic uint32_t event;
	/* Odd while a call is being taken; `at` says which. */
	_Atomic uint32_t progress;
	struct position at;
	_Atomic uint32_t attend;
	/* The batch is over; `next` is where the program goes on. */
	_Atomic bool idle;
	struct position next;
	/* What the acting actor asks of the supervisor, and the answer. The actor sleeps on `answered`. */
	_Atomic uint32_t asked;
	/* How many wishes there were. */
	uint32_t wishes;
	int32_t asked_actor;
	int32_t asked_fd;
	_Atomic uint32_t answered;
	int32_t answer;
	/* Text for the harness: published up to `head`. */
	_Atomic size_t head;
	/* Set by who has no room; the supervisor empties the text and clears it. */
	_Atomic uint32_t full;
	struct seat seats[MAX_ACTORS];
	/* Descriptors by name, for an actor that becomes a fresh image. */
	struct named_fd fds[MAX_NAMES];
	uint32_t fd_order;
	/* A pair of sockets that descriptors are sent through, or -1: programs without `send` have none. */
	int sockets[2];
	/* Parts of the memory behind: offsets from its beginning. */
	size_t text_at, pending_at, kept_at, source_at, source_size;
};

static inline char *shared_text(struct shared *shared)
{
	return (char *)shared + shared->text_at;
}

static inline struct pending *shared_pending(struct shared *shared, uint32_t index)
{
	return (struct pending *)((char *)shared + shared->pending_at) + index;
}

static inline uint8_t *shared_kept(struct shared *shared)
{
	return (uint8_t *)shared + shared->kept_at;
}

/* shared.c */
/* Makes the shared memory for one program; `source` is kept in it for actors that exec. Returns its descriptor, or -1. */
int shared_make(struct shared **shared, const struct program *program, const char *source, size_t size);
/* Maps one that was made: for an actor that exec'd. NULL if the descriptor is none. */
struct shared *shared_map(int fd);
/* Sleeps while the word is what was seen; `timeout_ms` below 0 is for ever. */
void shared_wait(_Atomic uint32_t *word, uint32_t seen, int timeout_ms);
/* Counts the word up and wakes who sleeps on it. */
void shared_wake(_Atomic uint32_t *word);
/* Makes the word 0 and wakes who sleeps on it. */
void shared_clear(_Atomic uint32_t *word);

/* report.c: observations as lines of text in the shared memory. */
/* Where a line may be written; waits until there is room. */
char *line_begin(struct shared *shared);
void line_end(struct shared *shared, char *end);
/* Sets what is called when the text is full: actors wait, the supervisor writes it out. */
extern void (*on_full)(struct shared *shared);
/* Reports what the call did, at once or when its run of equal outcomes ends. */
void report(struct shared *shared, const struct program *program, struct position at, const struct outcome *outcome);
/* Reports iterations `at.iteration` to `last` of a call as one mishap. */
void report_mishap(struct shared *shared, const struct program *program, struct position at, uint32_t last,
		   enum mishap mishap, const char *detail);
/* Reports what is pending for the calls of a repeat. */
void report_pending(struct shared *shared, const struct program *program, const struct repeat *repeat);
/* Where the program goes on behind a position. */
struct position position_after(const struct program *program, struct position at);
char *put_text(char *to, const char *text);
char *put_number(char *to, uint64_t number);
char *put_signed(char *to, int64_t number);

/* supervisor.c: runs a program in fresh processes and writes begin to end, or error, to `output`. */
enum run_result { RUN_ENDED, RUN_REFUSED, RUN_BROKEN };
enum run_result supervise(uint64_t id, const char *text, size_t size, uint32_t step_ms, uint32_t program_ms, int output);

/* kmsg.c: the kernel's log from now on. */
struct kmsg {
	int fd;
	int error;
};
void kmsg_open(struct kmsg *kmsg);
/* Reports what came since, as lines. */
void kmsg_report(struct kmsg *kmsg, struct shared *shared);

/* actor.c */
/* The life of an actor that was just forked. */
_Noreturn void actor_live(struct shared *shared, const struct program *program, int shared_fd, int number);
/* The life of an actor that has exec'd: the arguments that it gave itself. */
int actor_resume(int argc, char **argv);
/* Makes standard input, output and error lead nowhere. */
void silence(void);
/* True, or the supervisor is gone already. */
bool die_with_supervisor(pid_t supervisor);

#endif
