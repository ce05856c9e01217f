/**
 * What a mapping maps: anonymous memory of one `mem` step, a memfd, a file. Its identity is what owners are compared by.
 */
export interface MemoryObject {
  readonly kind: 'anonymous' | 'file';
}
