/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VFIO_CONFORM_SERVE_H
#define VFIO_CONFORM_SERVE_H

#include <stdint.h>

/* Answers frames on standard input until `bye`, its end, or one that is not understood; returns the exit status. */
int serve(void);
/* Runs the one program that standard input holds; returns the exit status. */
int run_input(uint32_t step_ms, uint32_t program_ms);

#endif
