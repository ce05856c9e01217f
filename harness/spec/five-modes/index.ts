import { ACCOUNTING_QUESTIONS } from './accounting.ts';
import { CONTAINER_QUESTIONS } from './container.ts';
import { MAP_QUESTIONS } from './map.ts';
import { UNMAP_QUESTIONS } from './unmap.ts';

export * from './accounting.ts';
export * from './container.ts';
export * from './map.ts';
export * from './question.ts';
export * from './unmap.ts';

/** All rows, in the order of the table. */
export const QUESTIONS = [...UNMAP_QUESTIONS, ...MAP_QUESTIONS, ...ACCOUNTING_QUESTIONS, ...CONTAINER_QUESTIONS];
