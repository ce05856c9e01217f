import { UNMAP_QUESTIONS } from './unmap.ts';

export * from './question.ts';
export * from './unmap.ts';

/** All rows, in the order of the table. */
export const QUESTIONS = [...UNMAP_QUESTIONS];
